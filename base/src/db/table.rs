//! The rows of a database, kept together with what counts them: row numbers, stats, the hash over all rows.

use md5::{Digest as _, Md5};

use super::codec::{Decoder, Encoder, Malformed};
use super::info::{Info, Stats, policy};
use super::{DbError, Get, ListingId, Transaction};
use crate::policy::PolicyIndex;
use crate::timestamp::Timestamp;

const ROW_VERSION: u8 = 1;
const NUMBERED_VERSION: u8 = 1;

/// A row of a room's own: a container's objects, an account's containers.
pub trait Row: Sized + Clone {
    /// Writes its fields, but for its name.
    fn encode(&self, to: &mut Encoder);
    /// Reads its fields.
    ///
    /// # Errors
    /// When they are cut off or make no sense.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed>;
    /// Whether it is a tombstone.
    fn is_deleted(&self) -> bool;
    /// The policy that it counts for, and what.
    fn counts(&self, space: PolicyIndex) -> (PolicyIndex, Stats);
    /// Takes over what is newer in `other`, and says whether anything was; every order of merges ends alike.
    fn merge(&mut self, other: &Self) -> bool;
    /// When it was deleted, if it is a tombstone, or written last.
    fn timestamp(&self) -> Timestamp;
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The database.
    pub listing: ListingId,
    /// The policy of a container's row; 0 in an account.
    pub space: PolicyIndex,
    /// The row's name.
    pub name: &'a str,
}

/// A row as it is stored, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered<R> {
    /// Its number.
    pub number: u64,
    /// The row.
    pub row: R,
}

/// Reads a row or its tombstone.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn find<R: Row>(from: &impl Get, slot: Slot<'_>) -> Result<Option<Numbered<R>>, DbError> {
    for deleted in [false, true] {
        if let Some(value) = from.get(&slot.key(deleted))? {
            return Ok(Some(decode(&value)?));
        }
    }
    Ok(None)
}

/// Puts `new` in the place of `old`, which is what [`find`] found, and counts it in `info`, which the caller stores.
pub fn replace<R: Row>(tx: &mut Transaction<'_>, info: &mut Info, slot: Slot<'_>, old: Option<&Numbered<R>>, new: &R) {
    if let Some(old) = old {
        tx.delete(slot.listing.numbered(old.number));
        if old.row.is_deleted() != new.is_deleted() {
            tx.delete(slot.key(old.row.is_deleted()));
        }
        let (policy, stats) = old.row.counts(slot.space);
        info.stats.entry(policy).or_default().subtract(stats);
        slot.exclusive_or(&mut info.hash, &fields(&old.row));
    }
    info.last_row = tx.next_number();
    let (policy, stats) = new.counts(slot.space);
    info.stats.entry(policy).or_default().add(stats);
    let fields = fields(new);
    slot.exclusive_or(&mut info.hash, &fields);
    tx.put(slot.key(new.is_deleted()), encode(info.last_row, &fields));
    tx.put(slot.listing.numbered(info.last_row), slot.numbered(new.is_deleted()));
}

/// Merges `new` into what is there, and says whether that changed anything; the caller stores `info`.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn merge<R: Row>(tx: &mut Transaction<'_>, info: &mut Info, slot: Slot<'_>, new: R) -> Result<bool, DbError> {
    let Some(old) = find::<R>(tx, slot)? else {
        replace(tx, info, slot, None, &new);
        return Ok(true);
    };
    let mut merged = old.row;
    let number = old.number;
    let before = Numbered { number, row: merged.clone() };
    if !merged.merge(&new) {
        return Ok(false);
    }
    replace(tx, info, slot, Some(&before), &merged);
    Ok(true)
}

/// Removes a tombstone for good; the caller stores `info`.
pub(super) fn forget<R: Row>(tx: &mut Transaction<'_>, info: &mut Info, slot: Slot<'_>, old: &Numbered<R>) {
    tx.delete(slot.listing.numbered(old.number));
    tx.delete(slot.key(true));
    slot.exclusive_or(&mut info.hash, &fields(&old.row));
}

/// Reads the value of a row's key.
///
/// # Errors
/// When it is damaged.
pub fn decode<R: Row>(value: &[u8]) -> Result<Numbered<R>, Malformed> {
    let mut from = Decoder::new(value, ROW_VERSION)?;
    let row = Numbered { number: from.number()?, row: R::decode(&mut from)? };
    from.finish()?;
    Ok(row)
}

/// Reads what a row number stands for: space, whether it is a tombstone, and name.
///
/// # Errors
/// When it is damaged.
pub fn decode_numbered(value: &[u8]) -> Result<(PolicyIndex, bool, String), Malformed> {
    let mut from = Decoder::new(value, NUMBERED_VERSION)?;
    let place = (policy(&mut from)?, from.flag()?, from.text()?);
    from.finish()?;
    Ok(place)
}

/// Reads what [`fields`] wrote.
///
/// # Errors
/// When it is damaged.
pub(super) fn decode_fields<R: Row>(fields: &[u8]) -> Result<R, Malformed> {
    let mut from = Decoder::new(fields, ROW_VERSION)?;
    let row = R::decode(&mut from)?;
    from.finish()?;
    Ok(row)
}

/// A row without its number: what copies of it have in common.
pub(super) fn fields<R: Row>(row: &R) -> Vec<u8> {
    let mut to = Encoder::new(ROW_VERSION);
    row.encode(&mut to);
    to.finish()
}

/// The fields in the value of a row's key, as [`fields`] writes them.
pub(super) fn without_number(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut from = Decoder::new(value, ROW_VERSION)?;
    from.number()?;
    Ok([&[ROW_VERSION], from.rest()].concat())
}

fn encode(number: u64, fields: &[u8]) -> Vec<u8> {
    let mut to = Encoder::new(ROW_VERSION);
    to.number(number);
    // Their version comes first, as it does here.
    [&to.finish(), &fields[1..]].concat()
}

impl Slot<'_> {
    fn key(&self, deleted: bool) -> Vec<u8> {
        self.listing.row(self.space, deleted, self.name)
    }

    fn numbered(&self, deleted: bool) -> Vec<u8> {
        let mut to = Encoder::new(NUMBERED_VERSION);
        to.number(self.space.0.into()).flag(deleted).text(self.name);
        to.finish()
    }

    /// Counts a row's digest, over its place and all its fields, in or out.
    pub(super) fn exclusive_or(&self, hash: &mut [u8; 16], fields: &[u8]) {
        let length = u64::try_from(self.name.len()).unwrap_or(u64::MAX).to_be_bytes();
        let place = Md5::new().chain_update(self.space.0.to_be_bytes()).chain_update(length).chain_update(self.name);
        let digest = place.chain_update(fields).finalize();
        hash.iter_mut().zip(digest).for_each(|(byte, other)| *byte ^= other);
    }
}
