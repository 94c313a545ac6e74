//! Senders and receivers that die in the middle, and a device that is out.

use std::fs;

use apus_tests::Cluster;

use super::{C, PASS, names, pass_everywhere, quiet, tell};

#[test]
fn whoever_dies_in_the_middle_the_next_pass_ends_it() {
    let receiving = apus_base::listing::receiver::CRASH_POINTS.iter().filter(|point| **point != "listing.reclaimed");
    for point in receiving {
        let mut cluster = quiet().start();
        cluster.tester().make("c");
        for node in 0..3 {
            tell(&mut cluster, node, names("o", 2500), 0, 7);
        }
        pass_everywhere(&mut cluster);
        let before = cluster.assert_in_place(C);

        // The receiver of a whole database dies there, in the middle if there are several.
        cluster.node(1).kill();
        fs::remove_dir_all(cluster.device(1).join("listings")).expect("listings");
        cluster.node(1).start(Some(&format!("{point}:1")));
        assert!(!cluster.node(0).pass(PASS, &[]).status.success(), "nobody died at {point}");
        cluster.node(1).exited();

        // It is back, with a hole or without the container, but never with part of the listing.
        cluster.node(1).start(None);
        assert!(cluster.copy(1, C).is_none_or(|copy| copy.names().len() == 2500), "half a listing after {point}");
        pass_everywhere(&mut cluster);
        assert_eq!(cluster.assert_in_place(C), before, "after {point}");
    }
}

#[test]
fn a_sender_that_dies_loses_nothing() {
    let points = ["listings.rows_sent:1", "listings.before_remove", "listings.removed"];
    for point in points {
        // A handoff, and what it holds.
        let mut cluster = quiet().nodes(4).start();
        cluster.tester().make("c");
        let handoff = cluster.places(C).1[0];
        tell_new(&mut cluster, handoff);
        cluster.node(handoff).kill();
        cluster.node(handoff).start(Some(point));
        cluster.node(handoff).pass(PASS, &[]);
        cluster.node(handoff).exited();

        cluster.node(handoff).start(None);
        pass_everywhere(&mut cluster);
        assert_eq!(cluster.assert_in_place(C).names().len(), 2500, "after {point}");
    }
}

/// Makes a copy with rows on a node that has none.
fn tell_new(cluster: &mut Cluster, node: usize) {
    cluster.ask(node, "PUT", C).header("X-Timestamp", "1700000000.00000").send().expect(201);
    tell(cluster, node, names("o", 2500), 0, 7);
}

#[test]
fn a_device_whose_listings_cannot_be_opened_holds_up_nobody() {
    let mut cluster = quiet().nodes(4).start();
    let tester = cluster.tester();
    tester.make("c");
    let (primaries, others) = cluster.places(C);
    let (broken, handoff) = (primaries[0], others[0]);
    cluster.node(broken).kill();
    // Not damaged, which would have them put aside and filled anew, but not to be had.
    let (folder, away) = (cluster.device(broken).join("listings"), cluster.device(broken).join("away"));
    fs::rename(&folder, &away).expect("renamed");
    fs::write(&folder, "no folder").expect("a file in their place");
    cluster.node(broken).start(None);
    cluster.ask(broken, "GET", C).send().expect(507);

    // Clients notice nothing, and the first handoff stands in.
    tester.store("c/o", "x");
    for node in [primaries[1], primaries[2], handoff] {
        assert!(!cluster.node(node).pass(PASS, &[]).status.success(), "nobody said that a device is out");
    }
    let copies: Vec<_> = [primaries[1], primaries[2], handoff].map(|node| cluster.copy(node, C)).into();
    assert!(copies[0].is_some() && copies.iter().all(|copy| *copy == copies[0]), "{copies:#?}");

    // It is mended: what stood in comes home.
    cluster.node(broken).kill();
    fs::remove_file(&folder).expect("removed");
    fs::rename(&away, &folder).expect("renamed back");
    cluster.node(broken).start(None);
    pass_everywhere(&mut cluster);
    assert_eq!(cluster.assert_in_place(C).names(), ["o"]);
}
