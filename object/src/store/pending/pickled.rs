//! Updates as the real Swift keeps them: a pickled dict with the request that it did not get through.
//!
//! `{op, account, container, obj, headers, db_state[, container_path, successes]}`, written by `async_update` in
//! `swift/obj/server.py`. Pure.

use apus_base::pickle::{self, Value};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate, header};

/// Reads an update of an object of that policy, and the ids of the devices that have its row.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn decode(bytes: &[u8], policy: PolicyIndex) -> Result<(RowUpdate, Vec<u32>), String> {
    let update = pickle::loads(bytes).map_err(|error| error.to_string())?;
    let text = |key: &str| update.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let word = |key: &str| text(key).map(str::to_owned).ok_or_else(|| format!("it has no {key}"));
    let (mut account, mut container) = (word("account")?, word("container")?);
    if let Some((shards, shard)) = text("container_path").and_then(|path| path.split_once('/')) {
        (account, container) = (shards.to_owned(), shard.to_owned());
    }
    let headers = Headers(update.get("headers").ok_or("it has no headers")?);
    let row = row(&word("op")?, word("obj")?, &headers, policy)?;
    let successes = update.get("successes").and_then(Value::as_items).unwrap_or_default();
    let told = successes.iter().filter_map(|id| u32::try_from(id.as_int()?).ok()).collect();
    // The partition is found by the ring of the day.
    Ok((RowUpdate { partition: 0, account, container, row }, told))
}

fn row(op: &str, name: String, headers: &Headers<'_>, policy: PolicyIndex) -> Result<ObjectRow, String> {
    let data = headers.timestamp(header::TIMESTAMP)?.ok_or("it has no timestamp")?;
    let policy = headers.get(header::POLICY_INDEX).and_then(|index| index.parse().ok()).map_or(policy, PolicyIndex);
    match op {
        "DELETE" => {
            let (content_type, etag) = (String::new(), String::new());
            Ok(ObjectRow {
                name,
                timestamps: RowTimestamps::same(data),
                size: 0,
                content_type,
                etag,
                deleted: true,
                policy,
            })
        }
        "PUT" => {
            let content_type = headers.timestamp("x-content-type-timestamp")?.unwrap_or(data);
            let meta = headers.timestamp("x-meta-timestamp")?.unwrap_or(content_type);
            let size = headers.get("x-size").and_then(|size| size.parse().ok()).ok_or("it has no size")?;
            Ok(ObjectRow {
                name,
                timestamps: RowTimestamps { data, content_type, meta },
                size,
                content_type: headers.get("x-content-type").unwrap_or_default(),
                etag: headers.get("x-etag").unwrap_or_default(),
                deleted: false,
                policy,
            })
        }
        other => Err(format!("{other} is not what one tells a container")),
    }
}

/// A dict of headers, whose names may be in any case.
struct Headers<'a>(&'a Value);

impl Headers<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let Value::Dict(items) = self.0 else { return None };
        let named = |key: &Value| key.as_str().is_some_and(|key| key.eq_ignore_ascii_case(name));
        let (_, value) = items.iter().rev().find(|(key, _)| named(key))?;
        value.as_str().map(str::to_owned).or_else(|| value.as_int().map(|number| number.to_string()))
    }

    fn timestamp(&self, name: &str) -> Result<Option<Timestamp>, String> {
        self.get(name).map(|text| text.parse().map_err(|_| format!("its {name} is no timestamp"))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps` of what Swift 2.38.3 keeps after a PUT of `oé`, with its `HeaderKeyDict`.
    const BY_SWIFT: &str = "80027d71002858020000006f7071015803000000505554710258070000006163636f756e7471035801000000617104\
        5809000000636f6e7461696e65727105580100000063710658030000006f626a710758030000006fc3a97108580700000068656164657273710963\
        73776966742e636f6d6d6f6e2e6865616465725f6b65795f646963740a4865616465724b6579446963740a710a2981710b285806000000582d5369\
        7a65710c580100000035710d580e000000582d436f6e74656e742d54797065710e580a000000746578742f706c61696e710f580b000000582d5469\
        6d657374616d7071105810000000313731323334353637382e313233343571115806000000582d4574616771125820000000356434313430326162\
        633462326137366239373139643931313031376335393271135\
        80a000000582d5472616e732d49647114580300000074783171155807000000526566657265727116581600000050555420687474703a2f2f682f64\
        2f312f612f632f6f7117581e000000582d4261636b656e642d53746f726167652d506f6c6963792d496e64657871185801000000307119580a0000\
        00557365722d4167656e74711a580f0000006f626a6563742d7365727665722031711b75580800000064625f7374617465711c4e58090000007375\
        63636573736573711d5d711e284b014b0265752e";

    fn unhex(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn an_update_that_the_real_swift_kept() {
        let (update, told) = decode(&unhex(BY_SWIFT), PolicyIndex(7)).unwrap();
        let row = update.row;
        assert_eq!((update.account.as_str(), update.container.as_str(), row.name.as_str()), ("a", "c", "oé"));
        assert_eq!(
            (row.size, row.content_type.as_str(), row.deleted, row.policy),
            (5, "text/plain", false, PolicyIndex(0))
        );
        assert_eq!((row.timestamps.to_string(), told), ("1712345678.12345".into(), vec![1, 2]));
        assert_eq!(row.etag, "5d41402abc4b2a76b9719d911017c592");
    }

    #[test]
    fn a_deletion_for_a_shard() {
        let text = |text: &str| Value::Str(text.to_owned());
        let headers = Value::Dict(vec![(text("X-Timestamp"), text("0000000002.00000"))]);
        let items = [("op", text("DELETE")), ("account", text("a")), ("container", text("c")), ("obj", text("o"))];
        let mut items: Vec<_> = items.into_iter().map(|(key, value)| (text(key), value)).collect();
        items.extend([(text("headers"), headers), (text("container_path"), text(".shards_a/c-1"))]);
        let (update, _) = decode(&pickle::dumps(&Value::Dict(items)), PolicyIndex(7)).unwrap();
        assert_eq!((update.account.as_str(), update.container.as_str()), (".shards_a", "c-1"));
        assert!(update.row.deleted && update.row.policy == PolicyIndex(7));
    }
}
