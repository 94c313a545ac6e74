//! The clients that people have, unchanged, against `apus up`: `rclone` keeps a folder in step, `swift` stores in segments and
//! signs URLs, `curl` fetches them without a token.

use std::fs;
use std::path::Path;
use std::process::Command;

use apus_tests::{Apus, bytes, disk, tools};
use tempfile::TempDir;

/// A small tree with an empty file, a name with spaces, another in Unicode, and a file of several segments.
fn tree() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let files: [(&str, usize); 5] = [
        ("a.txt", 12),
        ("empty", 0),
        ("with space/and more.bin", 70_000),
        ("naïve/☃.dat", 4096),
        ("large.bin", 5_300_000),
    ];
    for (seed, (name, length)) in files.into_iter().enumerate() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes(seed as u64, length)).expect("a file");
    }
    folder
}

/// The stock Swift client as the owner of `test`.
fn swift(apus: &Apus, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(tools::python_program("swift"));
    command.env("ST_AUTH", format!("http://{}/auth/v1.0", apus.swift().address));
    command.env("ST_USER", "test:tester").env("ST_KEY", "testing");
    let output = tools::run(command.args(arguments).current_dir(folder));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// `rclone` as the owner of `test`, whose remote is called `apus:`.
fn rclone(apus: &Apus, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("rclone");
    let settings = [
        ("CONFIG", "/dev/null".to_owned()),
        ("CONFIG_APUS_TYPE", "swift".to_owned()),
        ("CONFIG_APUS_AUTH", format!("http://{}/auth/v1.0", apus.swift().address)),
        ("CONFIG_APUS_AUTH_VERSION", "1".to_owned()),
        ("CONFIG_APUS_USER", "test:tester".to_owned()),
        ("CONFIG_APUS_KEY", "testing".to_owned()),
        ("CONFIG_APUS_CHUNK_SIZE", "1M".to_owned()),
    ];
    command.envs(settings.map(|(name, value)| (format!("RCLONE_{name}"), value)));
    let output = tools::run(command.args(arguments).arg("--retries=1").current_dir(folder));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    tools::run(Command::new("curl").args(["-fsS"]).args(arguments)).stdout
}

#[test]
fn rclone_keeps_a_folder_in_step() {
    let (apus, tree, back) = (Apus::builder().start(), tree(), TempDir::new().expect("a folder"));
    let (here, there) = (tree.path(), back.path());

    // Everything goes up, the large file in segments, and rclone finds every byte there.
    rclone(&apus, here, &["sync", ".", "apus:tree"]);
    rclone(&apus, here, &["check", "--download", ".", "apus:tree"]);

    // One file changes, one goes, one is new: the second sync brings these and nothing else.
    fs::write(here.join("a.txt"), "changed").expect("a file");
    fs::remove_file(here.join("empty")).expect("a file");
    fs::write(here.join("new"), "new").expect("a file");
    rclone(&apus, here, &["sync", ".", "apus:tree"]);
    rclone(&apus, here, &["check", "--download", ".", "apus:tree"]);

    // It all comes back into an empty folder.
    rclone(&apus, there, &["copy", "apus:tree", "."]);
    assert_eq!(disk::contents(there), disk::contents(here));

    // And is gone when it is purged, segments too.
    rclone(&apus, here, &["purge", "apus:tree"]);
    rclone(&apus, here, &["delete", "apus:tree_segments"]);
    assert!(!rclone(&apus, here, &["lsf", "apus:"]).contains("tree/"));
}

#[test]
fn the_stock_client_stores_in_segments() {
    let (apus, tree, back) = (Apus::builder().start(), tree(), TempDir::new().expect("a folder"));
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
    let (apus, tree) = (Apus::builder().start(), tree());
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
