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

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::policy::PolicyIndex;
    use proptest::prelude::*;

    prop_compose! {
        fn head()(created in 0u64..9, put in 0u64..9, delete in 0u64..9, changed in 0u64..9, status_deleted: bool) -> ListingHead {
            let [created_at, put_timestamp, delete_timestamp, status_changed_at] =
                [created, put, delete, changed].map(Timestamp::from_secs);
            let (account, container) = ("a".to_owned(), String::new());
            let (policy, empty, metadata) = (PolicyIndex(0), true, Vec::new());
            ListingHead { account, container, created_at, put_timestamp, delete_timestamp, status_changed_at, status_deleted, policy, empty, metadata }
        }
    }

    fn joined<'a>(heads: impl IntoIterator<Item = &'a ListingHead>) -> Info {
        let mut heads = heads.into_iter();
        let mut info = Accounts::fresh(heads.next().unwrap());
        heads.for_each(|head| Accounts::join(&mut info, head));
        info
    }

    proptest! {
        #[test]
        fn any_order_of_joins_ends_alike(heads in proptest::collection::vec(head(), 1..6), turn in any::<prop::sample::Index>()) {
            let mut turned = heads.clone();
            turned.rotate_left(turn.index(heads.len()));
            prop_assert_eq!(joined(&heads), joined(turned.iter().rev().chain(&heads)));
        }
    }

    #[test]
    fn an_account_made_anew_outlives_a_copy_of_its_former_life() {
        let at = Timestamp::from_secs;
        let mut former = life::new("a", at(1));
        former.delete(at(2));
        let head = |info: &Info| ListingHead {
            account: "a".into(),
            container: String::new(),
            created_at: info.created_at,
            put_timestamp: info.put_timestamp,
            delete_timestamp: info.delete_timestamp,
            status_changed_at: info.status_changed_at,
            status_deleted: info.status_deleted,
            policy: PolicyIndex(0),
            empty: true,
            metadata: Vec::new(),
        };
        let mut anew = life::new("a", at(3));
        Accounts::join(&mut anew, &head(&former));
        assert!(!is_marked_deleted(&anew));
        // And a copy that only missed the DELETE is deleted by it.
        let mut late = life::new("a", at(1));
        Accounts::join(&mut late, &head(&former));
        assert!(is_marked_deleted(&late) && Accounts::may_go(&late, at(9)) && !Accounts::may_go(&late, at(2)));
    }
}
