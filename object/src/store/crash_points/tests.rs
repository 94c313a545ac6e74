//! A process that writes is killed at each crash point; whoever opens the disk next finds the old version or the new one.
//!
//! Each point runs in a process of its own: this test binary again, told what to do by its environment.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use apus_base::crash;
use apus_base::fs::{Devices, Reserve, sweep};
use apus_base::hash_path::HashPath;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate};
use bytes::Bytes;

use super::CRASH_POINTS;
use crate::store::metadata::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, TIMESTAMP};
use crate::store::pending::{self, Pending};
use crate::store::quarantine::Finder;
use crate::store::{Found, Location, Metadata, Staged, fence, read, rewrap, write};

const POINT: &str = "APUS_TEST_POINT";
const ROOT: &str = "APUS_TEST_ROOT";

fn object(root: &Path) -> Location {
    Location {
        device: Devices::new(root, 1).get("d1").unwrap(),
        policy: PolicyIndex(0),
        partition: 1,
        hash: HashPath::new("", "end").object("a", "c", "o"),
        name: "/a/c/o".into(),
    }
}

fn put(o: &Location, secs: u64, body: &'static [u8]) {
    let mut staged = Staged::create(o, None, Reserve::Bytes(0)).unwrap();
    staged.write(&[Bytes::from_static(body)]).unwrap();
    let mut metadata = Metadata::default();
    metadata.set(TIMESTAMP, Timestamp::from_secs(secs).internal());
    metadata.set(CONTENT_LENGTH, body.len().to_string());
    metadata.set(CONTENT_TYPE, "a/b");
    metadata.set(ETAG, "unchecked");
    staged.commit(o, metadata).unwrap();
}

fn post(o: &Location, secs: u64) {
    let mut metadata = Metadata::default();
    metadata.set(TIMESTAMP, Timestamp::from_secs(secs).internal());
    metadata.set("X-Object-Meta-New", "n".repeat(8000));
    write::write_meta(o, metadata, Reserve::Bytes(0)).unwrap();
}

fn rewrap_data(o: &Location) {
    let Found::Object(object) = read::open(o, Timestamp::from_secs(9), false, Finder::Request).unwrap() else {
        panic!("an object")
    };
    let mut metadata = Metadata::clone(&object.data_metadata);
    metadata.set("X-Object-Meta-New", "n".repeat(8000));
    rewrap::data(o, &object, metadata, Reserve::Bytes(0)).unwrap();
}

fn ballot() -> Timestamp {
    Timestamp::from_secs(2).as_ballot(0)
}

fn keep_update(o: &Location, secs: u64) {
    let row = ObjectRow {
        name: "o".into(),
        timestamps: RowTimestamps::same(Timestamp::from_secs(secs)),
        size: 1,
        content_type: "a/b".into(),
        etag: "e".into(),
        deleted: false,
        policy: PolicyIndex(0),
    };
    let update = RowUpdate { partition: 1, account: "a".into(), container: "c".into(), row };
    pending::write(&o.device, o.policy, &o.hash, Timestamp::from_secs(secs), &Pending::new(update)).unwrap();
}

/// What the dying process does.
#[test]
#[ignore = "run by the test below"]
fn victim() {
    let (point, root) = (std::env::var(POINT).unwrap(), std::env::var(ROOT).unwrap());
    let o = object(Path::new(&root));
    crash::arm(&point, 0);
    match point.split('.').nth(1).unwrap() {
        "put" => put(&o, 2, b"new version"),
        "post" => post(&o, 2),
        "rewrap" => rewrap_data(&o),
        "fence" => drop(fence::attend(&o, Some(ballot()), || read::list(&o)).unwrap()),
        "delete" => drop(write::write_tombstone(&o, Timestamp::from_secs(2)).unwrap()),
        _ => keep_update(&o, 2),
    }
}

/// What a reader sees: nothing, or the body's length and whether the POST is there.
fn seen(o: &Location) -> Option<(u64, bool)> {
    match read::open(o, Timestamp::from_secs(9), false, Finder::Request).unwrap() {
        Found::Object(object) => Some((object.length, object.metadata.get("X-Object-Meta-New").is_some())),
        Found::Deleted(_) => None,
        other => panic!("torn: {other:?}"),
    }
}

#[test]
fn old_or_new_at_every_point() {
    // The points between the store and the answer belong to the server's story.
    let of_server = ["object.update", "object.answer", "object.hold"];
    let in_store = |p: &&&str| !of_server.iter().any(|server| p.starts_with(server));
    for point in CRASH_POINTS.iter().filter(in_store) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let o = object(root.path());
        put(&o, 1, b"old");

        let victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::crash_points::tests::victim", "--ignored"])
            .envs([(POINT, point.as_ref()), (ROOT, root.path().as_os_str())])
            .output()
            .unwrap();
        assert_eq!(victim.status.signal(), Some(9), "{point} was not reached");

        let (old, new) = match point.split('.').nth(1).unwrap() {
            "put" => (Some((3, false)), Some((11, false))),
            "post" | "rewrap" => (Some((3, false)), Some((3, true))),
            "delete" => (Some((3, false)), None),
            _ => (Some((3, false)), Some((3, false))),
        };
        let named = ["linked", "link_flushed", "cleaned"].iter().any(|step| point.ends_with(step));
        assert_eq!(seen(&o), if named { new } else { old }, "{point}");
        assert_eq!(sweep(o.device.path()).unwrap(), 0, "{point}: leftovers");
        let promised = point.starts_with("object.fence") && named;
        assert_eq!(fence::current(&o).unwrap(), if promised { ballot() } else { Timestamp::ZERO }, "{point}");

        // Life goes on, and the next write removes what the dead process left.
        put(&o, 3, b"newest!");
        assert_eq!(seen(&o), Some((7, false)), "{point}");
        assert_eq!(std::fs::read_dir(o.folder()).unwrap().count(), 1, "{point}");
    }
}
