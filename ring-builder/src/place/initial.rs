//! The first placement: exact by construction, then mixed.
//!
//! Lay the devices on a line in the order of the tree, each as long as its quota, and cut the line into rows of as many
//! cells as there are partitions. A domain is one stretch of that line, so every column (every partition) meets it
//! `quota / partitions` times, rounded down or up: the bounds of all domains hold at once, and every quota is met. Sampling
//! theory calls this systematic sampling.
//!
//! Left so, few devices would share partitions with a given one, and rebuilding it would burden just those. So the columns
//! are permuted, and then random pairs of cells are swapped wherever that keeps all bounds.

use super::state::{Placement, Replica};
use crate::random::Random;
use crate::tree::Path;

/// Each cell is offered this many random partners.
const SWAPS_PER_CELL: usize = 6;

pub(super) fn fill(placement: &mut Placement<'_>, random: &mut Random) {
    let columns = columns(placement, random);
    let leaves: Vec<usize> = placement.tree.leaves().map(|(leaf, _)| leaf).collect();
    let quotas = leaves.iter().map(|leaf| (*leaf, placement.limits.quota[*leaf]));
    let line: Vec<usize> =
        quotas.flat_map(|(leaf, quota)| std::iter::repeat_n(leaf, usize::try_from(quota).unwrap_or(0))).collect();
    for (at, leaf) in line.into_iter().enumerate() {
        let (row, column) = (at / placement.parts, at % placement.parts);
        if placement.device_at(row, columns[column]).is_some() {
            placement.put(row, columns[column], leaf);
        }
    }
}

/// A permutation of the partitions that keeps those with a cell in a short last row in front.
fn columns(placement: &Placement<'_>, random: &mut Random) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..placement.parts).collect();
    let front = placement.rows.last().map_or(0, Vec::len);
    let (with, without) = columns.split_at_mut(front.min(placement.parts));
    random.shuffle(with);
    random.shuffle(without);
    columns
}

pub(super) fn mix(placement: &mut Placement<'_>, random: &mut Random) {
    let cells: usize = placement.rows.iter().map(Vec::len).sum();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..cells * SWAPS_PER_CELL {
        let (row, part) = any_cell(placement, random);
        let (other_row, other_part) = any_cell(placement, random);
        if part != other_part {
            placement.replicas(part, &mut ours);
            placement.replicas(other_part, &mut theirs);
            try_swap(placement, (row, part, &ours), (other_row, other_part, &theirs));
        }
    }
}

fn any_cell(placement: &Placement<'_>, random: &mut Random) -> (usize, usize) {
    loop {
        let (row, part) = (random.below(placement.rows.len()), random.below(placement.parts));
        if placement.device_at(row, part).is_some() {
            return (row, part);
        }
    }
}

fn try_swap(placement: &mut Placement<'_>, a: (usize, usize, &[Replica]), b: (usize, usize, &[Replica])) {
    let path = |(row, _, replicas): (usize, usize, &[Replica])| -> Option<Path> { replicas.get(row)?.path };
    let (Some(from), Some(to)) = (path(a), path(b)) else {
        return;
    };
    if placement.allows(a.2, &from, &to) && placement.allows(b.2, &to, &from) {
        placement.put(a.0, a.1, to[to.len() - 1]);
        placement.put(b.0, b.1, from[from.len() - 1]);
    }
}
