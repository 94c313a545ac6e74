//! An account's listing, as the JSON that the proxy reads.

use apus_base::db::table::{self, Numbered};
use apus_base::db::{DbError, ListingId, View};
use apus_base::listing::Query;
use apus_base::listing::json::{JsonArray, name};
use apus_base::listing::walk::{Cursor as _, Entry, walk};
use apus_base::policy::{Policies, PolicyIndex};
use serde::Serialize;

use super::Row;

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Container {
        name: &'a str,
        count: u64,
        bytes: u64,
        last_modified: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        storage_policy: Option<&'a str>,
    },
    Subdir {
        subdir: &'a str,
    },
}

/// The containers that a query shows, as a JSON array.
///
/// # Errors
/// When the database cannot be read or is damaged.
pub fn listing(view: &View<'_>, id: ListingId, policies: &Policies, query: &Query) -> Result<Vec<u8>, DbError> {
    let mut json = JsonArray::default();
    let mut scan = view.scan(id.rows(PolicyIndex(0), false), &query.bounds());
    walk(&mut scan, query, |entry| match entry {
        Entry::Subdir(dir) => json.push(&Shown::Subdir { subdir: name(dir)? }),
        Entry::Row(scan) => {
            let Numbered { row, .. } = table::decode::<Row>(scan.value())?;
            json.push(&Shown::Container {
                name: name(scan.name().unwrap_or_default())?,
                count: row.objects,
                bytes: row.bytes,
                last_modified: row.put_timestamp.isoformat(),
                storage_policy: policies.get(row.policy).map(|policy| policy.name.as_str()),
            })
        }
    })?;
    scan.finish()?;
    Ok(json.finish())
}
