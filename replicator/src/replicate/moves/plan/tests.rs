use apus_base::ring::{IdWidth, Table};
use proptest::prelude::*;

use super::*;

const PARTITIONS: u32 = 32;

fn device(id: u32, name: u32) -> Device {
    Device {
        device: format!("d{name}"),
        id,
        ip: "127.0.0.1".into(),
        meta: String::new(),
        port: 6200,
        region: 1,
        replication_ip: "127.0.0.1".into(),
        replication_port: 6200,
        weight: 1.0,
        zone: name,
    }
}

/// A ring of devices with these names, whose table is drawn by a number.
fn ring(names: &[u32], replicas: usize, seed: u64) -> Ring {
    let devices: Vec<_> = (0u32..).zip(names).map(|(id, name)| Some(device(id, *name))).collect();
    let mut state = seed | 1;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    let mut rows = vec![vec![0; PARTITIONS as usize]; replicas];
    for part in 0..PARTITIONS as usize {
        let first = draw();
        for (row, ids) in rows.iter_mut().enumerate() {
            ids[part] = u32::try_from((first + row) % names.len()).unwrap();
        }
    }
    Ring::new(devices, Table::new(5, IdWidth::TwoBytes, rows.into_iter().flatten()).unwrap()).unwrap()
}

fn names(ring: &Ring, partition: u32) -> BTreeSet<String> {
    ring.primaries(partition).map(|device| device.device.clone()).collect()
}

fn name(ring: &Ring, id: u32) -> String {
    ring.device(id).unwrap().device.clone()
}

fn rings() -> impl Strategy<Value = (Ring, Ring)> {
    let names = proptest::sample::subsequence((0..8).collect::<Vec<u32>>(), 3..=8).prop_shuffle();
    let one = || (names.clone(), 1usize..=3, any::<u64>()).prop_map(|(names, many, seed)| ring(&names, many, seed));
    (one(), one())
}

proptest! {
    #[test]
    fn every_missing_copy_is_pushed_once_by_one_who_has_it((old, new) in rings()) {
        let plan = Plan::new(&old, &new).unwrap();
        let known: BTreeSet<String> = new.devices().iter().flatten().map(|device| device.device.clone()).collect();
        let mut survivors_before = 0;
        for partition in 0..PARTITIONS {
            let (before, after) = (names(&old, partition), names(&new, partition));
            let planned: Vec<_> = plan.transfers().iter().filter(|t| t.partition == partition).collect();
            let targets: Vec<String> = planned.iter().map(|t| name(&new, t.target)).collect();
            let unique: BTreeSet<String> = targets.iter().cloned().collect();
            prop_assert_eq!(targets.len(), unique.len(), "a copy is planned twice");
            prop_assert_eq!(unique, after.difference(&before).cloned().collect());
            let survivors: BTreeSet<String> = before.intersection(&known).cloned().collect();
            for transfer in planned {
                let source = name(&old, transfer.source);
                prop_assert!(before.contains(&source), "{} never had it", source);
                prop_assert!(survivors.is_empty() || survivors.contains(&source), "{} may be dead", source);
                prop_assert_eq!(transfer.survivors, survivors.len());
            }
            let leaving: BTreeSet<String> = old.devices().iter().flatten()
                .filter(|device| plan.leaving(device.id).any(|left| left == partition))
                .map(|device| device.device.clone()).collect();
            prop_assert_eq!(leaving, before.difference(&after).cloned().collect());
        }
        for transfer in plan.transfers() {
            prop_assert!(transfer.survivors >= survivors_before, "one at less risk came before");
            survivors_before = transfer.survivors;
        }
        let pushed: usize = old.devices().iter().flatten()
            .flat_map(|device| plan.pushes(device.id)).map(|(_, targets)| targets.len()).sum();
        prop_assert_eq!(pushed, plan.transfers().len());
    }

    #[test]
    fn equal_rings_leave_nothing_to_do((old, _) in rings()) {
        prop_assert_eq!(Plan::new(&old, &old).unwrap(), Plan::default());
    }
}

#[test]
fn a_drained_device_is_helped_by_those_who_have_the_same() {
    let old = ring(&[0, 1, 2, 3, 4, 5], 3, 7);
    // What the first held, the last but one and the last hold now.
    let moved = |partition: u32, row: usize| match old.table().get(row, partition as usize).unwrap() {
        0 => (1..=5).find(|id| !old.primaries(partition).any(|device| device.id == *id)).unwrap(),
        id => id,
    };
    let ids: Vec<u32> =
        (0..3).flat_map(|row| (0..PARTITIONS).map(move |part| (row, part))).map(|(r, p)| moved(p, r)).collect();
    let table = Table::new(5, IdWidth::TwoBytes, ids.into_iter()).unwrap();
    let new = Ring::new(old.devices().to_vec(), table).unwrap();
    let plan = Plan::new(&old, &new).unwrap();
    let all = plan.transfers().len();
    let most = (0..6).map(|id| plan.pushes(id).len()).max().unwrap();
    assert_eq!(plan.leaving(0).count(), all);
    assert!(most * 3 <= all + 3, "one device pushes {most} of {all}");
    assert!(plan.sources(3) > 1 && plan.sources(0) == 0);
}

#[test]
fn an_id_that_is_given_out_again_is_another_device() {
    let old = ring(&[0, 1, 2], 3, 1);
    let new = ring(&[9, 1, 2], 3, 1);
    let plan = Plan::new(&old, &new).unwrap();
    assert_eq!(plan.transfers().len(), PARTITIONS as usize);
    assert!(plan.transfers().iter().all(|t| t.target == 0 && t.source != 0 && t.survivors == 2));
    assert!(plan.involves(0) && plan.leaving(0).count() == PARTITIONS as usize);
}

#[test]
fn rings_of_another_partition_power_are_refused() {
    let old = ring(&[0, 1, 2], 1, 1);
    let table = Table::new(4, IdWidth::TwoBytes, std::iter::repeat_n(0, 16)).unwrap();
    let new = Ring::new(old.devices().to_vec(), table).unwrap();
    assert_eq!(Plan::new(&old, &new), Err(InvalidMove::PartPower(5, 4)));
}
