//! One object's row, and how two versions of it merge.

use apus_base::db::codec::{Decoder, Encoder, Malformed};
use apus_base::db::info::Stats;
use apus_base::db::table;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;

use super::content_type;

/// What a container knows of one object, but for its name and policy, which are in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its versions.
    pub timestamps: RowTimestamps,
    /// Its length in bytes.
    pub size: u64,
    /// The length to show instead: a large object's manifest is short, what it stands for is not.
    pub swift_bytes: Option<u64>,
    /// Its content type, without `swift_bytes`.
    pub content_type: String,
    /// Its ETag.
    pub etag: String,
    /// Whether it is gone.
    pub deleted: bool,
}

impl Row {
    /// From a row as it travels.
    pub fn from_wire(row: &ObjectRow) -> Self {
        let (content_type, swift_bytes) = content_type::split(&row.content_type);
        let size = if row.deleted { 0 } else { row.size };
        let (timestamps, etag, deleted) = (row.timestamps, row.etag.clone(), row.deleted);
        Self { timestamps, size, swift_bytes, content_type, etag, deleted }
    }

    /// As a row that travels.
    pub fn to_wire(&self, name: String, policy: PolicyIndex) -> ObjectRow {
        ObjectRow {
            name,
            timestamps: self.timestamps,
            size: self.size,
            content_type: content_type::join(&self.content_type, self.swift_bytes),
            etag: self.etag.clone(),
            deleted: self.deleted,
            policy,
        }
    }

    fn data(&self) -> impl PartialOrd + '_ {
        (self.timestamps.data, self.deleted, &self.etag, self.size, self.swift_bytes)
    }

    fn typed(&self) -> impl PartialOrd + '_ {
        (self.timestamps.content_type, &self.content_type)
    }
}

impl table::Row for Row {
    fn encode(&self, to: &mut Encoder) {
        let t = &self.timestamps;
        to.timestamp(t.data).timestamp(t.content_type).timestamp(t.meta);
        to.number(self.size).flag(self.swift_bytes.is_some()).number(self.swift_bytes.unwrap_or_default());
        to.text(&self.content_type).text(&self.etag).flag(self.deleted);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let (data, content_type, meta) = (from.timestamp()?, from.timestamp()?, from.timestamp()?);
        let size = from.number()?;
        let swift_bytes = (from.flag()?, from.number()?);
        Ok(Self {
            timestamps: RowTimestamps { data, content_type, meta },
            size,
            swift_bytes: swift_bytes.0.then_some(swift_bytes.1),
            content_type: from.text()?,
            etag: from.text()?,
            deleted: from.flag()?,
        })
    }

    fn is_deleted(&self) -> bool {
        self.deleted
    }

    fn counts(&self, space: PolicyIndex) -> (PolicyIndex, Stats) {
        let live = Stats { rows: 1, objects: 0, bytes: self.size };
        (space, if self.deleted { Stats::default() } else { live })
    }

    /// Data, content type and metadata have a timestamp each. Of equal timestamps the larger content wins, a deletion
    /// before all, so that every order of merges ends alike.
    fn merge(&mut self, other: &Self) -> bool {
        let before = self.clone();
        if other.data() > self.data() {
            self.timestamps.data = other.timestamps.data;
            (self.size, self.swift_bytes, self.deleted) = (other.size, other.swift_bytes, other.deleted);
            self.etag.clone_from(&other.etag);
        }
        if other.typed() > self.typed() {
            self.timestamps.content_type = other.timestamps.content_type;
            self.content_type.clone_from(&other.content_type);
        }
        self.timestamps.meta = self.timestamps.meta.max(other.timestamps.meta);
        *self != before
    }

    fn timestamp(&self) -> Timestamp {
        self.timestamps.data
    }
}

#[cfg(test)]
mod tests;
