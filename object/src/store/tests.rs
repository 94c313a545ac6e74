use std::fs;
use std::sync::Arc;

use apus_base::fs::{Device, Devices, Reserve};
use apus_base::hash_path::HashPath;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use bytes::Bytes;

use super::*;
use crate::store::quarantine::{Finder, quarantine};

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

    fn object(&self, name: &str) -> Location {
        Location {
            device: Arc::clone(&self.device),
            policy: PolicyIndex(0),
            partition: 7,
            hash: HashPath::new("", "end").object("a", "c", name),
            name: format!("/a/c/{name}"),
        }
    }
}

const BYTES: Reserve = Reserve::Bytes(0);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn put(location: &Location, secs: u64, body: &'static [u8], items: &[(&str, &str)]) -> Committed {
    let mut staged = Staged::create(location, Some(body.len() as u64), BYTES).unwrap();
    staged.write(&[Bytes::from_static(body)]).unwrap();
    let mut metadata = Metadata::default();
    metadata.set(metadata::TIMESTAMP, at(secs).internal());
    metadata.set(metadata::CONTENT_LENGTH, body.len().to_string());
    metadata.set(metadata::CONTENT_TYPE, "text/plain");
    metadata.set(metadata::ETAG, "unchecked");
    for (key, value) in items {
        metadata.set(*key, *value);
    }
    staged.commit(location, metadata).unwrap()
}

fn post(location: &Location, secs: u64, items: &[(&str, &str)]) {
    let mut metadata = Metadata::default();
    metadata.set(metadata::TIMESTAMP, at(secs).internal());
    for (key, value) in items {
        metadata.set(*key, *value);
    }
    write::write_meta(location, metadata, BYTES).unwrap();
}

fn open(location: &Location) -> Found {
    read::open(location, at(1_000), false, Finder::Request).unwrap()
}

fn object(location: &Location) -> Box<Object> {
    let Found::Object(object) = open(location) else { panic!("no object") };
    object
}

fn files(location: &Location) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(location.folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn newer_versions_replace_older_ones() {
    let disk = Disk::new();
    let o = disk.object("o");
    assert!(matches!(open(&o), Found::Nothing { quarantined: false }));

    assert_eq!(put(&o, 1, b"one", &[]), Committed::Done);
    assert_eq!(put(&o, 3, b"three", &[]), Committed::Done);
    assert_eq!(object(&o).length, 5);
    assert_eq!(files(&o), ["0000000003.00000.data"]);

    // An older one that arrives late leaves no trace; the same one twice says so.
    assert_eq!(put(&o, 2, b"two", &[]), Committed::Done);
    assert_eq!(put(&o, 3, b"again", &[]), Committed::Exists);
    assert_eq!(files(&o), ["0000000003.00000.data"]);

    write::write_tombstone(&o, at(4)).unwrap();
    assert!(matches!(open(&o), Found::Deleted(t) if t == at(4)));
    assert_eq!(files(&o), ["0000000004.00000.ts"]);
}

#[test]
fn a_post_replaces_what_a_post_may() {
    let disk = Disk::new();
    let o = disk.object("o");
    put(&o, 1, b"body", &[("X-Object-Meta-A", "1"), ("X-Object-Sysmeta-S", "s"), ("X-Static-Large-Object", "True")]);
    post(&o, 2, &[("X-Object-Meta-B", "2"), ("X-Object-Sysmeta-S", "forged")]);

    let seen = object(&o);
    assert_eq!((seen.metadata.text("X-Object-Meta-A"), seen.metadata.text("X-Object-Meta-B")), (None, Some("2")));
    assert_eq!(seen.metadata.text("X-Object-Sysmeta-S"), Some("s"));
    assert_eq!(seen.metadata.text("X-Static-Large-Object"), Some("True"));
    assert_eq!(seen.metadata.text("Content-Type"), Some("text/plain"));
    assert_eq!((seen.timestamp(), seen.data_timestamp), (at(2), at(1)));
}

#[test]
fn a_content_type_has_a_time_of_its_own() {
    let disk = Disk::new();
    let o = disk.object("o");
    put(&o, 1, b"body", &[]);
    post(&o, 3, &[("Content-Type", "a/b"), ("Content-Type-Timestamp", &at(2).internal())]);
    assert_eq!(files(&o), ["0000000001.00000.data", "0000000003.00000-186a0.meta"]);
    assert_eq!(object(&o).content_type_timestamp(), at(2));

    // Without a content type, a later POST does not hide the one before.
    post(&o, 4, &[]);
    let seen = object(&o);
    assert_eq!((seen.metadata.text("Content-Type"), seen.timestamp()), (Some("a/b"), at(4)));
    assert_eq!(files(&o).len(), 3);
}

#[test]
fn an_expired_object_is_gone_unless_asked_for() {
    let disk = Disk::new();
    let o = disk.object("o");
    put(&o, 1, b"body", &[("X-Delete-At", "1000")]);
    assert!(matches!(open(&o), Found::Expired(t, _) if t == at(1)));
    assert!(matches!(read::open(&o, at(999), false, Finder::Request).unwrap(), Found::Object(_)));
    assert!(matches!(read::open(&o, at(2_000), true, Finder::Request).unwrap(), Found::Object(_)));
}

#[test]
fn damage_goes_to_quarantine_and_is_absent() {
    let disk = Disk::new();
    let quarantined = disk.device.path().join("quarantined/objects");
    type DoDamage = fn(&std::path::Path);
    let damages: [(&str, DoDamage); 3] = [
        ("short", |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1).unwrap()),
        ("unchecked", |path| xattr::set(path, "user.swift.metadata_checksum", &[b'0'; 32]).unwrap()),
        ("bare", |path| xattr::remove(path, "user.swift.metadata").unwrap()),
    ];
    for (name, damage) in damages {
        let o = disk.object(name);
        for _ in 0..2 {
            put(&o, 1, b"body", &[]);
            damage(&o.folder().join("0000000001.00000.data"));
            assert!(matches!(open(&o), Found::Nothing { quarantined: true }), "{name}");
            assert!(!o.folder().exists() && quarantined.join(o.hash.hex()).exists());
        }
    }
    assert_eq!(fs::read_dir(quarantined).unwrap().count(), 6);
}

#[test]
fn quarantine_leaves_newer_versions() {
    let disk = Disk::new();
    let o = disk.object("o");
    put(&o, 1, b"damaged", &[]);
    // A reader finds version 1 damaged, and before it can say so version 3 is written. An old file lies about, too.
    put(&o, 3, b"good", &[]);
    fs::write(o.folder().join("0000000001.00000.data"), b"damaged").unwrap();
    let moved = quarantine(&o, at(1), Finder::Request, &"for this test").unwrap().unwrap();
    assert_eq!((object(&o).length, files(&o)), (4, vec!["0000000003.00000.data".to_owned()]));
    assert!(moved.join("0000000001.00000.data").exists());
}

#[test]
fn a_file_where_the_folder_should_be_is_moved() {
    let disk = Disk::new();
    let o = disk.object("o");
    fs::create_dir_all(o.folder().parent().unwrap()).unwrap();
    fs::write(o.folder(), b"?").unwrap();
    assert!(matches!(open(&o), Found::Nothing { quarantined: true }));
    assert_eq!(put(&o, 1, b"body", &[]), Committed::Done);
}

#[test]
fn another_object_with_the_same_hash_is_left_alone() {
    let disk = Disk::new();
    let o = disk.object("o");
    put(&o, 1, b"body", &[]);
    let liar = Location { name: "/a/c/other".into(), ..o.clone() };
    assert!(matches!(open(&liar), Found::Collision));
    assert!(matches!(open(&o), Found::Object(_)));
}

#[test]
fn a_body_and_a_trailer_are_told_apart() {
    let disk = Disk::new();
    let o = disk.object("o");
    let long = "x".repeat(8192);
    put(&o, 1, b"body", &[("Expires", &long), ("X-Robots-Tag", &long)]);
    post(&o, 2, &[("X-Object-Manifest", &long)]);
    let seen = object(&o);
    assert_eq!((seen.length, seen.metadata.text("X-Object-Manifest")), (4, Some(long.as_str())));
    assert_eq!(seen.data_metadata.text("Expires"), Some(long.as_str()));
}

#[test]
fn a_full_disk_and_a_missing_device_leave_nothing() {
    let disk = Disk::new();
    let o = disk.object("o");
    let full = Staged::create(&o, Some(1), Reserve::Bytes(u64::MAX)).unwrap_err();
    assert!(full.is_insufficient_storage() && !o.folder().exists());
    // Deleting is what makes room.
    write::write_tombstone(&o, at(1)).unwrap();

    fs::remove_dir_all(disk.device.path()).unwrap();
    assert!(Staged::create(&o, Some(1), BYTES).unwrap_err().is_insufficient_storage());
    assert!(write::write_tombstone(&o, at(2)).unwrap_err().is_insufficient_storage());
    assert!(!disk.device.path().exists());
}

#[test]
fn a_pending_update_is_where_swift_looks() {
    use apus_base::timestamp::RowTimestamps;
    use apus_base::wire::{ObjectRow, RowUpdate};
    let disk = Disk::new();
    let o = Location { policy: PolicyIndex(2), ..disk.object("o") };
    let row = ObjectRow {
        name: "o".into(),
        timestamps: RowTimestamps::same(at(5)),
        size: 3,
        content_type: "text/plain".into(),
        etag: "e".into(),
        deleted: false,
        policy: PolicyIndex(2),
    };
    let update = RowUpdate { partition: 1, account: "a".into(), container: "c".into(), row };
    let pending = pending::Pending::new(update);
    let path = pending::write(&o.device, o.policy, &o.hash, at(5), &pending).unwrap();
    let name = format!("async_pending-2/{}/{}-0000000005.00000", o.hash.suffix(), o.hash.hex());
    assert_eq!(path, disk.device.path().join(name));
    assert_eq!(pending::write(&o.device, o.policy, &o.hash, at(5), &pending).unwrap(), path);
    let read: pending::Pending = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!((read.version, read), (1, pending));
}

/// Runs the real Swift's diskfile (`tests/swift_diskfile.py`) on this disk, under the Python that `APUS_SWIFT_PYTHON` names, as
/// `make test` does. Without it the comparison is left out.
fn swift(disk: &Disk, arguments: &[&str]) -> Option<String> {
    let Ok(python) = std::env::var("APUS_SWIFT_PYTHON") else {
        eprintln!("left out: APUS_SWIFT_PYTHON does not name a Python that has Swift");
        return None;
    };
    let script = format!("{}/tests/swift_diskfile.py", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let root = disk.device.path().parent().unwrap();
    let output = std::process::Command::new(python).arg(script).arg(root).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn swift_reads_what_we_write() {
    let disk = Disk::new();
    let (o, dead) = (disk.object("ö"), disk.object("dead"));
    put(&o, 1, b"body", &[("X-Object-Meta-E", "é"), ("X-Object-Sysmeta-S", "s")]);
    post(&o, 3, &[("X-Object-Meta-P", "ü"), ("Content-Type", "a/b"), ("Content-Type-Timestamp", &at(2).internal())]);
    write::write_tombstone(&dead, at(5)).unwrap();
    let Some(seen) = swift(&disk, &["read", "ö", "dead"]) else { return };
    let expected = [
        "name: /a/c/ö",
        "X-Timestamp: 0000000003.00000",
        "X-Object-Meta-P: Ã¼",
        "X-Object-Sysmeta-S: s",
        "Content-Type: a/b",
        "Content-Type-Timestamp: 0000000002.00000",
        "data timestamp: 0000000001.00000",
        "body: body",
        "DiskFileDeleted 0000000005.00000",
    ];
    assert!(expected.iter().all(|line| seen.lines().any(|l| l == *line)), "{seen}");
    assert!(!seen.contains("X-Object-Meta-E"), "{seen}");
}

#[test]
fn we_read_what_swift_writes() {
    let disk = Disk::new();
    let Some(_) = swift(&disk, &["write", "ö"]) else { return };
    let seen = object(&disk.object("ö"));
    assert_eq!((seen.length, seen.data_timestamp, seen.timestamp()), (5, at(100), at(103)));
    assert_eq!(
        (seen.metadata.text("X-Object-Meta-V"), seen.metadata.text("X-Object-Sysmeta-S")),
        (Some("é"), Some("s"))
    );
    assert_eq!((seen.metadata.text("Content-Type"), seen.content_type_timestamp()), (Some("a/b"), at(102)));
    assert_eq!(seen.data_metadata.text("X-Object-Meta-U"), Some("é"));
    assert_eq!(seen.etag(), "818056dbd7e201243206b9c7cd88481c");
}

/// The fileset that Swift chooses is the one we choose, for all sorts of folders.
#[test]
fn swift_chooses_the_same_files() {
    let disk = Disk::new();
    let Some(answers) = swift(&disk, &["choose", "3000"]) else { return };
    assert_eq!(answers.lines().count(), 3000);
    for line in answers.lines() {
        let fields: Vec<Vec<&str>> = line.split('|').map(|f| f.split_ascii_whitespace().collect()).collect();
        let set = names::FileSet::choose(&fields[0]);
        let chosen: Vec<_> = [&set.data, &set.meta, &set.content_type, &set.tombstone]
            .iter()
            .map(|f| f.as_ref().map_or("-".to_owned(), names::FileName::text))
            .collect();
        assert_eq!(chosen, fields[1], "{line}");
        let (mut ours, mut theirs) =
            (set.obsolete.clone(), fields[2].iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{line}");
    }
}
