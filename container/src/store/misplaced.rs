//! Containers that hold objects of another storage policy than their own: what the reconciler has to look at.
//!
//! It comes about when a container was made on both sides of a split network, with a policy on each: one policy wins
//! (see `replica`), and the rows of objects that were written under the other stay, each under its own policy, where no listing shows
//! them. Every write of such a container marks it, in the same commit, until the reconciler says that it is done with
//! all rows up to a number; so a row that comes meanwhile is not forgotten, and looking for work reads marks only.

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

/// Marks a container that holds live rows of another policy; a container of one policy costs nothing here.
pub(super) fn note(tx: &mut Transaction<'_>, id: ListingId, info: &Info) {
    if info.stats.len() > 1 && info.stats.iter().any(|(policy, stats)| *policy != info.policy && stats.rows > 0) {
        tx.put(id.misplaced(), info.last_row.to_be_bytes().to_vec());
    }
}

/// The marked containers of a device, after one, with what they know of themselves; at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn containers(view: &View<'_>, after: Option<ListingId>, limit: usize) -> Result<Vec<(ListingId, Info)>, DbError> {
    let lower = after.map(|id| [&id.hash.0[..], &[0]].concat()).unwrap_or_default();
    let mut scan = view.scan(key::MISPLACED.to_vec(), &Bounds { lower: lower.clone(), upper: None });
    scan.seek(&lower);
    let mut found = Vec::new();
    while let Some(hash) = scan.name().filter(|_| found.len() < limit) {
        if let Some(id) = ListingId::from_misplaced(&[key::MISPLACED, hash].concat())
            && let Some(info) = Info::load(view, id)?
        {
            found.push((id, info));
        }
        scan.next();
    }
    scan.finish()?;
    Ok(found)
}

/// The live rows of a container under other policies than its own, by policy and name, after one of them; at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn rows(
    view: &View<'_>,
    id: ListingId,
    info: &Info,
    after: Option<(PolicyIndex, &str)>,
    limit: usize,
) -> Result<Vec<Misplaced>, DbError> {
    let mut found = Vec::new();
    let others = info.stats.keys().filter(|policy| **policy != info.policy);
    for policy in others.filter(|policy| after.is_none_or(|(last, _)| **policy >= last)) {
        let after = after.filter(|(last, _)| last == policy);
        let lower = after.map(|(_, name)| [name.as_bytes(), &[0]].concat()).unwrap_or_default();
        let mut scan = view.scan(id.rows(*policy, false), &Bounds { lower: lower.clone(), upper: None });
        scan.seek(&lower);
        while let Some(name) = scan.name().filter(|_| found.len() < limit) {
            let name = String::from_utf8(name.to_vec()).map_err(|error| DbError::Damaged(error.to_string()))?;
            let Numbered { row, .. } = table::decode::<Row>(scan.value())?;
            found.push(Misplaced { policy: *policy, name, row });
            scan.next();
        }
        scan.finish()?;
    }
    Ok(found)
}

/// Says that everything about a container was done as of the state in which [`containers`] showed it. A container that
/// has changed since stays marked.
///
/// # Errors
/// When it cannot be read.
pub fn done(tx: &mut Transaction<'_>, id: ListingId, seen: &Info) -> Result<(), DbError> {
    if Info::load(tx, id)?.is_none_or(|info| info.last_row == seen.last_row && info.policy == seen.policy) {
        tx.delete(id.misplaced());
    }
    Ok(())
}
