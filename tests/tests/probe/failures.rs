//! Files that are damaged, and nodes that are away.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use apus_base::hash_path::HashPath;
use apus_object::store::attributes;
use apus_tests::copies::{HASH_SUFFIX, assert_in_place, copies, ring};
use apus_tests::mount::{Disk, Size};
use apus_tests::{Cluster, Request, bytes, disk, md5_hex};

/// More than what an object server reads at once, so that it has sent some before it knows.
const LARGE: usize = 4 << 20;

/// Changes one bit of the first copy on a node.
fn flip(cluster: &mut Cluster, node: usize) {
    let path = disk::with_suffix(&cluster.node(node).devices(), ".data").remove(0);
    let file = File::options().read(true).write(true).open(path).expect("a copy");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1000).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], 1000).expect("a byte");
}

#[test]
fn bad_bytes_are_never_completed_with_good_ones() {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    let body = bytes(1, LARGE);
    tester.store("c/o", &body);

    // One copy rots. Whoever is served from it gets an answer that breaks off, or a good one.
    flip(&mut cluster, 1);
    let mut cut = 0;
    while !cluster.device(1).join("quarantined/objects").exists() {
        match tester.get("c/o").try_send() {
            Ok(answer) => assert!(answer.expect(200).body == body, "a damaged body passed for whole"),
            Err(_) => cut += 1,
        }
    }
    assert_eq!(cut, 1);
    assert!(tester.get("c/o").send().expect(200).body == body);

    cluster.pass("replicate");
    assert_in_place(&cluster, 3);
    assert_eq!(copies(&cluster, 1).len(), 1);
}

/// Gives the copy on a node another ETag than its bytes have.
fn bad_etag(cluster: &mut Cluster, node: usize) {
    let path = disk::with_suffix(&cluster.node(node).devices(), ".data").remove(0);
    let file = File::options().read(true).write(true).open(path).expect("a copy");
    let found = attributes::read(&file).expect("its metadata");
    let mut metadata = found.metadata;
    metadata.set("ETag", md5_hex(b"something else"));
    attributes::write(&file, &metadata, found.body_length).expect("metadata");
}

fn cut_to_nothing(cluster: &mut Cluster, node: usize) {
    let path = disk::with_suffix(&cluster.node(node).devices(), ".data").remove(0);
    File::options().write(true).open(path).expect("a copy").set_len(0).expect("an empty file");
}

#[test]
fn a_damaged_copy_is_put_away_by_whoever_meets_it_and_brought_back() {
    type Damage = fn(&mut Cluster, usize);
    // A range is too little to judge the bytes by; the next whole read is not.
    let damages: [(Damage, &str, &str, bool); 7] = [
        (flip, "GET", "", true),
        (bad_etag, "GET", "", true),
        (bad_etag, "GET", "bytes=0-2", false),
        (cut_to_nothing, "GET", "", true),
        (cut_to_nothing, "GET", "bytes=0-2", true),
        (cut_to_nothing, "HEAD", "", true),
        (cut_to_nothing, "POST", "", true),
    ];
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    let ring = ring(&cluster);
    let hash = HashPath::new("", HASH_SUFFIX).object("AUTH_test", "c", "o");
    let target = format!("/d1/{}/AUTH_test/c/o", ring.partition(&hash.0));
    for (damage, method, range, is_noticed) in damages {
        tester.store("c/o", bytes(7, 2000));
        damage(&mut cluster, 1);
        let address = cluster.node(1).address("object");
        let ask = |method: &str, range: &str| {
            let mut request = Request::new(address, method, &*target);
            if !range.is_empty() {
                request = request.header("Range", range);
            }
            request.header("X-Timestamp", format!("{}.00000", apus_tests::moment::now() + 100)).send().status
        };
        assert_eq!(ask(method, range) == 404, is_noticed, "{method} {range}");
        if !is_noticed {
            assert_eq!(ask("GET", ""), 404);
        }
        // By now a good copy may be in its place again.
        let there = Request::new(cluster.node(1).address("object"), "GET", &*target).send();
        let is_good = there.status == 200 && there.body == bytes(7, 2000) && there.need("Etag") == md5_hex(&there.body);
        assert!(there.status == 404 || is_good, "{method} {range} left a damaged copy");
        assert!(tester.get("c/o").send().expect(200).body == bytes(7, 2000));
        cluster.pass("replicate");
        assert_in_place(&cluster, 3);
    }
}

#[test]
fn nothing_is_written_where_a_disk_was_mounted() {
    const BYTES: u64 = 256 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    if let Err(why) = Disk::new(folder.path(), Size::Bytes(BYTES)) {
        return println!("skipped: this machine lets us mount nothing: {why}");
    }
    let mut cluster = Cluster::builder().nodes(4).without_passes().on_disks(Size::Bytes(BYTES)).start();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/before", "x");

    // A disk is unmounted under its server; the empty mount point is no disk.
    cluster.take_away(1);
    for i in 0..20 {
        tester.store(&format!("c/{i}"), "x");
    }
    let address = cluster.node(1).address("object");
    Request::new(address, "GET", "/d1/0/AUTH_test/c/before").send().expect(507);
    assert_eq!(std::fs::read_dir(cluster.device(1)).expect("a mount point").count(), 0);

    // It comes back, and what it missed comes to it.
    cluster.give_back(1);
    cluster.pass("replicate");
    assert_in_place(&cluster, 4);
    (0..20).for_each(|i| drop(tester.get(&format!("c/{i}")).send().expect(200)));
}
