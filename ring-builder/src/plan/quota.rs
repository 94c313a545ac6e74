//! Whole partitions for every domain.
//!
//! Rounding is controlled: each domain of the tree gets its real share rounded down or up, and children add up to their
//! parent. A zone that should hold one replica of everything then holds exactly that, and a perfect placement exists (see
//! `place/initial.rs`). Among all such roundings we take one that keeps the largest relative error of any device as small
//! as possible, and among those one that leaves devices with what they have.

use crate::tree::{ROOT, Tree};

/// A share of partitions this close to a whole number is that number; the rest is the noise of floating point.
const NOISE: f64 = 1e-6;

/// What is aimed at; every list is indexed by node.
#[derive(Debug)]
pub(crate) struct Aims<'a> {
    /// Shares in replicanths.
    pub(crate) target: &'a [f64],
    /// Partition-replicas by weight alone, which balance is measured against.
    pub(crate) fair: &'a [f64],
    /// How many replicas of one partition count as well dispersed.
    pub(crate) most: &'a [f64],
    /// Partition-replicas held now.
    pub(crate) have: &'a [u64],
}

/// What rounding costs a domain: the largest relative error of a device in it.
#[derive(Debug, Clone, Copy)]
struct Cost {
    floor: u64,
    /// Whether rounding up is possible, that is, whether the share is not whole.
    can_ceil: bool,
    /// Whether one partition more would be one replica too close to another.
    crowded: bool,
    down: f64,
    up: f64,
}

/// How many partition-replicas each node should hold, out of `cells` altogether.
///
/// `cells` is the number of partition-replicas in the whole table, `parts` that of partitions.
pub(crate) fn quotas(tree: &Tree, aims: &Aims<'_>, cells: u64, parts: u64) -> Vec<u64> {
    let costs = costs(tree, aims, parts);
    let mut quota = vec![0; tree.nodes.len()];
    quota[ROOT] = cells;
    let allowed = split_cost(tree, &costs, ROOT, cells) * (1.0 + NOISE) + NOISE * NOISE;
    for node in tree.top_down() {
        divide(tree, &costs, aims.have, allowed, node, &mut quota);
    }
    quota
}

#[expect(clippy::cast_precision_loss, reason = "partition counts are far below 2^52")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is neither negative nor past 2^40"
)]
fn costs(tree: &Tree, aims: &Aims<'_>, parts: u64) -> Vec<Cost> {
    let mut costs = vec![Cost { floor: 0, can_ceil: false, crowded: false, down: 0.0, up: 0.0 }; tree.nodes.len()];
    for node in tree.top_down().rev() {
        let share = aims.target[node] * parts as f64;
        let floor = (share + NOISE).floor() as u64;
        costs[node].floor = floor;
        costs[node].can_ceil = share - floor as f64 > NOISE;
        costs[node].crowded = floor as f64 >= aims.most[node] * parts as f64;
        let error = |quota: u64| match tree.nodes[node].device {
            Some(_) if aims.fair[node] > 0.0 => (quota as f64 / aims.fair[node] - 1.0).abs(),
            Some(_) => 0.0,
            None => split_cost(tree, &costs, node, quota),
        };
        let (down, up) = (error(floor), error(floor + 1));
        costs[node].down = down;
        costs[node].up = up;
    }
    costs
}

/// The smallest possible largest error if `quota` is divided among the children of a node.
fn split_cost(tree: &Tree, costs: &[Cost], node: usize, quota: u64) -> f64 {
    let children: Vec<Cost> = tree.nodes[node].children.iter().map(|child| costs[*child]).collect();
    let whole = children.iter().filter(|c| !c.can_ceil).map(|c| c.down).fold(0.0, f64::max);
    let open: Vec<Cost> = children.iter().copied().filter(|c| c.can_ceil).collect();
    let ups = ups(&children, quota).min(open.len());
    let mut levels: Vec<f64> = open.iter().flat_map(|c| [c.down, c.up]).collect();
    levels.sort_by(f64::total_cmp);
    let possible = |level: f64| {
        let must_up = open.iter().filter(|c| c.down > level).count();
        let must_down = open.iter().filter(|c| c.up > level).count();
        let neither = open.iter().any(|c| c.down > level && c.up > level);
        !neither && must_up <= ups && must_down <= open.len() - ups
    };
    let first = levels.partition_point(|level| !possible(*level));
    levels.get(first).copied().unwrap_or(0.0).max(whole)
}

fn ups(children: &[Cost], quota: u64) -> usize {
    let floors: u64 = children.iter().map(|c| c.floor).sum();
    usize::try_from(quota.saturating_sub(floors)).unwrap_or(usize::MAX)
}

/// Gives each child of `node` its share of the node's quota.
fn divide(tree: &Tree, costs: &[Cost], have: &[u64], allowed: f64, node: usize, quota: &mut [u64]) {
    let children = &tree.nodes[node].children;
    let shares: Vec<Cost> = children.iter().map(|child| costs[*child]).collect();
    let ups = ups(&shares, quota[node]);
    let mut open: Vec<usize> = Vec::new();
    for child in children {
        quota[*child] = costs[*child].floor;
        if costs[*child].can_ceil {
            open.push(*child);
        }
    }
    // Rounding up must not crowd a domain; it must help the worst device; it should leave things where they are.
    let rank = |child: &usize| {
        let cost = costs[*child];
        let must = i8::from(cost.down > allowed) - i8::from(cost.up > allowed);
        (!cost.crowded, must, have[*child] > cost.floor, cost.down - cost.up)
    };
    open.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal));
    for child in open.iter().take(ups) {
        quota[*child] += 1;
    }
    settle(tree, node, ups.saturating_sub(open.len()), quota);
}

/// Only floating point noise brings us here: a few partitions more or fewer than the floors and ceilings allow.
fn settle(tree: &Tree, node: usize, missing: usize, quota: &mut [u64]) {
    let weighted = &tree.nodes[node].weighted_children;
    for child in weighted.iter().cycle().take(if weighted.is_empty() { 0 } else { missing }) {
        quota[*child] += 1;
    }
    let mut spare = weighted.iter().map(|c| quota[*c]).sum::<u64>().saturating_sub(quota[node]);
    for child in weighted {
        let less = spare.min(quota[*child]);
        quota[*child] -= less;
        spare -= less;
    }
}
