//! Programs that keep people's files in S3 for years: `restic`, and `s3cmd`; and an upload of as many parts as there may be.

use std::fs;
use std::path::Path;
use std::process::Command;

use apus_tests::{Apus, Cluster, Swift, boto, bytes, disk, tools};
use tempfile::TempDir;

/// This checkout's documents and programs, which are a real tree, and a file that compresses badly.
fn tree() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for part in ["docs", "base", "proxy"] {
        tools::run(Command::new("cp").args(["-r", part]).arg(folder.path()).current_dir(tools::checkout()));
    }
    fs::write(folder.path().join("large.bin"), bytes(11, 12_000_000)).expect("a file");
    folder
}

#[test]
fn restic_keeps_a_tree_and_gives_it_back() {
    let (apus, tree, back) = (Apus::builder().start(), tree(), TempDir::new().expect("a folder"));
    let restic = |arguments: &[&str]| {
        let mut command = Command::new("restic");
        let repository = format!("s3:{}/backups/of a tree", boto::url(&apus));
        let settings = [
            ("AWS_ACCESS_KEY_ID", "test:tester"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("RESTIC_PASSWORD", "secret"),
            ("RESTIC_REPOSITORY", &repository),
        ];
        let output = tools::run(command.envs(settings).args(["--no-cache"]).args(arguments).current_dir(tree.path()));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    restic(&["init"]);
    restic(&["backup", "."]);
    let first = disk::contents(tree.path());

    // Another day: something is gone, something is changed. Each of the two can be had.
    fs::remove_dir_all(tree.path().join("proxy/src")).expect("a folder");
    fs::write(tree.path().join("docs/new"), "new").expect("a file");
    restic(&["backup", "."]);
    assert!(restic(&["check", "--read-data"]).contains("no errors were found"));
    let restored = |snapshot: &str, name: &str| {
        let target = back.path().join(name);
        restic(&["restore", snapshot, "--target", target.to_str().expect("UTF-8")]);
        disk::contents(&target)
    };
    let snapshots: serde_json::Value = serde_json::from_str(&restic(&["snapshots", "--json"])).expect("JSON");
    assert!(restored(snapshots[0]["id"].as_str().expect("an id"), "first") == first);
    let second = disk::contents(tree.path());
    assert!(second != first && restored("latest", "second") == second);

    // What only the first needs goes, and the second is whole.
    restic(&["forget", "--keep-last", "1", "--prune"]);
    assert!(restic(&["check", "--read-data"]).contains("no errors were found"));
    assert!(restored("latest", "third") == second);
}

#[test]
fn s3cmd_keeps_a_folder_in_step() {
    let (apus, tree, folder) = (Apus::builder().start(), tree(), TempDir::new().expect("a folder"));
    let address = apus.swift().address.to_string();
    let s3cmd = |here: &Path, arguments: &[&str]| {
        let host = [format!("--host={address}"), format!("--host-bucket={address}")];
        let fixed =
            ["--config=/dev/null", "--no-ssl", "--access_key=test:tester", "--secret_key=testing", "--no-progress"];
        let mut command = boto::program(&apus, here, "s3cmd");
        String::from_utf8(tools::run(command.args(host).args(fixed).args(arguments)).stdout).expect("UTF-8")
    };
    let here = tree.path();
    s3cmd(here, &["mb", "s3://pail"]);
    s3cmd(here, &["sync", "--multipart-chunk-size-mb=5", "./", "s3://pail/tree/"]);
    s3cmd(folder.path(), &["sync", "s3://pail/tree/", "./"]);
    assert!(disk::contents(folder.path()) == disk::contents(here));
    assert!(!s3cmd(here, &["sync", "./", "s3://pail/tree/"]).contains("upload:"), "nothing has changed");

    // Copies, names, and who may read.
    s3cmd(here, &["cp", "s3://pail/tree/large.bin", "s3://pail/copied"]);
    s3cmd(here, &["mv", "s3://pail/copied", "s3://pail/moved"]);
    assert!(s3cmd(here, &["info", "s3://pail/moved"]).contains("12000000"));
    s3cmd(here, &["modify", "--add-header=x-amz-meta-color:blue", "s3://pail/moved"]);
    assert!(s3cmd(here, &["info", "s3://pail/moved"]).contains("x-amz-meta-color: blue"));
    s3cmd(here, &["setacl", "--acl-private", "s3://pail/moved"]);
    let everybody = || {
        let url = format!("http://{address}/test:pail/moved");
        let asked = Command::new("curl").args(["-fsS", "-o", "/dev/null", &url]).output().expect("curl");
        asked.status.success()
    };
    assert!(!everybody());
    s3cmd(here, &["setacl", "--acl-public", "s3://pail"]);
    assert!(everybody());
    s3cmd(here, &["setacl", "--acl-private", "s3://pail"]);
    assert!(!everybody());
    s3cmd(here, &["rb", "--recursive", "--force", "s3://pail"]);
    assert_eq!(s3cmd(here, &["ls"]), "");
}

#[test]
fn ten_thousand_parts_are_one_object() {
    // Small ones: it is their number that counts. Swift's limit on how many small segments are read in a second goes.
    let cluster = Cluster::builder()
        .nodes(1)
        .replicas(1)
        .settings("proxy", "s3 = { min_segment_size = 1 }\nslo = { rate_limit_under_size = 0 }");
    let (mut cluster, folder) = (cluster.start(), TempDir::new().expect("a folder"));
    let swift = Swift { address: cluster.proxy(0).address("proxy") };
    let script = r#"
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(8)
s3.create_bucket(Bucket='pail')
of = dict(Bucket='pail', Key='k', UploadId=s3.create_multipart_upload(Bucket='pail', Key='k')['UploadId'])
text = lambda number: b'part %05d\n' % number
part = lambda number: {'PartNumber': number, 'ETag': s3.upload_part(**of, PartNumber=number, Body=text(number))['ETag']}
parts = list(pool.map(part, range(1, 10_001)))
pages = s3.get_paginator('list_parts').paginate(**of)
assert [p['PartNumber'] for page in pages for p in page['Parts']] == list(range(1, 10_001))
s3.complete_multipart_upload(**of, MultipartUpload={'Parts': parts})
got = s3.get_object(Bucket='pail', Key='k')
assert got['ETag'].endswith('-10000"') and got['Body'].read() == b''.join(map(text, range(1, 10_001)))
last = s3.get_object(Bucket='pail', Key='k', PartNumber=10_000)
assert (last['PartsCount'], last['Body'].read()) == (10_000, text(10_000)), last
middle = s3.get_object(Bucket='pail', Key='k', Range='bytes=54995-55004')
assert middle['Body'].read() == (text(5000) + text(5001))[6:16]
"#;
    boto::script(swift, folder.path(), script);
    // Swift reads it as well.
    let got = run_at(swift, folder.path());
    assert_eq!(got.len(), 110_000);
}

fn run_at(swift: Swift, folder: &Path) -> Vec<u8> {
    tools::run(boto::program(swift, folder, "swift").args(["download", "pail", "k", "-o", "-"])).stdout
}
