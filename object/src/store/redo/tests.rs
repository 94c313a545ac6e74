use std::fs;
use std::path::PathBuf;

use apus_base::fs::{Devices, Reserve};
use apus_base::hash_path::HashPath;
use apus_base::timestamp::Timestamp;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::store::quarantine::Finder;
use crate::store::write::{write_meta, write_tombstone};
use crate::store::{Committed, Found, Staged, read, rewrap};

const JOURNAL_BYTES: u64 = 1024 * 1024;

/// A disk that loses what the test says at each power cut, since nothing but its journal was flushed.
struct Disk {
    root: tempfile::TempDir,
    device: Arc<Device>,
}

fn opened(root: &std::path::Path) -> Arc<Device> {
    let device = Devices::new(root, 1).get("d1").unwrap();
    open(&device, JOURNAL_BYTES);
    device
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d1")).unwrap();
        let device = opened(root.path());
        Self { root, device }
    }

    fn object(&self, name: &str) -> Location {
        Location {
            device: Arc::clone(&self.device),
            policy: PolicyIndex(2),
            partition: 7,
            hash: HashPath::new("", "end").object("a", "c", name),
            name: format!("/a/c/{name}"),
        }
    }

    /// What is on the disk when the power is back is what `lose` leaves.
    fn cut_power(self, lose: impl FnOnce()) -> Self {
        let Self { root, device } = self;
        drop(device);
        lose();
        let device = opened(root.path());
        Self { root, device }
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn metadata(secs: u64, more: &str) -> Metadata {
    let mut metadata = Metadata::default();
    metadata.set(metadata::TIMESTAMP, at(secs).internal());
    metadata.set("X-Object-Meta-More", more);
    metadata
}

fn put(location: &Location, secs: u64, body: &[u8]) {
    let mut staged = Staged::create(location, None, Reserve::Bytes(0)).unwrap();
    staged.write(&[Bytes::copy_from_slice(body)]).unwrap();
    let mut metadata = metadata(secs, "put");
    metadata.set(metadata::CONTENT_LENGTH, body.len().to_string());
    metadata.set(metadata::ETAG, hex(&Md5::digest(body)));
    assert_eq!(staged.commit(location, metadata).unwrap(), Committed::Done);
}

/// Body and metadata of what a reader finds.
fn seen(location: &Location) -> Option<(Vec<u8>, String)> {
    match read::open(location, at(1000), false, Finder::Request).unwrap() {
        Found::Object(object) => {
            let mut body = vec![0; usize::try_from(object.length).unwrap()];
            object.file.read_exact_at(&mut body, 0).unwrap();
            Some((body, object.metadata.text("X-Object-Meta-More").unwrap().to_owned()))
        }
        Found::Deleted(_) => None,
        other => panic!("{other:?}"),
    }
}

fn only_file(location: &Location) -> PathBuf {
    let mut files = fs::read_dir(location.folder()).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[test]
fn what_the_disk_lost_is_made_again() {
    let disk = Disk::new();
    let [lost, empty, torn, whole] = ["lost", "empty", "torn", "whole"].map(|name| disk.object(name));
    for location in [&lost, &empty, &torn, &whole] {
        put(location, 1, location.name.as_bytes());
    }
    let folders = [&lost, &empty, &torn, &whole].map(Location::folder);
    let (empty_file, torn_file) = (only_file(&empty), only_file(&torn));
    drop((lost, empty, torn, whole));
    let disk = disk.cut_power(|| {
        fs::remove_dir_all(&folders[0]).unwrap();
        // A name whose file was never written, and one whose body has not come to the disk.
        fs::write(&empty_file, b"").unwrap();
        fs::remove_file(&empty_file).unwrap();
        fs::write(&empty_file, b"").unwrap();
        fs::OpenOptions::new().write(true).open(&torn_file).unwrap().write_all_at(b"\0\0\0", 2).unwrap();
    });
    for name in ["lost", "empty", "torn", "whole"] {
        let location = disk.object(name);
        assert_eq!(seen(&location), Some((location.name.clone().into_bytes(), "put".into())), "{name}");
        only_file(&location);
    }
    // And the index hears of it.
    assert!(disk.device.has_marks(std::path::Path::new("objects-2")));
}

#[test]
fn posts_and_deletions_are_too_and_older_records_do_no_harm() {
    let disk = Disk::new();
    let [posted, deleted, again] = ["posted", "deleted", "again"].map(|name| disk.object(name));
    for location in [&posted, &deleted, &again] {
        put(location, 1, b"first");
    }
    write_meta(&posted, metadata(2, "post"), Reserve::Bytes(0)).unwrap();
    write_tombstone(&deleted, at(2)).unwrap();
    put(&again, 2, b"second");
    let folders = [&posted, &deleted, &again].map(Location::folder);
    drop((posted, deleted, again));
    let disk = disk.cut_power(|| folders.iter().for_each(|folder| fs::remove_dir_all(folder).unwrap()));
    let check = |disk: &Disk| {
        assert_eq!(seen(&disk.object("posted")), Some((b"first".to_vec(), "post".into())));
        assert_eq!(seen(&disk.object("deleted")), None);
        assert_eq!(seen(&disk.object("again")), Some((b"second".to_vec(), "put".into())));
        only_file(&disk.object("deleted"));
        only_file(&disk.object("again"));
    };
    check(&disk);
    // The next cut finds nothing to do.
    check(&disk.cut_power(|| ()));
}

#[test]
fn what_was_changed_since_stays() {
    let disk = Disk::new();
    let [rewrapped, replaced] = ["rewrapped", "replaced"].map(|name| disk.object(name));
    put(&rewrapped, 1, b"body");
    let Found::Object(object) = read::open(&rewrapped, at(9), false, Finder::Request).unwrap() else {
        panic!("an object")
    };
    let mut changed = Metadata::clone(&object.data_metadata);
    changed.set("X-Object-Meta-More", "rewrapped");
    rewrap::data(&rewrapped, &object, changed, Reserve::Bytes(0)).unwrap();
    drop(object);
    put(&replaced, 1, b"short");
    let long = vec![9; MAX_BODY_BYTES + 1];
    put(&replaced, 2, &long);
    drop((rewrapped, replaced));
    let disk = disk.cut_power(|| ());
    assert_eq!(seen(&disk.object("rewrapped")), Some((b"body".to_vec(), "rewrapped".into())));
    assert_eq!(seen(&disk.object("replaced")), Some((long, "put".into())));
    only_file(&disk.object("replaced"));
}

#[test]
fn a_writer_without_room_flushes_for_itself() {
    let disk = Disk::new();
    let location = disk.object("o");
    disk.device.journal().unwrap().close().unwrap();
    put(&location, 1, b"body");
    drop(location);
    let disk = disk.cut_power(|| ());
    assert_eq!(seen(&disk.object("o")), Some((b"body".to_vec(), "put".into())));
}

#[test]
fn a_folder_that_cannot_be_is_left_and_the_rest_is_made() {
    let disk = Disk::new();
    let [bad, good] = ["bad", "good"].map(|name| disk.object(name));
    put(&bad, 1, b"bad");
    put(&good, 1, b"good");
    let folders = [&bad, &good].map(Location::folder);
    drop((bad, good));
    let disk = disk.cut_power(|| {
        folders.iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
        fs::write(&folders[0], b"a file in place of a folder").unwrap();
    });
    assert_eq!(seen(&disk.object("good")), Some((b"good".to_vec(), "put".into())));
}

proptest! {
    #[test]
    fn any_record_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), versioned: bool) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut().filter(|_| versioned) {
            *first = VERSION;
        }
        let _ = Record::parse(&bytes);
    }
}
