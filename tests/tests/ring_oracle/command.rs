//! `apus ring` beside `swift-ring-builder`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use apus_ring_builder::command;
use tempfile::TempDir;

/// What `apus ring` answers, and how it exits.
fn apus_ring(args: &[&str]) -> (i32, String) {
    let mut out = Vec::new();
    let exit = command::run(args.iter().map(OsString::from), &mut out);
    (exit, String::from_utf8(out).unwrap())
}

/// What the real `swift-ring-builder` answers.
fn swift_ring_builder(args: &[&str]) -> (i32, String) {
    let python = PathBuf::from(std::env::var_os("APUS_SWIFT_PYTHON").expect("run `make test`"));
    let output = Command::new(python.with_file_name("swift-ring-builder")).args(args).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// The answer without the seconds that pass between two commands.
fn timeless((exit, said): (i32, String)) -> (i32, Vec<String>) {
    let line = |line: &str| match line.strip_suffix(" remaining)").and_then(|line| line.rsplit_once(" (")) {
        Some((line, _)) => line.to_owned(),
        None => line.to_owned(),
    };
    (exit, said.lines().map(line).collect())
}

#[test]
fn the_command_answers_as_swift_ring_builder() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("object.builder").display().to_string();
    // A cluster made by our command, with all kinds of devices.
    assert_eq!(apus_ring(&[&file, "create", "7", "2.5", "26"]).0, 0);
    let added = [
        "r1z1-10.0.0.1:6200R10.1.0.1:6300/sdb1_a rack",
        "100",
        "r1z2-10.0.0.2:6200/sdb1",
        "1000.25",
        "r1z2-[2001:db8::0:1]:16200/a-long-name_x",
        "700",
        "r2z1-10.0.0.4:6200/sdc",
        "300",
        "r2z1-10.0.0.4:6200/sdd",
        "0",
    ];
    assert_eq!(apus_ring(&[&[&file, "add"], &added[..]].concat()).0, 0);
    let placed = apus_ring(&[&file, "rebalance", "--seed", "1"]);
    assert_eq!(placed.0, 1, "uneven weights crowd some partitions, which is a warning: {}", placed.1);
    assert_eq!(apus_ring(&[&file, "remove", "d3"]).0, 0);

    let questions: [&[&str]; 9] = [
        &[],
        &["search", "r1"],
        &["search", "--ip", "10.0.0.4"],
        &["search", "_rack"],
        &["search", "z9"],
        &["validate"],
        &["set_overload", "12.5%"],
        &["set_min_part_hours", "3"],
        &["set_weight", "d0", "77"],
    ];
    for question in questions {
        let args = [&[file.as_str()], question].concat();
        assert_eq!(timeless(apus_ring(&args)), timeless(swift_ring_builder(&args)), "{question:?}");
    }
    // Partitions with as many matches come in no particular order in Swift; in ours they are sorted.
    let listed = |(exit, said): (i32, String)| {
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        (exit, lines)
    };
    let args = [file.as_str(), "list_parts", "d0", "d3"];
    assert_eq!(listed(apus_ring(&args)), listed(swift_ring_builder(&args)));
    // With whole replicas, which Swift counts whole, the report on dispersion is the same as well.
    for change in [&["set_replicas", "3"][..], &["rebalance", "--force", "--seed", "2"]] {
        apus_ring(&[&[file.as_str()], change].concat());
    }
    for question in [&["dispersion", "-v"][..], &["dispersion", "-v", "r1z\\d$"], &[]] {
        let args = [&[file.as_str()], question].concat();
        let ours = timeless(apus_ring(&args));
        assert_eq!(ours, timeless(swift_ring_builder(&args)), "{question:?}");
    }
}
