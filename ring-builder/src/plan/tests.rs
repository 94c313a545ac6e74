use apus_base::ring::Device;
use proptest::prelude::*;

use super::quota::{Aims, quotas};
use super::share::{Shares, even_split};
use crate::tree::{ROOT, Tree};

pub(crate) fn device(id: u32, region: u32, zone: u32, server: u32, weight: f64) -> Device {
    let ip = format!("10.{region}.{zone}.{server}");
    Device {
        id,
        region,
        zone,
        replication_ip: ip.clone(),
        ip,
        port: 6200,
        replication_port: 6200,
        device: format!("sd{id}"),
        weight,
        meta: String::new(),
    }
}

fn zones(weights: &[&[f64]]) -> Vec<Device> {
    let mut devices = Vec::new();
    for (zone, weights) in (0..).zip(weights) {
        for weight in *weights {
            devices.push(device(u32::try_from(devices.len()).unwrap(), 1, zone, 1, *weight));
        }
    }
    devices
}

fn shares(tree: &Tree, shares: &[f64]) -> Vec<f64> {
    tree.nodes[tree.nodes[ROOT].children[0]].children.iter().map(|zone| (shares[*zone] * 1e6).round() / 1e6).collect()
}

#[test]
fn overload_trades_weight_for_dispersion() {
    // A third zone with half the weight: by weight it gets 0.6 replicas, for dispersion it should have one.
    let devices = zones(&[&[100.0, 100.0], &[100.0, 100.0], &[100.0]]);
    let tree = Tree::new(devices.iter());
    let plan = Shares::new(&tree, 3.0);
    assert_eq!(shares(&tree, &plan.target(0.0)), [1.2, 1.2, 0.6]);
    assert!((plan.required_overload - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!(shares(&tree, &plan.target(1.0 / 3.0)), [1.1, 1.1, 0.8]);
    assert_eq!(shares(&tree, &plan.target(9.0)), [1.0, 1.0, 1.0]);
}

#[test]
fn no_device_is_planned_for_two_replicas() {
    let devices = zones(&[&[1000.0], &[10.0, 10.0], &[20.0]]);
    let tree = Tree::new(devices.iter());
    let target = Shares::new(&tree, 3.0).target(0.0);
    assert!(tree.leaves().all(|(leaf, _)| target[leaf] <= 1.0));
    assert!((target[ROOT] - 3.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn quotas_are_shares_rounded_down_or_up_all_over_the_tree(
        layout in prop::collection::vec((1u32..3, 1u32..4, 1u32..4, 1u32..400), 4..40),
        power in 0u32..12,
        replicas in 1.0f64..4.0,
        overload in 0.0f64..0.5,
    ) {
        let made = (0..).zip(&layout).map(|(id, (r, z, s, w))| device(id, *r, *z, *s, f64::from(*w)));
        let devices: Vec<Device> = made.collect();
        let tree = Tree::new(devices.iter());
        let target = Shares::new(&tree, replicas).target(overload);
        let parts = 1u64 << power;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
        let cells = (parts as f64 * replicas) as u64;
        let (fair, most) = (target.clone(), even_split(&tree, replicas, f64::ceil));
        let have = vec![0; tree.nodes.len()];
        let quota = quotas(&tree, &Aims { target: &target, fair: &fair, most: &most, have: &have }, cells, parts);
        prop_assert_eq!(quota[ROOT], cells);
        for (at, node) in tree.nodes.iter().enumerate() {
            let below: u64 = node.children.iter().map(|child| quota[*child]).sum();
            prop_assert!(node.device.is_some() || below == quota[at], "node {} has {} of {}", at, below, quota[at]);
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let off = (quota[at] as f64 - target[at] * parts as f64).abs();
            // The root itself is rounded down, so a domain may be one below its floor.
            prop_assert!(off < 2.0, "node {at} is {off} off");
        }
    }
}
