//! Homes for the homeless, and distance between replicas that are too close.

use super::state::{Placement, Replica, held};
use crate::random::Random;
use crate::tree::{LEVELS, ROOT};

/// How picky a search for a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Only where partitions are missing, within the bounds.
    Needy,
    /// Within the bounds, wherever.
    Bounded,
    /// Any weighted device that does not hold the partition yet.
    Anywhere,
}

/// Places every cell that has no device. None stays empty as long as a partition has fewer replicas than there are devices.
pub(super) fn place_homeless(placement: &mut Placement<'_>, random: &mut Random) {
    let mut replicas = Vec::new();
    for part in shuffled(placement.parts, random) {
        placement.replicas(part, &mut replicas);
        while let Some(homeless) = replicas.iter().find(|replica| replica.path.is_none()).copied() {
            let modes = [Mode::Needy, Mode::Bounded, Mode::Anywhere];
            let place = modes.into_iter().find_map(|mode| place_for(placement, &replicas, mode, random));
            let Some(leaf) = place else { break };
            placement.put(homeless.row, part, leaf);
            placement.replicas(part, &mut replicas);
        }
    }
}

/// The best device for one more replica of a partition that holds `replicas`.
pub(super) fn place_for(
    placement: &Placement<'_>,
    replicas: &[Replica],
    mode: Mode,
    random: &mut Random,
) -> Option<usize> {
    Hunt { placement, replicas, mode, lacking: placement.lacking(replicas) }.descend(ROOT, random)
}

/// A search for a place for one replica, down the tree.
struct Hunt<'p> {
    placement: &'p Placement<'p>,
    replicas: &'p [Replica],
    mode: Mode,
    /// Domains that must get the replica if any does: see [`Placement::lacking`].
    lacking: Vec<usize>,
}

impl Hunt<'_> {
    fn descend(&self, node: usize, random: &mut Random) -> Option<usize> {
        if self.placement.tree.nodes[node].device.is_some() {
            return Some(node);
        }
        let mut open = self.candidates(node);
        while let Some(best) = take_best(&mut open, random) {
            if let Some(leaf) = self.descend(best, random) {
                return Some(leaf);
            }
        }
        None
    }

    /// The children of a node that may take the replica, with how urgently they want it.
    fn candidates(&self, node: usize) -> Vec<(bool, i64, usize)> {
        let Placement { tree, limits, need, .. } = self.placement;
        let level = tree.nodes[node].level + 1;
        let mut open = Vec::new();
        for child in tree.nodes[node].weighted_children.iter().copied() {
            let held = held(self.replicas, child, level);
            let lacking = self.lacking.contains(&child);
            let fits = match self.mode {
                Mode::Needy => held < limits.high[child] && (need[child] > 0 || lacking),
                Mode::Bounded => held < limits.high[child],
                Mode::Anywhere if level == LEVELS => held == 0,
                Mode::Anywhere => held < tree.nodes[child].weighted_devices,
            };
            if fits {
                let close = self.mode == Mode::Anywhere && held >= limits.high[child];
                open.push((lacking, if close { i64::MIN } else { need[child] }, child));
            }
        }
        open
    }
}

/// Takes the most urgent candidate; among equals a random one.
fn take_best(open: &mut Vec<(bool, i64, usize)>, random: &mut Random) -> Option<usize> {
    let start = random.below(open.len());
    let order = (0..open.len()).map(|step| (start + step) % open.len());
    let best = order.max_by_key(|at| (open[*at].0, open[*at].1))?;
    Some(open.swap_remove(best).2)
}

/// Where a surplus replica may go below `node`, avoiding the child it comes from: only to domains that need more.
pub(super) fn needy_below(
    placement: &Placement<'_>,
    replicas: &[Replica],
    node: usize,
    except: usize,
    random: &mut Random,
) -> Option<usize> {
    let hunt = Hunt { placement, replicas, mode: Mode::Needy, lacking: Vec::new() };
    let mut open = hunt.candidates(node);
    open.retain(|(_, _, child)| *child != except);
    while let Some(best) = take_best(&mut open, random) {
        if let Some(leaf) = hunt.descend(best, random) {
            return Some(leaf);
        }
    }
    None
}

/// Moves one replica of each partition that is too crowded somewhere, if it may move: first where that also helps the
/// balance, then wherever it makes the partition safer.
pub(super) fn disperse(placement: &mut Placement<'_>, random: &mut Random) {
    for mode in [Mode::Needy, Mode::Bounded] {
        let mut replicas = Vec::new();
        for part in shuffled(placement.parts, random) {
            if placement.is_settled(part) {
                continue;
            }
            placement.replicas(part, &mut replicas);
            if placement.violation(&replicas) > 0 {
                disperse_one(placement, part, &replicas, mode, random);
            }
        }
    }
}

fn disperse_one(placement: &mut Placement<'_>, part: usize, replicas: &[Replica], mode: Mode, random: &mut Random) {
    let before = placement.violation(replicas);
    let mut best: Option<(usize, i64, usize, usize)> = None;
    for at in 0..replicas.len() {
        let Some(from) = replicas[at].path else {
            continue;
        };
        let mut changed = replicas.to_vec();
        changed[at].path = None;
        let Some(leaf) = place_for(placement, &changed, mode, random) else {
            continue;
        };
        let Some(device) = placement.tree.nodes[leaf].device else {
            continue;
        };
        changed[at].path = placement.tree.path(device).copied();
        let after = placement.violation(&changed);
        let gain = placement.need[leaf] - placement.need[from[LEVELS - 1]];
        if after < before && best.is_none_or(|(violation, most, ..)| (after, -gain) < (violation, -most)) {
            best = Some((after, gain, replicas[at].row, leaf));
        }
    }
    if let Some((_, _, row, leaf)) = best {
        placement.put(row, part, leaf);
    }
}

/// All partitions in a random order that costs no memory to speak of.
pub(super) fn shuffled(parts: usize, random: &mut Random) -> impl Iterator<Item = usize> + use<> {
    // The number of partitions is a power of two, so any odd stride visits each once.
    let (start, stride) = (random.below(parts), random.below(parts) | 1);
    (0..parts).map(move |step| (start + step.wrapping_mul(stride)) % parts)
}
