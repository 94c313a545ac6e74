//! Accounts and containers become the same on all of their primaries, and are nowhere else: what a node missed, what a
//! handoff holds, what a lost disk held, and nothing that was deleted. Each story breaks something, runs passes once, and
//! looks at every node's own copy.

use std::fs;
use std::process::Command;
use std::time::Instant;

use apus_base::clock;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate, UpdateBatch};
use apus_tests::{Cluster, ClusterBuilder, Copy, PATIENCE, tools};

const PASS: &str = "replicate-listings";
/// The container of most stories.
const C: &str = "AUTH_test/c";

/// A cluster in which only the stories run passes.
fn quiet() -> ClusterBuilder {
    Cluster::builder().without_passes()
}

/// Runs a whole pass on a node that finds all peers, and returns what it said.
#[track_caller]
fn pass(cluster: &mut Cluster, node: usize) -> String {
    let output = cluster.node(node).pass(PASS, &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[track_caller]
fn pass_everywhere(cluster: &mut Cluster) {
    for node in 0..cluster.nodes().len() {
        pass(cluster, node);
    }
}

/// The same until the reporters have told accounts everything and all copies are the same.
#[track_caller]
fn pass_until(cluster: &mut Cluster, wish: &str, mut holds: impl FnMut(&mut Cluster) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(cluster) {
        let said: Vec<_> = (0..cluster.nodes().len()).map(|node| pass(cluster, node)).collect();
        assert!(Instant::now() < deadline, "{wish} never came to be: {}", said.concat());
    }
}

/// Rows told to one node's container server alone, so many seconds after midnight; a size of 0 deletes.
#[track_caller]
fn tell(cluster: &mut Cluster, node: usize, names: impl IntoIterator<Item = String>, later: u64, size: u64) {
    let at = Timestamp::from_secs(clock::now().secs() / 86_400 * 86_400 + later);
    let row = |name: String| ObjectRow {
        name,
        timestamps: RowTimestamps::same(at),
        size,
        content_type: if size > 0 { "text/plain".into() } else { String::new() },
        etag: if size > 0 { format!("etag{size}") } else { String::new() },
        deleted: size == 0,
        policy: PolicyIndex(0),
    };
    let (account, container) = C.split_once('/').expect("a container");
    let (account, container) = (account.to_owned(), container.to_owned());
    let update =
        |name| RowUpdate { partition: 0, account: account.clone(), container: container.clone(), row: row(name) };
    let batch = UpdateBatch { rows: names.into_iter().map(update).collect() };
    let address = cluster.node(node).address("container");
    let request = apus_tests::Request::new(address, "UPDATE", format!("/d{node}"));
    request.body(serde_json::to_vec(&batch).expect("JSON")).send().expect(200);
}

fn names(prefix: &str, many: usize) -> impl Iterator<Item = String> {
    let prefix = prefix.to_owned();
    (0..many).map(move |i| format!("{prefix}{i:05}"))
}

/// Empties the listings of a node's device while the node is down.
fn empty(cluster: &mut Cluster, node: usize) {
    cluster.node(node).kill();
    fs::remove_dir_all(cluster.device(node).join("listings")).expect("listings");
    cluster.node(node).start(None);
}

#[test]
fn a_node_that_was_down_gets_all_it_missed_and_the_handoff_is_empty() {
    let mut cluster = quiet().nodes(4).start();
    let tester = cluster.tester();
    for container in ["c", "gone"] {
        tester.make(container);
    }
    for i in 0..5 {
        tester.store(&format!("c/old{i}"), "old");
    }
    let (primaries, others) = cluster.places(C);
    let new = (0..)
        .map(|i| format!("new{i}"))
        .find(|name| cluster.places(&format!("AUTH_test/{name}")).0.contains(&primaries[0]));
    let new = new.expect("a container there");

    // A primary is down while objects, metadata and whole containers come, change and go.
    cluster.node(primaries[0]).kill();
    tester.make(&new);
    tester.store(&format!("{new}/o"), "x");
    tester.store("c/old1", "longer than before");
    tester.store("c/new", "new");
    tester.delete("c/old2").send().expect(204);
    tester.post("c").header("X-Container-Meta-Colour", "é").send().expect(204);
    tester.delete("gone").send().expect(204);
    let new = format!("AUTH_test/{new}");
    let handoff = cluster.places(&new).1[0];
    assert!(cluster.copy(handoff, &new).is_some(), "no handoff took the new container");

    // It comes back; each node passes once.
    cluster.node(primaries[0]).start(None);
    pass_everywhere(&mut cluster);
    let copy = cluster.assert_in_place(C);
    assert_eq!(copy.names(), ["new", "old0", "old1", "old3", "old4"]);
    assert_eq!((&*copy.headers["x-container-meta-colour"], &*copy.headers["x-container-bytes-used"]), ("é", "30"));
    assert_eq!(cluster.assert_in_place("AUTH_test/gone").status, 404);
    assert_eq!(cluster.assert_in_place(&new).names(), ["o"]);
    assert!(!others.contains(&primaries[0]));

    // A further pass finds nothing to do, and says so in every place.
    let said = pass(&mut cluster, 0);
    assert!(!said.contains("worked on"), "{said}");
    for server in ["account", "container"] {
        let recon =
            fs::read(cluster.node(0).config().with_file_name(format!("recon/{server}.recon"))).expect("a recon file");
        let recon: serde_json::Value = serde_json::from_slice(&recon).expect("JSON");
        assert!(recon["replication_last"].is_u64() && recon["replication_time"].is_f64(), "{recon}");
        let address = cluster.node(0).address(server);
        let metrics = apus_tests::Request::new(address, "GET", "/metrics").send().expect(200).text();
        assert!(metrics.contains(&format!("apus_{server}_replication_passes_total")), "{metrics}");
    }
}

#[test]
fn an_account_hears_what_happened_while_its_server_was_down() {
    let mut cluster = quiet().nodes(4).settings("container", "report_interval_seconds = 1").start();
    let tester = cluster.tester();
    tester.make("c1");
    tester.make("c2");
    tester.store("c2/o1", "1234");
    let down = cluster.places("AUTH_test").0[0];

    // Containers come and go and grow while one account server is down.
    cluster.node(down).stop();
    cluster.node(down).start_only(&["container", "object"], None);
    tester.delete("c1").send().expect(204);
    tester.make("c3");
    tester.store("c2/o2", "12345");

    // It is back and knows nothing of that; some passes later all account servers know all of it.
    cluster.node(down).stop();
    cluster.node(down).start(None);
    pass_until(&mut cluster, "one account", |cluster| {
        let (primaries, others) = cluster.places("AUTH_test");
        let copies: Vec<_> = primaries.iter().map(|node| cluster.copy(*node, "AUTH_test")).collect();
        copies.iter().all(|copy| copy.is_some() && *copy == copies[0])
            && copies[0].as_ref().expect("a copy").headers["x-account-bytes-used"] == "9"
            && others.iter().all(|node| cluster.copy(*node, "AUTH_test").is_none())
    });
    let copy = cluster.assert_in_place("AUTH_test");
    assert_eq!(copy.names(), ["c2", "c3"]);
    assert_eq!((&copy.listing[0]["count"], &copy.headers["x-account-object-count"]), (&2.into(), &"2".to_owned()));
}

#[test]
fn an_emptied_device_gets_everything_back() {
    let mut cluster = quiet().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.post("c").header("X-Container-Meta-Colour", "red").send().expect(204);
    for node in 0..3 {
        tell(&mut cluster, node, names("o", 2500), 0, 7);
        tell(&mut cluster, node, names("o", 10), 1, 0);
    }
    pass_everywhere(&mut cluster);
    let before = cluster.assert_in_place(C);

    // The disk of a node is emptied; one other is enough to fill it.
    empty(&mut cluster, 1);
    assert_eq!(cluster.copy(1, C), None);
    let said = pass(&mut cluster, 0);
    assert!(said.contains("whole 1") && said.contains("rows 2500"), "{said}");
    assert_eq!(cluster.assert_in_place(C), before);
    cluster.assert_in_place("AUTH_test");
    // Nothing comes back as an echo, from any node.
    for node in 0..3 {
        let said = pass(&mut cluster, node);
        assert!(!said.contains("rows"), "{said}");
    }
}

#[test]
fn rows_that_differ_travel_and_no_others() {
    let mut cluster = quiet().start();
    cluster.tester().make("c");
    for node in 0..3 {
        tell(&mut cluster, node, names("o", 1000), 0, 7);
    }
    pass_everywhere(&mut cluster);

    // A few rows reach one node only: they travel, although nobody has looked at this container since it was the same.
    tell(&mut cluster, 0, names("o", 3), 1, 8);
    let said = pass(&mut cluster, 0);
    assert!(said.contains("differences 2") && said.contains("rows 6") && !said.contains("whole"), "{said}");
    cluster.assert_in_place(C);

    // Each node has what the others lack.
    for node in 0..3 {
        tell(&mut cluster, node, names(&format!("from{node}-"), 5), 2, 9);
        tell(&mut cluster, node, names("o", 2), 3 + node as u64, node as u64 % 2);
    }
    pass_everywhere(&mut cluster);
    assert_eq!(cluster.assert_in_place(C).names().len(), 1013);
}

#[test]
fn metadata_and_rows_meet_from_all_sides() {
    // Few rows, and so many that all are sent.
    for many in [1, 1200] {
        let mut cluster = quiet().start();
        let tester = cluster.tester();
        tester.put("c").header("X-Container-Meta-A", "1").header("X-Container-Meta-C", "1").send().expect(201);
        let post = |cluster: &mut Cluster, node: usize, time: &str, names: &[&str]| {
            let request = cluster.ask(node, "POST", C).header("X-Timestamp", time);
            let set =
                |request: apus_tests::Request, name: &&str| request.header(&format!("X-Container-Meta-{name}"), time);
            names.iter().fold(request, set).send().expect(204);
        };
        post(&mut cluster, 0, "4000000000.00002", &["A", "B", "D"]);
        tell(&mut cluster, 0, names("o", many), 0, 7);
        for node in [1, 2] {
            post(&mut cluster, node, "4000000000.00003", &["B", "E"]);
        }

        // One pass of the node with the rows is enough for all to have everything.
        pass(&mut cluster, 0);
        let copy = cluster.assert_in_place(C);
        let values = ["a", "b", "c", "d", "e"].map(|name| copy.headers[&format!("x-container-meta-{name}")].clone());
        let (two, three) = ("4000000000.00002", "4000000000.00003");
        assert_eq!(values, [two, three, "1", two, three]);
        assert_eq!(copy.names().len(), many);
    }
}

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
    for arguments in [&["set_weight", &device, "0"][..], &["rebalance", "-f"]] {
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

#[test]
fn two_policies_of_a_split_become_one_and_no_row_is_lost() {
    let mut cluster = quiet().policies(&["gold", "silver"]).start();
    cluster.tester().make("other");
    let make = |cluster: &mut Cluster, node, time: &str, policy: &str| {
        let put = cluster.ask(node, "PUT", C).header("X-Timestamp", time);
        put.header("X-Backend-Storage-Policy-Index", policy).send().expect(201);
    };
    let row = |cluster: &mut Cluster, node, name: &str, policy: &str| {
        let put = cluster.ask(node, "PUT", &format!("{C}/{name}")).header("X-Timestamp", "1700000009.00000");
        let put = put.header("X-Size", "1").header("X-Content-Type", "t").header("X-Etag", "e");
        put.header("X-Backend-Storage-Policy-Index", policy).send().expect(201);
    };
    // Two sides of a split made the container, each with a policy of its own, and wrote.
    make(&mut cluster, 0, "1700000001.00000", "1");
    row(&mut cluster, 0, "silver", "1");
    for node in [1, 2] {
        make(&mut cluster, node, "1700000002.00000", "0");
        row(&mut cluster, node, "gold", "0");
    }

    // Who was first wins, as in Swift; what was written under the other policy is kept under it.
    pass_everywhere(&mut cluster);
    pass_everywhere(&mut cluster);
    let copy = cluster.assert_in_place(C);
    assert_eq!((&*copy.headers["x-backend-storage-policy-index"], copy.names()), ("1", vec!["silver".to_owned()]));
    for node in 0..3 {
        let other = cluster.ask(node, "GET", C).header("X-Backend-Storage-Policy-Index", "0").send().expect(200);
        assert_eq!(other.json()[0]["name"], "gold");
    }
}

#[test]
fn databases_move_when_the_ring_says_so() {
    let mut cluster = quiet().nodes(4).start();
    let tester = cluster.tester();
    let containers: Vec<_> = (0..12).map(|i| format!("c{i}")).collect();
    for container in &containers {
        tester.make(container);
        tester.store(&format!("{container}/o"), "x");
    }
    pass_everywhere(&mut cluster);

    // A device is drained.
    let builder = cluster.rings().join("container.builder");
    for arguments in [&["set_weight", "d3", "0"][..], &["rebalance", "-f"]] {
        tools::run(Command::new(tools::binary()).arg("ring").arg(&builder).args(arguments));
    }
    for node in 0..4 {
        cluster.node(node).kill();
        cluster.node(node).start(None);
    }
    pass(&mut cluster, 3);
    for container in &containers {
        assert_eq!(cluster.assert_in_place(&format!("AUTH_test/{container}")).names(), ["o"]);
        assert_eq!(cluster.copy(3, &format!("AUTH_test/{container}")), None);
    }
}

#[test]
fn a_pass_does_what_its_filter_lets_through_and_needs_the_servers() {
    let mut cluster = quiet().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.make("other");
    empty(&mut cluster, 1);
    for nothing in [["--device", "d9"], ["--partition", "4000000000"]] {
        assert!(cluster.node(0).pass(PASS, &nothing).status.success());
        assert_eq!(cluster.copy(1, C), None, "{nothing:?}");
    }
    let partition = apus_base::hash_path::HashPath::new("", "changeme").container("AUTH_test", "c").0[0].to_string();
    assert!(cluster.node(0).pass(PASS, &["--device", "d0", "--partition", &partition]).status.success());
    assert!(cluster.copy(1, C).is_some() && cluster.copy(1, "AUTH_test/other").is_none());

    // Nobody else has the listings open.
    cluster.node(0).kill();
    let output = cluster.node(0).pass(PASS, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("this node's servers"), "{said}");
}

#[test]
fn reserved_names_and_containers_without_an_account_are_replicated_like_all_others() {
    let mut cluster = quiet().start();
    cluster.tester().make("c");
    for path in ["AUTH_test/%00versions", "AUTH_nobody/orphan"] {
        cluster.ask(0, "PUT", path).header("X-Timestamp", "1700000000.00000").send().expect(201);
        let row = format!("{path}/{}", if path.contains("%00") { "%00o" } else { "o" });
        let put = cluster.ask(0, "PUT", &row).header("X-Timestamp", "1700000001.00000");
        put.header("X-Size", "1").header("X-Content-Type", "t").header("X-Etag", "e").send().expect(201);
        pass(&mut cluster, 0);
        assert_eq!(cluster.assert_in_place(path).names().len(), 1, "{path}");
    }
}

#[test]
fn servers_replicate_by_themselves() {
    let mut cluster = quiet().settings("replication", "interval = 1").start();
    cluster.tester().make("c");
    tell(&mut cluster, 0, names("o", 10), 0, 7);
    let deadline = Instant::now() + PATIENCE;
    while (0..3).any(|node| cluster.copy(node, C).is_none_or(|copy| copy.names().len() != 10)) {
        assert!(Instant::now() < deadline, "nothing was replicated");
    }
    cluster.assert_in_place(C);
}
