//! How two copies of an account become one.

use apus_base::db::replica::Room;
use apus_base::db::{DbError, Info, Kind, ListingId, Transaction};
use apus_base::hash_path::{HashPath, PathHash};
use apus_base::timestamp::Timestamp;
use apus_base::wire::listings::ListingHead;

use super::{Row, is_marked_deleted, life};

/// Accounts, to those who copy listings.
#[derive(Clone, Copy, Debug)]
pub struct Accounts;

impl Room for Accounts {
    type Row = Row;
    const KIND: Kind = Kind::Account;
    const SERVER: &'static str = "account";

    fn hash(salt: &HashPath, head: &ListingHead) -> Option<PathHash> {
        (!head.account.is_empty() && head.container.is_empty()).then(|| salt.account(&head.account))
    }

    fn fresh(head: &ListingHead) -> Info {
        let mut info = life::new(&head.account, head.created_at);
        (info.put_timestamp, info.status_changed_at) = (head.put_timestamp, head.status_changed_at);
        (info.delete_timestamp, info.status_deleted) = (head.delete_timestamp, head.status_deleted);
        info
    }

    /// The mark of a deletion goes with the newest PUT: an account that was made anew after it was reaped is not deleted by
    /// a copy of its former life that comes back late. A newer DELETE deletes by its timestamp, whoever has it.
    fn join(mine: &mut Info, theirs: &ListingHead) {
        if theirs.put_timestamp > mine.put_timestamp {
            (mine.put_timestamp, mine.status_deleted) = (theirs.put_timestamp, theirs.status_deleted);
        } else if theirs.put_timestamp == mine.put_timestamp {
            mine.status_deleted |= theirs.status_deleted;
        }
        mine.created_at = mine.created_at.min(theirs.created_at);
        mine.delete_timestamp = mine.delete_timestamp.max(theirs.delete_timestamp);
        mine.status_changed_at = mine.status_changed_at.max(theirs.status_changed_at);
    }

    fn store(tx: &mut Transaction<'_>, id: ListingId, info: &mut Info) -> Result<(), DbError> {
        info.store(tx, id)
    }

    fn may_go(info: &Info, before: Timestamp) -> bool {
        is_marked_deleted(info) && info.total().rows == 0 && info.delete_timestamp < before
    }
}
