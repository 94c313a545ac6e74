use proptest::prelude::*;

use crate::{Builder, NewDevice};

const NOW: u64 = 1_700_000_000;
const HOUR: u64 = 3600;

fn new(region: u32, zone: u32, server: u32, name: u32, weight: f64) -> NewDevice {
    let ip = format!("10.{region}.{zone}.{server}");
    NewDevice {
        region,
        zone,
        replication_ip: ip.clone(),
        ip,
        port: 6200,
        replication_port: 6200,
        device: format!("sd{name}"),
        weight,
        meta: String::new(),
    }
}

fn cluster(power: u8, replicas: f64, layout: &[(u32, u32, u32, f64)]) -> Builder {
    let mut builder = Builder::create(power, replicas, 1).unwrap();
    for (name, (region, zone, server, weight)) in (0..).zip(layout) {
        builder.add_device(new(*region, *zone, *server, name, *weight)).unwrap();
    }
    builder
}

fn three_zones(power: u8) -> Builder {
    let layout: Vec<_> = (0..12).map(|n| (1, n % 3, n % 6, 100.0)).collect();
    cluster(power, 3.0, &layout)
}

/// Replicas of each partition that changed their device between two states.
fn moves_per_part(before: &Builder, after: &Builder) -> Vec<usize> {
    let (before, after) = (before.rows.as_ref().unwrap(), after.rows.as_ref().unwrap());
    let parts = after[0].len();
    (0..parts)
        .map(|part| {
            let differs = |row: &usize| before.get(*row).and_then(|r| r.get(part)) != after[*row].get(part);
            (0..after.len()).filter(differs).count()
        })
        .collect()
}

#[test]
fn a_first_placement_is_perfect_where_one_exists() {
    let mut builder = three_zones(8);
    let outcome = builder.rebalance(1, NOW).unwrap();
    assert_eq!((outcome.moved, outcome.balance, outcome.dispersion), (768, 0.0, 0.0));
    builder.validate().unwrap();
}

#[test]
fn a_seed_names_a_ring() {
    let rows = |seed| {
        let mut builder = three_zones(6);
        builder.rebalance(seed, NOW).unwrap();
        builder.rows
    };
    assert_eq!(rows(5), rows(5));
    assert_ne!(rows(5), rows(6));
}

#[test]
fn partners_are_many() {
    // Whoever loses a disk wants all others to help: each device shares partitions with every device of the other zones.
    let mut builder = three_zones(8);
    builder.rebalance(1, NOW).unwrap();
    let rows = builder.rows.as_ref().unwrap();
    let mut partners = std::collections::HashSet::new();
    for part in 0..256 {
        let ids: Vec<u32> = rows.iter().map(|row| row[part]).collect();
        if ids.contains(&0) {
            partners.extend(ids.into_iter().filter(|id| id % 3 != 0));
        }
    }
    assert_eq!(partners.len(), 8);
}

#[test]
fn a_new_device_takes_its_share_and_nothing_else_moves() {
    let mut builder = three_zones(8);
    builder.rebalance(1, NOW).unwrap();
    let before = builder.clone();
    let id = builder.add_device(new(1, 1, 4, 99, 100.0)).unwrap();
    let outcome = builder.rebalance(1, NOW + 2 * HOUR).unwrap();
    assert_eq!(outcome.moved as u64, builder.device(id).unwrap().parts);
    assert!(moves_per_part(&before, &builder).iter().all(|moves| *moves <= 1));
}

#[test]
fn a_removed_device_gives_up_all_at_once_and_nothing_else_moves() {
    let mut builder = three_zones(8);
    builder.rebalance(1, NOW).unwrap();
    let held = usize::try_from(builder.device(7).unwrap().parts).unwrap();
    builder.remove_device(7).unwrap();
    // Within min_part_hours: a dead disk does not wait.
    let outcome = builder.rebalance(1, NOW + 60).unwrap();
    assert_eq!((outcome.moved, outcome.removed), (held, 1));
    assert!(builder.device(7).is_none());
    builder.validate().unwrap();
}

#[test]
fn nothing_else_moves_within_min_part_hours() {
    let mut builder = three_zones(6);
    builder.rebalance(1, NOW).unwrap();
    builder.set_weight(3, 300.0).unwrap();
    assert_eq!(builder.rebalance(1, NOW + 60).unwrap().moved, 0);
    assert!(builder.rebalance(1, NOW + 60 + HOUR).unwrap().moved > 0);
}

#[test]
fn a_drained_device_ends_empty() {
    let mut builder = three_zones(6);
    builder.rebalance(1, NOW).unwrap();
    builder.set_weight(3, 0.0).unwrap();
    builder.rebalance(1, NOW + 2 * HOUR).unwrap();
    assert_eq!(builder.device(3).unwrap().parts, 0);
}

#[test]
fn a_new_zone_spreads_crowded_partitions_one_move_each() {
    let layout: Vec<_> = (0..8).map(|n| (1, n % 2, n % 4, 100.0)).collect();
    let mut builder = cluster(8, 3.0, &layout);
    builder.rebalance(1, NOW).unwrap();
    for name in 20..24 {
        builder.add_device(new(1, 7, 1, name, 100.0)).unwrap();
    }
    let outcome = builder.rebalance(1, NOW + 2 * HOUR).unwrap();
    assert_eq!((outcome.moved, outcome.dispersion), (256, 0.0));
}

#[test]
fn replicas_come_and_go_in_parts() {
    let mut builder = three_zones(6);
    builder.rebalance(1, NOW).unwrap();
    builder.set_replicas(3.5).unwrap();
    assert_eq!(builder.rebalance(1, NOW + 2 * HOUR).unwrap().moved, 32);
    builder.validate().unwrap();
    assert!((builder.to_ring().unwrap().replica_count() - 3.5).abs() < 1e-9);
    builder.set_replicas(2.0).unwrap();
    builder.rebalance(1, NOW + 4 * HOUR).unwrap();
    builder.validate().unwrap();
    assert_eq!(builder.to_ring().unwrap().primaries(5).count(), 2);
}

#[derive(Debug, Clone)]
enum Change {
    Add(u32, u32, u32, f64),
    Remove(usize),
    Weigh(usize, f64),
    Replicas(f64),
    Overload(f64),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1u32..3, 0u32..4, 0u32..3, 0.0f64..300.0).prop_map(|(r, z, s, w)| Change::Add(r, z, s, w)),
        any::<usize>().prop_map(Change::Remove),
        (any::<usize>(), 0.0f64..300.0).prop_map(|(which, weight)| Change::Weigh(which, weight)),
        (1.0f64..4.0).prop_map(Change::Replicas),
        (0.0f64..1.0).prop_map(Change::Overload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_history_leaves_a_sound_ring(
        layout in prop::collection::vec((1u32..3, 0u32..4, 0u32..3, 1.0f64..300.0), 4..20),
        power in 0u8..7,
        changes in prop::collection::vec(any_change(), 0..6),
    ) {
        let mut builder = cluster(power, 3.0, &layout);
        builder.rebalance(0, NOW).unwrap();
        for (step, change) in (1u32..).zip(changes) {
            let before = builder.clone();
            let ids: Vec<u32> = builder.iter().map(|d| d.device.id).collect();
            let pick = |which: usize| ids[which % ids.len()];
            let mut forced = false;
            match change {
                Change::Add(r, z, s, w) => drop(builder.add_device(new(r, z, s, 100 + step, w)).unwrap()),
                Change::Remove(which) => {
                    builder.remove_device(pick(which)).unwrap();
                    forced = true;
                }
                Change::Weigh(which, weight) => builder.set_weight(pick(which), weight).unwrap(),
                Change::Replicas(replicas) => {
                    builder.set_replicas(replicas).unwrap();
                    forced = true;
                }
                Change::Overload(overload) => builder.set_overload(overload).unwrap(),
            }
            let unchanged = builder.clone();
            match builder.rebalance(u64::from(step), NOW + u64::from(step) * HOUR) {
                Ok(_) => {
                    builder.validate().unwrap();
                    if !forced {
                        prop_assert!(moves_per_part(&before, &builder).into_iter().all(|moves| moves <= 1));
                    }
                    prop_assert_eq!(&Builder::from_bytes(&builder.to_bytes()).unwrap(), &builder);
                    builder.to_ring().unwrap();
                }
                // Too few devices are left: nothing happened.
                Err(_) => {
                    prop_assert_eq!(&builder, &unchanged);
                    builder = before;
                }
            }
        }
    }

    #[test]
    fn no_mutated_builder_file_panics(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut builder = three_zones(3);
        builder.rebalance(1, NOW).unwrap();
        let mut file = builder.to_bytes();
        let place = at.index(file.len());
        file[place] = to;
        if let Ok(mut read) = Builder::from_bytes(&file) {
            let _ = read.rebalance(1, NOW);
        }
        let _ = Builder::from_bytes(&file[..place]);
    }
}
