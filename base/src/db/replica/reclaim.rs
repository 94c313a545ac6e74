//! Letting go: of a copy that is elsewhere, of what was deleted long ago.

use super::{Row, Slot};
use crate::db::table::{self, Numbered};
use crate::db::{Database, DbError, Info, ListingId, Transaction, View};
use crate::listing::walk::{Bounds, Cursor as _};
use crate::policy::PolicyIndex;
use crate::timestamp::Timestamp;
use crate::wire::listings::{Kind, MAX_ROWS, Scope};

use super::Room;

/// Removes a database with all that belongs to it, if it is still in that state, and says whether it was.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn remove(tx: &mut Transaction<'_>, id: ListingId, state: [u8; 16]) -> Result<bool, DbError> {
    let Some(info) = Info::load(tx, id)? else { return Ok(true) };
    if info.state == state {
        crate::db::digest::replace(tx, id, state, [0; 16])?;
        id.own().for_each(|prefix| tx.remove(prefix));
    }
    Ok(info.state == state)
}

/// What of a database was deleted before that time.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn old<R: Room>(view: &View<'_>, id: ListingId, before: Timestamp) -> Result<Option<Scope>, DbError> {
    let Some(info) = Info::load(view, id)? else { return Ok(None) };
    if R::may_go(&info, before) {
        return Ok(Some(Scope::Whole));
    }
    Ok((!tombstones::<R>(view, id, &info, before, 1)?.is_empty()).then_some(Scope::Rows))
}

/// Forgets what was deleted before that time. Says whether it did, or may: whether the database is still in that state and
/// fit for it; whoever asks has made sure that all copies were.
///
/// # Errors
/// When it cannot be read or is damaged.
pub async fn reclaim<R: Room>(
    database: &Database,
    id: ListingId,
    state: [u8; 16],
    before: Timestamp,
    scope: Scope,
) -> Result<bool, DbError> {
    let find = move |view: &View<'_>| -> Result<_, DbError> {
        let Some(info) = Info::load(view, id)? else { return Ok((None, Vec::new())) };
        let found = tombstones::<R>(view, id, &info, before, MAX_ROWS)?;
        Ok((Some(info), found))
    };
    let (info, mut found) = database.read(find).await?;
    let Some(info) = info else { return Ok(true) };
    if info.state != state || (scope != Scope::Rows && !R::may_go(&info, before)) {
        return Ok(false);
    }
    match scope {
        Scope::Rows => {}
        Scope::Ask => return Ok(true),
        Scope::Whole => return database.commit(move |tx| remove(tx, id, state)).await,
    }
    // Batch by batch: each row is looked at again, so what came meanwhile stays.
    while !found.is_empty() {
        database.commit(move |tx| forget::<R>(tx, id, found)).await?;
        found = database.read(find).await?.1;
    }
    Ok(true)
}

type Found<R> = Vec<(PolicyIndex, String, Numbered<R>)>;

fn forget<R: Room>(tx: &mut Transaction<'_>, id: ListingId, found: Found<R::Row>) -> Result<(), DbError> {
    let Some(mut info) = Info::load(tx, id)? else { return Ok(()) };
    for (space, name, old) in found {
        let slot = Slot { listing: id, space, name: &name };
        if table::find::<R::Row>(tx, slot)?.is_some_and(|now| now.number == old.number) {
            table::forget(tx, &mut info, slot, &old);
        }
    }
    R::store(tx, id, &mut info)
}

/// Tombstones from before that time, at most `limit`.
fn tombstones<R: Room>(
    view: &View<'_>,
    id: ListingId,
    info: &Info,
    before: Timestamp,
    limit: usize,
) -> Result<Found<R::Row>, DbError> {
    let mut found = Vec::new();
    let spaces = match R::KIND {
        Kind::Account => vec![PolicyIndex(0)],
        Kind::Container => info.stats.keys().copied().collect(),
    };
    for space in spaces {
        let mut scan = view.scan(id.rows(space, true), &Bounds { lower: Vec::new(), upper: None });
        scan.seek(b"");
        while let Some(name) = scan.name().filter(|_| found.len() < limit) {
            let row: Numbered<R::Row> = table::decode(scan.value())?;
            if row.row.timestamp() < before {
                let name = String::from_utf8(name.to_vec()).map_err(|error| DbError::Damaged(error.to_string()))?;
                found.push((space, name, row));
            }
            scan.next();
        }
        scan.finish()?;
    }
    Ok(found)
}
