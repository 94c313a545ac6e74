//! Accounts that were deleted: everything they held goes, whatever is down meanwhile.

use std::thread;

use apus_tests::swift::RESELLER;
use apus_tests::{Cluster, Request, Session, disk, wait_until};

/// Objects in each of a few containers: more than one page of a listing in all.
const OBJECTS: usize = 700;
const CONTAINERS: [&str; 3] = ["a", "b", "c"];

fn cluster() -> Cluster {
    Cluster::builder().without_passes().settings("container", "report_interval_seconds = 1").start()
}

fn fill(tester: &Session, objects: usize) {
    thread::scope(|scope| {
        for container in CONTAINERS {
            scope.spawn(move || {
                tester.make(container);
                (0..objects).for_each(|i| tester.store(&format!("{container}/{i}"), "x"));
            });
        }
    });
}

/// What the account servers of all nodes know of deleted accounts that are not empty.
fn waiting(cluster: &mut Cluster) -> String {
    let ask = |i: usize| {
        let address = cluster.node(i).address("account");
        Request::new(address, "GET", format!("/d{i}")).send().expect(200).text()
    };
    (0..3).map(ask).filter(|waiting| *waiting != r#"{"accounts":[]}"#).collect()
}

fn delete_account(cluster: &Cluster) {
    let reseller = cluster.swift().login(RESELLER).on("AUTH_test");
    reseller.delete("").send().expect(204);
}

#[test]
fn a_deleted_account_is_emptied_also_while_a_container_server_is_down() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    fill(&tester, OBJECTS);
    delete_account(&cluster);
    tester.get("").send().expect(410);
    // It cannot be made again as long as it is marked as deleted.
    cluster.swift().login(RESELLER).on("AUTH_test").put("").send().expect(403);

    // One container server is down for the first pass of each reaper.
    cluster.node(2).stop();
    cluster.node(2).start_only(&["account", "object"], None);
    (0..3).for_each(|i| drop(cluster.node(i).pass("reap", &[])));
    assert!(cluster.holders(".data").is_empty(), "objects are left");
    cluster.node(2).stop();
    cluster.node(2).start(None);

    // What it missed is told to it; nothing is left on any node.
    cluster.pass("update");
    cluster.pass("reap");
    for container in CONTAINERS {
        let rows = cluster.rows("AUTH_test", container);
        assert!(rows.iter().all(|rows| rows.as_array().is_none_or(Vec::is_empty)), "{container}: {rows:?}");
    }
    // A majority of the account servers is told; one that was away then learns it from the others.
    cluster.pass("replicate-listings");
    wait_until("the accounts know it", || waiting(&mut cluster).is_empty());
    let tombstones: usize = cluster.nodes().iter().map(|node| disk::with_suffix(&node.devices(), ".ts").len()).sum();
    assert_eq!(tombstones, 3 * OBJECTS * CONTAINERS.len());
    tester.get("").send().expect(410);
}

#[test]
fn a_reaper_that_is_killed_goes_on_where_it_was() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    fill(&tester, 40);
    delete_account(&cluster);
    for point in ["reap.object_deleted", "reap.object_deleted:5", "reap.container_deleted"] {
        let killed = (0..3).filter(|&i| cluster.node(i).pass_until("reap", point)).count();
        assert!(killed > 0, "no reaper came to {point}");
    }
    cluster.pass("reap");
    // A reaper that died in the middle of a deletion may have told only some replicas, and with them the listing; the
    // tombstones that these have reach the others as any deletion does that one of them missed.
    cluster.pass("replicate");
    assert!(cluster.holders(".data").is_empty());
    wait_until("the accounts know it", || waiting(&mut cluster).is_empty());
    let recon =
        std::fs::read_to_string(cluster.node(0).config().with_file_name("recon/account.recon")).expect("a file");
    assert!(recon.contains("account_reaper_last"), "{recon}");
}

#[test]
fn a_delayed_reaper_leaves_everything_until_then() {
    let mut cluster = Cluster::builder().without_passes().settings("reaper", "delay_reaping = 3600").start();
    let tester = cluster.tester();
    fill(&tester, 1);
    delete_account(&cluster);
    cluster.pass("reap");
    assert_eq!(cluster.holders(".data"), [0, 1, 2]);
    assert!(waiting(&mut cluster).contains("AUTH_test"));
}
