//! What proxies remember, and what survives them: tokens, and account and container info in memcached.

use std::net::SocketAddr;
use std::process::Command;

use apus_tests::cluster::{free_address, random_loopback};
use apus_tests::{Cluster, Connection, Process};
use tempfile::TempDir;

#[test]
fn a_token_outlives_the_proxy_that_gave_it() {
    let mut cluster = Cluster::builder().proxies(2).start();
    let mut tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "x");
    cluster.proxy(0).stop();
    cluster.proxy(0).start(None);
    assert_eq!(tester.get("c/o").send().expect(200).text(), "x");
    // And the other proxy believes it too.
    tester.address = cluster.proxy(1).address("proxy");
    assert_eq!(tester.get("c/o").send().expect(200).text(), "x");
}

/// A real memcached; it serves when it accepts a connection.
fn memcached(log: &TempDir) -> (Process, SocketAddr) {
    let address = free_address(random_loopback());
    let mut command = Command::new("memcached");
    command.args(["-u", "root", "-vv", "-l", &address.ip().to_string(), "-p", &address.port().to_string()]);
    let process = Process::start("memcached", command, &log.path().join(address.to_string()));
    let deadline = std::time::Instant::now() + apus_tests::PATIENCE;
    while Connection::try_open(address).is_err() {
        assert!(std::time::Instant::now() < deadline, "{}", process.log_tail());
    }
    (process, address)
}

/// A number of memcached's `stats`.
fn stat(address: SocketAddr, name: &str) -> u64 {
    let mut wire = Connection::open(address);
    wire.write(b"stats\r\nquit\r\n");
    let text = wire.read_text_to_close();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn proxies_share_what_they_know_through_memcached() {
    let log = TempDir::new().expect("a folder");
    let (first, second) = (memcached(&log), memcached(&log));
    let servers = format!("client = {{ memcache_servers = [\"{}\", \"{}\"] }}", first.1, second.1);
    let mut cluster = Cluster::builder().proxies(2).settings("proxy", &servers).start();
    let mut tester = cluster.tester();
    for i in 0..20 {
        tester.make(&format!("c{i}"));
        tester.store(&format!("c{i}/o"), "x");
        tester.get(&format!("c{i}/o")).send().expect(200);
    }

    // Both servers hold some of it, and what one proxy wrote the other reads.
    for address in [first.1, second.1] {
        assert!(stat(address, "curr_items") > 0, "nothing at {address}");
    }
    let hits = stat(first.1, "get_hits") + stat(second.1, "get_hits");
    tester.address = cluster.proxy(1).address("proxy");
    for i in 0..20 {
        tester.get(&format!("c{i}/o")).send().expect(200);
    }
    assert!(stat(first.1, "get_hits") + stat(second.1, "get_hits") >= hits + 20);

    // A change at one proxy is known at the other at once.
    let guest = cluster.swift().login(apus_tests::swift::GUEST);
    guest.get("c3/o").send().expect(403);
    tester.post("c3").header("X-Container-Read", "test:tester3").send().expect(204);
    guest.get("c3/o").send().expect(200);

    // Without a server, or any, everything is slower and nothing is wrong.
    first.0.kill();
    for i in 0..20 {
        tester.store(&format!("c{i}/p"), "x");
    }
    second.0.kill();
    for i in 0..20 {
        assert_eq!(tester.list(&format!("c{i}")), ["o", "p"]);
    }
    assert!(cluster.proxy(0).process().is_alive());
}

#[test]
fn metrics_and_health_are_on_every_role() {
    let mut cluster = Cluster::builder().nodes(1).replicas(1).start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "x");
    let proxy = cluster.proxy(0).address("proxy");
    let node = cluster.node(0);
    for address in [proxy, node.address("account"), node.address("container"), node.address("object")] {
        let ask = |path: &str| apus_tests::Request::new(address, "GET", path).send().expect(200);
        assert_eq!(ask("/healthcheck").text(), "OK");
        let metrics = ask("/metrics").text();
        assert!(metrics.contains("# TYPE") && metrics.trim_end().ends_with("# EOF"), "{metrics}");
        assert!(metrics.contains("PUT"), "{metrics}");
    }
}
