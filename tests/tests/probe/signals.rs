//! What signals do to servers in the middle of requests. SIGTERM and SIGHUP stop a server gracefully: it accepts nobody and
//! finishes what it has begun. SIGUSR1 stops nothing. (Swift's SIGHUP is such a stop too; its SIGUSR1 replaces the
//! workers, to read what Apus's processes read again by themselves.)

use apus_tests::{Cluster, Connection};
use rustix::process::Signal;

/// Signals one process of a cluster in the middle of a PUT, whose body comes afterwards; says whether it goes on.
fn signalled(cluster: &mut Cluster, signal: Signal, of_proxy: bool) -> bool {
    let tester = cluster.tester();
    tester.make("c");
    let mut wire = Connection::open(tester.address);
    let put = tester.put("c/o").unframed().header("Content-Length", "10").header("Expect", "100-continue");
    wire.write(&put.encode());
    assert_eq!(wire.try_head().expect("an answer").status, 100);
    wire.write(b"01234");
    let process = if of_proxy { cluster.proxy(0).process() } else { cluster.node(0).process() };
    process.signal(signal);
    wire.write(b"56789");
    wire.response().expect(201);
    if signal == Signal::USR1 {
        return process.is_alive();
    }
    let node = if of_proxy { cluster.proxy(0) } else { cluster.node(0) };
    let exit = node.exited();
    assert!(exit.status.success(), "{exit:?}");
    node.start(None);
    false
}

#[test]
fn a_proxy_and_an_object_server_finish_what_they_began() {
    let mut cluster = Cluster::builder().without_passes().start();
    for signal in [Signal::TERM, Signal::HUP] {
        for of_proxy in [true, false] {
            assert!(!signalled(&mut cluster, signal, of_proxy));
            assert_eq!(cluster.tester().get("c/o").send().expect(200).text(), "0123456789");
            // Nobody had to stand in for the server that was stopped.
            assert_eq!(cluster.holders(".data"), [0, 1, 2]);
            assert!(cluster.pending_updates().len() <= 1);
            cluster.pass("update");
        }
    }
}

#[test]
fn a_signal_that_asks_for_a_reload_ends_nothing() {
    let mut cluster = Cluster::builder().without_passes().start();
    for of_proxy in [true, false] {
        assert!(signalled(&mut cluster, Signal::USR1, of_proxy));
    }
    assert_eq!(cluster.tester().get("c/o").send().expect(200).text(), "0123456789");
}
