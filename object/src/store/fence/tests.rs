use std::fs::{self, FileTimes};
use std::sync::{Arc, mpsc};
use std::thread;

use apus_base::fs::{Devices, Reserve};
use apus_base::hash_path::HashPath;
use apus_base::policy::PolicyIndex;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::store::metadata::{self, Metadata};
use crate::store::names::FileSet;
use crate::store::{Committed, Staged, write};

struct Disk {
    _root: tempfile::TempDir,
    device: Arc<Device>,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d1")).unwrap();
        let device = Devices::new(root.path(), 1).get("d1").unwrap();
        Self { _root: root, device }
    }

    fn object(&self) -> Location {
        Location {
            device: Arc::clone(&self.device),
            policy: PolicyIndex(1),
            partition: 7,
            hash: HashPath::new("", "end").object("a", "c", "o"),
            name: "/a/c/o".into(),
        }
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn ballot(secs: u64) -> Timestamp {
    at(secs).as_ballot(7)
}

fn staged(o: &Location, body: &'static [u8]) -> (Staged, Metadata) {
    let mut staged = Staged::create(o, None, Reserve::Bytes(0)).unwrap();
    staged.write(&[Bytes::from_static(body)]).unwrap();
    let mut metadata = Metadata::default();
    metadata.set(metadata::CONTENT_LENGTH, body.len().to_string());
    metadata.set(metadata::CONTENT_TYPE, "a/b");
    metadata.set(metadata::ETAG, "unchecked");
    (staged, metadata)
}

fn put(o: &Location, written: Timestamp) -> Result<Committed, StoreError> {
    let (staged, mut metadata) = staged(o, b"body");
    metadata.set(metadata::TIMESTAMP, written.internal());
    staged.commit(o, metadata)
}

fn ask(o: &Location, ballot: Option<Timestamp>) -> Attended<FileSet> {
    attend(o, ballot, || read::list(o)).unwrap()
}

fn fences(disk: &Disk) -> usize {
    fs::read_dir(disk.device.path().join("fences-1")).map_or(0, Iterator::count)
}

#[test]
fn what_is_older_than_a_promise_does_not_get_in() {
    let disk = Disk::new();
    let o = disk.object();
    assert_eq!(put(&o, at(5)).unwrap(), Committed::Done);
    let asked = ask(&o, Some(ballot(9)));
    assert!(asked.promised && asked.fence == ballot(9) && asked.found.newest() == at(5));

    // Neither a version nor a tombstone; nothing of them stays.
    for refused in [put(&o, at(8)), put(&o, at(9)), write::write_tombstone(&o, at(8))] {
        assert!(matches!(refused, Err(StoreError::Fenced(fence)) if fence == ballot(9)), "{refused:?}");
    }
    assert_eq!(ask(&o, None).found.newest(), at(5));

    // What is newer does, and so does the ballot's own version, which takes the fence's place.
    assert_eq!(put(&o, ballot(9)).unwrap(), Committed::Done);
    clear(&o, ballot(9));
    assert_eq!((fences(&disk), ask(&o, None).found.newest()), (0, ballot(9)));
    // Also then nothing older gets in, and once something plain is above it no older ballot does.
    assert!(matches!(put(&o, at(9)), Err(StoreError::Fenced(fence)) if fence == ballot(9)));
    assert_eq!(put(&o, at(10)).unwrap(), Committed::Done);
    assert!(matches!(enter_ballot(&o, ballot(8)), Err(StoreError::Fenced(fence)) if fence == at(10)));
    assert!(enter_ballot(&o, ballot(10)).is_ok());
}

#[test]
fn a_promise_is_for_what_is_newer_than_all_before() {
    let disk = Disk::new();
    let o = disk.object();
    assert!(ask(&o, Some(ballot(9))).promised);
    for lower in [ballot(8), ballot(9)] {
        let asked = ask(&o, Some(lower));
        assert!(!asked.promised && asked.fence == ballot(9), "{lower}");
    }
    put(&o, at(20)).unwrap();
    assert!(!ask(&o, Some(ballot(19))).promised);
    // A tick shared with another proxy is no tie.
    assert!(ask(&o, Some(at(20).as_ballot(1))).promised && ask(&o, Some(at(20).as_ballot(2))).promised);
    // A fence that was raised meanwhile is not cleared by who committed under the one before.
    clear(&o, at(20).as_ballot(1));
    assert_eq!(current(&o).unwrap(), at(20).as_ballot(2));
}

#[test]
fn a_promise_waits_for_who_is_in_and_tells_of_it() {
    let disk = Disk::new();
    let o = disk.object();
    let entry = enter(&o, at(5)).unwrap();
    let (tell, told) = mpsc::channel();
    let (asking, tells) = (o.clone(), tell.clone());
    let asked = thread::spawn(move || {
        let newest = ask(&asking, Some(ballot(9))).found.newest();
        tells.send("promised").unwrap();
        newest
    });
    // Named while it is in: the promise has to tell of it.
    fs::create_dir_all(o.folder()).unwrap();
    fs::write(o.folder().join(format!("{}.data", at(5).internal())), "").unwrap();
    tell.send("named").unwrap();
    drop((entry, tell));
    assert_eq!((asked.join().unwrap(), told.iter().next()), (at(5), Some("named")));
}

#[test]
fn fences_die_of_age_and_not_of_damage() {
    let disk = Disk::new();
    let o = disk.object();
    assert!(ask(&o, Some(ballot(9))).promised);
    let file = path(&o);
    fs::write(&file, "nonsense").unwrap();
    assert!(current(&o).unwrap() > at(1_000_000), "a damaged fence is one of now");
    assert!(put(&o, at(9)).is_err());
    assert_eq!((sweep(&disk.device).unwrap(), fences(&disk)), (0, 1));

    let old = SystemTime::now() - FENCE_LIFE - FENCE_LIFE;
    fs::File::options().write(true).open(&file).unwrap().set_times(FileTimes::new().set_modified(old)).unwrap();
    assert_eq!(current(&o).unwrap(), Timestamp::ZERO);
    assert_eq!(put(&o, at(9)).unwrap(), Committed::Done);
    assert_eq!((sweep(&disk.device).unwrap(), fences(&disk)), (1, 0));
}

proptest! {
    #[test]
    fn any_text_is_a_fence_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..70), ticks in 0u64..1 << 50, nonce: u16) {
        let fence = Timestamp::from_ticks(ticks).as_ballot(nonce);
        prop_assert_eq!(parse(text(fence).as_bytes()), Some(fence));
        if let Some(fence) = parse(&bytes) {
            prop_assert_eq!(text(fence).into_bytes(), bytes);
        }
    }
}
