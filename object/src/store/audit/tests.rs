use std::sync::Arc;

use apus_base::fs::{Device, Devices, Reserve};
use apus_base::policy::PolicyIndex;
use bytes::Bytes;

use super::*;
use crate::store::Staged;
use crate::store::metadata::{CONTENT_LENGTH, ETAG, TIMESTAMP};

struct Disk {
    _root: tempfile::TempDir,
    device: Arc<Device>,
    salt: HashPath,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let device = Devices::new(root.path(), 1).get("d1").unwrap();
        Self { _root: root, device, salt: HashPath::new("", "end") }
    }

    fn shelf(&self) -> Shelf {
        Shelf { device: Arc::clone(&self.device), policy: PolicyIndex(0) }
    }

    fn object(&self, name: &str) -> Location {
        self.shelf().object(7, self.salt.object("a", "c", name), format!("/a/c/{name}"))
    }

    fn put(&self, name: &str, body: &[u8]) -> Location {
        let location = self.object(name);
        let mut staged = Staged::create(&location, None, Reserve::Bytes(0)).unwrap();
        staged.write(&[Bytes::copy_from_slice(body)]).unwrap();
        let mut metadata = Metadata::default();
        metadata.set(TIMESTAMP, Timestamp::from_secs(1).internal());
        metadata.set(CONTENT_LENGTH, body.len().to_string());
        metadata.set(ETAG, hex(&Md5::digest(body)));
        staged.commit(&location, metadata).unwrap();
        location
    }

    fn look(&self, hash: PathHash) -> Looked {
        look(&self.shelf(), 7, hash, &self.salt, Timestamp::from_secs(9)).unwrap()
    }

    /// Looks, and reads the body to its end; how many pieces it took.
    fn audit(&self, hash: PathHash) -> (Option<Progress>, usize) {
        let State::Version(mut body) = self.look(hash).state else { return (None, 0) };
        let mut pieces = 1;
        loop {
            match body.read_on().unwrap() {
                Progress::More => pieces += 1,
                ended => return (Some(ended), pieces),
            }
        }
    }
}

fn data(location: &Location) -> std::path::PathBuf {
    location.folder().join("0000000001.00000.data")
}

fn flip(location: &Location, at: u64) {
    let file = File::options().read(true).write(true).open(data(location)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 8], at).unwrap();
}

#[test]
fn what_is_sound_is_left_alone() {
    let disk = Disk::new();
    let long: Vec<u8> = (0..2_500_000u32).map(|n| n.to_le_bytes()[0]).collect();
    for (name, body, pieces) in [("empty", &[][..], 1), ("short", b"body", 1), ("long", &long, 3)] {
        let o = disk.put(name, body);
        assert_eq!(disk.audit(o.hash), (Some(Progress::Sound), pieces), "{name}");
    }
    assert_eq!(disk.audit(PathHash([1; 16])), (None, 0));
    let o = disk.put("deleted", b"body");
    write_tombstone(&o, Timestamp::from_secs(2)).unwrap();
    assert!(matches!(disk.look(o.hash).state, State::Gone));
}

#[test]
fn a_flipped_bit_anywhere_in_the_body_is_found() {
    let disk = Disk::new();
    let body = vec![3; 1_200_000];
    for at in [0, 1_048_576, 1_199_999] {
        let o = disk.put("o", &body);
        flip(&o, at);
        assert_eq!(disk.audit(o.hash).0, Some(Progress::Quarantined), "at {at}");
        assert!(!o.folder().exists());
    }
    let o = disk.put("empty", b"");
    xattr::set(data(&o), "user.swift.metadata_checksum", b"0").unwrap();
    assert!(matches!(disk.look(o.hash).state, State::Quarantined));
}

#[test]
fn without_a_look_at_the_body_most_damage_is_seen() {
    let disk = Disk::new();
    type DoDamage = fn(&Location);
    let damages: [(&str, DoDamage); 4] = [
        ("cut off", |o| File::options().write(true).open(data(o)).unwrap().set_len(0).unwrap()),
        ("no metadata", |o| xattr::remove(data(o), "user.swift.metadata").unwrap()),
        ("other metadata", |o| xattr::set(data(o), "user.swift.metadata", b"?").unwrap()),
        ("a file in its place", |o| {
            std::fs::remove_dir_all(o.folder()).unwrap();
            std::fs::write(o.folder(), b"?").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let o = disk.put("o", b"body");
        damage(&o);
        assert!(matches!(disk.look(o.hash).state, State::Quarantined), "{what}");
        assert!(!o.folder().exists(), "{what}");
    }
}

#[test]
fn what_belongs_to_another_hash_goes_and_what_is_unexpected_is_named() {
    let disk = Disk::new();
    let o = disk.put("o", b"body");
    let wrong = Location { hash: PathHash([9; 16]), ..o.clone() };
    std::fs::create_dir_all(wrong.folder().parent().unwrap()).unwrap();
    std::fs::rename(o.folder(), wrong.folder()).unwrap();
    assert!(matches!(disk.look(wrong.hash).state, State::Quarantined));

    let o = disk.put("o", b"body");
    std::fs::write(o.folder().join(".0000000001.00000.data.Xy12Z"), b"").unwrap();
    let looked = disk.look(o.hash);
    assert!(matches!(looked.state, State::Version(_)));
    assert_eq!(looked.unexpected, [".0000000001.00000.data.Xy12Z"]);
}

#[test]
fn a_watcher_has_it_put_away_or_deleted() {
    let disk = Disk::new();
    let o = disk.put("o", b"body");
    let State::Version(body) = disk.look(o.hash).state else { panic!("a version") };
    body.put_away("dark").unwrap();
    assert!(!o.folder().exists());
    disk.put("o", b"body");
    let State::Version(body) = disk.look(o.hash).state else { panic!("a version") };
    body.delete().unwrap();
    assert!(matches!(disk.look(o.hash).state, State::Gone) && !data(&o).exists());
}
