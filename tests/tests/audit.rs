//! What rots on a disk is found, put away with the reason, and replaced at once by a good copy. Each story breaks copies on
//! purpose, runs the auditor once or has a client read, and looks at every disk.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use apus_tests::copies::{assert_in_place, copies, ring};
use apus_tests::{Cluster, ClusterBuilder, Copy, Request, Session, bytes, disk};
use rustix::fs::{XattrFlags, removexattr, setxattr};

fn cluster() -> ClusterBuilder {
    Cluster::builder().without_passes().settings("auditor", "disk_share = 1.0")
}

/// The one file of an object on a node: its name in the ring's words is found by its hash.
fn data(cluster: &Cluster, node: usize, object: &str) -> PathBuf {
    let hash = apus_base::hash_path::HashPath::new("", "changeme").object("AUTH_test", "c", object);
    let partition = ring(cluster).partition(&hash.0).to_string();
    let folder = cluster.device(node).join("objects").join(partition).join(hash.suffix()).join(hash.hex());
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

fn flip_a_bit(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 1).unwrap();
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The records of what a node has in quarantine.
fn reasons(cluster: &Cluster, node: usize) -> Vec<serde_json::Value> {
    let files = disk::files(&cluster.device(node).join("quarantined"));
    let records = files.iter().filter(|path| path.ends_with(".reason"));
    records.map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

fn store_some(session: &Session, many: usize) {
    session.make("c");
    (0..many).for_each(|i| session.store(&format!("c/o{i}"), bytes(i as u64, 50_000 + i)));
}

#[test]
fn an_audit_finds_all_kinds_of_damage_and_they_are_repaired_at_once() {
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    store_some(&tester, 8);
    let good = copies(&cluster, 0);

    // On one node: a flipped bit, a file cut off, damaged metadata, none at all, an object under another's hash.
    flip_a_bit(&data(&cluster, 0, "o0"));
    fs::File::options().write(true).open(data(&cluster, 0, "o1")).unwrap().set_len(9).unwrap();
    setxattr(data(&cluster, 0, "o2"), "user.swift.metadata", b"?", XattrFlags::empty()).unwrap();
    removexattr(data(&cluster, 0, "o3"), "user.swift.metadata").unwrap();
    let folder = data(&cluster, 0, "o4").parent().unwrap().to_owned();
    let other = folder.with_file_name(format!(
        "{}{}",
        "0".repeat(29),
        &folder.to_str().unwrap()[folder.to_str().unwrap().len() - 3..]
    ));
    fs::rename(&folder, &other).unwrap();

    // One pass finds all, and each has its good copy again.
    let output = cluster.node(0).pass("audit", &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("quarantined 5") && said(&output).contains("repaired 5, without a good copy 0"),
        "{}",
        said(&output)
    );
    assert_eq!(copies(&cluster, 0), good);
    assert_in_place(&cluster, 3);

    // What was put away says why, and from where it was replaced; the next pass finds nothing.
    let reasons = reasons(&cluster, 0);
    assert_eq!(reasons.len(), 5);
    assert!(
        reasons.iter().all(|reason| reason["by"] == "audit" && reason["repaired"]["from"].is_string()),
        "{reasons:?}"
    );
    let output = cluster.node(0).pass("audit", &[]);
    assert!(!said(&output).contains("quarantined") && said(&output).contains("repaired 0"), "{}", said(&output));
    let recon = fs::read(cluster.node(0).config().with_file_name("recon").join("object.recon")).unwrap();
    let recon: serde_json::Value = serde_json::from_slice(&recon).unwrap();
    assert_eq!(recon["object_auditor_stats_ALL"]["d0"]["passes"], 8);
}

#[test]
fn what_a_client_finds_damaged_is_repaired_at_once() {
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    store_some(&tester, 2);
    tester.store("c/long", bytes(5, 3_000_000));
    let good = copies(&cluster, 1);
    for object in ["o0", "long"] {
        let path = data(&cluster, 1, object);
        flip_a_bit(&path);

        // The one server that has the damaged copy is asked for it, and does not give it as whole.
        let partition = path.ancestors().nth(3).unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let address = cluster.node(1).address("object");
        let answer = Request::new(address, "GET", format!("/d1/{partition}/AUTH_test/c/{object}")).try_send();
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status != 200));

        // It says when it has another.
        cluster.node(1).process().wait_for_log(&["repaired from another copy", object]);
        assert_eq!(copies(&cluster, 1), good);
    }
    assert!(reasons(&cluster, 1).iter().all(|reason| reason["by"] == "request"));
    assert_in_place(&cluster, 3);
}

#[test]
fn without_a_good_copy_it_stays_in_quarantine_until_there_is_one() {
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    store_some(&tester, 3);
    let good = copies(&cluster, 2);
    (0..3).for_each(|node| flip_a_bit(&data(&cluster, node, "o1")));

    // The first node finds its copy, asks for the others, and with that they are found, too.
    let output = cluster.node(0).pass("audit", &[]);
    assert!(!output.status.success() && said(&output).contains("without a good copy 1"), "{}", said(&output));
    assert!(said(&output).contains("no good copy: none of the devices"), "{}", said(&output));
    for node in [1, 2] {
        cluster.node(node).process().wait_for_log(&["no good copy"]);
    }
    tester.get("c/o1").send().expect(404);
    assert!((0..3).all(|node| reasons(&cluster, node).len() == 1 && copies(&cluster, node).len() == 2));

    // An operator mends one of them; the next passes bring it to all.
    let quarantined = disk::files(&cluster.device(2).join("quarantined"))
        .into_iter()
        .find(|p| p.ends_with(".data") || p.extension().is_some_and(|e| e == "data"))
        .unwrap();
    flip_a_bit(&quarantined);
    let home = cluster
        .device(2)
        .join("objects")
        .join(good.keys().find(|name| !copies(&cluster, 2).contains_key(*name)).unwrap());
    fs::create_dir_all(home.parent().unwrap()).unwrap();
    fs::rename(quarantined, home).unwrap();
    for node in 0..3 {
        let output = cluster.node(node).pass("audit", &[]);
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(copies(&cluster, 0), good);
    assert_in_place(&cluster, 3);
}

#[test]
fn an_audit_that_was_killed_goes_on_where_it_was() {
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    store_some(&tester, 40);
    flip_a_bit(&data(&cluster, 0, "o7"));
    let partitions: std::collections::BTreeSet<_> =
        copies(&cluster, 0).keys().map(|name| name.split('/').next().unwrap().to_owned()).collect();
    assert!(partitions.len() > 10);

    assert!(cluster.node(0).pass_until("audit", "audit.object.done:30"), "it did not die");
    let output = cluster.node(0).pass("audit", &[]);
    assert!(output.status.success() && said(&output).contains("resumed 1"), "{}", said(&output));
    let objects: usize = said(&output).rsplit("objects ").next().unwrap().split(',').next().unwrap().parse().unwrap();
    assert!((1..30).contains(&objects), "{objects} of 40 were looked at again: {}", said(&output));
    assert_in_place(&cluster, 3);

    // The one after that begins at the beginning.
    let output = cluster.node(0).pass("audit", &["--zero-byte-fast"]);
    assert!(said(&output).contains("objects 40") && !said(&output).contains("resumed"), "{}", said(&output));
}

#[test]
fn what_no_container_lists_is_found_when_all_containers_say_so() {
    let dark = "dark_data_action = \"delete\"\ndark_data_grace_age = 0";
    let mut cluster = cluster().settings("auditor", dark).start();
    let tester = cluster.tester();
    store_some(&tester, 4);

    // All rows of one object are lost, and some of another.
    let forget = |cluster: &mut Cluster, object: &str, nodes: std::ops::Range<usize>| {
        for node in nodes {
            let address = cluster.node(node).address("container");
            let row = Request::new(address, "DELETE", format!("/d{node}/0/AUTH_test/c/{object}"));
            row.header("X-Timestamp", "9999999999.00000").send().expect(204);
        }
    };
    forget(&mut cluster, "o0", 0..3);
    forget(&mut cluster, "o1", 0..2);

    // As long as one container server is away, nothing is known for certain.
    let before = copies(&cluster, 0);
    cluster.node(2).kill();
    let output = cluster.node(0).pass("audit", &[]);
    assert_eq!(copies(&cluster, 0), before, "{}", said(&output));
    cluster.node(2).start(None);

    // Then the first goes, everywhere, and the second stays.
    cluster.node(0).pass("audit", &[]);
    cluster.pass("replicate");
    for node in 0..3 {
        let left = copies(&cluster, node);
        assert_eq!(left.keys().filter(|name| name.ends_with(".data")).count(), 3, "{left:?}");
    }
    assert_in_place(&cluster, 3);
}

#[test]
fn a_program_looks_on_and_what_it_does_not_want_is_put_away() {
    // For every line about this object it writes one that wants it gone.
    let script = r#"sed -un '/AUTH_test.c.o2"/ s/.*"device":"\([^"]*\)".*"path":"\([^"]*\)".*/{"quarantine":{"device":"\1","path":"\2","why":"unwanted"}}/p'"#;
    let settings = format!("watcher_command = [\"sh\", \"-c\", '''{script}''']");
    let mut cluster = cluster().settings("auditor", &settings).start();
    let tester = cluster.tester();
    store_some(&tester, 4);
    let output = cluster.node(0).pass("audit", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let reasons = reasons(&cluster, 0);
    assert_eq!(reasons.len(), 1, "{}", said(&output));
    assert!(reasons[0]["why"] == "unwanted" && reasons[0]["by"] == "watcher" && reasons[0]["repaired"].is_null());
    assert_eq!(copies(&cluster, 0).len(), 3);
}

#[test]
fn damaged_listings_are_put_aside_and_brought_from_another_copy() {
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    store_some(&tester, 30);
    cluster.pass("replicate-listings");
    let good = cluster.assert_in_place("AUTH_test/c");

    // On one node the tables rot; twice started, all its listings are in tables.
    for _ in 0..2 {
        cluster.node(2).stop();
        cluster.node(2).start(None);
        assert!(cluster.copy(2, "AUTH_test/c").is_some());
    }
    cluster.node(2).stop();
    assert!(cluster.garble_files(2, ".sst") > 0);
    cluster.node(2).start(None);

    // Who finds them damaged, the audit or whoever opens them, puts them aside; the others bring theirs.
    let output = cluster.node(2).pass("audit", &[]);
    cluster.pass("replicate-listings");
    assert!(cluster.device(2).join("quarantined/listings").exists(), "{}", said(&output));
    assert_eq!(cluster.assert_in_place("AUTH_test/c"), good, "{}", said(&output));
    cluster.wait_until_counted("AUTH_test", 30);
}

#[test]
fn listings_that_cannot_be_opened_come_back_without_anybodys_pass() {
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    store_some(&tester, 30);
    store_sound(&tester);
    cluster.pass("replicate-listings");
    let good = listings(&mut cluster, 31);
    for (round, damaged) in ["MANIFEST", ".sst"].into_iter().enumerate() {
        // Opened anew, it has all in tables. Then it dies, and its disk is not what it was.
        for _ in 0..2 {
            cluster.node(2).stop();
            cluster.node(2).start(None);
            assert!(cluster.copy(2, "AUTH_test/c").is_some());
        }
        cluster.node(2).kill();
        assert!(cluster.garble_files(2, damaged) > 0);
        cluster.node(2).start(None);

        // Whoever opens them finds that, and both servers have their listings brought.
        for path in LISTINGS {
            cluster.ask(2, "HEAD", path).send();
        }
        for _ in 0..2 {
            cluster.node(2).process().wait_for_log(&["the other copies of what was put aside were asked for"]);
        }
        assert_eq!(listings(&mut cluster, 31), good, "{damaged}");
        assert_eq!(fs::read_dir(cluster.device(2).join("quarantined/listings")).unwrap().count(), round + 1);
    }
}

/// A container that is damaged, one that is not, and their account.
const LISTINGS: [&str; 3] = ["AUTH_test/c", "AUTH_test/sound", "AUTH_test"];

/// The container that is not damaged has an object, too, so that the account hears of it.
fn store_sound(session: &Session) {
    session.make("sound");
    session.store("sound/o", "x");
}

/// The containers, the same on all nodes, and what each node's account lists when it counts so many objects.
fn listings(cluster: &mut Cluster, objects: usize) -> ([Copy; 2], [serde_json::Value; 3]) {
    cluster.wait_until_counted("AUTH_test", objects);
    let [damaged, sound, account] = LISTINGS;
    let containers = [damaged, sound].map(|path| cluster.assert_in_place(path));
    (containers, [0, 1, 2].map(|node| cluster.copy(node, account).expect("an account").listing))
}

#[test]
fn a_container_that_is_not_what_its_sums_say_is_replaced_at_once_and_no_other_touched() {
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    store_some(&tester, 20);
    store_sound(&tester);
    cluster.pass("replicate-listings");
    let good = listings(&mut cluster, 21);

    // One row is another, and later one row too many is counted; RocksDB's checksums know nothing of that.
    let damages: [fn(&mut Cluster); 2] =
        [|cluster| cluster.garble_row(1, "AUTH_test/c", "o7"), |cluster| cluster.garble_stats(1, "AUTH_test/c")];
    for damage in damages {
        cluster.node(1).stop();
        damage(&mut cluster);
        cluster.node(1).start(None);
        assert_ne!(cluster.copy(1, "AUTH_test/c").as_ref(), Some(&good.0[0]));

        // When the pass has ended it is whole again, and nobody else ran any.
        let output = cluster.node(1).pass("audit", &[]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("asked 2, quarantined 1, "), "{}", said(&output));
        assert_eq!(listings(&mut cluster, 21), good);
    }

    // What was put away says why; the next pass finds all sound.
    let records = reasons(&cluster, 1);
    assert!(records.len() == 2 && records.iter().all(|record| record["name"] == "/AUTH_test/c"), "{records:?}");
    let has = |why: &str| records.iter().any(|record| record["why"].as_str().unwrap().contains(why));
    assert!(has("the digest") && has("it says"), "{records:?}");
    let output = cluster.node(1).pass("audit", &[]);
    assert!(!said(&output).contains("quarantined"), "{}", said(&output));
}

#[test]
fn a_server_audits_its_listings_by_itself() {
    let mut cluster = Cluster::builder().settings("auditor", "listing_interval = 1\ndisk_share = 1.0").start();
    let tester = cluster.tester();
    store_some(&tester, 5);
    store_sound(&tester);
    cluster.pass("replicate-listings");
    let good = listings(&mut cluster, 6);
    cluster.node(0).stop();
    cluster.garble_row(0, "AUTH_test/c", "o3");
    cluster.node(0).start(None);
    cluster.node(0).process().wait_for_log(&["quarantined", "the digest"]);
    cluster.node(0).process().wait_for_log(&["the other copies", "container"]);
    assert_eq!(listings(&mut cluster, 6), good);
}

#[test]
fn an_audit_of_listings_that_was_killed_goes_on_where_it_was() {
    const CONTAINERS: usize = 30;
    let mut cluster = cluster().start();
    let tester = cluster.tester();
    (0..CONTAINERS).for_each(|i| tester.make(&format!("c{i}")));
    cluster.pass("replicate-listings");

    // The server dies in the middle of it.
    cluster.node(0).stop();
    cluster.node(0).start(Some(&format!("{}:20", apus_auditor::listing::AUDITED)));
    let output = cluster.node(0).pass("audit", &[]);
    assert!(!output.status.success(), "{}", said(&output));
    cluster.node(0).exited();
    cluster.node(0).start(None);

    let databases = |output: &Output| -> usize {
        let said = said(output);
        let sound = said.rsplit("sound ").next().and_then(|rest| rest.split(',').next()).and_then(|n| n.parse().ok());
        sound.unwrap_or_else(|| panic!("{said}"))
    };
    let output = cluster.node(0).pass("audit", &[]);
    assert!(output.status.success() && said(&output).contains("resumed 1"), "{}", said(&output));
    assert!((1..20).contains(&databases(&output)), "{}", said(&output));

    // The one after that begins at the beginning.
    let output = cluster.node(0).pass("audit", &[]);
    assert!(databases(&output) == CONTAINERS && !said(&output).contains("resumed"), "{}", said(&output));
}
