//! One of Swift's SQLite databases: opened, and read in its own order.
//!
//! Swift changes the tables of a database only when it has to, so any age of them may be met: accounts without policies, a
//! table `container_stat` where there is now a view over `container_info`, no metadata, no sync points. So nothing is
//! asked for by name that may be missing: whole rows are read, and columns looked for in them (`account/backend.py` and
//! `container/backend.py` of Swift).
//!
//! A database is opened to be read. Only if Swift was killed in the middle of a write it has to be opened as Swift would
//! open it next, since SQLite then first takes back what was half written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apus_base::db::info::Stats;
use apus_base::db::{Info, Kind};
use apus_base::listing::Metadata;
use apus_base::listing::metadata::Item;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::rows::{self, BadRow, SwiftRow};

/// Why a database, or something in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// SQLite cannot read it: damaged, or the disk failed.
    #[error("SQLite cannot read it: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It does not say what it is of.
    #[error("it has no row in {0}, so it does not say what it is")]
    NoHead(&'static str),
    /// A column that makes no sense.
    #[error(transparent)]
    Column(#[from] BadRow),
    /// Metadata that is not what Swift writes.
    #[error("its metadata is not JSON as Swift writes it: {0}")]
    Metadata(#[from] serde_json::Error),
    /// A write was cut off, and nothing may be written now.
    #[error("Swift was killed while it wrote it; what was half written has to be taken back first")]
    HalfWritten,
}

/// An open database.
pub(crate) struct SwiftDb {
    connection: Connection,
    kind: Kind,
}

/// What a database knows of itself, in our words. `stats` and `hash` are what Swift counted.
#[derive(Clone, Debug)]
pub(crate) struct SwiftHead {
    pub(crate) info: Info,
    pub(crate) metadata: Metadata,
    /// How far container sync was, where it ever was used.
    pub(crate) sync_points: Option<(i64, i64)>,
}

/// The shards of a container, itself left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shards {
    pub(crate) ranges: u64,
    pub(crate) objects: i64,
}

impl SwiftDb {
    /// Opens a database. With `may_repair` a write that was cut off is taken back, as Swift would do it.
    ///
    /// # Errors
    /// When SQLite cannot, or would have to write and may not.
    pub(crate) fn open(path: &Path, kind: Kind, may_repair: bool) -> Result<Self, DatabaseError> {
        let flags = match (is_half_written(path), may_repair) {
            (false, _) => OpenFlags::SQLITE_OPEN_READ_ONLY,
            (true, true) => OpenFlags::SQLITE_OPEN_READ_WRITE,
            (true, false) => return Err(DatabaseError::HalfWritten),
        };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        Ok(Self { connection, kind })
    }

    /// What it knows of itself.
    ///
    /// # Errors
    /// When it cannot be read or makes no sense.
    pub(crate) fn head(&self) -> Result<SwiftHead, DatabaseError> {
        let table = match self.kind {
            Kind::Account => "account_stat",
            Kind::Container if self.has("container_info")? => "container_info",
            Kind::Container => "container_stat",
        };
        let mut statement = self.connection.prepare(&format!("SELECT * FROM {table}"))?;
        let mut found = statement.query([])?;
        let row = found.next()?.ok_or(DatabaseError::NoHead(table))?;
        let mut head = head(row, self.kind)?;
        head.info.stats = self.stats(row)?;
        Ok(head)
    }

    /// What Swift counted. Accounts count by policy only since some year, so there the totals stand under policy 0.
    fn stats(&self, head: &Row<'_>) -> Result<BTreeMap<PolicyIndex, Stats>, DatabaseError> {
        if self.kind == Kind::Account {
            let (rows, objects) = (count(head, "container_count")?, count(head, "object_count")?);
            let bytes = count(head, "bytes_used")?;
            return Ok(BTreeMap::from([(PolicyIndex(0), Stats { rows, objects, bytes })]));
        }
        let one = |row: &Row<'_>| -> Result<_, DatabaseError> {
            let (rows, bytes) = (count(row, "object_count")?, count(row, "bytes_used")?);
            Ok((policy(row)?, Stats { rows, objects: 0, bytes }))
        };
        if !self.has("policy_stat")? {
            return Ok(BTreeMap::from([one(head)?]));
        }
        let mut statement = self.connection.prepare("SELECT * FROM policy_stat")?;
        let mut found = statement.query([])?;
        let mut stats = BTreeMap::new();
        while let Some(row) = found.next()? {
            let (policy, counted) = one(row)?;
            stats.insert(policy, counted);
        }
        Ok(stats)
    }

    /// Goes over all rows, tombstones too, in the order in which they were written.
    ///
    /// # Errors
    /// When SQLite cannot read on, or what `each` says.
    pub(crate) fn each_row<E: From<DatabaseError>>(
        &self,
        mut each: impl FnMut(Result<SwiftRow, BadRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (table, read): (_, fn(&Row<'_>) -> _) = match self.kind {
            Kind::Account => ("container", rows::container),
            Kind::Container => ("object", rows::object),
        };
        let failed = |error: rusqlite::Error| E::from(DatabaseError::from(error));
        let mut statement = self.connection.prepare(&format!("SELECT * FROM {table} ORDER BY ROWID")).map_err(failed)?;
        let mut found = statement.query([]).map_err(failed)?;
        while let Some(row) = found.next().map_err(failed)? {
            each(read(row))?;
        }
        Ok(())
    }

    /// The shards that a container was divided into and that are there.
    ///
    /// # Errors
    /// When SQLite cannot read them.
    pub(crate) fn shards(&self, info: &Info) -> Result<Shards, DatabaseError> {
        if !self.has("shard_range")? {
            return Ok(Shards::default());
        }
        let own = format!("{}/{}", info.account, info.container);
        let query = "SELECT COUNT(*), COALESCE(SUM(object_count), 0) FROM shard_range WHERE deleted = 0 AND name <> ?";
        let shards = |row: &Row<'_>| Ok(Shards { ranges: row.get::<_, i64>(0)?.unsigned_abs(), objects: row.get(1)? });
        Ok(self.connection.query_row(query, [own], shards)?)
    }

    fn has(&self, table: &str) -> Result<bool, DatabaseError> {
        let query = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?";
        Ok(self.connection.query_row(query, [table], |row| row.get::<_, i64>(0))? > 0)
    }
}

/// Whether there is a journal of a write that was not finished; SQLite empties or removes it at the end.
fn is_half_written(path: &Path) -> bool {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let is_filled = |path: PathBuf| std::fs::metadata(path).is_ok_and(|found| found.len() > 0);
    is_filled(beside("-journal")) || is_filled(beside("-wal"))
}

fn head(row: &Row<'_>, kind: Kind) -> Result<SwiftHead, DatabaseError> {
    let time = |column: &'static str| rows::timestamp(row, column);
    let container = if kind == Kind::Account { String::new() } else { rows::text(row, "container")? };
    let mut info = Info::new(&rows::text(row, "account")?, &container, policy(row)?, time("created_at")?);
    info.put_timestamp = time("put_timestamp")?;
    info.delete_timestamp = time("delete_timestamp")?;
    info.status_changed_at = time("status_changed_at")?;
    info.status_deleted = rows::text(row, "status")? == "DELETED";
    if let Some(hash) = apus_base::hash_path::PathHash::from_hex(&rows::text(row, "hash")?) {
        info.hash = hash.0;
    }
    let points = (rows::number(row, "x_container_sync_point1", -1)?, rows::number(row, "x_container_sync_point2", -1)?);
    let metadata = metadata(&rows::text(row, "metadata")?)?;
    Ok(SwiftHead { info, metadata, sync_points: (points != (-1, -1)).then_some(points) })
}

/// `{"X-Container-Meta-Name": ["value", "timestamp"], ...}`; an empty value is a deletion.
fn metadata(text: &str) -> Result<Metadata, DatabaseError> {
    if text.is_empty() {
        return Ok(Metadata::default());
    }
    let stored: BTreeMap<String, (String, Timestamp)> = serde_json::from_str(text)?;
    let item = |(name, (value, timestamp)): (String, _)| (name.to_ascii_lowercase(), Item { timestamp, value });
    Ok(Metadata::from_items(stored.into_iter().map(item)))
}

fn policy(row: &Row<'_>) -> Result<PolicyIndex, BadRow> {
    rows::policy(row)
}

/// Counts below zero, which bugs of old Swifts left, are none.
fn count(row: &Row<'_>, column: &'static str) -> Result<u64, BadRow> {
    Ok(u64::try_from(rows::number(row, column, 0)?).unwrap_or(0))
}

/// What a column holds; NULL when there is none of that name.
pub(super) fn column<'a>(row: &'a Row<'_>, name: &str) -> ValueRef<'a> {
    row.get_ref(name).unwrap_or(ValueRef::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_as_swift_writes_it() {
        let text = r#"{"X-Container-Meta-Farbe": ["gr\u00fcn", "1712345678.12345"], "X-Container-Read": ["", "1712345679.00000"]}"#;
        let metadata = metadata(text).unwrap();
        let items: Vec<_> = metadata.iter().map(|(name, item)| (name, item.value.as_str())).collect();
        assert_eq!(items, [("x-container-meta-farbe", "grün"), ("x-container-read", "")]);
        assert!(super::metadata("[1]").is_err());
    }
}
