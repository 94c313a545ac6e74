//! How accounts come, change and go, and take their containers' rows in.

use apus_base::db::info::{clear_metadata, merge_metadata};
use apus_base::db::table::{self, Slot};
use apus_base::db::{DbError, Info, ListingId, Transaction};
use apus_base::listing::metadata::Names;
use apus_base::listing::{Metadata, Refusal};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;

use super::{Row, is_deleted, is_marked_deleted};

/// The headers that an account keeps.
pub const METADATA: Names = Names { user: "x-account-meta-", system: "x-account-sysmeta-", others: &[] };

/// What became of a PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The account is new.
    Created,
    /// It was there.
    Updated,
    /// It was deleted and is not reaped yet.
    RecentlyDeleted,
}

/// What became of a DELETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is deleted now, and whether it is marked so.
    Done(bool),
    /// It was not there, and whether that is since it is marked as deleted.
    NotFound(bool),
}

/// What became of a container's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is in, or a newer one was already.
    Done,
    /// There is no such account, or it is deleted.
    NoAccount,
}

/// Creates an account, or updates it.
///
/// # Errors
/// When its metadata is past the limits, or the database cannot be read.
pub fn put(
    tx: &mut Transaction<'_>,
    account: &str,
    id: ListingId,
    at: Timestamp,
    metadata: Metadata,
) -> Result<Put, Refusal> {
    let Some(mut info) = Info::load(tx, id)? else {
        write(tx, id, &mut new(account, at), metadata)?;
        return Ok(Put::Created);
    };
    if is_marked_deleted(&info) {
        return Ok(Put::RecentlyDeleted);
    }
    info.put(at);
    write(tx, id, &mut info, metadata)?;
    Ok(Put::Updated)
}

pub(super) fn new(account: &str, at: Timestamp) -> Info {
    let mut info = Info::new(account, "", PolicyIndex(0), at);
    info.stats.clear();
    info
}

fn write(tx: &mut Transaction<'_>, id: ListingId, info: &mut Info, metadata: Metadata) -> Result<(), Refusal> {
    merge_metadata(tx, info, id, &METADATA, metadata)?;
    Ok(info.store(tx, id)?)
}

/// Updates an account's metadata. Gives nothing when the account is there, and otherwise whether it is marked deleted.
///
/// # Errors
/// When its metadata is past the limits, or the database cannot be read.
pub fn post(tx: &mut Transaction<'_>, id: ListingId, metadata: Metadata) -> Result<Option<bool>, Refusal> {
    match Info::load(tx, id)? {
        None => Ok(Some(false)),
        Some(info) if is_deleted(&info) => Ok(Some(is_marked_deleted(&info))),
        Some(mut info) => write(tx, id, &mut info, metadata).map(|()| None),
    }
}

/// Deletes an account, whatever it holds; the reaper follows.
///
/// # Errors
/// When the database cannot be read.
pub fn delete(tx: &mut Transaction<'_>, id: ListingId, at: Timestamp) -> Result<Deleted, DbError> {
    let Some(mut info) = Info::load(tx, id)?.filter(|info| !info.filling) else {
        return Ok(Deleted::NotFound(false));
    };
    if is_deleted(&info) {
        return Ok(Deleted::NotFound(is_marked_deleted(&info)));
    }
    info.delete(at);
    clear_metadata(tx, &mut info, id, at)?;
    info.store(tx, id)?;
    Ok(Deleted::Done(is_marked_deleted(&info)))
}

/// Merges a container's row into an account. With `create`, an account that is not there is made then; with `even_deleted`
/// a deleted one takes the row too.
///
/// # Errors
/// When the database cannot be read.
pub fn merge(
    tx: &mut Transaction<'_>,
    (account, id): (&str, ListingId),
    container: &str,
    row: &Row,
    create: Option<Timestamp>,
    even_deleted: bool,
) -> Result<Merge, DbError> {
    let mut info = match (Info::load(tx, id)?, create) {
        (Some(info), _) if even_deleted || !is_deleted(&info) => info,
        (None, Some(at)) => new(account, at),
        _ => return Ok(Merge::NoAccount),
    };
    let slot = Slot { listing: id, space: PolicyIndex(0), name: container };
    if table::merge(tx, &mut info, slot, row.clone())? {
        info.store(tx, id)?;
    }
    Ok(Merge::Done)
}
