//! What a database of Swift's says of itself, for `apus inspect`.

use std::collections::BTreeMap;
use std::path::Path;

use apus_base::db::table::Row as _;
use apus_base::db::{Info, Kind};
use apus_base::listing::Metadata;

use super::database::{DatabaseError, SwiftDb};
use super::pending;
use super::rows::AnyRow;

#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// What it is of, and when what happened to it; `stats` and `hash` are what Swift counted.
    pub(crate) info: Info,
    /// Its metadata by header name in lower case, deleted items too.
    pub(crate) metadata: Metadata,
    /// What its rows really are, tombstones apart, before what waits.
    pub(crate) rows: BTreeMap<&'static str, u64>,
    /// The shards of a divided container.
    pub(crate) shards: u64,
}

/// Describes a database of Swift's, which may be in use. Blocking.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn describe(path: &Path, kind: Kind) -> Result<Described, DatabaseError> {
    let swift = SwiftDb::open(path, kind, false)?;
    let head = swift.head()?;
    let mut rows = BTreeMap::from([("live", 0), ("tombstones", 0), ("unreadable", 0)]);
    swift.each_row(|row| -> Result<(), DatabaseError> {
        let what = match row.map(|row| row.row) {
            Err(_) => "unreadable",
            Ok(AnyRow::Object(row)) if row.deleted => "tombstones",
            Ok(AnyRow::Container { row, .. }) if row.is_deleted() => "tombstones",
            Ok(_) => "live",
        };
        *rows.entry(what).or_default() += 1;
        Ok(())
    })?;
    if let (Some(folder), Some(hash)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) {
        let hash = hash.split('_').next().unwrap_or(hash);
        rows.insert("waiting", pending::read(folder, hash, kind).map_or(0, |waiting| waiting.rows.len() as u64));
    }
    let shards = if kind == Kind::Container { swift.shards(&head.info)?.ranges } else { 0 };
    Ok(Described { info: head.info, metadata: head.metadata, rows, shards })
}
