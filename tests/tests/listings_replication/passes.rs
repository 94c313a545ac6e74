//! Passes: by a new ring, by a filter, and by themselves.

use std::process::Command;
use std::time::Instant;

use apus_tests::{PATIENCE, tools};

use super::{C, PASS, empty, names, pass, pass_everywhere, quiet, tell};

#[test]
fn databases_move_when_the_ring_says_so() {
    let mut cluster = quiet().nodes(4).start();
    let tester = cluster.tester();
    let containers: Vec<_> = (0..12).map(|i| format!("c{i}")).collect();
    for container in &containers {
        tester.make(container);
        tester.store(&format!("{container}/o"), "x");
    }
    pass_everywhere(&mut cluster);

    // A device is drained.
    let builder = cluster.rings().join("container.builder");
    for arguments in [&["set_weight", "d3", "0"][..], &["rebalance", "-f", "--seed", "changed"]] {
        tools::run(Command::new(tools::binary()).arg("ring").arg(&builder).args(arguments));
    }
    for node in 0..4 {
        cluster.node(node).kill();
        cluster.node(node).start(None);
    }
    pass(&mut cluster, 3);
    for container in &containers {
        assert_eq!(cluster.assert_in_place(&format!("AUTH_test/{container}")).names(), ["o"]);
        assert_eq!(cluster.copy(3, &format!("AUTH_test/{container}")), None);
    }
}

#[test]
fn a_pass_does_what_its_filter_lets_through_and_needs_the_servers() {
    let mut cluster = quiet().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.make("other");
    empty(&mut cluster, 1);
    for nothing in [["--device", "d9"], ["--partition", "4000000000"]] {
        assert!(cluster.node(0).pass(PASS, &nothing).status.success());
        assert_eq!(cluster.copy(1, C), None, "{nothing:?}");
    }
    let partition = apus_base::hash_path::HashPath::new("", "changeme").container("AUTH_test", "c").0[0].to_string();
    assert!(cluster.node(0).pass(PASS, &["--device", "d0", "--partition", &partition]).status.success());
    assert!(cluster.copy(1, C).is_some() && cluster.copy(1, "AUTH_test/other").is_none());

    // Nobody else has the listings open.
    cluster.node(0).kill();
    let output = cluster.node(0).pass(PASS, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("this node's servers"), "{said}");
}

#[test]
fn servers_replicate_by_themselves() {
    let mut cluster = quiet().settings("replication", "interval = 1").start();
    cluster.tester().make("c");
    tell(&mut cluster, 0, names("o", 10), 0, 7);
    let deadline = Instant::now() + PATIENCE;
    while (0..3).any(|node| cluster.copy(node, C).is_none_or(|copy| copy.names().len() != 10)) {
        assert!(Instant::now() < deadline, "nothing was replicated");
    }
    cluster.assert_in_place(C);
}
