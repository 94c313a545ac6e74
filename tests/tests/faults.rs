//! What breaks in a cluster that runs: processes, disks, peers; and that nobody who was told "stored" loses anything.

use std::sync::mpsc::channel;
use std::thread;

use apus_tests::{Apus, Cluster, Connection, Request, bytes, disk, md5_hex};
use rustix::process::Signal;

#[test]
fn a_node_killed_during_uploads_costs_no_upload() {
    let mut cluster = Cluster::builder().nodes(4).start();
    let tester = cluster.tester();
    tester.make("c");
    let body = |i: usize| bytes(i as u64, 150_000 + i);

    // While a client uploads, a node dies.
    let (some_done, wait_for_some) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..40 {
                tester.store(&format!("c/{i}"), body(i));
                let _ = some_done.send(i);
            }
        });
        assert_eq!(wait_for_some.iter().find(|&i| i == 10), Some(10));
        cluster.node(1).kill();
    });

    // Everything is there without it, and with it.
    let all_there = || (0..40).all(|i| tester.get(&format!("c/{i}")).send().expect(200).body == body(i));
    assert!(all_there());
    cluster.node(1).start(None);
    assert!(all_there());
}

#[test]
fn a_lost_device_is_507_and_another_takes_its_place() {
    let cluster = Cluster::builder().nodes(4).start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "first");
    let primaries = cluster.holders(".data");
    assert_eq!(primaries.len(), 3);

    // The disk of a primary goes: its server says so, and the write goes to the fourth.
    cluster.take_away(primaries[0]);
    let mut cluster = cluster;
    let address = cluster.node(primaries[0]).address("object");
    let gone = format!("/d{}/0/AUTH_test/c/o", primaries[0]);
    Request::new(address, "GET", gone).send().expect(507);
    tester.store("c/o", "second");
    assert_eq!(tester.get("c/o").send().expect(200).text(), "second");
    let fourth = (0..4).find(|i| !primaries.contains(i)).expect("a fourth node");
    assert!(cluster.holders(".data").contains(&fourth), "no handoff took the copy");

    // The disk comes back with what it had; the newest is read.
    cluster.give_back(primaries[0]);
    assert_eq!(tester.get("c/o").header("X-Newest", "true").send().expect(200).text(), "second");
    Request::new(address, "GET", "/d9/0/AUTH_test/c/o").send().expect(507);
}

#[test]
fn an_update_waits_for_a_container_server_that_is_down() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    cluster.node(0).kill();
    cluster.node(0).start_only(&["object"], None);

    // All three copies are written; what could not be told is kept.
    tester.store("c/o", "stored");
    assert_eq!(cluster.holders(".data"), [0, 1, 2]);
    let pending: Vec<_> = cluster.nodes().iter().flat_map(|node| disk::pending_updates(&node.devices())).collect();
    assert_eq!(pending.len(), 1, "{pending:?}");
    assert_eq!(tester.list("c"), ["o"]);
    assert_eq!(tester.get("c/o").send().expect(200).text(), "stored");
}

#[test]
fn a_download_goes_on_at_another_replica() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    let body = bytes(1, 96 << 20);
    tester.store("c/large", &body);

    // A slow reader has the beginning when the server of its replica is killed.
    let (head, mut wire) = tester.get("c/large").open();
    assert_eq!(head.status, 200);
    let mut read = wire.read_exactly(1 << 20);
    let serving = |cluster: &mut Cluster| (0..3).find(|&i| disk::has_open(cluster.node(i).process().id(), ".data"));
    let node = serving(&mut cluster).expect("a node that serves the object");
    cluster.node(node).kill();

    read.extend(wire.read_exactly(body.len() - read.len()));
    assert!(read == body, "the bytes behind the break are wrong");

    // The same in the middle of a range.
    cluster.node(node).start(None);
    let (head, mut wire) = tester.get("c/large").header("Range", "bytes=1000-90000000").open();
    assert_eq!(head.status, 206);
    let mut read = wire.read_exactly(1 << 20);
    let node = serving(&mut cluster).expect("a node that serves the object");
    cluster.node(node).kill();
    read.extend(wire.read_exactly(90_000_001 - 1000 - read.len()));
    assert!(read == body[1000..90_000_001], "the bytes behind the break are wrong");
}

#[test]
fn a_download_that_nobody_can_finish_breaks_off() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/large", bytes(1, 96 << 20));
    let (_, mut wire) = tester.get("c/large").open();
    wire.read_exactly(1 << 20);
    for node in 0..3 {
        cluster.node(node).kill();
    }
    // The client sees that it is short, rather than waiting or taking it for whole.
    assert!(wire.read_to_close() < (95 << 20));
    assert!(cluster.proxy(0).process().is_alive());
}

#[test]
fn a_majority_is_needed_to_write_and_one_to_read() {
    let mut cluster = Cluster::builder().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "stored");
    cluster.node(0).kill();
    tester.store("c/o2", "stored");
    cluster.node(1).kill();
    assert_eq!(tester.get("c/o").send().expect(200).text(), "stored");
    let refused = tester.put("c/o3").body("x").send();
    assert_eq!(refused.status, 503, "{refused:?}");
    cluster.node(2).kill();
    tester.get("c/o").send().expect(503);
    // They come back, and so does everything.
    for node in 0..3 {
        cluster.node(node).start(None);
    }
    assert_eq!(tester.get("c/o2").header("X-Newest", "true").send().expect(200).text(), "stored");
    tester.store("c/o4", "stored");
}

#[test]
fn requests_in_flight_end_before_the_process_does() {
    let mut apus = Apus::up();
    let tester = apus.tester();
    tester.make("c");

    // The server has asked for the body, so it is in the middle of the request, when it is told to stop.
    let mut wire = Connection::open(tester.address);
    let put = tester.put("c/o").unframed().header("Content-Length", "10").header("Expect", "100-continue");
    wire.write(&put.encode());
    assert_eq!(wire.try_head().expect("an answer").status, 100);
    wire.write(b"01234");
    apus.process().signal(Signal::TERM);
    wire.write(b"56789");
    wire.response().expect(201);
    let exit = apus.exited();
    assert!(exit.status.success(), "{exit:?}");

    apus.start(None);
    let tester = apus.tester();
    assert_eq!(tester.get("c/o").send().expect(200).text(), "0123456789");
}

#[test]
fn an_idle_connection_does_not_hold_the_process() {
    let mut apus = Apus::up();
    let tester = apus.tester();
    let mut idle = Connection::open(tester.address);
    assert_eq!(tester.head("").send_on(&mut idle).expect("an answer").status, 204);
    let exit = apus.stop();
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(idle.read_to_close(), 0);
}

#[test]
fn what_was_stored_before_a_power_cut_is_there_after_it() {
    let mut apus = Apus::up();
    let tester = apus.tester();
    tester.make("c");
    for i in 0..50 {
        tester.put(&format!("c/{i}")).body(bytes(i, 1000)).header("X-Object-Meta-I", i.to_string()).send().expect(201);
    }
    tester.delete("c/0").send().expect(204);
    apus.kill();

    apus.start(None);
    let tester = apus.tester();
    tester.get("c/0").send().expect(404);
    for i in 1..50 {
        let get = tester.get(&format!("c/{i}")).send().expect(200);
        assert_eq!((get.need("Etag"), get.need("X-Object-Meta-I")), (&*md5_hex(&bytes(i, 1000)), &*i.to_string()));
    }
    assert_eq!(tester.list("c").len(), 49);
    assert_eq!(tester.head("c").send().expect(204).need("X-Container-Object-Count"), "49");
}
