//! How two copies of a container become one.

use std::cmp::Ordering;

use apus_base::db::replica::Room;
use apus_base::db::{DbError, Info, Kind, ListingId, Transaction};
use apus_base::hash_path::{HashPath, PathHash};
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
        if better(&Claim::of(mine), &Claim::from(theirs)) == Ordering::Greater {
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

/// What a copy says for its policy.
struct Claim {
    deleted: bool,
    put: Timestamp,
    delete: Timestamp,
    changed: Timestamp,
    policy: u32,
}

impl Claim {
    fn of(info: &Info) -> Self {
        let (put, delete) = (info.put_timestamp, info.delete_timestamp);
        Self { deleted: is_deleted(info), put, delete, changed: info.status_changed_at, policy: info.policy.0 }
    }

    fn from(head: &ListingHead) -> Self {
        let (put, delete) = (head.put_timestamp, head.delete_timestamp);
        let deleted = head.empty && delete > put;
        Self { deleted, put, delete, changed: head.status_changed_at, policy: head.policy.0 }
    }

    fn recreated(&self) -> bool {
        self.put > self.delete && self.delete > Timestamp::ZERO
    }
}

/// Which of two copies has the policy that counts, in Swift's words and to its rule: one that is there before one that is
/// deleted; of those that were deleted and made again the newer life; otherwise the one that was first. `Less` is the first.
fn better(one: &Claim, other: &Claim) -> Ordering {
    let by_life = match (one.deleted, other.deleted) {
        (true, true) => other.changed.cmp(&one.changed),
        (false, true) => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, false) => better_live(one, other),
    };
    // Where Swift leaves both as they are, here one of them has to give way.
    by_life.then(one.policy.cmp(&other.policy))
}

fn better_live(one: &Claim, other: &Claim) -> Ordering {
    let last_delete = one.delete.max(other.delete);
    match (one.recreated(), other.recreated()) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (true, true) if one.put < last_delete => Ordering::Greater,
        (true, true) if other.put < last_delete => Ordering::Less,
        _ => one.changed.cmp(&other.changed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(put: u64, delete: u64, changed: u64, rows: bool) -> Claim {
        let at = Timestamp::from_secs;
        Claim { deleted: !rows && delete > put, put: at(put), delete: at(delete), changed: at(changed), policy: 0 }
    }

    #[test]
    fn swifts_rule_for_two_policies() {
        let cases = [
            // Nobody deleted anything: who was first.
            (claim(1, 0, 1, false), claim(2, 0, 2, false), Ordering::Less),
            // There before deleted, and rows keep alive.
            (claim(1, 5, 5, false), claim(2, 0, 2, false), Ordering::Greater),
            (claim(1, 5, 1, true), claim(2, 0, 2, false), Ordering::Less),
            // Both deleted: the later.
            (claim(1, 5, 5, false), claim(1, 6, 6, false), Ordering::Greater),
            // Made again before never deleted.
            (claim(7, 5, 7, false), claim(2, 0, 2, false), Ordering::Less),
            // Both made again, one of them before the other's deletion.
            (claim(7, 5, 7, false), claim(10, 8, 10, false), Ordering::Greater),
            (claim(7, 5, 7, false), claim(8, 6, 8, false), Ordering::Less),
        ];
        for (i, (one, other, expected)) in cases.iter().enumerate() {
            assert_eq!(better(one, other), *expected, "case {i}");
            assert_eq!(better(other, one), expected.reverse(), "case {i}, the other way round");
        }
    }
}
