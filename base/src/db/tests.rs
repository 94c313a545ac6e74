use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::fs::{DeviceError, Devices, Reserve};
use crate::hash_path::PathHash;
use crate::listing::walk::tests::{Names, listed, name, query};
use crate::metrics::Metrics;
use crate::policy::PolicyIndex;

fn databases(root: &Path) -> Databases {
    Databases::new(Arc::new(Devices::new(root, 2)), Reserve::Bytes(0))
}

fn one_device() -> (tempfile::TempDir, Databases) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("d1")).unwrap();
    let databases = databases(root.path());
    (root, databases)
}

async fn put(databases: &Databases, key: &str, value: &str) -> Result<(), DbError> {
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    let database = databases.get_writable("d1").await?;
    database
        .commit(move |tx| {
            tx.put(key, value);
            Ok(())
        })
        .await
}

async fn get(databases: &Databases, key: &'static str) -> Result<Option<Vec<u8>>, DbError> {
    databases.get("d1").await?.read(move |view| view.get(key.as_bytes())).await
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let (root, before) = one_device();
    put(&before, "a", "1").await.unwrap();
    assert_eq!(get(&before, "a").await.unwrap().unwrap(), b"1");
    before.close().await;

    let after = databases(root.path());
    assert_eq!(after.existing(), ["d1"]);
    assert_eq!(get(&after, "a").await.unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_change_that_fails_leaves_nothing_and_the_others_stay() {
    let (_root, databases) = one_device();
    let database = databases.get_writable("d1").await.unwrap();
    let fail = database.commit(|tx| {
        tx.put(b"a".to_vec(), b"mine".to_vec());
        tx.put(b"a".to_vec(), b"mine again".to_vec());
        tx.delete(b"b".to_vec());
        Err::<(), _>(DbError::Overloaded)
    });
    let (first, failed, last) = tokio::join!(put(&databases, "b", "1"), fail, put(&databases, "c", "2"));
    assert!(first.is_ok() && last.is_ok() && matches!(failed, Err(DbError::Overloaded)));
    assert_eq!(get(&databases, "a").await.unwrap(), None);
    assert_eq!(get(&databases, "b").await.unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn changes_that_wait_share_a_flush_and_see_each_other() {
    const CHANGES: u8 = 200;
    let (_root, databases) = one_device();
    let metrics = Metrics::new("test");
    databases.register(&metrics);
    let database = databases.get_writable("d1").await.unwrap();
    let add = |tx: &mut Transaction<'_>| -> Result<u8, DbError> {
        let count = tx.get(b"count")?.map_or(0, |value| value[0]) + 1;
        tx.put(b"count".to_vec(), vec![count]);
        Ok(count)
    };

    // The committer is held up by the first change until all others wait.
    let (release, held) = std::sync::mpsc::channel();
    let first = database.commit(move |tx| {
        held.recv().map_err(|_| DbError::Closed)?;
        add(tx)
    });
    let mut changes = vec![first.boxed()];
    changes.extend((1..CHANGES).map(|_| database.commit(add).boxed()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(changes.iter_mut().all(|change| change.as_mut().poll(&mut cx).is_pending()));
    release.send(()).unwrap();

    let counts = join_all(changes).await.into_iter().map(Result::unwrap);
    assert!(counts.eq(1..=CHANGES));
    assert!(metrics.render().contains("apus_test_listing_commits_total 1\n"), "{}", metrics.render());
}

#[tokio::test]
async fn a_removed_device_is_missing_and_a_new_one_is_empty() {
    let (root, databases) = one_device();
    put(&databases, "a", "1").await.unwrap();
    let held = databases.get("d1").await.unwrap();

    // Kept elsewhere, so that its inode is not given to the new folder.
    std::fs::rename(root.path().join("d1"), root.path().join("away")).unwrap();
    let missing = |result: Result<(), DbError>| matches!(result, Err(DbError::Device(DeviceError::Missing(_))));
    assert!(missing(
        held.commit(|tx| {
            tx.put(b"b".to_vec(), vec![]);
            Ok(())
        })
        .await
    ));
    assert!(missing(put(&databases, "b", "1").await));
    drop(held);

    std::fs::create_dir(root.path().join("d1")).unwrap();
    assert_eq!(get(&databases, "a").await.unwrap(), None);
    put(&databases, "a", "2").await.unwrap();
}

#[tokio::test]
async fn a_second_opener_is_told_why_not() {
    let (root, first) = one_device();
    put(&first, "a", "1").await.unwrap();
    let second = databases(root.path());
    assert!(matches!(put(&second, "a", "2").await, Err(DbError::Locked(device)) if device == "d1"));
    assert_eq!(get(&first, "a").await.unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn damaged_files_are_an_error_and_no_panic() {
    let (root, before) = one_device();
    put(&before, "a", "1").await.unwrap();
    before.close().await;
    std::fs::write(root.path().join("d1/listings/CURRENT"), "MANIFEST-999999\n").unwrap();
    let error = put(&databases(root.path()), "a", "2").await.unwrap_err();
    assert_eq!(error.status(), 507, "{error}");
}

#[tokio::test]
async fn a_full_device_takes_no_writes_but_is_read() {
    let (root, databases) = one_device();
    put(&databases, "a", "1").await.unwrap();
    databases.close().await;
    let full = Databases::new(Arc::new(Devices::new(root.path(), 2)), Reserve::Bytes(u64::MAX));
    assert!(matches!(put(&full, "b", "1").await, Err(DbError::Device(DeviceError::Full(_)))));
    assert_eq!(get(&full, "a").await.unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_panic_in_a_change_ends_its_group_and_no_more() {
    let (_root, databases) = one_device();
    let database = databases.get_writable("d1").await.unwrap();
    let panicked = database.commit::<(), DbError, _>(|_| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(DbError::Panicked)));
    drop(database);
    put(&databases, "a", "1").await.unwrap();
}

/// RocksDB's cursor against the vector's.
#[test]
fn a_scan_walks_as_the_dumb_cursor_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_root, databases) = one_device();
    let database = runtime.block_on(databases.get_writable("d1")).unwrap();
    let mut runner = TestRunner::new(Config::with_cases(300));
    let case = std::cell::Cell::new(0u8);
    let strategy = (proptest::collection::btree_set(name(), 0..20), query());
    let outcome = runner.run(&strategy, |(names, query)| {
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&u64::from(case.replace(case.get().wrapping_add(1))).to_be_bytes());
        getrandom::fill(&mut hash[8..]).unwrap();
        let id = ListingId { kind: Kind::Container, hash: PathHash(hash) };
        let keys: Vec<_> = names.iter().map(|name| id.row(PolicyIndex(0), false, name)).collect();
        let neighbours = [id.row(PolicyIndex(0), true, "a"), id.row(PolicyIndex(1), false, "a")];
        let all = keys.into_iter().chain(neighbours);
        let write = database.commit::<_, DbError, _>(move |tx| {
            all.for_each(|key| tx.put(key, vec![]));
            Ok(())
        });
        runtime.block_on(write).unwrap();

        let expected = listed(&mut Names::new(names.into_iter().collect()), &query);
        let read = database.read::<_, DbError, _>(move |view| {
            let mut scan = view.scan(id.rows(PolicyIndex(0), false), &query.bounds());
            let found = listed(&mut scan, &query);
            scan.finish().map(|()| found)
        });
        prop_assert_eq!(runtime.block_on(read).unwrap(), expected);
        Ok(())
    });
    outcome.unwrap();
}
