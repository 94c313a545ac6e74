//! The keys of a device's database.
//!
//! ```text
//! i kind hash                    -> Info          what an account or container knows of itself; its existence
//! m kind hash                    -> Metadata      absent while there is none
//! r kind hash space life name    -> row           life 0: what listings show; life 1: tombstones
//! s kind hash row-number         -> space life name, the row that was written last under that number
//! d kind hash                    -> nothing       containers whose counts the account servers do not know yet
//! q kind hash                    -> row-number    containers that hold rows of another policy than their own
//! y kind hash life               -> row-number    how far the rows of another device's copy were taken in
//! x kind hash-prefix             -> digest        see digest.rs
//! g kind life                    -> agreement     see agreement.rs
//! w kind                         -> times         when replication passed over it; see the replicator's listings
//! n                              -> Life          who this device is, and the last row number
//! ```
//!
//! `kind` is one byte; `hash` the 16 bytes of the hash path, so that the databases of one partition are neighbours and a
//! pass over a partition is one range; `space` and `row-number` are big-endian, 4 and 8 bytes. A container's `space` is
//! the storage policy, so that a listing of one policy is one range; an account's is 0. Tombstones are apart from the
//! rows, so that a listing never steps over them. Each write of a row gives it the device's next row number and drops
//! its old one, so `s` after N is what changed since N, each row once, as SQLite's ROWIDs in Swift. The numbers are the
//! device's and not each database's own, so that one number says of all databases at once how far they are known elsewhere.

use crate::hash_path::PathHash;
use crate::policy::PolicyIndex;
pub use crate::wire::listings::Kind;

impl Kind {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Account => b'a',
            Self::Container => b'c',
        }
    }

    /// What the keys of all infos of this kind begin with; the hash follows.
    pub fn infos(self) -> Vec<u8> {
        vec![b'i', self.byte()]
    }

    /// What the keys of the digests of this kind begin with.
    pub(super) fn digests(self) -> Vec<u8> {
        vec![b'x', self.byte()]
    }

    /// Where it is said when replication passed over this kind.
    pub fn times(self) -> Vec<u8> {
        vec![b'w', self.byte()]
    }

    /// Where it is said what is agreed with the device of that life.
    pub(super) fn agreement(self, life: &[u8; 16]) -> Vec<u8> {
        [&[b'g', self.byte()], &life[..]].concat()
    }
}

/// Names one account's or one container's database among those on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListingId {
    /// Account or container.
    pub kind: Kind,
    /// Its hash path.
    pub hash: PathHash,
}

/// The first bytes of what every account knows of itself; the hash of its path follows.
pub const ACCOUNTS: &[u8] = b"ia";
/// The first bytes of the index of containers to report.
pub const DIRTY: &[u8] = b"dc";
/// The first bytes of the index of containers with rows of another policy than their own.
pub const MISPLACED: &[u8] = b"qc";
/// Where a device's database says who it is.
pub(super) const LIFE: &[u8] = b"n";
/// The tags of all keys that belong to one database and go with it.
const OWN: &[u8] = b"imrsdqy";

impl ListingId {
    /// Where the [`Info`](super::Info) is.
    pub fn info(&self) -> Vec<u8> {
        self.key(b'i', &[])
    }

    /// Where the metadata is.
    pub fn metadata(&self) -> Vec<u8> {
        self.key(b'm', &[])
    }

    /// Where this container is marked as one to report.
    pub fn dirty(&self) -> Vec<u8> {
        self.key(b'd', &[])
    }

    /// Where this container is marked as one with rows of another policy than its own.
    pub fn misplaced(&self) -> Vec<u8> {
        self.key(b'q', &[])
    }

    /// Where it is said how far the rows of the copy on the device of that life were taken in.
    pub(super) fn taken(&self, life: &[u8; 16]) -> Vec<u8> {
        self.key(b'y', &[life])
    }

    /// What the keys of this database begin with, all of them.
    pub(super) fn own(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        OWN.iter().map(|tag| self.key(*tag, &[]))
    }

    /// What the keys of all rows begin with, live ones and tombstones of every space.
    pub fn all_rows(&self) -> Vec<u8> {
        self.key(b'r', &[])
    }

    /// What the keys of all row numbers begin with.
    pub fn numbers(&self) -> Vec<u8> {
        self.key(b's', &[])
    }

    /// What the keys of all rows in one space begin with, of live ones or of tombstones.
    pub fn rows(&self, space: PolicyIndex, deleted: bool) -> Vec<u8> {
        self.key(b'r', &[&space.0.to_be_bytes(), &[u8::from(deleted)]])
    }

    /// Where a row is.
    pub fn row(&self, space: PolicyIndex, deleted: bool, name: &str) -> Vec<u8> {
        self.key(b'r', &[&space.0.to_be_bytes(), &[u8::from(deleted)], name.as_bytes()])
    }

    /// Where the name of the row with that number is.
    pub fn numbered(&self, row: u64) -> Vec<u8> {
        self.key(b's', &[&row.to_be_bytes()])
    }

    /// The container that a key below [`DIRTY`] marks.
    pub fn from_dirty(key: &[u8]) -> Option<Self> {
        Self::marked(key, DIRTY)
    }

    /// The container that a key below [`MISPLACED`] marks.
    pub fn from_misplaced(key: &[u8]) -> Option<Self> {
        Self::marked(key, MISPLACED)
    }

    fn marked(key: &[u8], prefix: &[u8]) -> Option<Self> {
        let hash = key.strip_prefix(prefix)?.try_into().ok()?;
        Some(Self { kind: Kind::Container, hash: PathHash(hash) })
    }

    fn key(&self, tag: u8, rest: &[&[u8]]) -> Vec<u8> {
        let mut key = Vec::with_capacity(18 + rest.iter().map(|part| part.len()).sum::<usize>());
        key.extend_from_slice(&[tag, self.kind.byte()]);
        key.extend_from_slice(&self.hash.0);
        rest.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dirty_mark_leads_back_to_its_container() {
        let id = ListingId { kind: Kind::Container, hash: PathHash(*b"0123456789abcdef") };
        assert_eq!(ListingId::from_dirty(&id.dirty()), Some(id));
        assert_eq!(ListingId::from_dirty(b"dc"), None);
        assert_eq!(ListingId::from_dirty(&id.info()), None);
    }

    #[test]
    fn rows_are_ordered_by_space_life_and_name() {
        let id = ListingId { kind: Kind::Container, hash: PathHash([7; 16]) };
        let (p0, p1) = (PolicyIndex(0), PolicyIndex(1));
        let keys = [id.rows(p0, false), id.row(p0, false, "a"), id.row(p0, false, "é"), id.row(p0, true, "a")];
        assert!(keys.is_sorted() && keys[3] < id.rows(p1, false));
        assert!(id.numbered(255) < id.numbered(256));
    }
}
