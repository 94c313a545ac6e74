//! `make bench-repair`: how fast an emptied device is filled again, against `rsync -a --xattrs` of the same files in the same run,
//! and what a pass costs that finds nothing to do.
//!
//! rsync does not flush what it writes; a pass does, before it says that anything is there. So rsync is timed twice: as it
//! ends, and with a `sync` after it. The page cache is dropped before each, where that is permitted. All devices are on one
//! disk of one machine, and each side reads and writes there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use apus_tests::copies::copies;
use apus_tests::{Cluster, Session, bytes, disk, readable, tools, usage};

const HELP: &str = "\
Measures repair: make bench-repair, or

  cargo bench -p apus-tests --bench repair -- --small 100000 --large-mib 2048

  --small N       objects of 4 KiB
  --large-mib N   MiB of objects of 64 MiB each
";

const SMALL: usize = 4 << 10;
const LARGE: usize = 64 << 20;
/// Clients that store at once.
const CLIENTS: usize = 8;

fn main() {
    let (mut small, mut large) = (0, 0);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let number = arguments.next().and_then(|text| text.parse().ok());
        match (&*argument, number) {
            ("--small", Some(number)) => small = number,
            ("--large-mib", Some(number)) => large = number * (1 << 20) / LARGE,
            _ => return print!("{HELP}"),
        }
    }
    if small + large == 0 {
        return print!("{HELP}");
    }
    if large > 0 {
        measure("large", large, LARGE);
    }
    if small > 0 {
        measure("small", small, SMALL);
        println!("removing it all again, which takes some filesystems minutes ...");
    }
}

/// Fills a device in both ways.
fn measure(what: &str, many: usize, size: usize) {
    let mut cluster = Cluster::builder().without_passes().start();
    let tester = cluster.tester();
    tester.make("c");
    let started = Instant::now();
    store(&tester, many, size);
    println!("{what}: {many} objects of {} stored in {}", readable(size), seconds(started.elapsed()));
    all_agree(&mut cluster);

    let (from, to) = (cluster.device(0).join("objects"), cluster.device(0).with_file_name("rsynced"));
    let cold = drop_caches();
    let started = Instant::now();
    tools::run(Command::new("rsync").args(["-a", "--xattrs"]).arg(&from).arg(&to));
    let copied = started.elapsed();
    tools::run(&mut Command::new("sync"));
    let synced = started.elapsed();

    // Out of the way rather than removed: the disk would be busy for minutes with the rooms that a hundred thousand files leave.
    let objects = cluster.device(1).join("objects");
    fs::rename(&objects, cluster.device(1).with_file_name("before")).expect("objects");
    tools::run(&mut Command::new("sync"));
    drop_caches();
    let servers = spent_by_servers(&mut cluster);
    let started = Instant::now();
    let (said, passed) = pass(&cluster, 0);
    let repaired = started.elapsed();
    let servers = spent_by_servers(&mut cluster) - servers;
    let filled = disk::with_suffix(&cluster.node(1).devices(), ".data").len();
    assert_eq!(filled, many, "{said}");

    let rate = |time: Duration| {
        let bytes = (many * size) as f64 / time.as_secs_f64() / 1e6;
        format!("{}, {:.0} objects/s, {bytes:.1} MB/s", seconds(time), many as f64 / time.as_secs_f64())
    };
    println!("  page cache dropped before each: {cold}");
    println!("  rsync -a --xattrs, nothing flushed:  {}", rate(copied));
    println!("  rsync -a --xattrs, and sync:         {}", rate(synced));
    println!("  apus pass replicate, all flushed:    {}", rate(repaired));
    println!("  its processor time: {} of the pass, {} of the servers", seconds(passed), seconds(servers));
    println!("  {said}");
    idle(&mut cluster, many);
    if size == SMALL && many <= 1000 {
        assert_eq!(copies(&cluster, 1), copies(&cluster, 0));
    }
}

fn store(tester: &Session, many: usize, size: usize) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                (client..many).step_by(CLIENTS).for_each(|i| tester.store(&format!("c/{i}"), bytes(i as u64, size)));
            });
        }
    });
}

/// What a pass costs in which nothing is to be done.
fn idle(cluster: &mut Cluster, many: usize) {
    // The first reads what the repair changed.
    all_agree(cluster);
    let servers = spent_by_servers(cluster);
    let started = Instant::now();
    let (_, passed) = pass(cluster, 0);
    let took = started.elapsed();
    let servers = spent_by_servers(cluster) - servers;
    println!(
        "  an idle pass over {many} objects: {} of processor time of its own, {} of the servers, {} by the clock",
        seconds(passed),
        seconds(servers),
        seconds(took)
    );
}

fn all_agree(cluster: &mut Cluster) {
    cluster.pass("replicate");
    cluster.pass("replicate");
}

/// A pass on a node, its last line, and the processor time of its process.
fn pass(cluster: &Cluster, node: usize) -> (String, Duration) {
    let config = cluster.device(node).join("../../apus.toml");
    let script = format!("{} pass replicate --once --config {} && times", tools::binary().display(), config.display());
    let output = tools::run(Command::new("bash").args(["-c", &script]));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> = said.lines().collect();
    let [.., report, _shell, children] = &*lines else { panic!("{said}") };
    (report.to_string(), children.split_whitespace().map(bash_time).sum())
}

/// `0m1.234s`.
fn bash_time(text: &str) -> Duration {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').expect("minutes");
    Duration::from_secs_f64(minutes.parse::<f64>().expect("minutes") * 60.0 + seconds.parse::<f64>().expect("seconds"))
}

fn spent_by_servers(cluster: &mut Cluster) -> Duration {
    let ids: Vec<_> = cluster.nodes().iter_mut().map(|node| node.process().id()).collect();
    usage::processor_time(&ids)
}

/// Whether it could be done.
fn drop_caches() -> bool {
    tools::run(&mut Command::new("sync"));
    fs::write(Path::new("/proc/sys/vm/drop_caches"), "3").is_ok()
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
