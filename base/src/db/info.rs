//! What each account's and each container's database knows of itself: its name, its timestamps, its counts.

use std::collections::BTreeMap;

use super::codec::{Decoder, Encoder, Malformed};
use super::{DbError, Get, ListingId, Transaction};
use crate::clock;
use crate::listing::metadata::{Item, Names};
use crate::listing::{Metadata, Refusal};
use crate::policy::PolicyIndex;
use crate::timestamp::Timestamp;

const INFO_VERSION: u8 = 1;
const METADATA_VERSION: u8 = 1;

/// The state of one database, changed only together with the rows it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The account.
    pub account: String,
    /// The container; empty for an account's database.
    pub container: String,
    /// Random, made with the database: row numbers mean nothing in another life of it.
    pub id: [u8; 16],
    /// When it was first created.
    pub created_at: Timestamp,
    /// The newest PUT.
    pub put_timestamp: Timestamp,
    /// The newest DELETE.
    pub delete_timestamp: Timestamp,
    /// When it last came to be, or ceased.
    pub status_changed_at: Timestamp,
    /// When it last changed in any way, by this node's clock, and later with every change: the version of its counts.
    pub changed_at: Timestamp,
    /// Whether a DELETE was accepted. An account stays deleted by it.
    pub status_deleted: bool,
    /// The storage policy of a container.
    pub policy: PolicyIndex,
    /// The number of the row written last.
    pub last_row: u64,
    /// The XOR over all rows, tombstones too, of `md5("<name>-<version>")`: equal in copies that hold the same rows.
    pub hash: [u8; 16],
    /// The counts of each policy that ever had a row.
    pub stats: BTreeMap<PolicyIndex, Stats>,
    /// Of a container: what a majority of account servers confirmed last.
    pub reported: Reported,
}

/// Counts of live rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows: objects of a container, containers of an account.
    pub rows: u64,
    /// Of an account: the objects of its containers. 0 in a container.
    pub objects: u64,
    /// Bytes of the objects.
    pub bytes: u64,
}

/// What account servers hear of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Its newest PUT.
    pub put_timestamp: Timestamp,
    /// Its newest DELETE.
    pub delete_timestamp: Timestamp,
    /// Its objects of the container's own policy.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Stats {
    /// Adds what a row counts.
    pub fn add(&mut self, more: Self) {
        self.rows = self.rows.saturating_add(more.rows);
        self.objects = self.objects.saturating_add(more.objects);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// Takes away what a row counted.
    pub fn subtract(&mut self, less: Self) {
        self.rows = self.rows.saturating_sub(less.rows);
        self.objects = self.objects.saturating_sub(less.objects);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

impl Info {
    /// A new database, created by a PUT at `timestamp`.
    pub fn new(account: &str, container: &str, policy: PolicyIndex, timestamp: Timestamp) -> Self {
        let mut id = [0; 16];
        // Without randomness the id is zero, which only makes a later copy compare more than it must.
        let _ = getrandom::fill(&mut id);
        Self {
            account: account.to_owned(),
            container: container.to_owned(),
            id,
            created_at: timestamp,
            put_timestamp: timestamp,
            delete_timestamp: Timestamp::ZERO,
            status_changed_at: timestamp,
            changed_at: Timestamp::ZERO,
            status_deleted: false,
            policy,
            last_row: 0,
            hash: [0; 16],
            stats: BTreeMap::from([(policy, Stats::default())]),
            reported: Reported::default(),
        }
    }

    /// The beginning of a copy: what `theirs` knows of itself, and no rows yet.
    pub fn copy_of(theirs: &Self) -> Self {
        let mut copy = Self::new(&theirs.account, &theirs.container, theirs.policy, theirs.created_at);
        (copy.put_timestamp, copy.delete_timestamp) = (theirs.put_timestamp, theirs.delete_timestamp);
        (copy.status_changed_at, copy.status_deleted) = (theirs.status_changed_at, theirs.status_deleted);
        if theirs.container.is_empty() {
            copy.stats.clear();
        }
        copy
    }

    /// Takes a PUT in, if it is newer than the newest.
    pub fn put(&mut self, timestamp: Timestamp) {
        self.put_timestamp = self.put_timestamp.max(timestamp);
    }

    /// Takes a DELETE in, if it is newer than the newest.
    pub fn delete(&mut self, timestamp: Timestamp) {
        if self.delete_timestamp < timestamp {
            self.delete_timestamp = timestamp;
            self.status_changed_at = timestamp;
            self.status_deleted = true;
        }
    }

    /// Takes over what is newer in another copy of the same database, or of its origin; not its rows, nor what counts them.
    pub fn adopt(&mut self, theirs: &Self) {
        self.created_at = self.created_at.min(theirs.created_at);
        self.put_timestamp = self.put_timestamp.max(theirs.put_timestamp);
        self.delete_timestamp = self.delete_timestamp.max(theirs.delete_timestamp);
        self.status_changed_at = self.status_changed_at.max(theirs.status_changed_at);
        self.status_deleted |= theirs.status_deleted;
    }

    /// The counts over all policies.
    pub fn total(&self) -> Stats {
        let mut total = Stats::default();
        self.stats.values().for_each(|stats| total.add(*stats));
        total
    }

    /// The counts of one policy.
    pub fn of_policy(&self, policy: PolicyIndex) -> Stats {
        self.stats.get(&policy).copied().unwrap_or_default()
    }

    /// Reads the state of a database, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(from: &impl Get, id: ListingId) -> Result<Option<Self>, DbError> {
        Ok(from.get(&id.info())?.map(|value| Self::decode(&value)).transpose()?)
    }

    /// Writes it, as changed now.
    pub fn store(&mut self, tx: &mut Transaction<'_>, id: ListingId) {
        self.changed_at = clock::now().max(Timestamp::from_ticks(self.changed_at.ticks() + 1));
        tx.put(id.info(), self.encode());
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(INFO_VERSION);
        to.text(&self.account).text(&self.container).bytes(&self.id);
        to.timestamp(self.created_at).timestamp(self.put_timestamp).timestamp(self.delete_timestamp);
        to.timestamp(self.status_changed_at).timestamp(self.changed_at).flag(self.status_deleted);
        to.number(self.policy.0.into()).number(self.last_row).bytes(&self.hash);
        to.number(self.stats.len() as u64);
        for (policy, stats) in &self.stats {
            to.number(policy.0.into()).number(stats.rows).number(stats.objects).number(stats.bytes);
        }
        to.timestamp(self.reported.put_timestamp).timestamp(self.reported.delete_timestamp);
        to.number(self.reported.objects).number(self.reported.bytes);
        to.finish()
    }

    /// Reads what [`ListingId::info`] is the key of.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(value, INFO_VERSION)?;
        let info = Self {
            account: from.text()?,
            container: from.text()?,
            id: sixteen(&mut from)?,
            created_at: from.timestamp()?,
            put_timestamp: from.timestamp()?,
            delete_timestamp: from.timestamp()?,
            status_changed_at: from.timestamp()?,
            changed_at: from.timestamp()?,
            status_deleted: from.flag()?,
            policy: policy(&mut from)?,
            last_row: from.number()?,
            hash: sixteen(&mut from)?,
            stats: stats(&mut from)?,
            reported: Reported {
                put_timestamp: from.timestamp()?,
                delete_timestamp: from.timestamp()?,
                objects: from.number()?,
                bytes: from.number()?,
            },
        };
        from.finish()?;
        Ok(info)
    }
}

fn sixteen(from: &mut Decoder<'_>) -> Result<[u8; 16], Malformed> {
    from.bytes()?.try_into().map_err(|_| Malformed::Length)
}

/// Reads a policy's number.
///
/// # Errors
/// When it is cut off or does not fit.
pub fn policy(from: &mut Decoder<'_>) -> Result<PolicyIndex, Malformed> {
    u32::try_from(from.number()?).map(PolicyIndex).map_err(|_| Malformed::Field)
}

fn stats(from: &mut Decoder<'_>) -> Result<BTreeMap<PolicyIndex, Stats>, Malformed> {
    let mut stats = BTreeMap::new();
    for _ in 0..from.number()? {
        let index = policy(from)?;
        stats.insert(index, Stats { rows: from.number()?, objects: from.number()?, bytes: from.number()? });
    }
    Ok(stats)
}

/// An account's or a container's state.
#[derive(Clone, Debug)]
pub struct Head {
    /// What it knows of itself.
    pub info: Info,
    /// Its metadata.
    pub metadata: Metadata,
}

impl Head {
    /// Reads it, deleted or not; none when it never was here.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(from: &impl Get, id: ListingId) -> Result<Option<Self>, DbError> {
        let Some(info) = Info::load(from, id)? else {
            return Ok(None);
        };
        Ok(Some(Self { info, metadata: load_metadata(from, id)? }))
    }
}

/// Merges what a request sets into the metadata of a database.
///
/// # Errors
/// When the result is past the limits, or what is there cannot be read.
pub fn merge_metadata(
    tx: &mut Transaction<'_>,
    id: ListingId,
    names: &Names,
    updates: Metadata,
) -> Result<(), Refusal> {
    if !updates.is_empty() {
        let mut merged = load_metadata(tx, id)?;
        merged.merge(updates);
        merged.check(names)?;
        store_metadata(tx, id, &merged);
    }
    Ok(())
}

/// Merges metadata that was taken elsewhere already into that of a database: the limits were its first taker's to check.
///
/// # Errors
/// When what is there cannot be read.
pub fn take_metadata(tx: &mut Transaction<'_>, id: ListingId, taken: Metadata) -> Result<(), DbError> {
    let before = load_metadata(tx, id)?;
    let mut merged = before.clone();
    merged.merge(taken);
    if merged != before {
        store_metadata(tx, id, &merged);
    }
    Ok(())
}

/// Deletes the metadata of a database as of `at`.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn clear_metadata(tx: &mut Transaction<'_>, id: ListingId, at: Timestamp) -> Result<(), DbError> {
    let mut metadata = load_metadata(tx, id)?;
    if !metadata.is_empty() {
        metadata.clear(at);
        store_metadata(tx, id, &metadata);
    }
    Ok(())
}

/// Reads the metadata of a database; none when it has none.
fn load_metadata(from: &impl Get, id: ListingId) -> Result<Metadata, DbError> {
    let value = from.get(&id.metadata())?;
    Ok(value.map(|value| decode_metadata(&value)).transpose()?.unwrap_or_default())
}

/// Writes the metadata of a database.
fn store_metadata(tx: &mut Transaction<'_>, id: ListingId, metadata: &Metadata) {
    let mut to = Encoder::new(METADATA_VERSION);
    to.number(metadata.len() as u64);
    for (name, item) in metadata.iter() {
        to.text(name).timestamp(item.timestamp).text(&item.value);
    }
    tx.put(id.metadata(), to.finish());
}

fn decode_metadata(value: &[u8]) -> Result<Metadata, Malformed> {
    let mut from = Decoder::new(value, METADATA_VERSION)?;
    let mut items = Vec::new();
    for _ in 0..from.number()? {
        items.push((from.text()?, Item { timestamp: from.timestamp()?, value: from.text()? }));
    }
    from.finish()?;
    Ok(Metadata::from_items(items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comes_back() {
        let mut info = Info::new("a", "c", PolicyIndex(3), Timestamp::from_secs(9));
        info.delete(Timestamp::from_secs(10).with_offset(2));
        info.stats.entry(PolicyIndex(1)).or_default().add(Stats { rows: 1, objects: 2, bytes: 3 });
        info.reported.bytes = 1 << 40;
        info.last_row = u64::MAX;
        assert_eq!(Info::decode(&info.encode()), Ok(info));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let versioned = [&[1], bytes.as_slice()].concat();
            let _ = Info::decode(&versioned);
            let _ = decode_metadata(&versioned);
        }

        #[test]
        fn a_damaged_value_is_no_panic(at in any::<proptest::sample::Index>(), byte: u8) {
            let mut value = Info::new("account", "container", PolicyIndex(0), Timestamp::from_secs(1)).encode();
            let at = at.index(value.len());
            value[at] = byte;
            let _ = Info::decode(&value);
            let _ = Info::decode(&value[..at]);
        }
    }
}
