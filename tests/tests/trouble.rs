//! Nodes in trouble that still run: disks that fill up or turn read-only, servers that hang or have too much to do. Clients
//! notice nothing, and metrics say who it is.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use apus_tests::{Cluster, Request, Session, bytes, tools};
use rustix::process::Signal;
use tempfile::{NamedTempFile, TempPath};

/// A small ext4 of its own in a device's folder, while this lives. It takes root to mount one.
struct SmallDisk {
    folder: PathBuf,
    image: TempPath,
}

impl SmallDisk {
    /// `None`, and says so, where nobody may mount.
    fn mount(folder: &Path, mebibytes: u64) -> Option<Self> {
        let image = NamedTempFile::new().expect("a file");
        image.as_file().set_len(mebibytes << 20).expect("a large file");
        let disk = Self { folder: folder.to_owned(), image: image.into_temp_path() };
        tools::run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&disk.image));
        if disk.try_mount() {
            return Some(disk);
        }
        eprintln!("skipped: it takes root to mount a small disk");
        None
    }

    fn try_mount(&self) -> bool {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-o", "loop,errors=remount-ro"]).arg(&self.image).arg(&self.folder).status();
        mounted.is_ok_and(|status| status.success())
    }

    /// As ext4 does by itself when its disk loses something.
    fn turn_read_only(&self) {
        tools::run(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.folder));
    }

    /// What an operator does then, while nobody uses it.
    fn repair(&self) {
        tools::run(Command::new("umount").arg(&self.folder));
        let checked = Command::new("e2fsck").args(["-f", "-y"]).arg(&self.image).output().expect("e2fsck runs");
        assert!(checked.status.code().is_some_and(|code| code < 4), "{checked:?}");
        assert!(self.try_mount());
    }

    /// Leaves so many bytes free.
    fn fill_up_to(&self, free: u64) -> PathBuf {
        let path = self.folder.join("hog");
        let mut hog = File::create(&path).expect("a file");
        let left = || rustix::fs::statvfs(&self.folder).map(|found| found.f_bavail * found.f_frsize).expect("its room");
        while left() > free {
            hog.write_all(&[1; 64 << 10]).and_then(|()| hog.sync_data()).expect("room");
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn metrics(cluster: &mut Cluster, name: &str) -> String {
    let address = cluster.proxy(0).address("proxy");
    let all = Request::new(address, "GET", "/metrics").send().expect(200).text();
    all.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>().join("\n")
}

/// Stores and reads back so many objects.
fn stores(tester: &Session, prefix: &str, many: usize) {
    for i in 0..many {
        tester.store(&format!("c/{prefix}{i}"), bytes(i as u64, 20_000));
    }
    for i in 0..many {
        assert_eq!(tester.get(&format!("c/{prefix}{i}")).send().expect(200).body, bytes(i as u64, 20_000));
    }
    // The replica of the listing on the device in trouble hears of them later; others are asked in their turns.
    let started = std::time::Instant::now();
    while !(0..many).all(|i| tester.list("c").contains(&format!("{prefix}{i}"))) {
        assert!(started.elapsed() < apus_tests::PATIENCE, "no replica lists all of {prefix}");
    }
}

#[test]
fn a_disk_that_turns_read_only_is_read_and_not_written() {
    let mut cluster = Cluster::builder().nodes(4).without_passes().start();
    let device = cluster.device(0);
    let Some(disk) = SmallDisk::mount(&device, 64) else { return };
    let tester = cluster.tester();
    tester.make("c");
    stores(&tester, "before", 8);

    // What is there is read; what is new goes elsewhere, and the disk is left alone.
    disk.turn_read_only();
    stores(&tester, "during", 8);
    for i in 0..8 {
        assert_eq!(tester.get(&format!("c/before{i}")).send().expect(200).body, bytes(i, 20_000));
        tester.delete(&format!("c/before{i}")).send().expect(204);
    }
    assert!(metrics(&mut cluster, "apus_proxy_error_limited").contains("/d0\""));

    // It comes back, and with replication everything is where it belongs.
    cluster.node(0).stop();
    disk.repair();
    cluster.node(0).start(None);
    stores(&tester, "after", 8);
    cluster.pass("update");
    cluster.pass("replicate");
    cluster.pass("replicate");
    for i in 0..8 {
        tester.get(&format!("c/before{i}")).header("X-Newest", "true").send().expect(404);
    }
    assert_eq!(cluster.holders(".data").len(), 4);
}

#[test]
fn a_full_disk_is_507_before_it_is_full() {
    let mut cluster =
        Cluster::builder().nodes(4).settings("object", "fallocate_reserve = 8388608").without_passes().start();
    let device = cluster.device(0);
    let Some(disk) = SmallDisk::mount(&device, 64) else { return };
    let tester = cluster.tester();
    tester.make("c");
    stores(&tester, "before", 4);

    // Somebody else fills it up to the reserve, and what is left stays free.
    let hog = disk.fill_up_to(6 << 20);
    stores(&tester, "during", 8);
    let address = cluster.node(0).address("object");
    let put = Request::new(address, "PUT", "/d0/0/AUTH_test/c/o").header("X-Timestamp", "1712345678.00000");
    put.header("Content-Type", "a/b").body("x").send().expect(507);
    assert!(metrics(&mut cluster, "apus_proxy_error_limited").contains("/d0\""));

    // What is there can be read and deleted; then there is room again.
    for i in 0..4 {
        tester.delete(&format!("c/before{i}")).send().expect(204);
    }
    std::fs::remove_file(hog).expect("the large file");
    stores(&tester, "after", 4);
}

#[test]
fn a_server_that_hangs_is_passed_over_and_then_left_alone() {
    let settings = "[client]\nnode_timeout = 2\nconcurrent_gets = true\nconcurrency_timeout = 0.05\n\
                    error_suppression_limit = 1\nrequest_node_count = 6";
    let cluster =
        Cluster::builder().nodes(4).settings("proxy", settings).settings("object", "container_update_timeout = 1");
    let mut cluster = cluster.without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    stores(&tester, "before", 4);

    // Reads go on after a moment, writes once two of three have answered; who has not answered for too long is left alone.
    cluster.node(1).process().signal(Signal::STOP);
    for i in 0..4 {
        assert_eq!(tester.get(&format!("c/before{i}")).send().expect(200).body, bytes(i, 20_000));
    }
    let node = cluster.node(1).address("object").to_string();
    let started = std::time::Instant::now();
    for round in 0.. {
        stores(&tester, &format!("during{round}-"), 4);
        let limited = metrics(&mut cluster, "apus_proxy_error_limited");
        if limited.contains(&node) || limited.contains("/d1\"") {
            break;
        }
        assert!(started.elapsed() < apus_tests::PATIENCE, "{limited}");
    }
    cluster.node(1).process().signal(Signal::CONT);
}

#[test]
fn a_busy_server_sends_requests_elsewhere_and_is_not_blamed() {
    // Of four nodes one takes a request of each method now and then; its file says so while it runs.
    let rates =
        "[backend_ratelimit]\nbackend_ratelimit_conf_path = \"backend-ratelimit.conf\"\nconfig_reload_interval = 0.1";
    let mut cluster = Cluster::builder().nodes(4).settings("object", rates).without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    stores(&tester, "before", 4);
    let limit =
        "[backend_ratelimit]\nput_requests_per_device_per_second = 0.001\nget_requests_per_device_per_second = 0.001\n";
    let folder = cluster.node(1).config();
    let file = folder.parent().expect("a folder").join("backend-ratelimit.conf");
    std::fs::write(&file, limit).expect("a file");
    let object = cluster.node(1).address("object");
    let ask = || Request::new(object, "GET", "/d1/0/AUTH_test/c/nothing").send().status;
    let started = std::time::Instant::now();
    while ask() != 529 {
        assert!(started.elapsed() < apus_tests::PATIENCE, "the file was never read");
    }

    // Clients notice nothing, and the server is asked each time anew.
    stores(&tester, "during", 20);
    assert_eq!(metrics(&mut cluster, "apus_proxy_error_limited{"), "");
    assert!(!metrics(&mut cluster, "apus_proxy_busy_nodes_total{server=\"object\"}").is_empty());
    let limited = Request::new(object, "GET", "/metrics").send().expect(200).text();
    assert!(limited.contains("apus_object_requests_limited_total"), "{limited}");

    // Without the rates in the file it takes everything again.
    std::fs::write(&file, "[backend_ratelimit]\n").expect("a file");
    let started = std::time::Instant::now();
    while ask() == 529 {
        assert!(started.elapsed() < apus_tests::PATIENCE, "the file was never read again");
    }
    stores(&tester, "after", 4);
}

#[test]
fn writes_go_to_near_devices_first_and_replication_spreads_them() {
    // Each node is a zone; the proxy is near two of them.
    let settings = "[client]\nwrite_affinity = \"r1z0, r1z1\"\nwrite_affinity_node_count = 2\n\
                    sorting_method = \"affinity\"\nread_affinity = \"r1z0=1, r1z1=2\"";
    let mut cluster = Cluster::builder().nodes(6).settings("proxy", settings).without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    stores(&tester, "o", 10);

    // Both near nodes have every object, and only one copy of each is elsewhere.
    let files = |node: &mut apus_tests::cluster::Node| apus_tests::disk::with_suffix(&node.devices(), ".data").len();
    let counts: Vec<_> = cluster.nodes().iter_mut().map(files).collect();
    assert_eq!((counts[0], counts[1], counts[2..].iter().sum::<usize>()), (10, 10, 10), "{counts:?}");

    // A deletion reaches also those that stand in for others.
    tester.delete("c/o0").send().expect(204);
    tester.get("c/o0").send().expect(404);
    let counts: Vec<_> = cluster.nodes().iter_mut().map(files).collect();
    assert_eq!((counts[0], counts[1]), (9, 9), "{counts:?}");

    // Replication brings what belongs elsewhere there.
    cluster.pass("replicate");
    cluster.pass("replicate");
    let counts: Vec<_> = cluster.nodes().iter_mut().map(files).collect();
    assert_eq!(counts.iter().sum::<usize>(), 27, "{counts:?}");
    assert!(counts[2..].iter().sum::<usize>() > 9, "{counts:?}");
    stores(&tester, "p", 2);
}
