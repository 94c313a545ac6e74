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

/// A part of a container's listing.
#[derive(Debug, PartialEq)]
pub struct Listed {
    /// A JSON array.
    pub json: Vec<u8>,
    /// Whether its rows are as clients see them: nothing stands behind a hash (how it was encrypted, where a link leads to), and no
    /// name is one of the cluster's own.
    pub is_plain: bool,
}

/// The rows of one policy that a query shows.
///
/// # Errors
/// When the database cannot be read or is damaged.
pub fn listing(view: &View<'_>, id: ListingId, policy: PolicyIndex, query: &Query) -> Result<Listed, DbError> {
    let (mut json, mut is_plain) = (JsonArray::default(), true);
    let mut scan = view.scan(id.rows(policy, false), &query.bounds());
    walk(&mut scan, query, |entry| match entry {
        Entry::Subdir(dir) => {
            is_plain &= !is_reserved(dir);
            json.push(&Shown::Subdir { subdir: name(dir)? })
        }
        Entry::Row(scan) => {
            let Numbered { row, .. } = table::decode::<Row>(scan.value())?;
            let listed = scan.name().unwrap_or_default();
            is_plain &= !is_reserved(listed) && !row.etag.contains(';');
            json.push(&shown(name(listed)?, &row))
        }
    })?;
    scan.finish()?;
    Ok(Listed { json: json.finish(), is_plain })
}

fn is_reserved(name: &[u8]) -> bool {
    name.contains(&0)
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
