//! Copies that differ become the same: what a node missed, what a disk held, what sides of a split wrote.

use std::fs;

use apus_tests::Cluster;

use super::{C, empty, names, pass, pass_everywhere, pass_until, quiet, tell};

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
