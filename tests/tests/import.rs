//! A node that the real Swift has left is served as it was: `apus import`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use apus_tests::{Cluster, disk, tools};
use serde_json::Value;
use tempfile::TempDir;

/// A cluster of one node and one proxy, stopped, with nothing on its device.
fn left() -> Cluster {
    let mut cluster = Cluster::builder().nodes(1).replicas(1).policies(&["gold", "silver"]).without_passes().start();
    cluster.proxy(0).stop();
    cluster.node(0).stop();
    cluster
}

/// Runs the real Swift's part of a story, and gives what it says.
fn swift(arguments: &[&Path]) -> Value {
    let mut command = Command::new(tools::python_program("python"));
    command.arg(tools::checkout().join("tests/oracle/swift_node.py")).args(arguments);
    serde_json::from_slice(&tools::run(&mut command).stdout).expect("JSON")
}

fn import(cluster: &mut Cluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(tools::binary());
    command.args(["import", "--config"]).arg(cluster.node(0).config()).args(arguments);
    command.output().expect("apus runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_node_that_swift_left_is_served_as_it_was() {
    // The real Swift stores what its clients send, and is switched off in the middle of its work.
    let mut cluster = left();
    let folder = TempDir::new().expect("a folder");
    let (node, proxy) = (cluster.node(0).config(), cluster.proxy(0).config());
    let mut before = swift(&["write".as_ref(), &node, &proxy, folder.path()]);
    let etc = folder.path().to_str().expect("a path");

    // A dry run says what there is, and writes nothing.
    let untouched = disk::contents(&cluster.device(0));
    let output = import(&mut cluster, &["--swift-dir", etc, "--dry-run"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(disk::contents(&cluster.device(0)), untouched);

    // Killed in the middle, it leaves nothing that could be taken for all there was.
    let output = import(&mut cluster, &["--swift-dir", etc, "--crash-at", "listing.commit.written:5"]);
    assert!(!output.status.success());
    let mut refused = Command::new(tools::binary());
    let refused = refused.args(["serve", "container", "--config"]).arg(&node).output().expect("apus runs");
    assert!(said(&refused).contains("was not finished; run `apus import` again"), "{}", said(&refused));

    // Once and once more are the same.
    for _ in 0..2 {
        let output = import(&mut cluster, &["--swift-dir", etc]);
        assert!(output.status.success() && !said(&output).contains("note:"), "{}", said(&output));
    }

    // Clients see what they saw, and what was left half done.
    cluster.node(0).start(None);
    cluster.proxy(0).start(None);
    cluster.pass("update");
    let mut after = swift(&["look".as_ref(), &proxy]);
    let tester = cluster.tester();
    assert_eq!((tester.list("waits"), tester.list("late")), (vec!["p".to_owned()], vec!["p".to_owned()]));
    assert_eq!(tester.get("late/p").send().expect(200).text(), "y");
    tester.get("late/o").send().expect(404);
    let seen = [&mut before, &mut after].map(|seen| without_what_was_half_done(seen));
    let found = differences("", &seen[0], &seen[1]);
    // One container more was made after the real Swift was looked at; and the words to a deleted account's owner are ours.
    let expected = [
        "/test2:tester2/head/1/content-length: Swift \"0\", Apus \"70\"",
        "/test:tester/head/1/x-account-container-count: Swift \"13\", Apus \"14\"",
        "/test:tester/head/1/x-account-storage-policy-gold-container-count: Swift \"11\", Apus \"12\"",
    ];
    assert_eq!(found, expected);
}

/// What the last, half-done changes of `swift_node.py` touch.
fn without_what_was_half_done(seen: &mut Value) -> Value {
    let account = &mut seen["test:tester"];
    for name in ["waits", "late", "last"] {
        account["containers"].as_object_mut().expect("containers").remove(name);
    }
    account["listing"].as_array_mut().expect("a listing").retain(|row| row["name"] != "last");
    seen.take()
}

/// All places where two answers differ.
fn differences(place: &str, swift: &Value, apus: &Value) -> Vec<String> {
    match (swift, apus) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<_> = one.keys().map(String::as_str).chain(other.keys().map(String::as_str)).collect();
            keys.into_iter().flat_map(|key| differences(&format!("{place}/{key}"), &swift[key], &apus[key])).collect()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs.flat_map(|(i, (one, other))| differences(&format!("{place}/{i}"), one, other)).collect()
        }
        _ if swift == apus => Vec::new(),
        _ => vec![format!("{place}: Swift {swift}, Apus {apus}")],
    }
}

#[test]
fn what_cannot_be_imported_is_said_by_name_and_the_rest_is_there() {
    let mut cluster = left();
    let (device, node) = (cluster.device(0), cluster.node(0).config());
    let mut databases = Command::new(tools::python_program("python"));
    databases.arg(tools::checkout().join("tests/oracle/swift_databases.py")).arg(&device).args(["changeme", "8"]);
    tools::run(&mut databases);
    let folder = device.join("objects/0/abc/00000000000000000000000000000abc");
    fs::create_dir_all(&folder).expect("an object's folder");
    fs::write(folder.join("1712345678.12345#1#d.data"), "a piece").expect("a fragment");

    // Not while somebody serves, and not with another salt.
    let listener = std::net::TcpListener::bind(cluster.node(0).address("container")).expect("a port");
    assert!(said(&import(&mut cluster, &[])).contains("stop all of Swift's servers"));
    drop(listener);
    let config = fs::read_to_string(&node).expect("a configuration");
    fs::write(&node, config.replace("changeme", "changed")).expect("a configuration");
    assert!(said(&import(&mut cluster, &[])).contains("are not those that this data was written with"));
    assert!(!device.join("listings").exists());
    fs::write(&node, config).expect("a configuration");

    let output = import(&mut cluster, &[]);
    assert!(!output.status.success());
    let all = said(&output);
    let lines = |begin: &str| all.lines().filter(|line| line.starts_with(begin)).collect::<Vec<_>>().join("\n");
    let (refused, notes) = (lines("not imported:"), lines("note:"));
    for part in [
        "disk image is malformed",
        "AUTH_test/divided on d0: it is divided into 2 shards",
        "AUTH_test/misplaced on d0",
        "1 pieces of erasure",
    ] {
        assert!(refused.contains(part), "{part}: {all}");
    }
    assert_eq!(refused.lines().count(), 4, "{all}");
    for part in ["Swift counted 5 rows, its rows have 3", "created_at of \"nonsense\"", "container sync begins anew"] {
        assert!(notes.contains(part), "{part}: {all}");
    }

    // The rest is as it was; of what was half written the old half.
    cluster.node(0).start(None);
    let names = |container: &str| {
        let rows = cluster.rows("AUTH_test", container).remove(0);
        rows.as_array()
            .map(|rows| rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>())
    };
    let three = || Some(vec!["0000".to_owned(), "0001".to_owned(), "0002".to_owned()]);
    for container in ["drifted", "bad-row", "synced", "half-written"] {
        assert_eq!(names(container), three(), "{container}");
    }
    assert_eq!(names("before-policies"), Some(vec!["old".to_owned()]));
    assert_eq!(names("good").map(|names| names.len()), Some(2500));
    for container in ["divided", "misplaced", "damaged"] {
        assert_eq!(names(container), None, "{container}");
    }
}
