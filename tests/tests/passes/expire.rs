//! Objects that expire: gone from every disk and every listing, unless somebody wanted to keep them.

use apus_base::hash_path::HashPath;
use apus_tests::disk::with_suffix;
use apus_tests::moment::{now, soon};
use apus_tests::{Cluster, Request, Session, copies, wait_until};
use serde_json::json;

/// Counts are told soon, so that the expirer finds a new container of its queue.
fn cluster() -> Cluster {
    Cluster::builder().without_passes().settings("container", "report_interval_seconds = 1").start()
}

fn put(tester: &Session, path: &str, at: u64) {
    tester.put(path).header("X-Delete-At", at.to_string()).body("x").send().expect(201);
}

#[track_caller]
fn until_expired(tester: &Session, path: &str) {
    wait_until("expired", || tester.head(path).send().status == 404);
}

/// The rows of the queue on each node, in the containers that its account server knows.
fn queued(cluster: &mut Cluster) -> [usize; 3] {
    [0, 1, 2].map(|node| {
        let target = format!("/d{node}/0/.expiring_objects");
        let containers = Request::new(cluster.node(node).address("account"), "GET", target).send();
        let Ok(containers) = serde_json::from_slice::<serde_json::Value>(&containers.body) else { return 0 };
        let names = containers.as_array().expect("rows").iter().map(|row| row["name"].as_str().expect("a name"));
        let rows = |name| cluster.rows(".expiring_objects", name)[node].as_array().map_or(0, Vec::len);
        names.map(rows).sum()
    })
}

#[test]
fn what_expires_vanishes_and_what_was_kept_stays() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    let at = soon();
    ["goes", "again", "later", "never"].iter().for_each(|name| put(&tester, &format!("c/{name}"), at));

    // Before their time, one is written anew, one gets another moment, one loses it.
    tester.store("c/again", "kept");
    tester.post("c/later").header("X-Delete-At", (at + 1000).to_string()).send().expect(202);
    tester.post("c/never").header("X-Object-Meta-A", "b").send().expect(202);
    until_expired(&tester, "c/goes");
    assert_eq!(tester.list("c"), ["again", "goes", "later", "never"]);
    let kept = cluster.pending_updates().len();

    // The expirer finds the rows of all four: nobody ran an updater.
    wait_until("gone from the listing", || {
        let output = cluster.node(0).pass("expire", &[]);
        assert!(output.status.success(), "{output:?}");
        tester.list("c") == ["again", "later", "never"]
    });
    assert_eq!(cluster.holders(".data").len(), 3);
    let data: Vec<_> = cluster.nodes().iter().map(|node| with_suffix(&node.devices(), ".data").len()).collect();
    assert_eq!(data, [3, 3, 3], "what expired is still on a disk");
    assert_eq!(cluster.pending_updates().len(), kept, "the expirer left work for the updater");
    assert_eq!(tester.get("c/again").send().expect(200).text(), "kept");
    tester.get("c/later").send().expect(200);
    tester.get("c/never").send().expect(200);

    // Then the updater takes the outdated rows out of the queue; one object is left to expire.
    cluster.pass("update");
    assert_eq!(queued(&mut cluster), [1; 3]);
    cluster.pass("expire");
    assert_eq!(tester.list("c"), ["again", "later", "never"]);
}

#[test]
fn an_object_written_anew_while_a_server_was_down_stays() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    let at = soon();
    put(&tester, "c/o", at);
    put(&tester, "c/p", at);
    cluster.node(0).kill();
    tester.store("c/o", "kept");
    cluster.node(0).start(None);
    until_expired(&tester, "c/p");

    // The server that was down has the old version only. Its deletion would be later than the new version, and win.
    wait_until("gone from the listing", || {
        cluster.node(1).pass("expire", &[]);
        tester.list("c") == ["o"]
    });
    for _ in 0..5 {
        assert_eq!(tester.get("c/o").header("X-Newest", "true").send().expect(200).text(), "kept");
    }
    assert_eq!(with_suffix(&cluster.node(1).devices(), ".data").len(), 1);
    assert_eq!(cluster.nodes().iter().map(|node| with_suffix(&node.devices(), ".ts").len()).sum::<usize>(), 3);
}

#[test]
fn a_deletion_that_came_to_one_server_only_is_finished() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    let at = soon();
    put(&tester, "c/o", at);
    until_expired(&tester, "c/o");

    // As an expirer leaves it that is killed when the first of three servers has deleted the object.
    let hash = HashPath::new("", copies::HASH_SUFFIX).object("AUTH_test", "c", "o");
    let (path, stamp) =
        (format!("/d0/{}/AUTH_test/c/o", copies::ring(&cluster).partition(&hash.0)), format!("{at:010}.00000"));
    let delete = Request::new(cluster.node(0).address("object"), "DELETE", path).header("X-If-Delete-At", &stamp);
    delete.header("X-Timestamp", &stamp).send().expect(204);
    assert_eq!(cluster.holders(".data").len(), 2);

    wait_until("gone from the listing and the queue", || {
        cluster.node(1).pass("expire", &[]);
        tester.list("c").is_empty() && queued(&mut cluster) == [0; 3]
    });
    assert!(cluster.holders(".data").is_empty(), "one server's deletion was taken for that of all");
    // The one that had deleted it, and told nobody, tells now.
    assert_eq!(cluster.rows("AUTH_test", "c"), [json!([]), json!([]), json!([])]);
}

#[test]
fn expirers_share_the_work_and_a_killed_one_repeats() {
    const OBJECTS: usize = 24;
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    // Whose they are is up to their hashes; among so many there are some for each.
    let names: Vec<_> = (0..OBJECTS).map(|i| format!("c/{i:02}")).collect();
    names.iter().for_each(|name| put(&tester, name, now() + 3));
    until_expired(&tester, &names[OBJECTS - 1]);
    wait_until("whichever node an expirer asks, it finds all", || queued(&mut cluster) == [OBJECTS; 3]);

    // One of two does its share, and no more.
    let share = |process: &str| ["--processes".to_owned(), "2".into(), "--process".into(), process.to_owned()];
    let first = share("0");
    let first: Vec<_> = first.iter().map(String::as_str).collect();
    wait_until("half of it", || {
        cluster.node(0).pass("expire", &first);
        tester.list("c").len() < OBJECTS
    });
    let left = tester.list("c").len();
    assert!(left > 0, "one of two expirers did everything");
    cluster.node(0).pass("expire", &first);
    assert_eq!(tester.list("c").len(), left);

    // One that dies between an object and its row, and after the rows; the next does the rest.
    assert!(cluster.node(0).pass_until("expire", "expire.deleted:2"));
    assert!(cluster.node(0).pass_until("expire", "expire.dequeued"));
    cluster.pass("expire");
    assert_eq!((tester.list("c"), queued(&mut cluster)), (Vec::<String>::new(), [0; 3]));
    assert!(cluster.holders(".data").is_empty());
    let recon = std::fs::read_to_string(cluster.node(0).config().with_file_name("recon/object.recon")).expect("a file");
    assert!(recon.contains("object_expiration_pass") && recon.contains("expired_last_pass"), "{recon}");
}

#[test]
fn a_deletion_that_was_left_to_the_expirer() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/segment", "x");
    tester.store("c/other", "x");

    // A row as a large object's asynchronous deletion leaves it.
    let stamp = format!("{:010}.00000", now() + 1);
    let container = format!("{:010}", now() / 86_400 * 86_400 - 7);
    let row = json!({
        "partition": 0, "account": ".expiring_objects", "container": container, "name": format!("{stamp}-AUTH_test/c/segment"),
        "timestamps": stamp, "size": 0, "content_type": "application/async-deleted", "etag": "", "deleted": false, "policy": 0,
    });
    let batch = json!({"rows": [row]}).to_string();
    for i in 0..3 {
        let address = cluster.node(i).address("container");
        Request::new(address, "UPDATE", format!("/d{i}")).body(&batch).send().expect(200);
    }
    wait_until("deleted", || {
        cluster.node(2).pass("expire", &[]);
        tester.list("c") == ["other"]
    });
    tester.get("c/segment").send().expect(404);
    tester.get("c/other").send().expect(200);
}

#[test]
fn object_servers_expire_by_themselves() {
    let settings = "report_interval_seconds = 1";
    let cluster = Cluster::builder().settings("container", settings).settings("expirer", "interval = 0.5").start();
    let tester = cluster.tester();
    tester.make("c");
    put(&tester, "c/o", soon());
    wait_until("gone from the listing", || tester.list("c").is_empty());
    // A quorum was enough for that.
    wait_until("gone from the disks", || cluster.holders(".data").is_empty());
}
