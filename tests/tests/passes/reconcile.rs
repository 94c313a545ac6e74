//! Objects that were written under another policy than their container's, as a split network leaves them: they come to where
//! clients look, with the time that they had, whatever else was written and whoever dies meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use apus_base::hash_path::HashPath;
use apus_base::ring::Ring;
use apus_tests::copies::{HASH_SUFFIX, misplaced};
use apus_tests::moment::now;
use apus_tests::swift::TESTER;
use apus_tests::{Cluster, PATIENCE, Request, Swift, bytes, disk, tools};

/// Containers are of the policy gold; silver is the wrong one.
fn cluster() -> Cluster {
    Cluster::builder().policies(&["gold", "silver"]).without_passes().start()
}

/// Asks the object servers of some nodes for what they have of an object under the wrong policy. If they shall, they tell
/// the container server of their node, as those of a split network do.
fn silver(cluster: &mut Cluster, nodes: &[usize], method: &str, object: &str, tells: bool) -> Vec<Request> {
    let salt = HashPath::new("", HASH_SUFFIX);
    let ring = |name: &str| Ring::from_bytes(&fs::read(cluster.rings().join(name)).unwrap()).unwrap();
    let part = ring("object-1.ring.gz").partition(&salt.object("AUTH_test", "c", object).0);
    let container_part = ring("container.ring.gz").partition(&salt.container("AUTH_test", "c").0);
    let request = |&i: &usize| {
        let node = cluster.node(i);
        let request = Request::new(node.address("object"), method, format!("/d{i}/{part}/AUTH_test/c/{object}"))
            .header("X-Backend-Storage-Policy-Index", "1");
        if !tells {
            return request;
        }
        request
            .header("X-Container-Partition", container_part.to_string())
            .header("X-Container-Host", node.address("container").to_string())
            .header("X-Container-Device", format!("d{i}"))
    };
    nodes.iter().map(request).collect()
}

const ALL: &[usize] = &[0, 1, 2];

fn misplace(cluster: &mut Cluster, nodes: &[usize], object: &str, body: &[u8], at: u64, headers: &[(&str, &str)]) {
    for request in silver(cluster, nodes, "PUT", object, true) {
        let request = request.header("X-Timestamp", stamp(at)).header("Content-Type", "text/misplaced").body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send().expect(201);
    }
}

fn misplace_deletion(cluster: &mut Cluster, object: &str, at: u64) {
    for request in silver(cluster, ALL, "DELETE", object, true) {
        request.header("X-Timestamp", stamp(at)).send();
    }
}

fn stamp(at: u64) -> String {
    format!("{at:010}.00000")
}

/// What is still under the wrong policy.
fn left(cluster: &mut Cluster) -> usize {
    let files = cluster.nodes().iter().flat_map(|node| disk::with_suffix(&node.devices(), ".data")).collect::<Vec<_>>();
    files.iter().filter(|path| path.to_string_lossy().contains("/objects-1/")).count()
}

/// Runs the pass on every node, and gives what they said last. Before and after it, container servers hear what they did not
/// hear in time on a busy machine.
#[track_caller]
fn reconcile(cluster: &mut Cluster) -> String {
    cluster.pass("update");
    let said = reconcile_only(cluster);
    cluster.pass("update");
    said
}

fn reconcile_only(cluster: &mut Cluster) -> String {
    let said = cluster.nodes().iter().map(|node| {
        let output = node.pass("reconcile", &[]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned() + "\n"
    });
    said.collect()
}

#[test]
fn misplaced_objects_come_to_their_container_whole_and_with_their_time() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    let at = now() - 1000;
    let (short, long) = (b"short".to_vec(), bytes(1, 3_000_000));
    let headers = [("X-Object-Meta-Colour", "red"), ("Content-Encoding", "gzip"), ("Content-Disposition", "inline")];
    misplace(&mut cluster, ALL, "short/o", &short, at, &headers);
    misplace(&mut cluster, ALL, "long", &long, at, &[]);
    tester.get("c/long").send().expect(404);
    assert!(tester.list("c").is_empty());

    let said = reconcile(&mut cluster);
    assert!(said.contains("moved 2"), "{said}");
    let found = tester.get("c/short/o").send().expect(200);
    assert_eq!((found.body.as_slice(), found.need("X-Object-Meta-Colour")), (&short[..], "red"));
    assert_eq!((found.need("Content-Encoding"), found.need("Content-Disposition")), ("gzip", "inline"));
    assert_eq!((found.need("Content-Type"), found.need("X-Timestamp")), ("text/misplaced", &*stamp(at)));
    assert!(tester.get("c/long").send().expect(200).body == long);
    assert_eq!(tester.list("c"), ["long", "short/o"]);
    assert_eq!(left(&mut cluster), 0);
    let head = tester.head("c").send().expect(204);
    assert_eq!((head.need("X-Container-Object-Count"), head.need("X-Container-Bytes-Used")), ("2", "3000005"));

    // Then there is nothing to do, and a client writes as ever.
    let said = reconcile(&mut cluster);
    assert!(said.lines().all(|line| line.contains("0 of 0") && !line.contains("queued")), "{said}");
    tester.store("c/long", "new");
    assert_eq!(tester.get("c/long").send().expect(200).text(), "new");
}

#[test]
fn what_is_newer_in_the_right_place_stays_and_deletions_are_carried() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    let at = now() - 1000;
    misplace(&mut cluster, ALL, "older", b"misplaced", at, &[]);
    tester.store("c/older", "newer");
    misplace(&mut cluster, ALL, "deleted", b"misplaced", at, &[]);
    tester.store("c/deleted", "x");
    tester.delete("c/deleted").send().expect(204);
    // Deleted on the wrong side, after it was written on the right one.
    for name in ["gone", "gone/too"] {
        tester.store(&format!("c/{name}"), "x");
        misplace_deletion(&mut cluster, name, now() + 10);
    }

    let said = reconcile(&mut cluster);
    assert!(said.contains("superseded") && said.contains("deleted"), "{said}");
    assert_eq!(tester.get("c/older").send().expect(200).text(), "newer");
    for gone in ["deleted", "gone", "gone/too"] {
        let found = tester.get(&format!("c/{gone}")).header("X-Newest", "true").send();
        assert_eq!(found.status, 404, "{gone} is there: {said}");
    }
    assert_eq!(tester.list("c"), ["older"]);
    assert_eq!(left(&mut cluster), 0);
}

#[test]
fn a_reconciler_that_is_killed_is_ended_by_the_next() {
    for point in ["reconcile.moved", "reconcile.cleaned"] {
        let mut cluster = cluster();
        let tester = cluster.tester();
        tester.make("c");
        misplace(&mut cluster, ALL, "o", b"misplaced", now() - 1000, &[]);
        assert!(cluster.node(0).pass_until("reconcile", point), "it did not come to {point}");
        assert_eq!(tester.get("c/o").send().expect(200).text(), "misplaced");

        reconcile(&mut cluster);
        assert_eq!(tester.get("c/o").send().expect(200).text(), "misplaced");
        assert_eq!((tester.list("c"), left(&mut cluster)), (vec!["o".to_owned()], 0), "after {point}");
        let said = reconcile(&mut cluster);
        assert!(said.lines().all(|line| line.contains("0 of 0")), "{said} after {point}");
    }
}

#[test]
fn several_reconcilers_at_once_move_each_object_once() {
    const OBJECTS: usize = 30;
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    for i in 0..OBJECTS {
        misplace(&mut cluster, ALL, &format!("o{i:02}"), format!("{i}").as_bytes(), now() - 1000, &[]);
    }
    let running = (0..3).map(|node| {
        let mut command = Command::new(tools::binary());
        command.args(["pass", "reconcile", "--once", "--config"]).arg(cluster.node(node).config());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    let running: Vec<_> = running.collect();
    // A client changes one of them meanwhile.
    let writer = tester.clone();
    let writing = thread::spawn(move || writer.store("c/o07", "a client's"));
    running.into_iter().for_each(|mut child| _ = child.wait().unwrap());
    writing.join().unwrap();
    reconcile(&mut cluster);
    for i in 0..OBJECTS {
        let expected = if i == 7 { "a client's".to_owned() } else { i.to_string() };
        assert_eq!(tester.get(&format!("c/o{i:02}")).send().expect(200).text(), expected);
    }
    assert_eq!(left(&mut cluster), 0);

    // Where both wrote at the same moment, a replica of the listing may wait for its replication; together they have all.
    let rows = cluster.rows("AUTH_test", "c");
    let names = rows.iter().flat_map(|rows| rows.as_array().unwrap()).map(|row| row["name"].to_string());
    assert_eq!(names.collect::<BTreeSet<_>>().len(), OBJECTS, "{rows:#?}");
}

#[test]
fn an_object_that_is_on_no_server_now_is_waited_for() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    // Only one server has it, with a row on its side; its disk is away.
    misplace(&mut cluster, &[2], "o", b"misplaced", now() - 1000, &[]);
    let away = cluster.device(2).join("objects-1");
    let hidden = cluster.device(2).join("hidden");
    fs::rename(&away, &hidden).unwrap();
    let output = cluster.node(2).pass("reconcile", &[]);
    assert!(!output.status.success(), "{output:?}");
    tester.get("c/o").send().expect(404);

    // It is back.
    let _ = fs::remove_dir_all(&away);
    fs::rename(&hidden, &away).unwrap();
    // The queue's account hears of the queue a little later than its first row is there.
    let begun = Instant::now();
    while left(&mut cluster) > 0 {
        assert!(begun.elapsed() < PATIENCE, "it was not moved");
        reconcile(&mut cluster);
    }
    assert_eq!(tester.get("c/o").send().expect(200).text(), "misplaced");
    assert_eq!((tester.list("c"), left(&mut cluster)), (vec!["o".to_owned()], 0));
}

#[test]
fn manifests_and_links_are_moved_as_they_are() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/target", "what the link leads to");
    let at = now() - 1000;
    let link = [
        ("X-Object-Sysmeta-Symlink-Target", "c/target"),
        (
            "X-Object-Sysmeta-Container-Update-Override-Etag",
            "d41d8cd98f00b204e9800998ecf8427e; symlink_target=c/target",
        ),
    ];
    misplace(&mut cluster, ALL, "link", b"", at, &link);
    let segment = bytes(3, 1000);
    tester.store("c/segment", &segment);
    let etag = apus_tests::md5_hex(&segment);
    let manifest = format!(
        r#"[{{"name":"/c/segment","bytes":1000,"hash":"{etag}","content_type":"a/b","last_modified":"2026-01-01T00:00:00.000000"}}]"#
    );
    let slo_etag = apus_tests::md5_hex(etag.as_bytes());
    let slo = [
        ("X-Static-Large-Object", "True"),
        ("X-Object-Sysmeta-Slo-Etag", &*slo_etag),
        ("X-Object-Sysmeta-Slo-Size", "1000"),
    ];
    misplace(&mut cluster, ALL, "large", manifest.as_bytes(), at, &slo);

    reconcile(&mut cluster);
    assert_eq!(tester.get("c/link").send().expect(200).text(), "what the link leads to");
    assert!(tester.get("c/large").send().expect(200).body == segment);
    assert_eq!(tester.list("c"), ["large", "link", "segment", "target"]);
    assert_eq!(left(&mut cluster), 0);
}

#[test]
fn an_operator_may_put_an_object_into_the_queue() {
    let mut cluster = cluster();
    let tester = cluster.tester();
    tester.make("c");
    let at = now() - 7200;
    misplace(&mut cluster, ALL, "o", b"misplaced", at, &[]);
    reconcile(&mut cluster);

    // Somebody writes it to the wrong place once more, and nobody tells the container.
    for request in silver(&mut cluster, ALL, "PUT", "o", false) {
        let request = request.header("X-Timestamp", stamp(at + 5));
        request.header("Content-Type", "text/again").body("again").send().expect(201);
    }
    let queue = format!("{:010}", (at + 5) / 3600 * 3600);
    for i in 0..3 {
        let target = format!("/d{i}/0/.misplaced_objects/{queue}/1%3A/AUTH_test/c/o");
        let row = Request::new(cluster.node(i).address("container"), "PUT", target).header("X-Timestamp", stamp(now()));
        let row =
            row.header("X-Size", "0").header("X-Etag", stamp(at + 5)).header("X-Content-Type", "application/x-put");
        row.send().expect(201);
    }
    // It is not the queue of this hour: that is found in the account, which hears of it soon.
    let address = cluster.node(0).address("account");
    let list = || Request::new(address, "GET", "/d0/0/.misplaced_objects?format=json").send();
    apus_tests::wait_until("the queue is listed", || list().text().contains(&queue));
    reconcile(&mut cluster);
    assert_eq!(tester.get("c/o").send().expect(200).text(), "again");
    assert_eq!(left(&mut cluster), 0);
}

#[test]
fn a_split_network_made_a_container_of_two_policies_and_nothing_is_lost() {
    const EACH: usize = 12;
    // The sides have a proxy each, and who looks afterwards has another that remembers nothing.
    let builder = Cluster::builder().nodes(4).proxies(3).policies(&["gold", "silver"]);
    let mut cluster = builder.without_passes().start();
    let at =
        |cluster: &mut Cluster, proxy: usize| Swift { address: cluster.proxy(proxy).address("proxy") }.login(TESTER);
    // The account is older than the split: who finds one primary only, and no account there, cannot tell whether there is one.
    cluster.tester().make("before");
    let sides = [("gold", [0, 1], [2, 3]), ("silver", [2, 3], [0, 1])];
    for (proxy, (policy, here, away)) in sides.into_iter().enumerate() {
        for node in here.into_iter().filter(|_| proxy > 0) {
            cluster.node(node).start(None);
        }
        for node in away {
            cluster.node(node).kill();
        }
        let tester = at(&mut cluster, proxy);
        tester.put("c").header("X-Storage-Policy", policy).send().expect(201);
        for i in 0..EACH {
            tester.store(&format!("c/{policy}{i:02}"), format!("{policy} {i}"));
        }
        tester.store("c/both", policy);
    }

    // The net is whole again, and each pass runs once.
    sides[1].2.iter().for_each(|node| cluster.node(*node).start(None));
    for pass in ["replicate-listings", "replicate", "update", "reconcile"] {
        cluster.pass(pass);
    }

    // The container has the policy of who made it first; everything is there, once, and under that policy alone.
    let tester = at(&mut cluster, 2);
    assert_eq!(tester.head("c").send().expect(204).need("X-Storage-Policy"), "gold");
    let names = ["gold", "silver"].into_iter().flat_map(|policy| (0..EACH).map(move |i| format!("{policy}{i:02}")));
    let names: Vec<String> = ["both".to_owned()].into_iter().chain(names).collect();
    assert_eq!(tester.list("c"), names);
    for policy in ["gold", "silver"] {
        for i in 0..EACH {
            assert_eq!(tester.get(&format!("c/{policy}{i:02}")).send().expect(200).text(), format!("{policy} {i}"));
        }
    }
    assert_eq!(tester.get("c/both").send().expect(200).text(), "silver", "the newer one is not there");
    assert_eq!(left(&mut cluster), 0);
    cluster.pass("replicate");
    assert!(misplaced(&cluster, 4, 0).is_empty(), "{:?}", misplaced(&cluster, 4, 0));
}
