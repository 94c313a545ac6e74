//! `apus inspect`, beside swift-object-info and swift-get-nodes on the same files and rings.

use std::fs;
use std::path::Path;

use apus_base::hash_path::HashPath;
use apus_tests::Cluster;

use crate::{apus, apus_of, files, give_rings, ring, swift, swift_folder};

/// The lines of swift-object-info, and ours up to our verdict.
#[track_caller]
fn assert_as_swift_says(cluster: &mut Cluster, dir: &Path, file: &Path) {
    let (file, dir) = (file.to_str().unwrap(), dir.to_str().unwrap());
    let theirs = swift("swift-object-info", &["-d", dir, file]);
    let ours = apus(cluster, &["inspect", "object", file]);
    ours.is_well();
    let (shown, verdict) = ours.text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(verdict, "OK");
    let shown: Vec<_> = shown.trim_end().lines().filter(|line| !line.contains("is no primary of")).collect();
    let theirs: Vec<_> = theirs.text.trim_end().lines().collect();
    // Which policy is asked in the curl lines is ours to say: Swift leaves out policy 0's only when it has no policies.
    assert_eq!(shown, theirs);
}

#[test]
fn files_are_shown_as_swift_object_info_shows_them() {
    let folder = swift_folder();
    let mut cluster = Cluster::builder().nodes(4).without_passes().start();
    give_rings(&cluster, folder.path());
    let tester = cluster.tester();
    tester.make("c");
    let put = tester.put("c/a folder/é").header("X-Object-Meta-Color", "grün").header("Content-Type", "text/x-ö");
    put.header("Content-Disposition", "inline").body("what it says").send().expect(201);
    let holder = cluster.holders(".data")[0];
    let data = files(&mut cluster, holder, ".data").remove(0);
    assert_as_swift_says(&mut cluster, folder.path(), &data);

    // A POST's file and a tombstone.
    tester.post("c/a folder/é").header("X-Object-Meta-Shape", "round").send().expect(202);
    let meta = files(&mut cluster, holder, ".meta").remove(0);
    assert_as_swift_says(&mut cluster, folder.path(), &meta);
    tester.delete("c/a folder/é").send().expect(204);
    let tombstone = files(&mut cluster, holder, ".ts").remove(0);
    assert_as_swift_says(&mut cluster, folder.path(), &tombstone);
}

#[test]
fn places_are_told_as_swift_get_nodes_tells_them() {
    let folder = swift_folder();
    let mut cluster = Cluster::builder().nodes(5).without_passes().start();
    give_rings(&cluster, folder.path());
    let dir = folder.path().to_str().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (account, container, object) = (file("account.ring.gz"), file("container.ring.gz"), file("object.ring.gz"));
    let all: [&[&str]; 7] = [
        &[&account, "AUTH_test"],
        &[&container, "AUTH_test", "c d"],
        &[&object, "AUTH_test", "c", "o/é"],
        &[&object, "-a", "/AUTH_test/c/o"],
        &[&object, "-p", "17"],
        &[&object, "-Q", "AUTH_test", "c", "a%20b"],
        &["-P", "gold", "AUTH_test", "c", "o"],
    ];
    for arguments in all {
        let theirs = swift("swift-get-nodes", &[&["-d", dir], arguments].concat());
        // Where a partition has no name, Swift says None.
        let text = theirs.is_well().text.replace("/17/None\"", "/17/\"");
        let ours = apus(&mut cluster, &[&["inspect", "nodes"], arguments].concat());
        assert_eq!(ours.is_well().text.trim(), text.trim(), "{arguments:?}");
    }
}

#[test]
fn copies_and_listings_are_compared() {
    let mut cluster = Cluster::builder().nodes(4).without_passes().start();
    let tester = cluster.tester();
    tester.put("c").header("X-Container-Meta-Color", "red").send().expect(201);
    tester.store("c/o", "a body");
    let object = ["inspect", "object", "AUTH_test/c/o"];
    apus(&mut cluster, &object).is_well().has("OK: every primary has the same version").has("6 bytes");
    let container = apus(&mut cluster, &["inspect", "container", "AUTH_test/c"]);
    container
        .is_well()
        .has("Path: /AUTH_test/c")
        .has("  Object Count: 1\n  Bytes Used: 6")
        .has("x-container-meta-color: red");
    container.has("  Storage Policy: gold (0)").has("OK: every primary knows the same");
    // Accounts hear of their containers a little later, each by itself.
    crate::status::becomes_redundant(&mut cluster);
    apus(&mut cluster, &["inspect", "account", "AUTH_test"])
        .is_well()
        .has("  Account: AUTH_test")
        .has("Container Count: 1");

    // A node that is down cannot tell; our own disk can be read without its server.
    let salt = HashPath::new("", "changeme");
    let primaries = ring(&cluster, "container");
    let partition = primaries.partition(&salt.container("AUTH_test", "c").0);
    let nodes: Vec<usize> = primaries.primaries(partition).map(|device| device.id as usize).collect();
    let down = *nodes.iter().find(|node| **node != 0).unwrap();
    cluster.node(down).kill();
    apus(&mut cluster, &["inspect", "container", "AUTH_test", "c"])
        .is_not_well()
        .has("WRONG: not every primary has it");
    let config = cluster.node(down).config();
    apus_of(&config, &["inspect", "container", "AUTH_test", "c"]).is_well().has("OK: every primary knows the same");
    cluster.node(down).start(None);

    // A copy that is missing is seen.
    let holder = cluster.holders(".data")[0];
    let data = files(&mut cluster, holder, ".data").remove(0);
    fs::remove_file(&data).unwrap();
    apus(&mut cluster, &object).is_not_well().has("404").has("WRONG: not every primary has the same version");
}

#[test]
fn what_waits_and_what_is_in_quarantine() {
    let mut cluster = Cluster::builder().nodes(1).replicas(1).without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "a body");
    apus(&mut cluster, &["inspect", "async"]).is_well().has("0 updates wait for 0 containers");
    apus(&mut cluster, &["inspect", "quarantined"]).is_well().has("0 in quarantine");

    // The object is damaged and read; what was written while the container's server was away waits.
    let data = files(&mut cluster, 0, ".data").remove(0);
    fs::write(&data, "no").unwrap();
    tester.get("c/o").send().expect(404);
    let gone = apus(&mut cluster, &["inspect", "quarantined"]);
    gone.is_not_well().has("/AUTH_test/c/o  NOT REPAIRED").has("1 in quarantine, 1 of them not repaired");
    tester.store("c/o", "again");
    apus(&mut cluster, &["inspect", "quarantined"]).is_well().has("a good copy is in its place");
    cluster.node(0).stop();
    cluster.node(0).start_only(&["object"], None);
    let address = cluster.node(0).address("object");
    let nobody = apus_tests::cluster::free_address([127, 0, 0, 1].into());
    let put = apus_tests::Request::new(address, "PUT", "/d0/0/AUTH_test/c/late").body("x");
    let put = put.header("X-Timestamp", "1712345678.00000").header("Content-Type", "text/plain");
    let put = put.header("X-Container-Host", nobody.to_string()).header("X-Container-Device", "d0");
    put.header("X-Container-Partition", "0").send().expect(201);
    apus(&mut cluster, &["inspect", "async"])
        .is_well()
        .has("since 2024-04-05")
        .has("AUTH_test/c")
        .has("1 updates wait for 1");
}

#[test]
fn bad_input_is_one_sentence() {
    let mut cluster = Cluster::builder().nodes(1).replicas(1).without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "a body");
    let data = files(&mut cluster, 0, ".data").remove(0);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("1712345678.12345.data");
    fs::write(&other, "no metadata").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let mut object = |path: &str| apus(&mut cluster, &["inspect", "object", path]);
    object("nothing").is_not_well().has("there is no nothing");
    object("/srv/node/1712345678.12345.data").is_not_well().has("there is no /srv/node/1712345678.12345.data");
    object(&text(folder.path())).is_not_well().has("is a folder; name a file in it");
    object(&text(&other)).is_not_well().has("is not an object's file: the file has no metadata");

    // A body that is another, and a file in the wrong place.
    let copy = folder.path().join("moved");
    fs::create_dir(&copy).unwrap();
    let copy = copy.join(data.file_name().unwrap());
    let copied = std::process::Command::new("cp").args(["--preserve=xattr"]).args([&data, &copy]).status();
    assert!(copied.unwrap().success());
    object(&text(&copy)).is_well();
    fs::write(&copy, "a tody").unwrap();
    object(&text(&copy)).is_not_well().has("doesn't match file hash of").has("WRONG: the body's MD5 is");
    rustix::fs::setxattr(&copy, "user.swift.metadata", b"torn", rustix::fs::XattrFlags::empty()).unwrap();
    let torn = apus(&mut cluster, &["inspect", "object", &text(&copy)]);
    torn.is_not_well().has("the metadata's checksum does not match");

    let no_ring = apus(&mut cluster, &["inspect", "nodes", "/nowhere/object.ring.gz", "a"]);
    no_ring.is_not_well().has("the ring file /nowhere/object.ring.gz does not exist");
    let no_one = apus(&mut cluster, &["inspect", "nodes"]);
    no_one.is_not_well().has("name an account, a container or an object, or a partition with -p");
    apus(&mut cluster, &["inspect", "container", "only"]).is_not_well().has("\"only\" is not ACCOUNT/CONTAINER");
}
