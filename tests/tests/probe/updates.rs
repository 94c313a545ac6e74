//! Rows that a container server missed, and what became of the object meanwhile.

use apus_tests::Cluster;
use serde_json::Value;

/// Every replica of the container has one row, and these are its columns.
#[track_caller]
fn the_row(cluster: &Cluster) -> Value {
    let replicas = cluster.rows("AUTH_test", "c");
    assert!(replicas.iter().all(|rows| *rows == replicas[0]), "{replicas:#?}");
    assert_eq!(replicas[0].as_array().map_or(0, Vec::len), 1, "{replicas:#?}");
    replicas[0][0].clone()
}

#[test]
fn a_post_that_is_told_before_the_put_that_was_missed_changes_nothing_wrongly() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    cluster.node(0).kill();
    cluster.node(0).start_only(&["account", "object"], None);
    tester.put("c/o").header("Content-Type", "test/ctype").body("stuff").send().expect(201);
    cluster.node(0).kill();
    cluster.node(0).start(None);
    assert_eq!(cluster.rows("AUTH_test", "c")[0].as_array().map_or(0, Vec::len), 0);

    // The POST's row reaches all; then comes the PUT's.
    tester.post("c/o").header("X-Object-Meta-Fruit", "Tomato").send().expect(202);
    let told = the_row(&cluster);
    cluster.pass("update");
    assert_eq!(the_row(&cluster), told);
    assert_eq!((&told["bytes"], &told["content_type"]), (&5.into(), &"test/ctype".into()));
    assert!(cluster.pending_updates().is_empty());
}

#[test]
fn a_put_a_post_and_a_deletion_that_were_missed_end_as_the_last_of_them() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/gone", "x");
    cluster.node(1).kill();
    cluster.node(1).start_only(&["account", "object"], None);
    tester.put("c/o").header("Content-Type", "test/ctype").body("stuff").send().expect(201);
    tester.post("c/o").header("Content-Type", "test/newer").send().expect(202);
    tester.delete("c/gone").send().expect(204);
    cluster.node(1).kill();
    cluster.node(1).start(None);
    cluster.pass("update");
    let told = the_row(&cluster);
    assert_eq!((&told["name"], &told["bytes"], &told["content_type"]), (&"o".into(), &5.into(), &"test/newer".into()));
    assert_eq!(tester.list("c"), ["o"]);
}

#[test]
fn what_waits_is_counted_by_container_for_those_who_watch() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    let containers: Vec<_> = (0..7).map(|i| format!("c{i}")).collect();
    containers.iter().for_each(|container| tester.make(container));
    cluster.node(2).kill();
    cluster.node(2).start_only(&["account", "object"], None);
    for container in &containers {
        (0..3).for_each(|i| tester.store(&format!("{container}/{i}"), "x"));
    }
    (0..3).for_each(|i| drop(cluster.node(i).pass("update", &[])));

    // The five that wait longest are named, of however many there are.
    let mut seen = 0;
    for i in 0..3 {
        let recon = std::fs::read(cluster.node(i).config().with_file_name("recon/object.recon")).expect("a recon file");
        let recon: Value = serde_json::from_slice(&recon).expect("JSON");
        let stats = &recon["object_updater_stats"];
        let oldest = &stats["failures_oldest_timestamp_account_containers"];
        let found = stats["failures_account_container_count"].as_u64().unwrap_or(0);
        assert_eq!(oldest["oldest_count"].as_u64().unwrap_or(0), found.min(5), "{recon}");
        seen = seen.max(found);
    }
    assert!(seen > 0 && seen <= 7, "{seen}");
    cluster.node(2).kill();
    cluster.node(2).start(None);
    cluster.pass("update");
    assert!(cluster.pending_updates().is_empty());
}
