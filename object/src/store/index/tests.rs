use std::collections::BTreeSet;
use std::fs;

use apus_base::fs::{Devices, Reserve};
use apus_base::hash_path::HashPath;
use apus_base::timestamp::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::store::metadata::{self, Metadata};
use crate::store::names::FileName;
use crate::store::{Staged, write};

struct Disk {
    _root: tempfile::TempDir,
    shelf: Shelf,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d1")).unwrap();
        let device = Devices::new(root.path(), 2).get("d1").unwrap();
        Self { _root: root, shelf: Shelf { device, policy: PolicyIndex(1) } }
    }

    fn object(&self, partition: u32, name: &str) -> Location {
        let hash = HashPath::new("", "end").object("a", "c", name);
        self.shelf.object(partition, hash, format!("/a/c/{name}"))
    }

    fn put(&self, partition: u32, name: &str, secs: u64) {
        let location = self.object(partition, name);
        let staged = Staged::create(&location, Some(0), Reserve::Bytes(0)).unwrap();
        let mut metadata = Metadata::default();
        metadata.set(metadata::TIMESTAMP, Timestamp::from_secs(secs).internal());
        metadata.set(metadata::CONTENT_LENGTH, "0");
        staged.commit(&location, metadata).unwrap();
    }

    async fn refresh(&self) -> Table {
        refresh(&self.shelf).await.unwrap()
    }

    /// What an index made anew says.
    async fn rebuilt(&self) -> Table {
        let _ = fs::remove_file(self.shelf.folder().join(INDEX));
        self.refresh().await
    }
}

#[tokio::test]
async fn every_change_is_in_the_next_index_and_in_one_made_anew() {
    let disk = Disk::new();
    assert_eq!(disk.refresh().await, Table::default());
    disk.put(1, "a", 1);
    disk.put(1, "b", 1);
    disk.put(2, "c", 1);
    let first = disk.refresh().await;
    assert_eq!(first.0.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(first, disk.rebuilt().await);

    // A deletion shows, and so does its age.
    write::write_tombstone(&disk.object(1, "a"), Timestamp::from_secs(5)).unwrap();
    let second = disk.refresh().await;
    assert_ne!(second.0[&1].digest, first.0[&1].digest);
    assert_eq!(second.0[&1].oldest_tombstone, Some(Timestamp::from_secs(5)));
    assert_eq!((second.0[&2], &second), (first.0[&2], &disk.rebuilt().await));
    assert_eq!(disk.shelf.suffix_table(1).0.len(), 2);
}

#[tokio::test]
async fn an_index_at_rest_is_neither_listed_nor_written() {
    let disk = Disk::new();
    disk.put(1, "a", 1);
    let table = disk.refresh().await;
    let written = || fs::metadata(disk.shelf.folder().join(INDEX)).unwrap().modified().unwrap();
    let before = written();
    // A change that nobody marked: whoever listed would find it.
    fs::remove_dir_all(disk.object(1, "a").folder()).unwrap();
    assert_eq!((disk.refresh().await, written()), (table, before));
    assert_eq!(disk.rebuilt().await, Table::default());
}

#[tokio::test]
async fn what_a_killed_writer_left_is_removed() {
    let disk = Disk::new();
    disk.put(1, "a", 2);
    let table = disk.refresh().await;
    // The new version had its name and the old one was not removed yet; the mark is there.
    let folder = disk.object(1, "a").folder();
    let old = folder.join("0000000001.00000.data");
    fs::copy(folder.join("0000000002.00000.data"), &old).unwrap();
    drop(mark(&disk.object(1, "a")).unwrap());
    assert_eq!(disk.refresh().await, table);
    assert!(!old.exists());
}

#[tokio::test]
async fn folders_that_come_and_go_by_themselves_are_noticed() {
    let disk = Disk::new();
    disk.put(1, "a", 1);
    disk.put(2, "b", 1);
    let both = disk.refresh().await;
    let (one, away) = (disk.shelf.partition(1), disk.shelf.device.path().join("away"));
    fs::rename(&one, &away).unwrap();
    assert_eq!(disk.refresh().await.0.keys().copied().collect::<Vec<_>>(), [2]);
    fs::rename(&away, &one).unwrap();
    assert_eq!(disk.refresh().await, both);
    fs::remove_dir_all(disk.shelf.folder()).unwrap();
    assert_eq!(disk.refresh().await, Table::default());
}

#[tokio::test]
async fn a_damaged_index_is_made_anew() {
    let disk = Disk::new();
    disk.put(1, "a", 1);
    disk.put(1, "b", 1);
    let table = disk.refresh().await;
    fs::write(disk.shelf.folder().join(INDEX), b"APUSIDX1 and nonsense").unwrap();
    assert_eq!(disk.refresh().await, table);
    // That of a partition, when it is needed.
    fs::write(disk.shelf.partition(1).join(SUFFIXES), b"").unwrap();
    disk.put(1, "a", 2);
    assert_eq!(disk.refresh().await.0[&1], disk.rebuilt().await.0[&1]);
}

#[tokio::test]
async fn what_marks_may_have_been_lost_is_listed() {
    let disk = Disk::new();
    disk.put(1, "a", 1);
    disk.refresh().await;
    // The machine dies after a write: the marks are not what they were, and the file says of which boot it is.
    fs::remove_dir_all(disk.object(1, "a").folder()).unwrap();
    fs::write(disk.shelf.folder().join(".changes"), "another boot's id, which has 36 bytes").unwrap();
    assert_eq!(disk.refresh().await, Table::default());
}

#[tokio::test]
async fn writers_and_two_who_refresh_at_once_end_with_the_truth() {
    let disk = Arc::new(Disk::new());
    let writer = {
        let disk = Arc::clone(&disk);
        tokio::task::spawn_blocking(move || (0..60).for_each(|n| disk.put(n % 5, &n.to_string(), 1)))
    };
    while !writer.is_finished() {
        tokio::join!(disk.refresh(), disk.refresh());
    }
    assert_eq!(disk.refresh().await, disk.rebuilt().await);
}

fn names() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("000000000[1-5]\\.00000(\\.data|\\.ts|[+]0\\.meta|\\.meta)", 0..6)
}

proptest! {
    /// Files from several others, in any order and again, leave the same ones.
    #[test]
    fn merging_forgets_the_order(a in names(), b in names(), c in names()) {
        let merge = |groups: &[&Vec<String>]| {
            let mut here: Vec<String> = Vec::new();
            for name in groups.iter().copied().flatten() {
                let file = FileName::parse(name).unwrap();
                if wanted(&here, &[file]) == [true] {
                    here.push(name.clone());
                    here = counting(&here).iter().map(FileName::text).collect();
                }
            }
            here.into_iter().collect::<BTreeSet<_>>()
        };
        let expected = merge(&[&a, &b, &c]);
        prop_assert_eq!(&merge(&[&c, &a, &b]), &expected);
        prop_assert_eq!(&merge(&[&b, &c, &b, &a, &c]), &expected);
    }
}
