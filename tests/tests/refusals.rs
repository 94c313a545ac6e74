//! Starts that cannot succeed: each ends with one clear sentence and a status that is not zero.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use apus_tests::up::up;
use apus_tests::{Apus, Cluster, Process, bytes, tools};
use tempfile::TempDir;

/// Runs a command that must fail, and returns its one sentence.
#[track_caller]
fn sentence(command: Command) -> String {
    let log = TempDir::new().expect("a folder");
    let mut process = Process::start("apus", command, &log.path().join("log"));
    let exit = process.exited();
    let text = exit.log.trim_end().to_owned();
    assert_eq!(exit.status.code(), Some(1), "{text}");
    assert!(text.starts_with("apus: ") && !text.contains("panicked"), "{text}");
    text
}

/// As [`sentence`], for what has no position to show.
#[track_caller]
fn one_line(command: Command) -> String {
    let text = sentence(command);
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// `apus up` on an address.
fn up_on(address: &str, data: &Path) -> Command {
    let mut command = Command::new(tools::binary());
    command.args(["up", "--listen", address, "--data"]).arg(data);
    command
}

/// `apus serve`.
fn serve(roles: &[&str], config: &Path) -> Command {
    let mut command = Command::new(tools::binary());
    command.arg("serve").args(roles).arg("--config").arg(config);
    command
}

/// A command with a file system of its own on a folder, which nobody else sees and which goes away with it.
fn on_mount(kind: &str, options: &str, folder: &Path, before: &str, command: &Command) -> Command {
    let mut mounted = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        mounted.arg("--map-root-user");
    }
    let script = format!("mount -t {kind} -o {options} {kind} \"$0\" && cd / && {{ {before} }} && exec \"$@\"");
    mounted.args(["--mount", "sh", "-c", &script]).arg(folder);
    mounted.arg(command.get_program()).args(command.get_args());
    mounted
}

#[test]
fn a_port_in_use() {
    let folder = TempDir::new().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let text = one_line(up_on(&address, &folder.path().join("data")));
    assert!(text.contains(&address), "{text}");
}

#[test]
fn an_address_that_is_none() {
    let folder = TempDir::new().expect("a folder");
    for address in ["8080", "nowhere", "127.0.0.1:99999", ":80", "256.0.0.1:80"] {
        let text = one_line(up_on(address, &folder.path().join("data")));
        assert!(text.contains(address), "{text}");
    }
}

#[test]
fn a_folder_that_cannot_be_written() {
    let folder = TempDir::new().expect("a folder");
    // Below a file, and on a file system that is read-only.
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    assert!(one_line(up(&file.join("data"))).contains("file/data"));
    assert!(one_line(up(&file)).contains("file"));
    let command = up(&folder.path().join("data"));
    let text = one_line(on_mount("tmpfs", "ro", folder.path(), "true;", &command));
    assert!(text.contains("data") && text.to_lowercase().contains("read-only"), "{text}");
}

#[test]
fn a_file_system_without_xattrs() {
    let folder = TempDir::new().expect("a folder");
    let command = up(&folder.path().join("data"));
    let text = one_line(on_mount("ramfs", "mode=755", folder.path(), "true;", &command));
    assert!(text.contains("xattr") || text.contains("extended attributes"), "{text}");
}

#[test]
fn a_disk_that_is_full_at_the_start() {
    let folder = TempDir::new().expect("a folder");
    let fill = "head -c 100000000 /dev/zero >\"$0/fill\" 2>/dev/null || true;";
    let command = up(&folder.path().join("data"));
    let text = one_line(on_mount("tmpfs", "size=32m", folder.path(), fill, &command));
    assert!(text.contains("space") || text.contains("full"), "{text}");
}

#[test]
fn a_disk_that_fills_up_refuses_writes_and_keeps_what_it_has() {
    let folder = TempDir::new().expect("a folder");
    let log = TempDir::new().expect("a folder");
    let mut command = up(&folder.path().join("data"));
    command.args(["--devices", "1", "--replicas", "1", "--user", "test:tester:testing:.admin"]);
    let command = on_mount("tmpfs", "size=96m", folder.path(), "true;", &command);
    let mut apus = Process::start("apus up", command, &log.path().join("log"));
    let address = apus.wait_for("ready", apus_tests::up::ready);
    let tester = apus_tests::Swift { address }.login(apus_tests::swift::TESTER);
    tester.make("c");

    // Until it is full; it says so, and stays.
    let body = |i: u64| bytes(i, 1 << 20);
    let full = (0..200).find(|&i| {
        let status = tester.put(&format!("c/{i}")).body(body(i)).send().status;
        assert!(matches!(status, 201 | 503 | 507), "{status}");
        status != 201
    });
    let stored = full.expect("a full disk");
    assert!(stored > 10, "only {stored} MiB fit");
    assert!(apus.is_alive());

    // All that was acknowledged is there; what was refused is not; and deleting makes room.
    for i in 0..stored {
        assert!(tester.get(&format!("c/{i}")).send().expect(200).body == body(i), "{i}");
    }
    tester.get(&format!("c/{stored}")).send().expect(404);
    for i in 0..10 {
        tester.delete(&format!("c/{i}")).send().expect(204);
    }
    tester.store("c/again", body(7));
    assert_eq!(tester.list("c").len(), usize::try_from(stored).expect("few") - 10 + 1);
}

#[test]
fn a_folder_that_another_process_uses() {
    let apus = Apus::up();
    let text = one_line(up(&apus.data()));
    assert!(text.contains("another apus"), "{text}");
    // Which is not disturbed by it.
    let tester = apus.tester();
    tester.make("c");
    tester.store("c/o", "x");
}

#[test]
fn options_that_make_no_sense() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let refused = |arguments: &[&str]| {
        let mut command = up(&data);
        command.args(arguments);
        let text = one_line(command);
        assert!(!data.exists(), "it began a cluster that it then refused: {text}");
        text
    };
    let text = refused(&["--user", "nobody"]);
    assert!(text.contains("ACCOUNT:USER:KEY"), "{text}");
    let text = refused(&["--devices", "2", "--replicas", "3"]);
    assert!(text.contains('3') && text.contains('2'), "{text}");
}

#[test]
fn a_configuration_with_a_mistake() {
    let mut cluster = Cluster::builder().nodes(1).replicas(1).start();
    cluster.node(0).kill();
    let config = cluster.node(0).config();
    let good = fs::read_to_string(&config).expect("a configuration");
    let refused = |roles: &[&str], text: &str| {
        fs::write(&config, text).expect("a configuration");
        sentence(serve(roles, &config))
    };

    // An unknown key and a wrong type, with their line.
    let broken = good.replace("[object]", "[object]\nchunk_sise = 5");
    let line = broken.lines().position(|l| l.starts_with("chunk_sise")).expect("the line") + 1;
    let text = refused(&["object"], &broken);
    assert!(text.contains("chunk_sise") && text.contains(&format!("line {line}")), "{text}");
    let text = refused(&["object"], &good.replace("[object]", "[object]\nchunk_size = \"big\""));
    assert!(text.contains("chunk_size") && text.contains("line "), "{text}");
    // No salt, no such rings, no such device folder, not TOML, no address.
    assert!(refused(&["object"], &good.replace("changeme", "")).contains("hash_path_suffix"));
    assert!(refused(&["object"], &good.replace("rings\"", "rinks\"")).contains("rinks"));
    assert!(refused(&["object"], "[cluster").contains("line 1"));
    assert!(refused(&["proxy"], &good).contains("proxy"));
    // No such file.
    assert!(one_line(serve(&["object"], Path::new("/nowhere/apus.toml"))).contains("/nowhere/apus.toml"));
}
