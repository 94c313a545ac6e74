//! The rows of a database, kept together with what counts them: row numbers, stats, the hash over all rows.

use md5::{Digest as _, Md5};

use super::codec::{Decoder, Encoder, Malformed};
use super::info::{Info, Stats, policy};
use super::{DbError, Get, ListingId, Transaction};
use crate::policy::PolicyIndex;

const ROW_VERSION: u8 = 1;
const NUMBERED_VERSION: u8 = 1;

/// A row of a room's own: a container's objects, an account's containers.
pub trait Row: Sized {
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
    /// What tells one version of it from another, for the hash over all rows.
    fn version(&self) -> String;
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
        exclusive_or(&mut info.hash, slot.name, &old.row);
    }
    info.last_row += 1;
    let (policy, stats) = new.counts(slot.space);
    info.stats.entry(policy).or_default().add(stats);
    exclusive_or(&mut info.hash, slot.name, new);
    tx.put(slot.key(new.is_deleted()), encode(info.last_row, new));
    tx.put(slot.listing.numbered(info.last_row), slot.numbered(new.is_deleted()));
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

fn encode<R: Row>(number: u64, row: &R) -> Vec<u8> {
    let mut to = Encoder::new(ROW_VERSION);
    to.number(number);
    row.encode(&mut to);
    to.finish()
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
}

fn exclusive_or<R: Row>(hash: &mut [u8; 16], name: &str, row: &R) {
    let digest = Md5::new().chain_update(name).chain_update("-").chain_update(row.version()).finalize();
    hash.iter_mut().zip(digest).for_each(|(byte, other)| *byte ^= other);
}
