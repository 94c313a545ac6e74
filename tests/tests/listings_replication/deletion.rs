//! What was deleted is deleted everywhere, and does not come back when it was forgotten.

use std::process::Command;

use apus_tests::{Copy, tools};

use super::{C, PASS, empty, pass, pass_everywhere, pass_until, quiet, tell};

#[test]
fn a_container_deleted_on_some_nodes_is_deleted_on_all_unless_it_lives() {
    for deleted in [&[2][..], &[0, 1]] {
        let mut cluster = quiet().start();
        let tester = cluster.tester();
        tester.make("c");
        for node in deleted {
            cluster.ask(*node, "DELETE", C).header("X-Timestamp", "4000000000.00000").send().expect(204);
        }
        pass_everywhere(&mut cluster);
        assert_eq!(cluster.assert_in_place(C).status, 404);
        pass_until(&mut cluster, "an empty account", |cluster| {
            cluster.copy(0, "AUTH_test").is_some_and(|copy| copy.names().is_empty())
        });

        // A newer object that one node heard of keeps it alive everywhere.
        tell(&mut cluster, 0, ["o".to_owned()], 3_000_000_000, 5);
        pass_everywhere(&mut cluster);
        assert_eq!(cluster.assert_in_place(C).names(), ["o"]);
    }
}

#[test]
fn what_was_deleted_does_not_come_back_from_a_node_that_was_away() {
    // Tombstones may go at once, if the rule lets them.
    let mut cluster = quiet().settings("replication", "reclaim_age = 0").start();
    let tester = cluster.tester();
    tester.make("c");
    tester.make("gone");
    tester.store("c/o", "to be deleted");
    tester.store("c/stays", "x");
    pass_everywhere(&mut cluster);

    // As long as a node is away, tombstones are kept, however old.
    cluster.node(2).kill();
    tester.delete("c/o").send().expect(204);
    tester.delete("gone").send().expect(204);
    for node in 0..2 {
        let output = cluster.node(node).pass(PASS, &[]);
        assert!(!output.status.success(), "a peer was away and nobody said so");
    }

    // It comes back and passes first with what it has: nothing returns, anywhere.
    cluster.node(2).start(None);
    for node in [2, 0, 1] {
        pass(&mut cluster, node);
    }
    assert_eq!(cluster.assert_in_place(C).names(), ["stays"]);

    // Then they go, and so does the container, as soon as the account has heard of it.
    pass_until(&mut cluster, "an end of what was deleted", |cluster| {
        (0..3).all(|node| cluster.copy(node, "AUTH_test/gone").is_none())
    });
    pass_everywhere(&mut cluster);
    let forgotten = cluster.assert_in_place(C);
    assert_eq!(forgotten.names(), ["stays"]);

    // Nothing is left of what was deleted: a copy that never had it is the same.
    empty(&mut cluster, 1);
    let said = pass(&mut cluster, 0);
    assert!(said.contains("replicate-containers") && said.contains("rows 1, "), "{said}");
    assert_eq!(cluster.assert_in_place(C).state, forgotten.state);
}

#[test]
fn what_was_deleted_and_forgotten_does_not_come_back_from_a_device_that_was_away_too_long() {
    let mut cluster = quiet().nodes(4).settings("replication", "reclaim_age = 0").start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "to be deleted");
    tester.store("c/stays", "x");
    pass_everywhere(&mut cluster);

    // A node goes away for longer than tombstones are kept, and another takes its place.
    let (primaries, others) = cluster.places(C);
    let (away, rest) = (primaries[0], [primaries[1], primaries[2], others[0]]);
    cluster.node(away).kill();
    tester.delete("c/o").send().expect(204);
    let (builder, device) = (cluster.rings().join("container.builder"), format!("d{away}"));
    for arguments in [&["set_weight", &device, "0"][..], &["rebalance", "-f", "--seed", "changed"]] {
        tools::run(Command::new(tools::binary()).arg("ring").arg(&builder).args(arguments));
    }
    for node in rest {
        cluster.node(node).kill();
        cluster.node(node).start(None);
    }
    assert!(!cluster.places(C).0.contains(&away));
    for _ in 0..3 {
        // Accounts are still its own, too, so the others say that it is away.
        rest.iter().for_each(|node| _ = cluster.node(*node).pass(PASS, &[]));
    }
    let forgotten = rest.map(|node| cluster.copy(node, C));
    assert!(forgotten.iter().all(|copy| *copy == forgotten[0]), "{forgotten:#?}");

    // Hours later it comes back with a row that nobody knows to be deleted: it keeps it, as none of the three takes it, and says so.
    cluster.set_seen(away, 3 * 3600);
    cluster.node(away).start(None);
    let output = cluster.node(away).pass(PASS, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("stale 3"), "{said}");
    rest.iter().for_each(|node| _ = cluster.node(*node).pass(PASS, &[]));
    assert_eq!(rest.map(|node| cluster.copy(node, C)), forgotten);
    assert_eq!(forgotten[0].as_ref().map(Copy::names), Some(vec!["stays".to_owned()]));
}

#[test]
fn a_node_that_dies_while_all_forget_brings_nothing_back() {
    let mut cluster = quiet().settings("replication", "reclaim_age = 0").start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/stays", "x");
    tester.store("c/o", "to be deleted");
    pass_everywhere(&mut cluster);
    tester.delete("c/o").send().expect(204);

    // One of the three dies when it has forgotten the tombstone, and the one that asked has not.
    cluster.node(1).kill();
    cluster.node(1).start(Some("listing.reclaimed"));
    assert!(!cluster.node(0).pass(PASS, &[]).status.success(), "nobody died");
    cluster.node(1).exited();

    // The copies differ, are one again, and forget together.
    cluster.node(1).start(None);
    for _ in 0..3 {
        pass_everywhere(&mut cluster);
    }
    let forgotten = cluster.assert_in_place(C);
    assert_eq!(forgotten.names(), ["stays"]);
    empty(&mut cluster, 2);
    pass(&mut cluster, 0);
    assert_eq!(cluster.assert_in_place(C), forgotten);
}
