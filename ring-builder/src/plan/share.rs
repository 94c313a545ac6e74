//! Shares of the replicas, in replicanths: 1.0 in a domain means one replica of every partition.
//!
//! - *weighted*: by weight alone, but no device holds two replicas of one partition, so what is past 1.0 goes to the others;
//! - *wanted*: as unique as possible, and only within that by weight;
//! - *target*: weighted, moved towards wanted as far as the overload allows.
//!
//! The rules are those of Swift's builder, so that the same cluster with the same overload aims at the same thing.

use crate::tree::{ROOT, Tree};

/// Below this a difference in replicanths is noise.
const NOISE: f64 = 1e-10;

/// Rounds of spreading before we take what we have. Each round fixes at least one domain at a bound in practice.
const MAX_ROUNDS: usize = 1000;

/// The shares of one cluster; every list is indexed by node.
#[derive(Debug)]
pub(crate) struct Shares {
    weighted: Vec<f64>,
    wanted: Vec<f64>,
    /// The overload at which nothing would have to be traded away.
    pub(crate) required_overload: f64,
}

impl Shares {
    /// There must be at least as many weighted devices as replicas.
    pub(crate) fn new(tree: &Tree, replicas: f64) -> Shares {
        let weighted = weighted(tree, replicas);
        let wanted = wanted(tree, replicas, &weighted);
        let over = |(leaf, _): (usize, u32)| {
            if weighted[leaf] > 0.0 { (wanted[leaf] - weighted[leaf]) / weighted[leaf] } else { 0.0 }
        };
        let required_overload = tree.leaves().map(over).fold(0.0, f64::max);
        Shares { weighted, wanted, required_overload }
    }

    /// What each domain should hold, given that a device may take this fraction over its weight.
    pub(crate) fn target(&self, overload: f64) -> Vec<f64> {
        if self.required_overload <= 0.0 {
            return self.wanted.clone();
        }
        let step = overload.min(self.required_overload) / self.required_overload;
        let pairs = self.weighted.iter().zip(&self.wanted);
        pairs.map(|(weighted, wanted)| weighted + (wanted - weighted) * step).collect()
    }
}

fn weighted(tree: &Tree, replicas: f64) -> Vec<f64> {
    let total = tree.nodes[ROOT].weight;
    let mut share: Vec<f64> = vec![0.0; tree.nodes.len()];
    for (leaf, _) in tree.leaves() {
        share[leaf] = (tree.nodes[leaf].weight * replicas / total).min(1.0);
    }
    for _ in 0..MAX_ROUNDS {
        let missing = replicas - tree.leaves().map(|(leaf, _)| share[leaf]).sum::<f64>();
        let room: Vec<usize> =
            tree.leaves().map(|(leaf, _)| leaf).filter(|leaf| share[*leaf] > 0.0 && share[*leaf] < 1.0).collect();
        if missing < NOISE || room.is_empty() {
            break;
        }
        let factor = 1.0 + missing / room.iter().map(|leaf| share[*leaf]).sum::<f64>();
        for leaf in room {
            share[leaf] = (share[leaf] * factor).min(1.0);
        }
    }
    for node in tree.top_down().rev().filter(|node| tree.nodes[*node].device.is_none()) {
        share[node] = tree.nodes[node].children.iter().map(|child| share[*child]).sum();
    }
    share
}

/// How many replicas of one partition a domain may hold if each domain splits its own evenly among its parts; `round`
/// says what becomes of the fractions on the way down.
pub(crate) fn even_split(tree: &Tree, replicas: f64, round: fn(f64) -> f64) -> Vec<f64> {
    let mut split = vec![0.0; tree.nodes.len()];
    split[ROOT] = replicas;
    for node in tree.top_down() {
        let children = &tree.nodes[node].weighted_children;
        for child in children {
            #[expect(clippy::cast_precision_loss, reason = "a count of devices")]
            let even = round(split[node] / children.len() as f64);
            split[*child] = if tree.nodes[*child].device.is_some() { even.min(1.0) } else { even };
        }
    }
    split
}

fn wanted(tree: &Tree, replicas: f64, weighted: &[f64]) -> Vec<f64> {
    let split = even_split(tree, replicas, |even| even);
    let mut wanted = vec![0.0; tree.nodes.len()];
    wanted[ROOT] = replicas;
    for node in tree.top_down() {
        let children: Vec<Child> = tree.nodes[node]
            .weighted_children
            .iter()
            .map(|child| {
                #[expect(clippy::cast_precision_loss, reason = "a count of devices")]
                let devices = tree.nodes[*child].weighted_devices as f64;
                Child {
                    node: *child,
                    weight: weighted[*child],
                    min: split[*child].floor(),
                    max: split[*child].ceil(),
                    devices,
                    share: 0.0,
                }
            })
            .collect();
        for child in spread(children, wanted[node]) {
            wanted[child.node] = child.share;
        }
    }
    wanted
}

struct Child {
    node: usize,
    weight: f64,
    min: f64,
    max: f64,
    devices: f64,
    share: f64,
}

impl Child {
    fn take(&mut self, more: f64, past_max: bool) {
        let mut share = self.share + more;
        if share < self.min {
            share = self.min;
        } else if share > self.max && !past_max {
            share = self.max;
        }
        self.share = share.min(self.devices);
    }
}

/// Spreads replicanths over the children by weight, each within its bounds as long as that is possible at all.
fn spread(mut children: Vec<Child>, replicanths: f64) -> Vec<Child> {
    let mut left = replicanths;
    let mut active: Vec<usize> = (0..children.len()).collect();
    let mut past_max = false;
    for _ in 0..MAX_ROUNDS {
        let weight: f64 = active.iter().map(|at| children[*at].weight).sum();
        if active.is_empty() || weight <= 0.0 {
            break;
        }
        for at in &active {
            let more = children[*at].weight * left / weight;
            children[*at].take(more, past_max);
        }
        left = replicanths - children.iter().map(|child| child.share).sum::<f64>();
        let which = |test: &dyn Fn(&Child) -> bool| -> Vec<usize> {
            (0..children.len()).filter(|at| test(&children[*at])).collect()
        };
        if left < -NOISE {
            active = which(&|child| child.share > child.min);
        } else if left > NOISE {
            active = which(&|child| child.share < child.devices && child.share < child.max);
            if active.is_empty() {
                past_max = true;
                active = which(&|child| child.share < child.devices);
            }
        } else {
            break;
        }
    }
    children
}
