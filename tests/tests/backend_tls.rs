//! Only nodes of the cluster get a word at its storage ports.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use apus_tests::{Cluster, PATIENCE, Request, tools};

/// Asks a storage server for its metrics with a node's certificate, as an operator could; none when it refuses.
fn metrics(address: SocketAddr, ca: &Path, node: &str) -> Option<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--insecure", "--cert"]).arg(ca.join(format!("{node}.pem")));
    curl.arg("--key").arg(ca.join(format!("{node}.key"))).arg(format!("https://{address}/metrics"));
    let output = curl.output().expect("curl runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn whoever_has_no_certificate_of_the_cluster_is_refused() {
    // Everything works as without.
    let mut cluster = Cluster::builder().backend_tls().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "stored");
    cluster.node(0).stop();
    tester.store("c/p", "without one");
    cluster.node(0).start(None);
    for pass in ["update", "replicate", "expire", "reap"] {
        cluster.pass(pass);
    }
    assert_eq!(cluster.holders(".data"), [0, 1, 2]);
    assert_eq!(tester.get("c/p").send().expect(200).text(), "without one");
    assert!(tester.list("c").contains(&"o".to_owned()));

    // A client without TLS is told so, whatever it asks; a certificate of another CA is none.
    let object = cluster.node(1).address("object");
    let refused = Request::new(object, "PUT", "/d1/0/AUTH_test/c/o").body("forged").send().expect(503);
    assert!(refused.text().contains("mutual TLS only"), "{refused:?}");
    let other = tempfile::TempDir::new().expect("a folder");
    let mut ca = Command::new(tools::binary());
    tools::run(ca.args(["ca", "create"]).arg(other.path()));
    let mut ca = Command::new(tools::binary());
    tools::run(ca.args(["ca", "issue"]).arg(other.path()).arg("node1"));
    assert_eq!(metrics(object, other.path(), "node1"), None);

    // One of the cluster's gets an answer, until it is revoked.
    let seen = metrics(object, &cluster.ca(), "node2").expect("an answer");
    assert!(seen.contains("apus_object_backend_certificate_expires"), "{seen}");
    let mut ca = Command::new(tools::binary());
    tools::run(ca.args(["ca", "revoke"]).arg(cluster.ca()).arg("node2"));
    let started = std::time::Instant::now();
    while metrics(object, &cluster.ca(), "node2").is_some() {
        assert!(started.elapsed() < PATIENCE, "the new list of revoked certificates was never used");
    }
    // Nor may it replicate any more.
    tester.store("c/q", "more");
    let started = std::time::Instant::now();
    while cluster.node(2).pass("replicate", &[]).status.success() {
        assert!(started.elapsed() < PATIENCE, "a revoked node still replicates");
    }
    assert!(metrics(object, &cluster.ca(), "node0").is_some());
    assert_eq!(tester.get("c/o").send().expect(200).text(), "stored");
}

#[test]
fn a_node_that_has_forgotten_it_is_named_in_the_log() {
    let mut cluster = Cluster::builder().backend_tls().without_passes().start();
    cluster.node(2).stop();
    let config = cluster.node(2).config();
    let mut forgot: toml::Table = fs::read_to_string(&config).expect("a configuration").parse().expect("TOML");
    forgot.remove("backend_tls");
    fs::write(&config, forgot.to_string()).expect("a configuration");
    cluster.node(2).start(None);

    // The others do without it.
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "stored");
    assert_eq!(cluster.holders(".data"), [0, 1]);

    // The proxy says what is wrong with it; and it is told by those whom it asks.
    let log = cluster.proxy(0).stop().log;
    assert!(log.contains("the node speaks no TLS: it has no [backend_tls] in its configuration"), "{log}");
    Request::new(cluster.node(0).address("object"), "GET", "/metrics").send().expect(503);
    let log = cluster.node(0).stop().log;
    assert!(log.contains("every server and proxy of the cluster needs [backend_tls]"), "{log}");
}
