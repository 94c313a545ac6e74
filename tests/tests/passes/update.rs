//! Container updates that were kept because their server was down.

use apus_tests::{Cluster, Request, Session};
use serde_json::{Value, json};

/// All replicas of a container list the same, and that is what a client sees.
#[track_caller]
fn same_everywhere(cluster: &Cluster, tester: &Session, container: &str, names: &[&str]) -> Value {
    let rows = cluster.rows("AUTH_test", container);
    assert!(rows.iter().all(|replica| *replica == rows[0]), "{rows:#?}");
    let listed: Vec<_> =
        rows[0].as_array().expect("rows").iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert_eq!(listed, names);
    assert_eq!(tester.list(container), names);
    rows[0].clone()
}

#[test]
fn what_a_container_server_missed_is_told_once_it_is_back() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/goes", "x");
    tester.store("c/stays", "old");

    // While one container server is down, objects come, change, are described anew, and go.
    cluster.node(0).stop();
    cluster.node(0).start_only(&["account", "object"], None);
    for i in 0..10 {
        tester.store(&format!("c/{i}"), format!("{i}"));
    }
    tester.store("c/stays", "newer");
    tester.post("c/stays").header("Content-Type", "a/b").send().expect(202);
    tester.delete("c/goes").send().expect(204);
    assert!(!cluster.pending_updates().is_empty());

    // It is still down: nothing is lost, and the pass says that something is left.
    assert!(
        !cluster.node(1).pass("update", &[]).status.success() || !cluster.node(2).pass("update", &[]).status.success()
    );
    let recon = std::fs::read(cluster.node(1).config().with_file_name("recon/object.recon")).expect("a recon file");
    let recon: Value = serde_json::from_slice(&recon).expect("JSON");
    assert!(recon["object_updater_last"].is_f64() && recon["object_updater_per_device"]["d1"].is_object(), "{recon}");

    // It is back and knows nothing of it; one pass on each node later all is told and nothing waits.
    cluster.node(0).stop();
    cluster.node(0).start(None);
    assert_ne!(cluster.rows("AUTH_test", "c")[0], cluster.rows("AUTH_test", "c")[1]);
    cluster.pass("update");
    assert_eq!(cluster.pending_updates(), Vec::<std::path::PathBuf>::new());
    let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "stays"];
    let rows = same_everywhere(&cluster, &tester, "c", &names);
    assert_eq!((&rows[10]["bytes"], &rows[10]["content_type"]), (&json!(5), &json!("a/b")));
}

#[test]
fn object_servers_update_by_themselves() {
    let mut cluster = Cluster::builder().settings("updater", "interval = 0.2").start();
    let tester = cluster.tester();
    tester.make("c");
    cluster.node(2).stop();
    cluster.node(2).start_only(&["account", "object"], None);
    tester.store("c/o", "x");
    cluster.node(2).stop();
    cluster.node(2).start(None);
    apus_tests::wait_until("nothing waits", || cluster.pending_updates().is_empty());
    same_everywhere(&cluster, &tester, "c", &["o"]);
}

#[test]
fn a_container_that_only_handoffs_have_yet_gets_its_rows_later() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");

    // One server has lost its listings, and so the container, but not for ever.
    cluster.node(1).stop();
    let listings = cluster.device(1).join("listings");
    let away = cluster.device(1).join("listings.away");
    std::fs::rename(&listings, &away).expect("listings to take away");
    cluster.node(1).start(None);
    tester.store("c/o", "x");
    cluster.node(0).pass("update", &[]);
    cluster.node(1).stop();
    std::fs::remove_dir_all(&listings).expect("new listings");
    std::fs::rename(away, listings).expect("listings to give back");
    cluster.node(1).start(None);

    cluster.pass("update");
    same_everywhere(&cluster, &tester, "c", &["o"]);
    assert!(cluster.pending_updates().is_empty());
}

#[test]
fn an_updater_that_is_killed_repeats_and_harms_nothing() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    for point in ["update.before_remove", "update.removed", "update.removed:1"] {
        cluster.node(0).stop();
        cluster.node(0).start_only(&["account", "object"], None);
        for i in 0..12 {
            tester.store(&format!("c/{i:02}"), point);
        }
        tester.delete("c/11").send().expect(204);
        cluster.node(0).stop();
        cluster.node(0).start(None);
        let killed = (0..3).filter(|&i| cluster.node(i).pass_until("update", point)).count();
        assert!(killed > 0, "no updater came to {point}");
        cluster.pass("update");
        assert!(cluster.pending_updates().is_empty());
        same_everywhere(&cluster, &tester, "c", &["00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10"]);
    }
}

#[test]
fn what_is_no_update_is_set_aside_and_stops_nothing() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    cluster.node(0).stop();
    cluster.node(0).start_only(&["account", "object"], None);
    tester.store("c/o", "x");
    let waiting = cluster.pending_updates().pop().expect("an update that waits");
    let folder = waiting.parent().expect("a folder");
    let nonsense = folder.join("00000000000000000000000000000fff-0000000001.00000");
    std::fs::write(&nonsense, "nonsense").expect("a file");
    cluster.node(0).stop();
    cluster.node(0).start(None);

    (0..3).for_each(|i| drop(cluster.node(i).pass("update", &[])));
    same_everywhere(&cluster, &tester, "c", &["o"]);
    assert!(cluster.pending_updates().is_empty());
    let device = folder.ancestors().nth(2).expect("the device");
    assert!(device.join("quarantined/objects").join(nonsense.file_name().expect("a name")).is_file());

    // The counts are among the object server's metrics.
    let address = cluster.node(0).address("object");
    let metrics = Request::new(address, "GET", "/metrics").send().expect(200).text();
    for count in ["updates_sent", "objects_expired", "journaled", "journal_crowded_out", "journal_checkpoints"] {
        assert!(metrics.contains(&format!("apus_object_{count}_total ")), "{count}: {metrics}");
    }
}

#[test]
fn objects_are_stored_while_every_container_server_is_down() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/1", "x");
    for i in 0..3 {
        cluster.node(i).stop();
        cluster.node(i).start_only(&["account", "object"], None);
    }

    // The proxy remembers the container, so that objects can come; nothing else can be done with it.
    tester.get("c").send().expect(503);
    tester.store("c/2", "x");
    tester.post("c").header("X-Container-Meta-A", "b").send().expect(503);
    // That made it forget.
    tester.put("c/3").body("x").send().expect(503);

    for i in 0..3 {
        cluster.node(i).stop();
        cluster.node(i).start(None);
    }
    assert_eq!(tester.list("c"), ["1"]);
    cluster.pass("update");
    same_everywhere(&cluster, &tester, "c", &["1", "2"]);
}

#[test]
fn a_container_that_one_server_still_had_lives_on_with_a_new_object() {
    let mut cluster = Cluster::builder().without_passes().settings("container", "report_interval_seconds = 1").start();
    let tester = cluster.tester();
    tester.make("c");
    cluster.node(0).stop();
    cluster.node(0).start_only(&["account", "object"], None);
    tester.delete("c").send().expect(204);
    cluster.node(0).stop();
    cluster.node(0).start(None);

    // One server did not hear of the deletion; the new object wakes the container everywhere.
    tester.store("c/o", "123");
    cluster.pass("update");
    same_everywhere(&cluster, &tester, "c", &["o"]);
    apus_tests::wait_until("the account counts it", || {
        tester.head("").send().header("X-Account-Object-Count") == Some("1")
    });
    assert_eq!(tester.list(""), ["c"]);
}
