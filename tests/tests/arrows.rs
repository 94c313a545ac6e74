//! Who may import whom: the table of ARCHITECTURE.md against what cargo says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use apus_tests::tools;

/// Each room with the rooms that it may import; tests may import all of them, for they stand above everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("apus-base", &[]),
    ("apus-ring-builder", &["apus-base"]),
    ("apus-account", &["apus-base"]),
    ("apus-container", &["apus-base"]),
    ("apus-object", &["apus-base"]),
    ("apus-proxy", &["apus-base"]),
    ("apus-replicator", &["apus-base", "apus-account", "apus-container", "apus-object"]),
    ("apus-auditor", &["apus-base", "apus-account", "apus-container", "apus-object"]),
    (
        "apus",
        &[
            "apus-base",
            "apus-ring-builder",
            "apus-account",
            "apus-container",
            "apus-object",
            "apus-proxy",
            "apus-replicator",
            "apus-auditor",
        ],
    ),
    (
        "apus-tests",
        &[
            "apus",
            "apus-base",
            "apus-ring-builder",
            "apus-account",
            "apus-container",
            "apus-object",
            "apus-proxy",
            "apus-replicator",
            "apus-auditor",
        ],
    ),
];

#[test]
fn no_room_imports_a_room_that_it_may_not() {
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ARROWS.iter().map(|(room, may)| (*room, may.iter().copied().collect())).collect();

    // What cargo says of the workspace, tests' own dependencies included.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(tools::checkout());
    let metadata: serde_json::Value = serde_json::from_slice(&tools::run(&mut metadata).stdout).expect("JSON");

    // Every room is in the table, and every arrow is allowed.
    let packages = metadata["packages"].as_array().expect("packages");
    let rooms: BTreeSet<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    assert_eq!(rooms, allowed.keys().copied().collect(), "the table and the workspace have different rooms");
    for package in packages {
        let room = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["name"].as_str().expect("a name");
            assert!(!rooms.contains(name) || allowed[room].contains(name), "{room} must not import {name}");
        }
    }
}
