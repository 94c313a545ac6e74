//! The clients that people have, unchanged, against `apus up`: `rclone` keeps a folder in step, `swift` stores in segments and
//! signs URLs, `curl` fetches them without a token.

use std::fs;
use std::path::Path;
use std::process::Command;

use apus_tests::rclone::{self, Backend};
use apus_tests::{Apus, boto, disk, tools, tree};
use tempfile::TempDir;

/// More than five of the segments that are sent here.
const LARGE: usize = 5_300_000;

/// The stock Swift client as the owner of `test`.
fn swift(apus: &Apus, folder: &Path, arguments: &[&str]) -> String {
    boto::run(apus, folder, "swift", arguments)
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    tools::run(Command::new("curl").args(["-fsS"]).args(arguments)).stdout
}

#[test]
fn rclone_keeps_a_folder_in_step() {
    let (apus, tree, back) = (Apus::builder().start(), tree(LARGE), TempDir::new().expect("a folder"));
    let (here, there) = (tree.path(), back.path());
    let rclone = |folder: &Path, arguments: &[&str]| rclone::run(&apus, Backend::Swift, folder, arguments);

    // Everything goes up, the large file in segments, and rclone finds every byte there.
    rclone(here, &["sync", ".", "apus:tree"]);
    rclone(here, &["check", "--download", ".", "apus:tree"]);

    // One file changes, one goes, one is new: the second sync brings these and nothing else.
    fs::write(here.join("a.txt"), "changed").expect("a file");
    fs::remove_file(here.join("empty")).expect("a file");
    fs::write(here.join("new"), "new").expect("a file");
    rclone(here, &["sync", ".", "apus:tree"]);
    rclone(here, &["check", "--download", ".", "apus:tree"]);

    // It all comes back into an empty folder.
    rclone(there, &["copy", "apus:tree", "."]);
    assert_eq!(disk::contents(there), disk::contents(here));

    // And is gone when it is purged, segments too.
    rclone(here, &["purge", "apus:tree"]);
    rclone(here, &["delete", "apus:tree_segments"]);
    assert!(!rclone(here, &["lsf", "apus:"]).contains("tree/"));
}

#[test]
fn the_stock_client_stores_in_segments() {
    let (apus, tree, back) = (Apus::builder().start(), tree(LARGE), TempDir::new().expect("a folder"));
    let (here, there) = (tree.path(), back.path());

    // One upload as static large objects, one as dynamic ones.
    for (container, kind) in [("static", "--use-slo"), ("dynamic", "--use-dlo")] {
        swift(&apus, here, &["upload", "--segment-size", "1048576", kind, container, "."]);
        let told = swift(&apus, here, &["stat", container, "large.bin"]);
        assert!(told.contains("Content Length: 5300000"), "{told}");
        assert!(
            told.contains(if container == "static" { "X-Static-Large-Object: True" } else { "Manifest:" }),
            "{told}"
        );
        let into = there.join(container);
        swift(&apus, there, &["download", container, "--output-dir", into.to_str().expect("UTF-8")]);
        assert_eq!(disk::contents(&into), disk::contents(here), "{container}");
    }

    // Metadata by POST does not make the manifest a plain object.
    swift(&apus, here, &["post", "static", "large.bin", "-m", "colour:blue"]);
    let told = swift(&apus, here, &["stat", "static", "large.bin"]);
    assert!(told.contains("Meta Colour: blue") && told.contains("X-Static-Large-Object: True"), "{told}");

    // Deleting the large object takes its segments with it.
    swift(&apus, here, &["delete", "static", "large.bin"]);
    assert_eq!(swift(&apus, here, &["list", "static_segments"]), "");
    swift(&apus, here, &["delete", "static"]);
    swift(&apus, here, &["delete", "--all"]);
    assert_eq!(swift(&apus, here, &["list"]), "");
}

#[test]
fn a_signed_url_needs_no_token() {
    let (apus, tree) = (Apus::builder().start(), tree(LARGE));
    let here = tree.path();
    swift(&apus, here, &["upload", "shared", "a.txt"]);
    swift(&apus, here, &["post", "-m", "Temp-URL-Key:secret"]);
    let sign = |method: &str| {
        let path = "/v1/AUTH_test/shared/a.txt";
        let signed = swift(&apus, here, &["tempurl", "--digest", "sha256", method, "600", path, "secret"]);
        format!("http://{}{}", apus.swift().address, signed.trim())
    };

    // Read with one signature, overwritten with another.
    assert_eq!(curl(&[&sign("GET")]), fs::read(here.join("a.txt")).expect("a file"));
    curl(&["-X", "PUT", "--data-binary", "by a stranger", &sign("PUT")]);
    assert_eq!(curl(&[&sign("GET")]), b"by a stranger");

    // A signature for reading does not write, and a forged one does nothing.
    let refused = |arguments: &[&str]| {
        let output =
            Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]).args(arguments).output();
        String::from_utf8(output.expect("curl").stdout).expect("a status")
    };
    assert_eq!(refused(&["-X", "PUT", "--data-binary", "no", &sign("GET")]), "401");
    let url = sign("GET");
    let (head, tail) = url.split_once("temp_url_sig=").expect("a signature");
    let flipped = if tail.starts_with('0') { "1" } else { "0" };
    assert_eq!(refused(&[&format!("{head}temp_url_sig={flipped}{}", &tail[1..])]), "401");
}
