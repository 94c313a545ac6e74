//! Where partitions go, and how many move, held against Swift on clusters that are not even.

use std::path::Path;

use apus_ring_builder::{Builder, NewDevice};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Cluster, NOW, Server, as_json, device, read_builder, swift};

/// Rebalances until nothing moves, at most this many.
const RUNS: u64 = 6;

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
