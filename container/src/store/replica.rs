//! How two copies of a container become one.

use std::cmp::Ordering;

use apus_base::db::replica::Room;
use apus_base::db::{DbError, Info, Kind, ListingId, Transaction};
use apus_base::hash_path::{HashPath, PathHash};
use apus_base::policy::Claim;
use apus_base::timestamp::Timestamp;
use apus_base::wire::listings::ListingHead;

use super::{Row, is_deleted, is_empty, save, to_report};

/// Containers, to those who copy listings.
#[derive(Clone, Copy, Debug)]
pub struct Containers;

impl Room for Containers {
    type Row = Row;
    const KIND: Kind = Kind::Container;
    const SERVER: &'static str = "container";

    fn hash(salt: &HashPath, head: &ListingHead) -> Option<PathHash> {
        let named = !head.account.is_empty() && !head.container.is_empty();
        named.then(|| salt.container(&head.account, &head.container))
    }

    fn fresh(head: &ListingHead) -> Info {
        let mut info = Info::new(&head.account, &head.container, head.policy, head.created_at);
        (info.put_timestamp, info.status_changed_at) = (head.put_timestamp, head.status_changed_at);
        (info.delete_timestamp, info.status_deleted) = (head.delete_timestamp, head.status_deleted);
        info
    }

    /// The better of two policies, and when that came to be, is the policy of both. Objects of the other stay under it and
    /// wait for the reconciler.
    fn join(mine: &mut Info, theirs: &ListingHead) {
        if claim(mine).better(&claim_of(theirs)) == Ordering::Greater {
            (mine.policy, mine.status_changed_at) = (theirs.policy, theirs.status_changed_at);
            mine.stats.entry(theirs.policy).or_default();
        }
        mine.created_at = mine.created_at.min(theirs.created_at);
        mine.put_timestamp = mine.put_timestamp.max(theirs.put_timestamp);
        mine.delete_timestamp = mine.delete_timestamp.max(theirs.delete_timestamp);
        mine.status_deleted |= theirs.status_deleted;
    }

    fn store(tx: &mut Transaction<'_>, id: ListingId, info: &mut Info) -> Result<(), DbError> {
        save(tx, id, info)
    }

    fn may_go(info: &Info, before: Timestamp) -> bool {
        is_deleted(info) && is_empty(info) && info.delete_timestamp < before && info.reported == to_report(info)
    }
}

/// What a copy here says for its policy.
fn claim(info: &Info) -> Claim {
    let (put, delete) = (info.put_timestamp, info.delete_timestamp);
    Claim { policy: info.policy, put, delete, changed: info.status_changed_at, deleted: is_deleted(info) }
}

/// What one elsewhere says.
fn claim_of(head: &ListingHead) -> Claim {
    let (put, delete) = (head.put_timestamp, head.delete_timestamp);
    let deleted = head.empty && delete > put;
    Claim { policy: head.policy, put, delete, changed: head.status_changed_at, deleted }
}
