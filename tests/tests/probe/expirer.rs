//! Objects that expire while only some replicas know.

use apus_tests::moment::{now, soon};
use apus_tests::{Cluster, wait_until};

use super::Halves;

fn start() -> Halves {
    Halves::build(Cluster::builder().settings("container", "report_interval_seconds = 1"))
}

#[test]
fn an_object_made_anew_after_its_expiry_stays_whatever_the_expirer_finds() {
    let mut halves = start();
    let at = now() + 2;
    halves.tester.put("c/o").header("X-Delete-At", at.to_string()).body("expires").send().expect(201);

    // It is made anew while two primaries are away, after its time has come.
    wait_until("it is late", || now() > at);
    halves.without_first(|tester| tester.store("c/o", "stays"));
    for _ in 0..2 {
        (0..4).for_each(|node| drop(halves.cluster.node(node).pass("expire", &[])));
    }
    halves.heal();
    for node in [halves.first[0], halves.first[1], halves.second[0]] {
        assert_eq!(halves.direct(node).expect(200).text(), "stays");
    }
    assert_eq!(halves.tester.list("c"), ["o"]);
}

/// The expirer meets only replicas that do not know of the version that expires: it tries again later.
fn an_outdated_replica_does_not_end_it(is_there: bool) {
    let mut halves = start();
    if is_there {
        halves.tester.store("c/o", "old");
    }
    let at = soon();
    halves.without_first(|tester| {
        tester.put("c/o").header("X-Delete-At", at.to_string()).body("expires").send().expect(201);
    });
    let second = halves.second;
    for node in second {
        halves.cluster.node(node).kill();
        halves.cluster.node(node).start_only(&["account", "container"], None);
    }
    wait_until("it is late", || now() > at);
    for node in halves.first {
        let _ = halves.cluster.node(node).pass("expire", &[]);
    }
    for node in second {
        halves.cluster.node(node).kill();
        halves.cluster.node(node).start(None);
    }
    halves.cluster.pass("replicate");
    assert!(halves.listing() > 0, "it is gone from the listing and not from the disks");

    wait_until("it is gone", || {
        (0..4).for_each(|node| drop(halves.cluster.node(node).pass("expire", &[])));
        halves.listing() == 0
    });
    halves.heal();
    halves.tester.get("c/o").send().expect(404);
    assert!(halves.cluster.holders(".data").is_empty());
}

#[test]
fn a_replica_that_never_had_it_does_not_end_it() {
    an_outdated_replica_does_not_end_it(false);
}

#[test]
fn a_replica_with_an_older_version_does_not_end_it() {
    an_outdated_replica_does_not_end_it(true);
}

#[test]
fn the_newest_wish_to_expire_counts_when_replicas_differ() {
    let mut halves = start();
    let (at, later) = (soon(), now() + 1000);
    halves.tester.put("c/o").header("X-Delete-At", at.to_string()).body("x").send().expect(201);
    halves.without_second(|tester| {
        tester.post("c/o").header("X-Delete-At", later.to_string()).send().expect(202);
    });
    wait_until("it is late", || now() > at);
    (0..4).for_each(|node| drop(halves.cluster.node(node).pass("expire", &[])));
    halves.heal();
    assert_eq!(halves.tester.get("c/o").send().expect(200).need("X-Delete-At"), later.to_string());
    assert_eq!(halves.tester.list("c"), ["o"]);
}
