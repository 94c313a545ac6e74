//! Copies come to where they belong: what a node missed, what a handoff holds, what a lost disk held, and nothing that was
//! deleted. Each story breaks something, runs passes once, and looks at every disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use apus_tests::copies::{assert_in_place, copies, ring};
use apus_tests::{Cluster, Request, Session, bytes, disk, md5_hex, tools};

/// Runs a whole pass on a node that finds all peers, and returns its last line.
#[track_caller]
fn pass(cluster: &mut Cluster, node: usize) -> String {
    let output = cluster.node(node).pass("replicate", &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().last().expect("a report").to_owned()
}

fn pass_everywhere(cluster: &mut Cluster, nodes: usize) {
    for node in 0..nodes {
        pass(cluster, node);
    }
}

const OBJECTS: usize = 12;

fn body(i: usize) -> Vec<u8> {
    // Short ones, and some that are longer than what is read and written at once.
    bytes(i as u64, if i % 4 == 3 { 1_500_000 + i } else { 100 + i })
}

fn store_all(session: &Session, prefix: &str) {
    for i in 0..OBJECTS {
        session.store(&format!("c/{prefix}{i}"), body(i));
    }
}

#[test]
fn a_node_that_was_down_gets_all_it_missed_and_the_handoff_is_empty() {
    let mut cluster = Cluster::builder().nodes(4).start();
    let tester = cluster.tester();
    tester.make("c");
    store_all(&tester, "posted");
    store_all(&tester, "deleted");
    assert_in_place(&cluster, 4);

    // A node is down while clients write, change and delete.
    cluster.node(0).kill();
    store_all(&tester, "put");
    for i in 0..OBJECTS {
        tester.post(&format!("c/posted{i}")).header("X-Object-Meta-I", i.to_string()).send().expect(202);
        tester.delete(&format!("c/deleted{i}")).send().expect(204);
    }

    // It comes back; each node replicates once.
    cluster.node(0).start(None);
    pass_everywhere(&mut cluster, 4);
    assert_in_place(&cluster, 4);
    let files: Vec<_> = (0..4).flat_map(|node| copies(&cluster, node).into_keys()).collect();
    let many = |ending: &str| files.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((many(".data"), many(".meta"), many(".ts")), (6 * OBJECTS, 3 * OBJECTS, 3 * OBJECTS));

    // Clients see it all with any two other nodes down, and a further pass finds nothing to do.
    assert!(!pass(&mut cluster, 0).contains("worked on"));
    for i in 0..OBJECTS {
        assert!(tester.get(&format!("c/put{i}")).send().expect(200).body == body(i));
        assert_eq!(tester.head(&format!("c/posted{i}")).send().expect(200).need("X-Object-Meta-I"), i.to_string());
        tester.get(&format!("c/deleted{i}")).send().expect(404);
    }
}

#[test]
fn an_emptied_device_is_filled_again() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    store_all(&tester, "o");
    tester.post("c/o1").header("X-Object-Meta-Colour", "é").send().expect(202);
    tester.delete("c/o2").send().expect(204);
    pass_everywhere(&mut cluster, 3);
    let before = copies(&cluster, 1);
    assert_eq!(before.len(), OBJECTS + 1);

    // The disk of a node that runs is emptied; one other is enough to fill it.
    fs::remove_dir_all(cluster.device(1).join("objects")).unwrap();
    let line = pass(&mut cluster, 0);
    assert!(line.contains(&format!("pushed {}", OBJECTS + 1)), "{line}");
    assert_eq!(copies(&cluster, 1), before);
    assert!(!pass(&mut cluster, 2).contains("pushed"));
}

#[test]
fn what_was_acknowledged_before_a_kill_is_replicated_after_it() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    store_all(&tester, "before");
    pass_everywhere(&mut cluster, 3);

    // Two of three take the writes and are killed at once.
    cluster.node(2).kill();
    store_all(&tester, "after");
    cluster.node(0).kill();
    cluster.node(1).kill();
    for node in 0..3 {
        cluster.node(node).start(None);
    }
    pass(&mut cluster, 0);
    assert_in_place(&cluster, 3);
    assert_eq!(copies(&cluster, 2).len(), 2 * OBJECTS);
}

#[test]
fn a_deleted_object_does_not_come_back_from_a_node_that_was_away() {
    // Tombstones may go at once, if the rule lets them.
    let mut cluster = Cluster::builder().settings("replication", "reclaim_age = 0").start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "to be deleted");
    pass_everywhere(&mut cluster, 3);
    cluster.node(2).kill();
    tester.delete("c/o").send().expect(204);

    // As long as it is away its tombstones are kept, however old.
    for node in 0..2 {
        let output = cluster.node(node).pass("replicate", &[]);
        assert!(!output.status.success(), "a peer was away and nobody said so");
        assert!(copies(&cluster, node).keys().all(|name| name.ends_with(".ts")), "the tombstone is gone");
    }

    // It comes back and replicates first what it has.
    cluster.node(2).start(None);
    pass(&mut cluster, 2);
    tester.get("c/o").header("X-Newest", "true").send().expect(404);
    assert!(copies(&cluster, 0).keys().chain(copies(&cluster, 1).keys()).all(|name| name.ends_with(".ts")));

    // Then the others tell it, and the tombstone has done its duty everywhere.
    for _ in 0..2 {
        pass_everywhere(&mut cluster, 3);
    }
    for node in 0..3 {
        assert_eq!(copies(&cluster, node), BTreeMap::new());
    }
    tester.get("c/o").header("X-Newest", "true").send().expect(404);
}

#[test]
fn a_receiver_that_is_killed_has_the_old_version_or_the_new_one() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    for point in apus_object::RECEIVE_CRASH_POINTS {
        for i in 0..OBJECTS {
            tester.store(&format!("c/{i}"), format!("old {point} {i}"));
        }
        pass_everywhere(&mut cluster, 3);
        cluster.node(2).kill();
        for i in 0..OBJECTS {
            tester.store(&format!("c/{i}"), format!("new {point} {i}"));
        }

        // It dies while it takes what it missed.
        cluster.node(2).start(Some(point));
        let output = cluster.node(0).pass("replicate", &[]);
        assert!(!output.status.success(), "nothing failed at {point}");
        cluster.node(2).exited();
        cluster.node(2).start(None);
        let (address, ring) = (cluster.node(2).address("object"), ring(&cluster));
        for i in 0..OBJECTS {
            let hash = apus_base::hash_path::HashPath::new("", "changeme").object("AUTH_test", "c", &i.to_string());
            let path = format!("/d2/{}/AUTH_test/c/{i}", ring.partition(&hash.0));
            let found = Request::new(address, "GET", path).send().expect(200);
            assert_eq!(found.need("Etag").trim_matches('"'), md5_hex(&found.body), "{i} is torn at {point}");
            let text = found.text().to_owned();
            assert!(text == format!("old {point} {i}") || text == format!("new {point} {i}"), "{text} after {point}");
        }

        // The next pass finishes it.
        pass(&mut cluster, 0);
        assert_in_place(&cluster, 3);
        assert!(copies(&cluster, 2).len() == OBJECTS);
    }
}

#[test]
fn a_damaged_copy_is_not_spread_but_put_away_and_replaced() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", bytes(7, 300_000));
    pass_everywhere(&mut cluster, 3);
    let good = copies(&cluster, 2);

    // One disk is lost, and on the one that would fill it a bit has flipped.
    fs::remove_dir_all(cluster.device(1).join("objects")).unwrap();
    let path = disk::with_suffix(&cluster.node(0).devices(), ".data").remove(0);
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 1000).unwrap();

    // It is put away, and replaced at once from the third; the next pass fills the lost disk.
    pass(&mut cluster, 0);
    assert!(cluster.device(0).join("quarantined/objects").exists());
    assert_eq!(
        (copies(&cluster, 0), copies(&cluster, 1).len()),
        (good.clone(), 0),
        "a damaged copy was spread, or not replaced"
    );
    pass(&mut cluster, 2);
    assert_eq!((copies(&cluster, 0), copies(&cluster, 1)), (good.clone(), good));
}

/// How many copies the objects on some nodes have among these.
fn holders(cluster: &Cluster, among: &[usize]) -> BTreeSet<usize> {
    let mut copies_of = BTreeMap::new();
    let names = among.iter().flat_map(|node| copies(cluster, *node).into_keys());
    names.for_each(|name| *copies_of.entry(name).or_insert(0) += 1);
    copies_of.into_values().collect()
}

#[test]
fn one_that_stands_in_for_a_lost_disk_gets_what_it_lacks_as_a_primary_too() {
    let mut cluster = Cluster::builder().nodes(4).start();
    let tester = cluster.tester();
    tester.make("c");
    cluster.node(1).kill();
    store_all(&tester, "o");
    cluster.node(1).start(None);
    cluster.take_away(0);

    // Of what was stored while it was down it lacks what it shall have, and it stands in for the rest.
    for node in [2, 3] {
        assert!(!cluster.node(node).pass("replicate", &[]).status.success(), "a disk is gone and nobody said so");
    }
    assert_eq!(holders(&cluster, &[1, 2, 3]), [3].into(), "not everything has three copies");
    fs::remove_dir_all(cluster.device(0).with_extension("away")).unwrap();
}

#[test]
fn a_handoff_stands_in_for_a_lost_disk_until_there_is_a_new_one() {
    let mut cluster = Cluster::builder().nodes(4).start();
    let tester = cluster.tester();
    tester.make("c");
    store_all(&tester, "o");
    cluster.take_away(0);
    assert!(holders(&cluster, &[1, 2, 3]).contains(&2));
    for node in 1..4 {
        assert!(!cluster.node(node).pass("replicate", &[]).status.success(), "a disk is gone and nobody said so");
    }
    assert_eq!(holders(&cluster, &[1, 2, 3]), [3].into(), "not everything has three copies");

    // A new, empty disk is mounted.
    fs::create_dir(cluster.device(0)).unwrap();
    pass_everywhere(&mut cluster, 4);
    assert_in_place(&cluster, 4);
    fs::remove_dir_all(cluster.device(0).with_extension("away")).unwrap();
}

#[test]
fn partitions_move_when_the_ring_says_so() {
    let mut cluster = Cluster::builder().nodes(4).start();
    let tester = cluster.tester();
    tester.make("c");
    store_all(&tester, "o");
    assert!(!copies(&cluster, 3).is_empty());

    // A device is drained.
    let builder = cluster.rings().join("object.builder");
    let verb = |arguments: &[&str]| {
        tools::run(Command::new(tools::binary()).arg("ring").arg(&builder).args(arguments));
    };
    verb(&["set_weight", "d3", "0"]);
    verb(&["rebalance", "-f", "--seed", "drained"]);
    pass(&mut cluster, 3);
    assert_eq!(copies(&cluster, 3), BTreeMap::new());
    assert_in_place(&cluster, 4);
    assert!(folders(&cluster.device(3).join("objects")).is_empty(), "empty folders are left");
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).filter(|path| path.is_dir()).collect()
}

#[test]
fn a_pass_does_what_its_filter_lets_through() {
    let mut cluster = Cluster::builder().policies(&["gold", "silver"]).start();
    let tester = cluster.tester();
    tester.make("c");
    store_all(&tester, "o");
    fs::remove_dir_all(cluster.device(1).join("objects")).unwrap();
    let first: String = copies(&cluster, 0).keys().next().unwrap().split('/').next().unwrap().into();

    for nothing in [["--policy", "1"], ["--device", "d9"], ["--partition", "4000000000"]] {
        cluster.node(0).pass("replicate", &nothing);
        assert_eq!(copies(&cluster, 1), BTreeMap::new(), "{nothing:?}");
    }
    cluster.node(0).pass("replicate", &["--policy", "0", "--device", "d0", "--partition", &first]);
    let brought = copies(&cluster, 1);
    assert!(!brought.is_empty() && brought.keys().all(|name| name.split('/').next() == Some(&first)), "{brought:?}");
}
