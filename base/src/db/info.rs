//! What each account's and each container's database knows of itself: its name, its timestamps, its counts.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use super::codec::{Decoder, Encoder, Malformed};
use super::{DbError, Get, ListingId, Transaction, digest};
use crate::clock;
use crate::listing::metadata::{Item, Names};
use crate::listing::{Metadata, Refusal};
use crate::policy::PolicyIndex;
use crate::timestamp::Timestamp;

const INFO_VERSION: u8 = 2;
const METADATA_VERSION: u8 = 1;

/// The state of one database, changed only together with the rows it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The account.
    pub account: String,
    /// The container; empty for an account's database.
    pub container: String,
    /// The number that the device gave when it came to be here: what was known of it here before was known of another.
    pub born: u64,
    /// Whether another node is still sending it whole: until that is done it is not shown.
    pub filling: bool,
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
    /// The XOR over the digests of all rows, tombstones too: equal in copies that hold the same rows.
    pub hash: [u8; 16],
    /// The digest of its metadata, tombstones too; zeros while there is none.
    pub metadata_hash: [u8; 16],
    /// The digest of all that copies must agree on, as the device's [`digest`] counts it.
    pub state: [u8; 16],
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
        Self {
            account: account.to_owned(),
            container: container.to_owned(),
            born: 0,
            filling: false,
            created_at: timestamp,
            put_timestamp: timestamp,
            delete_timestamp: Timestamp::ZERO,
            status_changed_at: timestamp,
            changed_at: Timestamp::ZERO,
            status_deleted: false,
            policy,
            last_row: 0,
            hash: [0; 16],
            metadata_hash: [0; 16],
            state: [0; 16],
            stats: BTreeMap::from([(policy, Stats::default())]),
            reported: Reported::default(),
        }
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

    /// Writes it, as changed now, and counts it in the device's digest.
    ///
    /// # Errors
    /// When the digest cannot be read.
    pub fn store(&mut self, tx: &mut Transaction<'_>, id: ListingId) -> Result<(), DbError> {
        self.changed_at = clock::now().max(Timestamp::from_ticks(self.changed_at.ticks() + 1));
        if self.born == 0 {
            self.born = tx.next_number();
        }
        let state = self.digest(id);
        digest::replace(tx, id, self.state, state)?;
        self.state = state;
        tx.put(id.info(), self.encode());
        Ok(())
    }

    /// The digest of all that copies must agree on; counts follow from the rows.
    pub(super) fn digest(&self, id: ListingId) -> [u8; 16] {
        let mut to = Encoder::new(id.kind.byte());
        to.bytes(&id.hash.0).bytes(&self.hash).bytes(&self.metadata_hash);
        to.timestamp(self.created_at).timestamp(self.put_timestamp).timestamp(self.delete_timestamp);
        to.timestamp(self.status_changed_at).flag(self.status_deleted).flag(self.filling).number(self.policy.0.into());
        Md5::digest(to.finish()).into()
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(INFO_VERSION);
        to.text(&self.account).text(&self.container).number(self.born).flag(self.filling);
        to.timestamp(self.created_at).timestamp(self.put_timestamp).timestamp(self.delete_timestamp);
        to.timestamp(self.status_changed_at).timestamp(self.changed_at).flag(self.status_deleted);
        to.number(self.policy.0.into()).number(self.last_row).bytes(&self.hash);
        to.bytes(&self.metadata_hash).bytes(&self.state);
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
            born: from.number()?,
            filling: from.flag()?,
            created_at: from.timestamp()?,
            put_timestamp: from.timestamp()?,
            delete_timestamp: from.timestamp()?,
            status_changed_at: from.timestamp()?,
            changed_at: from.timestamp()?,
            status_deleted: from.flag()?,
            policy: policy(&mut from)?,
            last_row: from.number()?,
            hash: sixteen(&mut from)?,
            metadata_hash: sixteen(&mut from)?,
            state: sixteen(&mut from)?,
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

pub(super) fn sixteen(from: &mut Decoder<'_>) -> Result<[u8; 16], Malformed> {
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
    /// Reads it, deleted or not; none when it never was here, or is not here whole yet.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(from: &impl Get, id: ListingId) -> Result<Option<Self>, DbError> {
        Ok(Self::load_any(from, id)?.filter(|head| !head.info.filling))
    }

    /// As [`Head::load`], whole or not.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load_any(from: &impl Get, id: ListingId) -> Result<Option<Self>, DbError> {
        let Some(info) = Info::load(from, id)? else {
            return Ok(None);
        };
        Ok(Some(Self { info, metadata: load_metadata(from, id)? }))
    }
}

/// Merges what a request sets into the metadata of a database. The caller stores `info`.
///
/// # Errors
/// When the result is past the limits, or what is there cannot be read.
pub fn merge_metadata(
    tx: &mut Transaction<'_>,
    info: &mut Info,
    id: ListingId,
    names: &Names,
    updates: Metadata,
) -> Result<(), Refusal> {
    if !updates.is_empty() {
        let mut merged = load_metadata(tx, id)?;
        merged.merge(updates);
        merged.check(names)?;
        store_metadata(tx, info, id, &merged);
    }
    Ok(())
}

/// Merges another copy's metadata, whose limits were its first taker's to check. The caller stores `info`.
///
/// # Errors
/// When what is there cannot be read.
pub fn join_metadata(tx: &mut Transaction<'_>, info: &mut Info, id: ListingId, other: Metadata) -> Result<(), DbError> {
    let before = load_metadata(tx, id)?;
    let mut merged = before.clone();
    merged.merge(other);
    if merged != before {
        store_metadata(tx, info, id, &merged);
    }
    Ok(())
}

/// Deletes the metadata of a database as of `at`. The caller stores `info`.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn clear_metadata(tx: &mut Transaction<'_>, info: &mut Info, id: ListingId, at: Timestamp) -> Result<(), DbError> {
    let mut metadata = load_metadata(tx, id)?;
    if !metadata.is_empty() {
        metadata.clear(at);
        store_metadata(tx, info, id, &metadata);
    }
    Ok(())
}

/// Reads the metadata of a database; none when it has none.
fn load_metadata(from: &impl Get, id: ListingId) -> Result<Metadata, DbError> {
    let value = from.get(&id.metadata())?;
    Ok(value.map(|value| decode_metadata(&value)).transpose()?.unwrap_or_default())
}

/// Writes the metadata of a database.
fn store_metadata(tx: &mut Transaction<'_>, info: &mut Info, id: ListingId, metadata: &Metadata) {
    let mut to = Encoder::new(METADATA_VERSION);
    to.number(metadata.len() as u64);
    for (name, item) in metadata.iter() {
        to.text(name).timestamp(item.timestamp).text(&item.value);
    }
    let value = to.finish();
    info.metadata_hash = Md5::digest(&value).into();
    tx.put(id.metadata(), value);
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
            let _ = Info::decode(&[&[INFO_VERSION], bytes.as_slice()].concat());
            let _ = decode_metadata(&[&[METADATA_VERSION], bytes.as_slice()].concat());
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
