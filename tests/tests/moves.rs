//! Directed moves: after a ring change everything comes at once to where the new ring has it, whatever happens in between.
//! Each story changes a ring as an operator does, runs the moves of all nodes, and looks at every disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use apus_base::ring::Ring;
use apus_replicator::replicate::moves::plan::Plan;
use apus_ring_builder::{Builder, NewDevice};
use apus_tests::copies::{assert_in_place, copies, misplaced};
use apus_tests::{Cluster, ClusterBuilder, Session, bytes, tools};

const OBJECTS: usize = 24;

fn body(i: usize) -> Vec<u8> {
    // Short ones, and some that are longer than what is read and written at once.
    bytes(i as u64, if i % 8 == 7 { 1_500_000 + i } else { 100 + i })
}

/// Data, metadata after it, and tombstones.
fn store_all(session: &Session) {
    session.make("c");
    for i in 0..OBJECTS {
        session.store(&format!("c/o{i}"), body(i));
    }
    for i in 0..OBJECTS / 4 {
        session.post(&format!("c/o{i}")).header("X-Object-Meta-I", i.to_string()).send().expect(202);
        session.store(&format!("c/deleted{i}"), "soon");
        session.delete(&format!("c/deleted{i}")).send().expect(204);
    }
}

#[track_caller]
fn read_all(session: &Session) {
    for i in 0..OBJECTS {
        assert!(session.get(&format!("c/o{i}")).send().expect(200).body == body(i), "o{i} is another");
    }
    for i in 0..OBJECTS / 4 {
        assert_eq!(session.head(&format!("c/o{i}")).send().expect(200).need("X-Object-Meta-I"), i.to_string());
        session.get(&format!("c/deleted{i}")).header("X-Newest", "true").send().expect(404);
    }
}

/// Changes the object ring, and gives the file of the one before.
#[track_caller]
fn change_ring(cluster: &Cluster, verbs: &[&[&str]]) -> PathBuf {
    let (current, old) = (cluster.rings().join("object.ring.gz"), cluster.rings().join("before.ring.gz"));
    fs::copy(&current, &old).unwrap();
    let ending: [&[&str]; 2] = [&["pretend_min_part_hours_passed"], &["rebalance", "-f", "--seed", "moves"]];
    for arguments in verbs.iter().chain(&ending) {
        let mut command = Command::new(tools::binary());
        let done = command.arg("ring").arg(cluster.rings().join("object.builder")).args(*arguments).output().unwrap();
        // 1 is a warning, of a balance that one rebalance cannot reach.
        assert!(matches!(done.status.code(), Some(0 | 1)), "{}", said(&done));
    }
    assert_ne!(fs::read(current).unwrap(), fs::read(&old).unwrap(), "the ring did not change");
    old
}

/// Runs the moves of some nodes at once, as an operator would on all of them.
fn move_on(cluster: &mut Cluster, nodes: impl IntoIterator<Item = usize>, arguments: &[&str]) -> Vec<Output> {
    move_each(cluster, nodes.into_iter().map(|node| (node, arguments)))
}

/// The same, with arguments for each.
fn move_each<'a>(cluster: &mut Cluster, nodes: impl Iterator<Item = (usize, &'a [&'a str])>) -> Vec<Output> {
    let commands = nodes.map(|(node, arguments)| {
        let mut command = Command::new(tools::binary());
        command.args(["pass", "move", "--config"]).arg(cluster.node(node).config()).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let running: Vec<_> = commands.collect();
    running.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn move_everywhere(cluster: &mut Cluster, nodes: usize, from: &Path) -> Vec<String> {
    let outputs = move_on(cluster, 0..nodes, &["--from", from.to_str().unwrap()]);
    let lines: Vec<String> = outputs.iter().map(said).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{}", lines.join("\n"));
    lines
}

/// A cluster whose rings have only some of its devices, so that there are some to add.
fn growing(nodes: usize, in_ring: usize) -> ClusterBuilder {
    Cluster::builder().nodes(nodes).in_ring(in_ring)
}

/// What to add to a ring so that it has a node's device.
fn added(cluster: &mut Cluster, node: usize) -> String {
    format!("r1z{node}-{}/d{node}", cluster.node(node).address("object"))
}

#[test]
fn a_new_node_gets_its_share_at_once_and_each_copy_once() {
    let mut cluster = growing(5, 4).start();
    let tester = cluster.tester();
    store_all(&tester);
    let new = added(&mut cluster, 4);
    let from = change_ring(&cluster, &[&["add", &new, "100"]]);

    // One run everywhere is enough, and no copy was pushed twice.
    let lines = move_everywhere(&mut cluster, 5, &from);
    assert_in_place(&cluster, 5);
    let brought = copies(&cluster, 4).len() as u64;
    let pushed: u64 = lines.iter().filter_map(|line| count(line, "pushed ")).sum();
    assert!(brought > 0 && pushed == brought, "{brought} files came, {pushed} were pushed: {lines:?}");
    read_all(&tester);

    // It is done: there is nothing to go on with, and the walk finds nothing to do.
    assert!(said(&move_on(&mut cluster, [0], &[])[0]).starts_with("move: 0 of 0"));
    for node in 0..5 {
        assert!(!said(&cluster.node(node).pass("replicate", &[])).contains("worked on"));
    }
}

/// The number behind a word in a report's last line.
fn count(said: &str, word: &str) -> Option<u64> {
    let digits: String = said.lines().last()?.split(word).nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[test]
fn a_removed_device_is_emptied_and_its_copies_are_made_anew() {
    let mut cluster = Cluster::builder().nodes(5).start();
    let tester = cluster.tester();
    store_all(&tester);
    let from = change_ring(&cluster, &[&["remove", "d4"]]);
    move_everywhere(&mut cluster, 5, &from);
    assert_in_place(&cluster, 5);
    assert!(copies(&cluster, 4).is_empty());
    read_all(&tester);
}

#[test]
fn a_removed_device_that_is_dead_is_replaced_from_the_other_holders() {
    let mut cluster = Cluster::builder().nodes(5).start();
    let tester = cluster.tester();
    store_all(&tester);
    cluster.node(4).kill();
    fs::remove_dir_all(cluster.device(4).join("objects")).unwrap();
    let from = change_ring(&cluster, &[&["remove", "d4"]]);
    move_everywhere(&mut cluster, 4, &from);
    assert_in_place(&cluster, 4);
    read_all(&tester);
}

#[test]
fn changed_weights_move_what_they_must() {
    let mut cluster = Cluster::builder().nodes(5).start();
    let tester = cluster.tester();
    store_all(&tester);
    let before = copies(&cluster, 1).len();
    let from = change_ring(&cluster, &[&["set_weight", "d0", "30"], &["set_weight", "d1", "250"]]);
    move_everywhere(&mut cluster, 5, &from);
    assert_in_place(&cluster, 5);
    assert!(copies(&cluster, 1).len() > before);
    read_all(&tester);
}

#[test]
fn what_was_killed_in_the_middle_goes_on_where_it_was() {
    let mut cluster = growing(4, 3).start();
    let tester = cluster.tester();
    store_all(&tester);
    let new = added(&mut cluster, 3);
    let from = change_ring(&cluster, &[&["add", &new, "100"]]);

    // The receiver dies while it takes the third batch; the movers cannot go on and say so.
    cluster.node(3).stop();
    cluster.node(3).start(Some(&format!("{}:2", apus_object::RECEIVE_CRASH_POINTS[0])));
    let outputs = move_on(&mut cluster, 0..3, &["--from", from.to_str().unwrap()]);
    assert!(outputs.iter().any(|output| !output.status.success()), "nobody noticed");
    cluster.node(3).exited();
    cluster.node(3).start(None);

    // Nothing was lost in between, and a further run needs no word from where it is to go on.
    read_all(&tester);
    let outputs = move_on(&mut cluster, 0..4, &[]);
    assert!(outputs.iter().all(|output| output.status.success()), "{:?}", outputs.iter().map(said).collect::<Vec<_>>());
    assert_in_place(&cluster, 4);
    read_all(&tester);
}

#[test]
fn a_mover_that_is_killed_goes_on_without_a_word_from_where() {
    for point in ["move.pushed:1", "replicate.removed:1"] {
        let mut cluster = growing(4, 3).start();
        let tester = cluster.tester();
        store_all(&tester);
        let new = added(&mut cluster, 3);
        let from = change_ring(&cluster, &[&["add", &new, "100"]]);
        let from = from.to_str().unwrap();

        // One of three dies in the middle of its part; what it gave away already is elsewhere.
        let output = move_on(&mut cluster, [0], &["--from", from, "--crash-at", point]).remove(0);
        assert!(output.status.code().is_none(), "it did not come to {point}: {}", said(&output));
        read_all(&tester);

        // It knows what it was doing, and the others do theirs.
        let others: &[&str] = &["--from", from];
        let each = (0..4).map(|node| (node, if node == 0 { &[] } else { others }));
        let outputs = move_each(&mut cluster, each);
        let lines: Vec<String> = outputs.iter().map(said).collect();
        assert!(outputs.iter().all(|output| output.status.success()), "{point}: {lines:?}");
        assert!(!lines[0].starts_with("move: 0 of 0"), "{point}: {lines:?}");
        assert_in_place(&cluster, 4);
        read_all(&tester);
        assert!(said(&move_on(&mut cluster, [0], &[])[0]).starts_with("move: 0 of 0"));
    }
}

#[test]
fn a_target_that_is_down_fails_and_the_sources_keep_their_copies() {
    let mut cluster = growing(4, 3).start();
    let tester = cluster.tester();
    store_all(&tester);
    let before: Vec<BTreeMap<String, String>> = (0..3).map(|node| copies(&cluster, node)).collect();
    let new = added(&mut cluster, 3);
    let from = change_ring(&cluster, &[&["add", &new, "100"]]);
    cluster.node(3).kill();
    for output in move_on(&mut cluster, 0..3, &["--from", from.to_str().unwrap()]) {
        assert!(!output.status.success(), "{}", said(&output));
    }
    for (node, before) in before.iter().enumerate() {
        assert_eq!(copies(&cluster, node), *before, "d{node} gave away what nobody took");
    }

    // It comes back.
    cluster.node(3).start(None);
    let outputs = move_on(&mut cluster, 0..4, &[]);
    assert!(outputs.iter().all(|output| output.status.success()), "{:?}", outputs.iter().map(said).collect::<Vec<_>>());
    assert_in_place(&cluster, 4);
}

#[test]
fn clients_that_write_meanwhile_lose_nothing() {
    let mut cluster = growing(5, 4).start();
    let tester = cluster.tester();
    store_all(&tester);
    let new = added(&mut cluster, 4);
    let from = change_ring(&cluster, &[&["add", &new, "100"], &["set_weight", "d0", "20"]]);

    // Their proxy has the old ring still, or the new one: it sees the change when it looks.
    let writer = tester.clone();
    let writing = std::thread::spawn(move || {
        for round in 0..3 {
            for i in 0..OBJECTS {
                writer.store(&format!("c/new{i}"), format!("{round} {i}"));
            }
            writer.delete("c/new0").send().expect(204);
        }
    });
    move_everywhere(&mut cluster, 5, &from);
    writing.join().unwrap();

    // What went to the old places meanwhile comes home with the walk.
    for _ in 0..2 {
        cluster.pass("replicate");
    }
    assert_in_place(&cluster, 5);
    read_all(&tester);
    for i in 1..OBJECTS {
        assert_eq!(tester.get(&format!("c/new{i}")).send().expect(200).text(), format!("2 {i}"));
    }
    tester.get("c/new0").header("X-Newest", "true").send().expect(404);
}

#[test]
fn servers_that_see_a_new_ring_move_by_themselves() {
    // The walk does not come within an hour, or hardly.
    let mut cluster = growing(4, 3).settings("replication", "interval = 36000").start();
    let tester = cluster.tester();
    store_all(&tester);
    let new = added(&mut cluster, 3);
    change_ring(&cluster, &[&["add", &new, "100"]]);
    apus_tests::wait_until("everything is in place", || misplaced(&cluster, 4, 0).is_empty());

    // Operators see how it went.
    let recon = fs::read_to_string(cluster.node(0).config().with_file_name("recon").join("object.recon")).unwrap();
    let recon: serde_json::Value = serde_json::from_str(&recon).unwrap();
    assert!(recon["move"]["total"].as_u64().unwrap() > 0, "{recon}");
}

/// The plan between rings that the ring builder makes: every missing copy once, from one who has it.
#[test]
fn plans_between_rings_of_the_builder_are_whole() {
    for seed in 0..40u64 {
        let mut builder = Builder::create(6, if seed % 3 == 0 { 2.5 } else { 3.0 }, 0).unwrap();
        for n in 0..4 + seed % 4 {
            builder.add_device(new_device(u32::try_from(n).unwrap(), 100.0)).unwrap();
        }
        builder.rebalance(seed, 1).unwrap();
        let old = builder.to_ring().unwrap();
        match seed % 4 {
            0 => _ = builder.add_device(new_device(20, 150.0)).unwrap(),
            1 => builder.remove_device(1).unwrap(),
            2 => builder.set_weight(0, 10.0).unwrap(),
            _ => builder.set_replicas(3.5).unwrap(),
        }
        builder.pretend_min_part_hours_passed();
        builder.rebalance(seed + 1, 2).unwrap();
        check_plan(&old, &builder.to_ring().unwrap(), seed);
    }
}

fn new_device(n: u32, weight: f64) -> NewDevice {
    let ip = format!("10.0.0.{n}");
    NewDevice {
        region: 1,
        zone: n,
        replication_ip: ip.clone(),
        ip,
        port: 6200,
        replication_port: 6200,
        device: "d".into(),
        weight,
        meta: String::new(),
    }
}

fn check_plan(old: &Ring, new: &Ring, seed: u64) {
    let plan = Plan::new(old, new).unwrap();
    let mut planned: Vec<(u32, u32)> = plan.transfers().iter().map(|t| (t.partition, t.target)).collect();
    let mut missing = Vec::new();
    for partition in 0..64 {
        let held = |ip: &str| old.primaries(partition).any(|device| device.ip == ip);
        missing
            .extend(new.primaries(partition).filter(|device| !held(&device.ip)).map(|device| (partition, device.id)));
    }
    planned.sort_unstable();
    missing.sort_unstable();
    assert!(!missing.is_empty() && planned == missing, "seed {seed}");
    for transfer in plan.transfers() {
        let has = old.primaries(transfer.partition).any(|device| device.id == transfer.source);
        assert!(has, "seed {seed}: {transfer:?}");
    }
}
