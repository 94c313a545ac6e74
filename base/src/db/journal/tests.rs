use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::db::{Databases, DbError, Get as _};
use crate::fs::{Devices, Reserve};

type Change = (u8, Option<Vec<u8>>);

fn databases(root: &Path) -> Databases {
    std::fs::create_dir_all(root.join("d1")).unwrap();
    Databases::new(Arc::new(Devices::new(root, 2)), Reserve::Bytes(0))
}

/// Commits each change as a group of its own.
async fn commit(databases: &Databases, changes: &[Change]) {
    for (key, value) in changes.iter().cloned() {
        let database = databases.get_writable("d1").await.unwrap();
        let change = database.commit(move |tx| {
            match value {
                Some(value) => tx.put(vec![b'k', key], value),
                None => tx.delete(vec![b'k', key]),
            }
            Ok::<_, DbError>(())
        });
        change.await.unwrap();
    }
}

async fn value(databases: &Databases, key: u8) -> Option<Vec<u8>> {
    let database = databases.get("d1").await.unwrap();
    database.read(move |view| view.get(&[b'k', key])).await.unwrap()
}

/// What a power cut leaves of the listings: all but the end of RocksDB's log, of which only so many bytes were flushed, or a
/// hole is in it.
fn after_a_power_cut(from: &Path, to: &Path, keep: impl Fn(usize) -> usize) {
    let (from, to) = (from.join("d1/listings"), to.join("d1/listings"));
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let mut bytes = std::fs::read(entry.path()).unwrap();
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            bytes.truncate(keep(bytes.len()));
        }
        std::fs::write(to.join(entry.file_name()), bytes).unwrap();
    }
}

fn last_of(changes: &[Change], key: u8) -> Option<Vec<u8>> {
    changes.iter().rev().find(|(changed, _)| *changed == key).and_then(|(_, value)| value.clone())
}

#[tokio::test]
async fn whatever_is_left_of_the_log_every_group_is_there() {
    let root = tempfile::tempdir().unwrap();
    let before = databases(root.path());
    let change = |i: u8| (i % 10, (!i.is_multiple_of(7)).then(|| vec![i; 100]));
    let changes: Vec<Change> = (0..100).map(change).collect();
    commit(&before, &changes).await;
    for kept in 0..=10 {
        let cut = tempfile::tempdir().unwrap();
        after_a_power_cut(root.path(), cut.path(), |length| length * kept / 10);
        let after = databases(cut.path());
        for key in 0..10 {
            assert_eq!(value(&after, key).await, last_of(&changes, key), "key {key}, {kept} tenths");
        }
        // And it goes on from there.
        commit(&after, &[(0, Some(b"new".to_vec()))]).await;
        assert_eq!(value(&after, 0).await.unwrap(), b"new");
        after.close().await;
    }
}

#[tokio::test]
async fn a_group_that_is_too_long_for_the_journal_is_not_undone_by_those_before_it() {
    let root = tempfile::tempdir().unwrap();
    let before = databases(root.path());
    let long = vec![9; usize::try_from(BYTES).unwrap() + 1];
    commit(&before, &[(0, Some(b"old".to_vec())), (0, Some(long.clone()))]).await;
    let cut = tempfile::tempdir().unwrap();
    after_a_power_cut(root.path(), cut.path(), |length| length);
    assert!(value(&databases(cut.path()), 0).await.unwrap() == long);
}

#[tokio::test]
async fn a_journal_that_is_full_begins_anew() {
    let root = tempfile::tempdir().unwrap();
    let before = databases(root.path());
    let quarter = usize::try_from(BYTES / 4).unwrap();
    let changes: Vec<Change> = (0..10).map(|i| (i % 3, Some(vec![i; quarter - 100]))).collect();
    commit(&before, &changes).await;
    for kept in [0, 1] {
        let cut = tempfile::tempdir().unwrap();
        // What was flushed when the journal began anew is there: the log is cut behind it only.
        let flushed = changes.len() / 4 * 4 * quarter;
        after_a_power_cut(root.path(), cut.path(), |length| length.min(flushed + kept * length));
        let after = databases(cut.path());
        for key in 0..3 {
            assert!(value(&after, key).await == last_of(&changes, key), "key {key}");
        }
    }
    assert!(std::fs::metadata(root.path().join("d1/listings/journal")).unwrap().len() <= BYTES);
}

#[tokio::test]
async fn closed_listings_leave_nothing_to_be_written_again() {
    let root = tempfile::tempdir().unwrap();
    let before = databases(root.path());
    commit(&before, &[(0, Some(b"x".to_vec()))]).await;
    let journal = root.path().join("d1/listings/journal");
    assert!(Segment::open(&journal).unwrap().generation().is_some());
    before.close().await;
    assert!(Segment::open(&journal).unwrap().generation().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Ranges of deletions, too, and a log that was cut anywhere.
    #[test]
    fn all_groups_over_any_of_them_are_all_groups(
        groups in prop::collection::vec(prop::collection::vec((0u8..6, prop::option::of(0u8..200), any::<bool>()), 1..4), 1..20),
        kept in 0.0..1.0f64,
    ) {
        let open = |folder: &Path| {
            let mut options = rocksdb::Options::default();
            options.create_if_missing(true);
            DB::open(&options, folder).unwrap()
        };
        let root = tempfile::tempdir().unwrap();
        let (written, again) = (root.path().join("written"), root.path().join("again"));
        let batches = || groups.iter().map(|group| {
            let mut batch = WriteBatch::default();
            for (key, value, range) in group {
                match value {
                    _ if *range => batch.delete_range(vec![*key], vec![key + 3]),
                    Some(value) => batch.put([*key], [*value]),
                    None => batch.delete([*key]),
                }
            }
            batch
        });
        let (all, some) = (open(&written), open(&again));
        batches().for_each(|batch| all.write(batch).unwrap());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a few")]
        let first = (groups.len() as f64 * kept) as usize;
        batches().take(first).for_each(|batch| some.write(batch).unwrap());
        batches().for_each(|batch| super::again(&some, batch.data()).unwrap());
        for key in 0u8..10 {
            prop_assert_eq!(all.get([key]).unwrap(), some.get([key]).unwrap());
        }
    }
}
