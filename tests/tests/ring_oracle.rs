//! The real Swift as oracle for rings and builders: each reads the other's files, both look the same things up, and our
//! placement is held against Swift's on uneven clusters.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use apus_base::hash_path::HashPath;
use apus_base::ring::{IdWidth, Ring, Table};
use apus_ring_builder::{Builder, NewDevice, command};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Some time in 2023; rebalances take the time as a value.
const NOW: u64 = 1_700_000_000;

/// Rebalances until nothing moves, at most this many.
const RUNS: u64 = 6;

/// Asks the real Swift; see `oracle/ring.py`.
fn swift(jobs: &[Value]) -> Vec<Value> {
    let python = std::env::var_os("APUS_SWIFT_PYTHON")
        .expect("APUS_SWIFT_PYTHON does not name a Python with the real Swift: run `make test`, which makes one");
    let script = apus_tests::tools::checkout().join("tests/oracle/ring.py");
    let command = Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = command.unwrap_or_else(|error| panic!("cannot run {}: {error}", python.display()));
    child.stdin.take().unwrap().write_all(Value::from(jobs).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Swift failed, see above");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A device in one line: region, zone, server and weight.
fn device(name: u32, region: u32, zone: u32, server: u32, weight: f64) -> NewDevice {
    let ip = format!("10.{region}.{zone}.{server}");
    NewDevice {
        region,
        zone,
        replication_ip: ip.clone(),
        ip,
        port: 6200,
        replication_port: 6300,
        device: format!("sd{name}"),
        weight,
        meta: format!("r\u{e4}ck \"{zone}\""),
    }
}

fn as_json(device: &NewDevice) -> Value {
    json!({
        "region": device.region, "zone": device.zone, "ip": device.ip, "port": device.port, "device": device.device,
        "weight": device.weight, "meta": device.meta, "replication_ip": device.replication_ip,
        "replication_port": device.replication_port,
    })
}

struct Cluster {
    name: &'static str,
    part_power: u8,
    replicas: f64,
    overload: f64,
    devices: Vec<NewDevice>,
}

impl Cluster {
    /// `servers` lists region, zone, server and the weights of its disks.
    fn new(name: &'static str, part_power: u8, replicas: f64, overload: f64, servers: &[Server<'_>]) -> Cluster {
        let disks = servers.iter().flat_map(|(r, z, s, weights)| weights.iter().map(|weight| (*r, *z, *s, *weight)));
        let devices = (0..).zip(disks).map(|(name, (r, z, s, weight))| device(name, r, z, s, weight)).collect();
        Cluster { name, part_power, replicas, overload, devices }
    }

    fn as_json(&self) -> Value {
        let devices: Vec<Value> = self.devices.iter().map(as_json).collect();
        json!({"part_power": self.part_power, "replicas": self.replicas, "overload": self.overload, "devices": devices})
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::create(self.part_power, self.replicas, 1).unwrap();
        builder.set_overload(self.overload).unwrap();
        for device in &self.devices {
            builder.add_device(device.clone()).unwrap();
        }
        builder
    }
}

type Server<'w> = (u32, u32, u32, &'w [f64]);

fn read_builder(path: impl AsRef<Path>) -> Builder {
    Builder::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

fn read_ring(path: impl AsRef<Path>) -> Ring {
    Ring::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

fn uneven() -> Cluster {
    let (big, small) = ([100.0, 250.0, 100.0], [100.0, 40.5, 0.0]);
    let servers: Vec<Server<'_>> =
        (0..9).map(|n| (1 + n % 2, n % 3, n, if n % 4 == 0 { &small } else { &big } as &[f64])).collect();
    Cluster::new("uneven", 9, 2.75, 0.1, &servers)
}

/// A thousand paths: accounts, containers and objects with names of all kinds.
fn paths() -> Vec<Vec<String>> {
    let mut random = 7u64;
    let mut word = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:x}{}", random >> 33, ["", "/sub/dir", " \u{e9}\u{1f426}", "%2F"][(random >> 40) as usize % 4])
    };
    let mut path = |n: usize| match n % 3 {
        0 => vec![format!("AUTH_{}", word().replace('/', "_"))],
        1 => vec!["AUTH_test".to_owned(), word().replace('/', "_")],
        _ => vec!["AUTH_test".to_owned(), "c".to_owned(), word()],
    };
    (0..1000).map(&mut path).collect()
}

/// Asks both about all paths, and compares.
fn assert_same_lookups(ring_file: &Path) {
    let ring = read_ring(ring_file);
    let hashes = HashPath::new("pre", "suf\u{e9}");
    let paths = paths();
    let job = json!({"do": "lookup", "ring": ring_file, "prefix": "pre", "suffix": "suf\u{e9}", "paths": paths});
    let [answers] = &swift(&[job])[..] else { panic!("one answer") };
    for (path, answer) in paths.iter().zip(answers.as_array().unwrap()) {
        let digest = match &path[..] {
            [account] => hashes.account(account),
            [account, container] => hashes.container(account, container),
            [account, container, object] => hashes.object(account, container, object),
            _ => unreachable!(),
        };
        let part = ring.partition(&digest.0);
        let primaries: Vec<u32> = ring.primaries(part).map(|d| d.id).collect();
        let handoffs: Vec<u32> = ring.handoffs(part).map(|d| d.id).collect();
        assert_eq!(&json!([part, primaries, handoffs]), answer, "{path:?}");
    }
}

#[test]
fn we_read_swifts_builders_and_rings() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("object");
    let file = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let cluster = uneven();
    let answer = &swift(&[json!({"do": "make", "cluster": cluster.as_json(), "remove": 7, "path": path})])[0];

    // The builder is sound, and says what Swift's tool says.
    let builder = read_builder(file(".builder"));
    builder.validate().unwrap();
    assert!(builder.device(7).is_none());
    assert!((builder.balance().unwrap() - answer["balance"].as_f64().unwrap()).abs() < 1e-9);

    // Both rings are those of the builder, and look up as Swift does.
    let ring = builder.to_ring().unwrap();
    for end in [".v1.ring.gz", ".v2.ring.gz"] {
        assert_eq!(read_ring(file(end)), ring, "{end}");
        assert_same_lookups(&file(end));
    }

    // Unpacked, our version 1 file is Swift's to the byte.
    let ours = ring.to_v1_bytes("object.v1.ring.gz").unwrap();
    assert_eq!(gunzip(&ours), gunzip(&std::fs::read(file(".v1.ring.gz")).unwrap()));
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut raw).unwrap();
    raw
}

#[test]
fn swift_reads_our_builders_and_rings() {
    let folder = TempDir::new().unwrap();
    let (builder_file, v1, v2) =
        (folder.path().join("o.builder"), folder.path().join("o.v1.ring.gz"), folder.path().join("o.v2.ring.gz"));
    let mut builder = Cluster { replicas: 3.0, ..uneven() }.builder();
    builder.rebalance(1, NOW).unwrap();
    builder.remove_device(4).unwrap();
    builder.rebalance(2, NOW + 3600).unwrap();
    builder.ensure_id(0x0123_4567_89ab_cdef);
    let ring = builder.to_ring().unwrap();
    std::fs::write(&builder_file, builder.to_bytes()).unwrap();
    std::fs::write(&v1, ring.to_v1_bytes("o.v1.ring.gz").unwrap()).unwrap();
    std::fs::write(&v2, ring.to_v2_bytes("o.v2.ring.gz").unwrap()).unwrap();

    // Swift finds the builder valid, the rings equal to it, and the same balance and dispersion.
    let add = as_json(&device(99, 1, 1, 9, 100.0));
    let answer = &swift(&[json!({"do": "load", "builder": builder_file, "rings": [v1, v2], "add": add})])[0];
    assert_eq!(answer["same"], json!([true, true]));
    assert_eq!(answer["version"], json!(builder.version()));
    assert!((answer["balance"].as_f64().unwrap() - builder.balance().unwrap()).abs() < 1e-9);
    assert!((answer["dispersion_by_swift"].as_f64().unwrap() - builder.dispersion()).abs() < 1e-9);

    // Both look the same things up, in either format, with narrow ids and wide ones.
    assert_same_lookups(&v1);
    assert_same_lookups(&v2);
    let wide = Table::new(ring.part_power(), IdWidth::FourBytes, ring.table().ids()).unwrap();
    let wide = Ring::new(ring.devices().to_vec(), wide).unwrap();
    std::fs::write(&v2, wide.to_v2_bytes("o.v2.ring.gz").unwrap()).unwrap();
    assert_same_lookups(&v2);

    // Swift went on with our builder, and we go on with what it made.
    let mut after = read_builder(&builder_file);
    after.validate().unwrap();
    after.rebalance(3, NOW + 100 * 3600).unwrap();
    after.validate().unwrap();
}

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

/// A dozen clusters that are not what one draws on a whiteboard.
fn clusters() -> Vec<Cluster> {
    let servers = |list: Vec<(u32, u32, u32, Vec<f64>)>| list;
    let all = [
        ("one server, uneven", 9, 3.0, 0.0, servers(vec![(1, 1, 1, vec![100.0, 200.0, 300.0, 50.0, 75.0, 120.0])])),
        ("three zones, even", 9, 3.0, 0.0, (1..4).map(|z| (1, z, 1, vec![100.0; 4])).collect()),
        (
            "three zones, uneven",
            10,
            3.0,
            0.0,
            vec![(1, 1, 1, vec![100.0; 4]), (1, 2, 1, vec![100.0; 3]), (1, 3, 1, vec![200.0; 2])],
        ),
        (
            "the same, overload 10%",
            10,
            3.0,
            0.1,
            vec![(1, 1, 1, vec![100.0; 4]), (1, 2, 1, vec![100.0; 3]), (1, 3, 1, vec![110.0; 3])],
        ),
        (
            "two zones",
            9,
            3.0,
            0.0,
            vec![(1, 1, 1, vec![100.0; 3]), (1, 1, 2, vec![100.0; 3]), (1, 2, 1, vec![100.0; 5])],
        ),
        (
            "two regions",
            10,
            3.0,
            0.0,
            vec![
                (1, 1, 1, vec![100.0; 4]),
                (1, 2, 1, vec![100.0; 4]),
                (2, 1, 1, vec![100.0; 3]),
                (2, 2, 1, vec![60.0; 3]),
            ],
        ),
        (
            "a small second region",
            10,
            3.0,
            0.1,
            vec![(1, 1, 1, vec![100.0, 80.0, 30.0]), (1, 2, 1, vec![100.0; 4]), (2, 1, 1, vec![40.0; 3])],
        ),
        (
            "five zones, mixed",
            10,
            3.0,
            0.0,
            (0..10)
                .map(|n| (1, n / 2, n % 2, vec![if n % 2 == 0 { 80.0 } else { 110.0 }; 1 + n as usize / 2]))
                .collect(),
        ),
        (
            "2.5 replicas",
            9,
            2.5,
            0.0,
            (0..6).map(|n| (1, n / 2, n % 2, vec![100.0 + f64::from(n / 2) * 10.0; 3])).collect(),
        ),
        ("drained disks", 9, 3.0, 0.0, (0..4).map(|z| (1, z, 1, vec![100.0, 100.0, 0.0, 50.0])).collect()),
        ("eight fragments", 8, 8.0, 0.0, (0..6).map(|n| (1, n / 2, n % 2, vec![100.0, 100.0, 100.0, 40.0])).collect()),
        (
            "twenty servers",
            11,
            3.0,
            0.0,
            (0..20).map(|n| (1, n % 4, n / 4, vec![if n % 3 == 0 { 160.0 } else { 100.0 }; 3])).collect(),
        ),
        ("few partitions", 6, 3.0, 0.0, (0..9).map(|n| (1, n / 3, n % 3, vec![100.0, 90.0, 35.0])).collect()),
    ];
    all.map(|(name, power, replicas, overload, servers)| {
        let servers: Vec<Server<'_>> = servers.iter().map(|(r, z, s, weights)| (*r, *z, *s, &weights[..])).collect();
        Cluster::new(name, power, replicas, overload, &servers)
    })
    .into()
}

#[derive(Default)]
struct Change {
    name: &'static str,
    add: Vec<NewDevice>,
    remove: Vec<u32>,
    weigh: Vec<(u32, f64)>,
}

impl Change {
    fn as_json(&self) -> Value {
        let add: Vec<Value> = self.add.iter().map(as_json).collect();
        json!({"add": add, "remove": self.remove, "weigh": self.weigh})
    }

    fn apply(&self, builder: &mut Builder) {
        for device in &self.add {
            builder.add_device(device.clone()).unwrap();
        }
        for id in &self.remove {
            builder.remove_device(*id).unwrap();
        }
        for (id, weight) in &self.weigh {
            builder.set_weight(*id, *weight).unwrap();
        }
    }
}

/// What happens to a cluster: a disk or a server comes, a disk goes, weights change.
fn changes(cluster: &Cluster) -> Vec<Change> {
    let first = cluster.devices[0].clone();
    let last = u32::try_from(cluster.devices.len()).unwrap() - 1;
    let server = (90..93).map(|name| device(name, 1, first.zone, 77, 100.0)).collect();
    vec![
        Change {
            name: "add disk",
            add: vec![NewDevice { device: "new".into(), ..first.clone() }],
            ..Change::default()
        },
        Change { name: "add server", add: server, ..Change::default() },
        Change { name: "remove", remove: vec![last], ..Change::default() },
        Change { name: "weigh more", weigh: vec![(0, first.weight * 1.5)], ..Change::default() },
        Change { name: "weigh less", weigh: vec![(1, cluster.devices[1].weight * 0.5)], ..Change::default() },
    ]
}

/// How a ring stands after some rebalances.
#[derive(Debug, Clone, Copy)]
struct Standing {
    balance: f64,
    dispersion: f64,
    moved: u64,
}

impl Standing {
    fn of(builder: &Builder, moved: u64) -> Standing {
        Standing { balance: builder.balance().unwrap(), dispersion: builder.dispersion(), moved }
    }
}

/// Our rebalances after a change: the standing after one, and after as many as it takes until nothing moves.
fn ours(first: &Builder, change: &Change) -> (Standing, Standing) {
    let mut builder = first.clone();
    change.apply(&mut builder);
    let (mut once, mut moved) = (None, 0);
    for run in 1..=RUNS {
        builder.pretend_min_part_hours_passed();
        let outcome = builder.rebalance(run, NOW + run).unwrap();
        builder.validate().unwrap();
        moved += outcome.moved as u64;
        once.get_or_insert_with(|| Standing::of(&builder, moved));
        if outcome.moved == 0 {
            break;
        }
    }
    (once.unwrap(), Standing::of(&builder, moved))
}

/// Swift's, from the builders it left.
fn theirs(path: &Path, number: usize, by_run: &Value) -> (Standing, Standing) {
    let builder = |when: &str| read_builder(format!("{}.{number}.{when}.builder", path.display()));
    let by_run: Vec<u64> = by_run.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    (Standing::of(&builder("once"), by_run[0]), Standing::of(&builder("settled"), by_run.iter().sum()))
}

/// Balance and dispersion as low as Swift's, up to floating point.
fn assert_no_worse(what: &str, ours: Standing, theirs: Standing) {
    assert!(ours.balance <= theirs.balance + 1e-9, "{what}: balance {} against {}", ours.balance, theirs.balance);
    assert!(
        ours.dispersion <= theirs.dispersion + 1e-9,
        "{what}: dispersion {} against {}",
        ours.dispersion,
        theirs.dispersion
    );
}

/// Swift often needs several rebalances to settle, and after one is neither balanced nor done moving. What is compared is
/// therefore the settled ring and all moves on the way to it.
#[test]
fn placement_is_no_worse_than_swifts() {
    let folder = TempDir::new().unwrap();
    let clusters = clusters();
    let path = |number: usize| folder.path().join(number.to_string());
    let job = |(number, cluster): (usize, &Cluster)| {
        let changes: Vec<Value> = changes(cluster).iter().map(Change::as_json).collect();
        json!({"do": "placement", "cluster": cluster.as_json(), "changes": changes, "path": path(number), "runs": RUNS})
    };
    let jobs: Vec<Value> = clusters.iter().enumerate().map(job).collect();
    let answers = swift(&jobs);

    println!(
        "{:<24} {:<12} {:>17} {:>17} {:>13} | {:>13}",
        "cluster", "change", "balance", "dispersion", "moved", "moved, 1 run"
    );
    let (mut our_moves, mut their_moves) = (0, 0);
    for (number, cluster) in clusters.iter().enumerate() {
        let mut first = cluster.builder();
        first.rebalance(1, NOW).unwrap();
        let swifts = Standing::of(&read_builder(format!("{}.first.builder", path(number).display())), 0);
        let mine = Standing::of(&first, 0);
        row(cluster.name, "first", mine, swifts, None);
        assert_no_worse(cluster.name, mine, swifts);
        for (change_number, change) in changes(cluster).iter().enumerate() {
            let (once, settled) = ours(&first, change);
            let (their_once, their_settled) = theirs(&path(number), change_number, &answers[number][change_number]);
            row(cluster.name, change.name, settled, their_settled, Some((once.moved, their_once.moved)));
            let what = format!("{}, {}", cluster.name, change.name);
            assert_no_worse(&what, settled, their_settled);
            assert!(settled.moved <= their_settled.moved, "{what}: {} moves, {}", settled.moved, their_settled.moved);
            our_moves += settled.moved;
            their_moves += their_settled.moved;
        }
    }
    println!("all moves: {our_moves} against {their_moves}");
    assert!(our_moves < their_moves);
}

fn row(cluster: &str, change: &str, ours: Standing, theirs: Standing, once: Option<(u64, u64)>) {
    let pair = |a: f64, b: f64| format!("{a:>8.3} {b:>8.3}");
    let (balance, dispersion) = (pair(ours.balance, theirs.balance), pair(ours.dispersion, theirs.dispersion));
    let once = once.map_or(String::new(), |(a, b)| format!("{a:>6} {b:>6}"));
    println!("{cluster:<24} {change:<12} {balance} {dispersion} {:>6} {:>6} | {once}", ours.moved, theirs.moved);
}
