//! Containers that hold rows of another storage policy than their own: what the reconciler has to look at.
//!
//! It comes about when a container was made on both sides of a split network, with a policy on each: one policy wins,
//! and the rows of objects that were written under the other stay, each under its own policy, where no listing shows
//! them. Every write of such a container marks it, in the same commit, until the reconciler says that it has taken note of
//! all that it was shown; so a row that comes meanwhile is not forgotten, and looking for work reads marks only.

use apus_base::db::table::{self, Numbered};
use apus_base::db::{DbError, Info, ListingId, Transaction, View, key};
use apus_base::listing::walk::{Bounds, Cursor as _};
use apus_base::policy::PolicyIndex;

use super::Row;

/// A row that is not where its container's objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// The policy it was written under.
    pub policy: PolicyIndex,
    /// The object's name.
    pub name: String,
    /// Its row.
    pub row: Row,
}

/// Where a list of rows goes on: after this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// Its policy.
    pub policy: PolicyIndex,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Its name.
    pub name: String,
}

/// Marks a container that has ever held rows of another policy; a container of one policy costs nothing here.
pub(super) fn note(tx: &mut Transaction<'_>, id: ListingId, info: &Info) {
    if info.stats.keys().any(|policy| *policy != info.policy) {
        tx.put(id.misplaced(), info.last_row.to_be_bytes().to_vec());
    }
}

/// The first marked container of a device after one.
///
/// # Errors
/// When it cannot be read.
pub fn next_container(view: &View<'_>, after: Option<ListingId>) -> Result<Option<(ListingId, Info)>, DbError> {
    let lower = after.map(|id| [&id.hash.0[..], &[0]].concat()).unwrap_or_default();
    let mut scan = view.scan(key::MISPLACED.to_vec(), &Bounds { lower: lower.clone(), upper: None });
    scan.seek(&lower);
    while let Some(hash) = scan.name() {
        if let Some(id) = ListingId::from_misplaced(&[key::MISPLACED, hash].concat())
            && let Some(info) = Info::load(view, id)?
        {
            return Ok(Some((id, info)));
        }
        scan.next();
    }
    scan.finish()?;
    Ok(None)
}

/// The rows of a container under other policies than its own, after one of them; at most `limit`. Tombstones are among them, for
/// a deletion has to be carried like a write; but not those that the reconciler left behind (they have an offset), nor
/// those of a former life of the container.
///
/// # Errors
/// When they cannot be read.
pub fn rows(
    view: &View<'_>,
    id: ListingId,
    info: &Info,
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Misplaced>, DbError> {
    let others = info.stats.keys().filter(|policy| **policy != info.policy);
    let ranges = others.flat_map(|policy| [(*policy, false), (*policy, true)]);
    let mut found = Vec::new();
    for (policy, deleted) in ranges.filter(|range| after.is_none_or(|last| *range >= (last.policy, last.deleted))) {
        let after = after.filter(|last| (last.policy, last.deleted) == (policy, deleted));
        let lower = after.map(|last| [last.name.as_bytes(), &[0]].concat()).unwrap_or_default();
        let mut scan = view.scan(id.rows(policy, deleted), &Bounds { lower: lower.clone(), upper: None });
        scan.seek(&lower);
        while let Some(name) = scan.name().filter(|_| found.len() < limit) {
            let name = String::from_utf8(name.to_vec()).map_err(|error| DbError::Damaged(error.to_string()))?;
            let Numbered { row, .. } = table::decode::<Row>(scan.value())?;
            if !deleted || is_clients(&row, info) {
                found.push(Misplaced { policy, name, row });
            }
            scan.next();
        }
        scan.finish()?;
    }
    Ok(found)
}

/// Whether a tombstone says that a client deleted something of the container as it lives now.
fn is_clients(row: &Row, info: &Info) -> bool {
    let data = row.timestamps.data;
    (data.offset() == 0 || data.is_ballot()) && row.timestamps.data > info.delete_timestamp
}

/// Says that all misplaced rows of a container were taken note of as of the state in which they were shown. A container that has
/// changed since stays marked.
///
/// # Errors
/// When it cannot be read.
pub fn done(tx: &mut Transaction<'_>, id: ListingId, last_row: u64, policy: PolicyIndex) -> Result<(), DbError> {
    if Info::load(tx, id)?.is_none_or(|info| (info.last_row, info.policy) == (last_row, policy)) {
        tx.delete(id.misplaced());
    }
    Ok(())
}
