//! `make bench-peers`: Apus beside the systems that a user might take instead, each with three devices on one disk and three replicas,
//! measured in turn with the same load in one run.
//!
//! At each point every system is measured in every round, one after the other, so that what else the machine does hits all. Before each
//! measurement the disk is flushed and the systems are quiet. Client and servers share the machine's cores; the table says what
//! each side spent.

mod bare;
mod bin;
mod ceph;
mod contender;
mod limits;
mod options;
mod peer;
mod points;
mod report;
mod rows;
mod swift;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;
use std::time::Instant;

use apus_tests::{interrupt, tools};

use bin::Bin;
use ceph::CephPeer;
use contender::{Contender, settle};
use options::Options;
use peer::{ApusPeer, Peer};
use points::Point;
use report::{Report, Rounds, progress};
use rows::Rows;
use swift::SwiftPeer;

fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).is_some_and(|first| first == bare::ARGUMENT) {
        return bare::serve();
    }
    let Some(options) = Options::from_arguments(std::env::args().skip(1)) else {
        return Ok(());
    };
    interrupt::watch();
    let (started, bin) = (Instant::now(), Rc::new(Bin::new()));
    let mut report = Report::new(options.markdown.clone());
    report.item(&machine());
    progress(started.elapsed(), "measuring the machine itself");
    limits::measure(&bin, |line| report.item(&line));
    progress(started.elapsed(), "starting the systems");
    let mut contenders = start(&options, &bin, &mut report);
    let rows = Rows::new(options.rows);
    report.heading();
    for point in points::all().iter().filter(|point| options.wants(&point.name)) {
        compare(point, &mut contenders, &rows, &options, &mut report, started);
    }
    println!("\n{} minutes", started.elapsed().as_secs().div_ceil(60));
    Ok(())
}

/// Starts Apus and the peers that were asked for, and tells about them.
fn start(options: &Options, bin: &Rc<Bin>, report: &mut Report) -> Vec<Contender> {
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(ApusPeer::start())];
    for peer in &options.peers {
        match peer.as_str() {
            "swift" => peers.push(Box::new(SwiftPeer::start())),
            "ceph" => peers.push(Box::new(CephPeer::start())),
            other => panic!("{other} is no peer"),
        }
    }
    let disks: Vec<_> = peers.iter().map(|peer| fs::metadata(peer.data()).expect("a folder").dev()).collect();
    assert!(disks.iter().all(|disk| *disk == disks[0]), "the systems are on different filesystems");
    for peer in &peers {
        report.item(&format!("{}: {}. Durability: {}.", peer.name(), peer.setup(), peer.durability()));
    }
    peers.into_iter().map(|peer| Contender::new(peer, bin)).collect()
}

/// Measures all systems at a point, in turn.
fn compare(
    point: &Point,
    contenders: &mut [Contender],
    rows: &Rows,
    options: &Options,
    report: &mut Report,
    started: Instant,
) {
    for contender in &mut *contenders {
        progress(started.elapsed(), &format!("{}: {} is being prepared", point.name, contender.peer.name()));
        contender.prepare(point, rows);
    }
    let mut results: Vec<_> = contenders.iter().map(|contender| (contender.peer.name(), Rounds::default())).collect();
    for round in 1..=options.rounds {
        for (i, (name, result)) in results.iter_mut().enumerate() {
            interrupt::check();
            settle(contenders);
            progress(started.elapsed(), &format!("{}: {name}, round {round} of {}", point.name, options.rounds));
            result.add(contenders[i].measure(point, options.time));
        }
    }
    report.point(point, &results);
}

/// What is measured on.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory: u64 =
        field(&read("/proc/meminfo"), "MemTotal").split(' ').next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
    let folder = std::env::temp_dir();
    let disk = tools::run(std::process::Command::new("df").arg("--output=source,fstype").arg(&folder)).stdout;
    let disk = String::from_utf8_lossy(&disk)
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "{} cores of {}, {} GiB of memory, Linux {}, {} on {disk}",
        cpu.lines().filter(|line| line.starts_with("processor")).count(),
        field(&cpu, "model name"),
        memory >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        folder.display(),
    )
}
