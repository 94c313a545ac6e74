//! `apus status`: redundant, then broken on purpose, then healed by passes run once, and redundant again.

use std::fs;
use std::time::Instant;

use apus_tests::{Cluster, PATIENCE, Session, bytes};
use serde_json::Value;

use crate::{Said, apus, files};

fn status(cluster: &mut Cluster) -> Said {
    apus(cluster, &["status"])
}

/// Account servers learn the counts of containers a little later than the containers do.
#[track_caller]
pub(super) fn becomes_redundant(cluster: &mut Cluster) -> Said {
    let begun = Instant::now();
    loop {
        let said = status(cluster);
        if said.ok || begun.elapsed() > PATIENCE {
            said.is_well().has("FULLY REDUNDANT").has("nothing to repair");
            return said;
        }
    }
}

fn store(tester: &Session, name: &str) {
    (0..12).for_each(|i| tester.store(&format!("c/{name}{i}"), bytes(i, 300)));
}

fn with_objects() -> (Cluster, Session) {
    let mut cluster = Cluster::builder().nodes(4).without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    store(&tester, "o");
    // Account servers learn the counts of containers a little later than the containers do.
    cluster.wait_until_counted("AUTH_test", 12);
    (cluster, tester)
}

#[test]
fn what_a_server_missed_is_at_risk_until_a_pass_brings_it() {
    let (mut cluster, tester) = with_objects();
    let well = becomes_redundant(&mut cluster);
    well.has("12 of 12 answer").has("12 of 12 are well").has("updates           0 wait").has("hold nothing");

    // An object server is away: nobody knows what it has.
    cluster.node(1).stop();
    cluster.node(1).start_only(&["account", "container"], None);
    let away = cluster.node(1).address("object");
    let said = status(&mut cluster);
    said.is_not_well().has("! 1 of 12 servers give no answer").has(&format!("not object {away}"));
    said.has("on servers that do not answer").has("unknown: first the servers and devices that are away");

    // It is back, and misses what was written: handoffs have it.
    store(&tester, "late");
    cluster.node(1).stop();
    cluster.node(1).start(None);
    let said = status(&mut cluster);
    said.is_not_well().has("lack copies; some have 3").has("partitions of objects of gold on d");
    assert!(!said.text.contains("no answer"), "{}", said.text);

    // The passes heal it, and now the pace is known.
    cluster.pass("update");
    (0..2).for_each(|_| cluster.pass("replicate"));
    becomes_redundant(&mut cluster).has("0 things failed in the last passes");
    fs::rename(cluster.device(2).join("objects"), cluster.device(2).join("lost")).unwrap();
    let said = status(&mut cluster);
    said.is_not_well().has("lack copies; some have 2").has("at the rate of the last passes");
    cluster.pass("replicate");
    becomes_redundant(&mut cluster);
}

#[test]
fn a_missing_device_and_a_node_that_is_down_are_named() {
    let (mut cluster, _) = with_objects();
    becomes_redundant(&mut cluster);
    cluster.take_away(2);
    let address = cluster.node(2).address("object");
    let said = status(&mut cluster);
    said.is_not_well().has("devices are not well").has(&format!("d2 of object {address} (missing)"));
    let json = apus(&mut cluster, &["status", "--json"]);
    let facts: Value = serde_json::from_str(json.is_not_well().text.trim()).expect("JSON");
    assert_eq!(facts["verdict"]["redundant"], false);
    let objects = &facts["facts"]["data"]["objects of gold"];
    let lacking = objects["partitions"].as_u64().unwrap() - objects["complete"].as_u64().unwrap();
    assert!(lacking > 0 && objects["at_risk"]["2"].as_u64() == Some(lacking), "{objects}");
    cluster.give_back(2);
    // It may have missed what containers told of themselves.
    cluster.pass("replicate-listings");
    becomes_redundant(&mut cluster);

    cluster.node(3).kill();
    status(&mut cluster).is_not_well().has("3 of 12 servers give no answer");
    cluster.node(3).start(None);
    cluster.pass("replicate-listings");
    becomes_redundant(&mut cluster);
    (0..4).for_each(|node| _ = cluster.node(node).stop());
    status(&mut cluster).is_not_well().has("12 of 12 servers give no answer").has("0 of 12 answer");
}

#[test]
fn a_damaged_copy_is_replaced_and_remembered() {
    let (mut cluster, tester) = with_objects();
    becomes_redundant(&mut cluster);
    let holder = cluster.holders(".data")[0];
    let file = files(&mut cluster, holder, ".data").remove(0);
    fs::write(&file, "torn").unwrap();
    // Whoever reads it finds out; which copy a client reads is chance.
    let relative = file.strip_prefix(cluster.device(holder).join("objects")).unwrap();
    let partition = relative.iter().next().unwrap().to_str().unwrap().to_owned();
    let address = cluster.node(holder).address("object");
    for i in 0..12 {
        let target = format!("/d{holder}/{partition}/AUTH_test/c/o{i}");
        apus_tests::Request::new(address, "GET", target).send();
    }
    // The server asks the others for it at once.
    becomes_redundant(&mut cluster).has("quarantine        1 objects, 0 of them not repaired");
    assert_eq!(tester.list("c").len(), 12);
}

#[test]
fn updates_that_wait_are_counted() {
    let (mut cluster, tester) = with_objects();
    becomes_redundant(&mut cluster);
    // A node has only its object server: its container server misses rows.
    cluster.node(0).stop();
    cluster.node(0).start_only(&["account", "object"], None);
    store(&tester, "missed");
    cluster.node(0).stop();
    cluster.node(0).start(None);
    if cluster.pending_updates().is_empty() {
        // The node is no primary of the container, so nothing waits.
        return;
    }
    let said = status(&mut cluster);
    said.is_not_well().has("updates of listings wait").has("the oldest for");
    cluster.pass("update");
    becomes_redundant(&mut cluster);
}
