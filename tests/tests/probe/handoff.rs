//! Copies that stand in for others: written when a primary is away, read when all are, and brought home.

use std::fs;

use apus_tests::copies::copies;

use super::Halves;

#[test]
fn a_handoff_serves_alone_and_brings_its_copy_to_an_empty_device() {
    let mut halves = Halves::start();
    let ([away, other], [third, handoff]) = (halves.first, halves.second);

    // One primary is down, and what its device held is gone.
    halves.cluster.node(away).kill();
    let _ = fs::remove_dir_all(halves.cluster.device(away).join("objects"));
    halves.tester.store("c/o", "VERIFY");
    assert_eq!(halves.direct(handoff).expect(200).text(), "VERIFY");

    // The handoff is the only one left.
    halves.cluster.node(other).kill();
    halves.cluster.node(third).kill();
    assert_eq!(halves.tester.get("c/o").send().expect(200).text(), "VERIFY");
    for node in [away, other, third] {
        halves.cluster.node(node).start(None);
    }
    assert!(halves.listing() > 0);

    // Its pass alone brings it home.
    halves.direct(away).expect(404);
    assert!(halves.cluster.node(handoff).pass("replicate", &[]).status.success());
    assert_eq!(halves.direct(away).expect(200).text(), "VERIFY");
    halves.direct(handoff).expect(404);
    halves.heal();
}

#[test]
fn a_deletion_while_a_primary_is_down_reaches_it() {
    let mut halves = Halves::start();
    halves.tester.store("c/o", "VERIFY");
    let away = halves.first[0];
    halves.cluster.node(away).kill();
    halves.tester.delete("c/o").send().expect(204);
    halves.tester.get("c/o").send().expect(404);

    // It still has it when it comes back, and the others know better.
    halves.cluster.node(away).start(None);
    halves.direct(away).expect(200);
    halves.tester.get("c/o").header("X-Newest", "true").send().expect(404);
    halves.heal();
    assert_eq!(halves.listing(), 0);
    halves.direct(away).expect(404);
    halves.tester.get("c/o").send().expect(404);
}

#[test]
fn a_handoff_that_missed_a_deletion_is_not_believed() {
    let mut halves = Halves::start();
    let (away, handoff) = (halves.first[0], halves.second[1]);
    halves.cluster.node(away).kill();
    halves.tester.store("c/o", "VERIFY");
    halves.cluster.node(away).start(None);

    // The deletion goes to the primaries, and the handoff keeps its copy; the tombstones count.
    halves.tester.delete("c/o").send().expect(204);
    halves.direct(handoff).expect(200);
    for _ in 0..5 {
        halves.tester.get("c/o").send().expect(404);
    }
    halves.heal();
    halves.direct(handoff).expect(404);
}

#[test]
fn without_primaries_nothing_is_known_until_a_tombstone_is() {
    let mut halves = Halves::start();
    let primaries = [halves.first[0], halves.first[1], halves.second[0]];
    primaries.iter().for_each(|&node| drop(halves.cluster.node(node).kill()));
    primaries.iter().for_each(|&node| halves.cluster.node(node).start_only(&["account", "container"], None));

    // A handoff that has nothing proves nothing.
    halves.tester.get("c/o").send().expect(503);

    // A deletion of what is not there leaves a tombstone on the handoff, which is an answer.
    halves.cluster.node(primaries[0]).kill();
    halves.cluster.node(primaries[0]).start(None);
    let deleted = halves.tester.delete("c/o").send().status;
    assert!(matches!(deleted, 404 | 503), "{deleted}");
    halves.cluster.node(primaries[0]).kill();
    halves.cluster.node(primaries[0]).start_only(&["account", "container"], None);
    halves.tester.get("c/o").send().expect(404);

    primaries.iter().for_each(|&node| drop(halves.cluster.node(node).kill()));
    primaries.iter().for_each(|&node| halves.cluster.node(node).start(None));
    halves.heal();
}

#[test]
fn two_nodes_fail_one_after_the_other_and_nothing_is_lost() {
    let mut halves = Halves::start();
    let [one, two] = halves.first;

    // With two of three primaries away a quorum is one primary and the handoff.
    halves.cluster.node(one).kill();
    halves.tester.store("c/o", "first");
    halves.cluster.node(two).kill();
    halves.tester.store("c/o", "second");
    assert_eq!(halves.tester.get("c/o").send().expect(200).text(), "second");
    halves.tester.post("c/o").header("X-Object-Meta-A", "b").send().expect(202);

    // Each comes back with an older state, one without its disk's contents.
    halves.cluster.node(one).start(None);
    fs::remove_dir_all(halves.cluster.device(two).join("objects")).expect("a copy");
    halves.cluster.node(two).start(None);
    halves.heal();
    for node in [one, two, halves.second[0]] {
        let found = halves.direct(node).expect(200);
        assert_eq!((found.text(), found.need("X-Object-Meta-A")), ("second".into(), "b"));
    }
    assert!(copies(&halves.cluster, halves.second[1]).is_empty());
}
