//! Metadata of an account or a container: values that each carry the timestamp of the write that set them.
//!
//! Writes merge item by item, the newest wins, in any order. An empty value is a deletion, kept as a tombstone so that
//! an older write cannot bring the item back. Limits are checked on what is there after the merge.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::timestamp::Timestamp;

/// The most metadata items a client may set on one account or container.
pub const MAX_META_COUNT: usize = 90;
/// The most bytes of their names and values together.
pub const MAX_META_OVERALL_SIZE: usize = 4096;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// When it was set. First, so that the derived order is last-writer-wins with a tie broken by the value.
    pub timestamp: Timestamp,
    /// Its value; empty when it was deleted.
    pub value: String,
}

/// All items, by header name in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    items: BTreeMap<String, Item>,
}

/// Why a write to metadata is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// A value that is not UTF-8.
    #[error("Metadata must be valid UTF-8")]
    Utf8,
    /// More than [`MAX_META_COUNT`] items.
    #[error("Too many metadata items; max {MAX_META_COUNT}")]
    TooMany,
    /// More than [`MAX_META_OVERALL_SIZE`] bytes.
    #[error("Total metadata too large; max {MAX_META_OVERALL_SIZE}")]
    TooLarge,
}

/// Which headers of a request are metadata.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// `x-container-meta-`, say: what clients set, and what the limits count.
    pub user: &'static str,
    /// `x-container-sysmeta-`, say: what the proxy keeps for itself.
    pub system: &'static str,
    /// Whole names that are kept too.
    pub others: &'static [&'static str],
}

impl Names {
    fn contain(&self, name: &str) -> bool {
        let longer = |prefix: &str| name.len() > prefix.len() && name.starts_with(prefix);
        longer(self.user) || longer(self.system) || self.others.contains(&name)
    }
}

impl Metadata {
    /// The metadata that a request's headers set at `timestamp`.
    ///
    /// # Errors
    /// When a value is not UTF-8.
    pub fn from_headers(headers: &HeaderMap, names: &Names, timestamp: Timestamp) -> Result<Self, InvalidMetadata> {
        let mut items = BTreeMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| names.contain(name.as_str())) {
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| InvalidMetadata::Utf8)?.to_owned();
            items.insert(name.as_str().to_owned(), Item { timestamp, value });
        }
        Ok(Self { items })
    }

    /// From items; of one name the last counts.
    pub fn from_items(items: impl IntoIterator<Item = (String, Item)>) -> Self {
        Self { items: items.into_iter().collect() }
    }

    /// All items, tombstones included, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.items.iter().map(|(name, item)| (name.as_str(), item))
    }

    /// Whether there are no items, nor tombstones.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many items there are, tombstones included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes over what is newer in `other`; of equal timestamps the larger value, so that every order ends alike.
    pub fn merge(&mut self, other: Self) {
        for (name, item) in other.items {
            match self.items.get_mut(&name) {
                Some(mine) if *mine >= item => {}
                Some(mine) => *mine = item,
                None => drop(self.items.insert(name, item)),
            }
        }
    }

    /// Deletes every item as of `timestamp`, as the deletion of the account or container does.
    pub fn clear(&mut self, timestamp: Timestamp) {
        for item in self.items.values_mut().filter(|item| item.timestamp < timestamp) {
            *item = Item { timestamp, value: String::new() };
        }
    }

    /// Checks Swift's limits, which count only what clients set.
    ///
    /// # Errors
    /// When there are too many items, or too long ones.
    pub fn check(&self, names: &Names) -> Result<(), InvalidMetadata> {
        let live = || self.items.iter().filter(|(_, item)| !item.value.is_empty());
        let sizes = live().filter_map(|(name, item)| Some(name.strip_prefix(names.user)?.len() + item.value.len()));
        let (count, size) = sizes.fold((0, 0), |(count, size), more| (count + 1, size + more));
        match () {
            () if count > MAX_META_COUNT => Err(InvalidMetadata::TooMany),
            () if size > MAX_META_OVERALL_SIZE => Err(InvalidMetadata::TooLarge),
            () => Ok(()),
        }
    }

    /// Adds the items that are not deleted to an answer's headers.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        for (name, item) in self.items.iter().filter(|(_, item)| !item.value.is_empty()) {
            // Both came out of headers, so neither fails.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(item.value.as_bytes()))
            {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: Names = Names { user: "x-c-meta-", system: "x-c-sysmeta-", others: &["x-c-read"] };

    fn item(ticks: u64, value: &str) -> Item {
        Item { timestamp: Timestamp::from_ticks(ticks), value: value.into() }
    }

    fn user(items: impl IntoIterator<Item = (String, String)>) -> Metadata {
        Metadata::from_items(items.into_iter().map(|(name, value)| (format!("x-c-meta-{name}"), item(1, &value))))
    }

    #[test]
    fn headers_go_in_and_out() {
        let mut headers = HeaderMap::new();
        for name in ["x-c-meta-a", "x-c-sysmeta-b", "x-c-read", "x-c-meta-", "x-other"] {
            headers.insert(name, HeaderValue::from_bytes("é".as_bytes()).unwrap());
        }
        let metadata = Metadata::from_headers(&headers, &NAMES, Timestamp::from_secs(1)).unwrap();
        let mut out = HeaderMap::new();
        metadata.write_headers(&mut out);
        let mut names: Vec<_> = out.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["x-c-meta-a", "x-c-read", "x-c-sysmeta-b"]);
        headers.insert("x-c-meta-a", HeaderValue::from_bytes(b"\xff").unwrap());
        let refused = Metadata::from_headers(&headers, &NAMES, Timestamp::ZERO);
        assert_eq!(refused, Err(InvalidMetadata::Utf8));
    }

    #[test]
    fn limits_and_one_past_them() {
        let many = |n: usize| user((0..n).map(|i| (i.to_string(), "v".into())));
        assert_eq!(many(MAX_META_COUNT).check(&NAMES), Ok(()));
        assert_eq!(many(MAX_META_COUNT + 1).check(&NAMES), Err(InvalidMetadata::TooMany));
        let long = |n: usize| user([("n".into(), "v".repeat(n - 1))]);
        assert_eq!(long(MAX_META_OVERALL_SIZE).check(&NAMES), Ok(()));
        assert_eq!(long(MAX_META_OVERALL_SIZE + 1).check(&NAMES), Err(InvalidMetadata::TooLarge));
        let mut cleared = many(MAX_META_COUNT + 1);
        cleared.clear(Timestamp::from_ticks(2));
        assert_eq!(cleared.check(&NAMES), Ok(()));
    }

    proptest! {
        #[test]
        fn any_order_ends_alike(
            writes in proptest::collection::vec(("[ab]", 0u64..4, "[xy]{0,1}"), 0..12),
            seed in any::<proptest::sample::Index>(),
        ) {
            let apply = |writes: &[(String, u64, String)]| {
                let mut metadata = Metadata::default();
                for (name, ticks, value) in writes {
                    metadata.merge(Metadata::from_items([(name.clone(), item(*ticks, value))]));
                }
                metadata
            };
            let mut turned = writes.clone();
            if !turned.is_empty() {
                let by = seed.index(turned.len());
                turned.rotate_left(by);
                turned.extend(writes.iter().take(by).cloned());
            }
            turned.reverse();
            prop_assert_eq!(apply(&writes), apply(&turned));
        }
    }
}
