//! A container's listing, as the JSON that the proxy reads.

use apus_base::db::table::{self, Numbered};
use apus_base::db::{DbError, ListingId, View};
use apus_base::listing::Query;
use apus_base::listing::json::{JsonArray, name};
use apus_base::listing::walk::{Cursor as _, Entry, walk};
use apus_base::policy::PolicyIndex;
use serde::Serialize;

use super::Row;

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Object { name: &'a str, hash: &'a str, bytes: u64, content_type: &'a str, last_modified: String },
    Subdir { subdir: &'a str },
}

/// The rows of one policy that a query shows, as a JSON array.
///
/// # Errors
/// When the database cannot be read or is damaged.
pub fn listing(view: &View<'_>, id: ListingId, policy: PolicyIndex, query: &Query) -> Result<Vec<u8>, DbError> {
    let mut json = JsonArray::default();
    let mut scan = view.scan(id.rows(policy, false), &query.bounds());
    walk(&mut scan, query, |entry| match entry {
        Entry::Subdir(dir) => json.push(&Shown::Subdir { subdir: name(dir)? }),
        Entry::Row(scan) => {
            let Numbered { row, .. } = table::decode::<Row>(scan.value())?;
            json.push(&shown(name(scan.name().unwrap_or_default())?, &row))
        }
    })?;
    scan.finish()?;
    Ok(json.finish())
}

fn shown<'a>(name: &'a str, row: &'a Row) -> Shown<'a> {
    Shown::Object {
        name,
        hash: &row.etag,
        bytes: row.swift_bytes.unwrap_or(row.size),
        content_type: &row.content_type,
        last_modified: row.timestamps.meta.isoformat(),
    }
}
