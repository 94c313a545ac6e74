//! What it takes to bring one copy of an account or a container to another device, apart from how the two talk.
//!
//! The sender's side reads: [`head`], and rows as [`changed`] or [`all`]. The receiver's side are changes to be run in a
//! commit, so that each is on stable storage, whole or not at all, before it is answered: [`begin`], [`take`], [`finish`].
//! A database that the receiver did not have is marked as being filled until everything has come; until then it counts
//! as one that is not here, since a listing with holes is worse than the next replica's. Every step may be repeated, left
//! out at the end, or mixed with those of other senders and with writes of clients: rows and heads merge in any order.
//!
//! What two rooms do differently with their databases is the [`Room`].

mod reclaim;

use super::codec::Malformed;
use super::info::{Head, Info, join_metadata};
use super::table::{self, Row, Slot};
use super::{DbError, Get, Kind, ListingId, Transaction, View, agreement};
use crate::hash_path::{HashPath, PathHash};
use crate::listing::Metadata;
use crate::listing::metadata::Item;
use crate::listing::walk::{Bounds, Cursor as _};
use crate::policy::PolicyIndex;
use crate::timestamp::Timestamp;
use crate::wire::listings::{ListingHead, ListingRow, MAX_ROW_BYTES, MAX_ROWS, MetadataItem, Taken};

pub use reclaim::{old, reclaim, remove};

/// What accounts and containers do each in their own way.
pub trait Room: Copy + Send + Sync + 'static {
    /// Its rows.
    type Row: Row + Send;
    /// Its kind.
    const KIND: Kind;
    /// The server's name, as in recon files and metrics.
    const SERVER: &'static str;

    /// The hash of the path that a head names; none when it names nothing of this kind.
    fn hash(salt: &HashPath, head: &ListingHead) -> Option<PathHash>;
    /// A database without rows that knows what another copy knows.
    fn fresh(head: &ListingHead) -> Info;
    /// Takes over what another copy knows better; every order of joins ends alike.
    fn join(mine: &mut Info, theirs: &ListingHead);
    /// Writes it, with the marks that go with it.
    ///
    /// # Errors
    /// When what belongs to it cannot be read.
    fn store(tx: &mut Transaction<'_>, id: ListingId, info: &mut Info) -> Result<(), DbError>;
    /// Whether it was deleted before that time, is empty, and nobody waits to hear of it.
    fn may_go(info: &Info, before: Timestamp) -> bool;
}

/// A row as it was read.
#[derive(Debug)]
pub struct Arrived<R> {
    space: PolicyIndex,
    name: String,
    row: R,
}

/// What this device's copy knows of itself, for itself and for others.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn head(from: &impl Get, id: ListingId) -> Result<Option<(Info, ListingHead)>, DbError> {
    let Some(Head { info, metadata }) = Head::load_any(from, id)? else { return Ok(None) };
    let head = head_of(&info, &metadata);
    Ok(Some((info, head)))
}

/// What a copy knows of itself, as it travels.
pub fn head_of(info: &Info, metadata: &Metadata) -> ListingHead {
    let item = |(name, item): (&str, &Item)| MetadataItem {
        name: name.to_owned(),
        timestamp: item.timestamp,
        value: item.value.clone(),
    };
    ListingHead {
        account: info.account.clone(),
        container: info.container.clone(),
        created_at: info.created_at,
        put_timestamp: info.put_timestamp,
        delete_timestamp: info.delete_timestamp,
        status_changed_at: info.status_changed_at,
        status_deleted: info.status_deleted,
        policy: info.policy,
        empty: info.of_policy(info.policy).rows == 0,
        metadata: metadata.iter().map(item).collect(),
    }
}

/// Rows that changed after `after` and until `until`, by number, and the number they go through; none when there are
/// no more.
///
/// # Errors
/// When they cannot be read or are damaged.
pub fn changed(
    view: &View<'_>,
    id: ListingId,
    after: u64,
    until: u64,
) -> Result<Option<(Vec<ListingRow>, u64)>, DbError> {
    let lower = after.saturating_add(1).to_be_bytes().to_vec();
    let mut scan = view.scan(id.numbers(), &Bounds { lower: lower.clone(), upper: None });
    scan.seek(&lower);
    let mut batch = Batch::default();
    let mut through = after;
    while let Some(name) = scan.name().filter(|_| !batch.is_full()) {
        let number = u64::from_be_bytes(name.try_into().map_err(|_| Malformed::Length)?);
        if number > until {
            break;
        }
        let (space, deleted, name) = table::decode_numbered(scan.value())?;
        let value = view.get(&id.row(space, deleted, &name))?;
        let value = value.ok_or_else(|| DbError::Damaged(format!("row {number} is not there")))?;
        batch.push(space, name, &value)?;
        through = number;
        scan.next();
    }
    scan.finish()?;
    Ok((!batch.rows.is_empty()).then_some((batch.rows, through)))
}

/// All rows and tombstones, by key, from `from` (nothing at the beginning), and where the next batch begins; nothing when
/// there are no more.
///
/// # Errors
/// When they cannot be read or are damaged.
pub fn all(view: &View<'_>, id: ListingId, from: &[u8]) -> Result<(Vec<ListingRow>, Option<Vec<u8>>), DbError> {
    let mut scan = view.scan(id.all_rows(), &Bounds { lower: from.to_vec(), upper: None });
    scan.seek(from);
    let mut batch = Batch::default();
    while let Some(place) = scan.name().filter(|_| !batch.is_full()) {
        let (space, rest) = place.split_first_chunk().ok_or(Malformed::Length)?;
        let name = rest.get(1..).ok_or(Malformed::Length)?;
        let name = std::str::from_utf8(name).map_err(|_| Malformed::Field)?.to_owned();
        batch.push(PolicyIndex(u32::from_be_bytes(*space)), name, scan.value())?;
        scan.next();
    }
    let next = scan.name().map(<[u8]>::to_vec);
    scan.finish()?;
    Ok((batch.rows, next))
}

/// Rows that travel together.
#[derive(Default)]
struct Batch {
    rows: Vec<ListingRow>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, space: PolicyIndex, name: String, value: &[u8]) -> Result<(), Malformed> {
        let fields = table::without_number(value)?;
        self.bytes += name.len() + fields.len();
        self.rows.push(ListingRow { space, name, fields });
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= MAX_ROWS || self.bytes >= MAX_ROW_BYTES
    }
}

/// Takes in what another copy knows of itself; a database that is not here is made, to be filled. Gives the number up to
/// which the sender's rows are here.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn begin<R: Room>(
    tx: &mut Transaction<'_>,
    id: ListingId,
    head: ListingHead,
    life: &[u8; 16],
) -> Result<u64, DbError> {
    let Some(info) = Info::load(tx, id)? else {
        R::store(tx, id, &mut Info { filling: true, ..R::fresh(&head) })?;
        join::<R>(tx, id, head)?;
        return Ok(0);
    };
    join::<R>(tx, id, head)?;
    agreement::taken(tx, id, &info, life)
}

/// Takes in what another copy knows of itself; a database that is not here is made. Its rows may come at any time.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn adopt<R: Room>(tx: &mut Transaction<'_>, id: ListingId, head: ListingHead) -> Result<(), DbError> {
    if Info::load(tx, id)?.is_none() {
        R::store(tx, id, &mut R::fresh(&head))?;
    }
    join::<R>(tx, id, head)
}

/// Takes in what another copy knows of itself, if there is one here.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn join<R: Room>(tx: &mut Transaction<'_>, id: ListingId, head: ListingHead) -> Result<(), DbError> {
    let Some(before) = Info::load(tx, id)? else { return Ok(()) };
    let mut info = before.clone();
    R::join(&mut info, &head);
    let item = |item: MetadataItem| (item.name, Item { timestamp: item.timestamp, value: item.value });
    join_metadata(tx, &mut info, id, Metadata::from_items(head.metadata.into_iter().map(item)))?;
    if info != before {
        R::store(tx, id, &mut info)?;
    }
    Ok(())
}

/// Reads rows that came.
///
/// # Errors
/// When they are damaged or name nothing.
pub fn arrived<R: Room>(rows: Vec<ListingRow>) -> Result<Vec<Arrived<R::Row>>, Malformed> {
    let read = |ListingRow { space, name, fields }| {
        let named = !name.is_empty() && (R::KIND == Kind::Container || space == PolicyIndex(0));
        let row = table::decode_fields(&fields)?;
        if named { Ok(Arrived { space, name, row }) } else { Err(Malformed::Field) }
    };
    rows.into_iter().map(read).collect()
}

/// Merges rows of the copy on the device of that life, all of its rows up to `through` being here then. Gives how many were
/// left out: live ones from before `stale` that a whole database does not know.
///
/// # Errors
/// When it cannot be read or is damaged, or is not here any more.
pub fn take<R: Room>(
    tx: &mut Transaction<'_>,
    id: ListingId,
    rows: Vec<Arrived<R::Row>>,
    stale: Option<Timestamp>,
    (life, through): (&[u8; 16], Option<u64>),
) -> Result<u64, DbError> {
    let mut info = Info::load(tx, id)?.ok_or_else(gone)?;
    let stale = stale.filter(|_| !info.filling);
    let (mut changed, mut left_out) = (false, 0);
    for Arrived { space, name, row } in rows {
        let slot = Slot { listing: id, space, name: &name };
        let doubtful = stale.is_some_and(|before| !row.is_deleted() && row.timestamp() < before);
        if doubtful && table::find::<R::Row>(tx, slot)?.is_none() {
            left_out += 1;
        } else {
            changed |= table::merge(tx, &mut info, slot, row)?;
        }
    }
    if changed {
        R::store(tx, id, &mut info)?;
    }
    if let Some(through) = through.filter(|_| left_out == 0) {
        agreement::note_taken(tx, id, life, through);
    }
    Ok(left_out)
}

/// Ends what [`begin`] began: all rows up to `through` are here, or simply everything.
///
/// # Errors
/// When it cannot be read or is damaged, or is not here any more.
pub fn finish<R: Room>(
    tx: &mut Transaction<'_>,
    id: ListingId,
    whole: bool,
    (life, through): (&[u8; 16], Option<u64>),
) -> Result<Info, DbError> {
    let mut info = Info::load(tx, id)?.ok_or_else(gone)?;
    if whole && info.filling {
        info.filling = false;
        R::store(tx, id, &mut info)?;
    }
    if let Some(through) = through
        && agreement::taken(tx, id, &info, life)? < through
    {
        agreement::note_taken(tx, id, life, through);
    }
    Ok(info)
}

/// What a receiver says at the end.
pub fn taken(info: &Info, life: [u8; 16], left_out: u64) -> Taken {
    Taken { state: info.state, hash: info.hash, life, last_row: info.last_row, left_out }
}

/// Notes at the sender that the receiver's rows are all here, if both ended with the same ones: so they are not sent back.
///
/// # Errors
/// When it cannot be read or is damaged.
pub fn note_same(tx: &mut Transaction<'_>, id: ListingId, there: &Taken) -> Result<(), DbError> {
    if let Some(info) = Info::load(tx, id)?.filter(|info| info.hash == there.hash)
        && agreement::taken(tx, id, &info, &there.life)? < there.last_row
    {
        agreement::note_taken(tx, id, &there.life, there.last_row);
    }
    Ok(())
}

fn gone() -> DbError {
    DbError::Damaged("a database went away while it was being filled".into())
}
