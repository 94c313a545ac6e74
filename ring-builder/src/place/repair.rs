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
    descend(placement, replicas, ROOT, mode, random)
}

fn descend(
    placement: &Placement<'_>,
    replicas: &[Replica],
    node: usize,
    mode: Mode,
    random: &mut Random,
) -> Option<usize> {
    let here = &placement.tree.nodes[node];
    if here.device.is_some() {
        return Some(node);
    }
    let mut open = candidates(placement, replicas, node, mode, None);
    while let Some(best) = take_best(&mut open, random) {
        if let Some(leaf) = descend(placement, replicas, best, mode, random) {
            return Some(leaf);
        }
    }
    None
}

/// The children of a node that may take a replica, with how urgently they want it.
fn candidates(
    placement: &Placement<'_>,
    replicas: &[Replica],
    node: usize,
    mode: Mode,
    except: Option<usize>,
) -> Vec<(bool, i64, usize)> {
    let level = placement.tree.nodes[node].level + 1;
    let limits = &placement.limits;
    let mut open = Vec::new();
    for child in placement.tree.nodes[node].weighted_children.iter().copied().filter(|child| Some(*child) != except) {
        let held = held(replicas, child, level);
        let lacking = held < limits.low[child];
        let fits = match mode {
            Mode::Needy => held < limits.high[child] && (placement.need[child] > 0 || lacking),
            Mode::Bounded => held < limits.high[child],
            Mode::Anywhere if level == LEVELS => held == 0,
            Mode::Anywhere => held < placement.tree.nodes[child].weighted_devices,
        };
        if fits {
            let close = mode == Mode::Anywhere && held >= limits.high[child];
            open.push((lacking, if close { i64::MIN } else { placement.need[child] }, child));
        }
    }
    open
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
    let mut open = candidates(placement, replicas, node, Mode::Needy, Some(except));
    open.retain(|(_, need, _)| *need > 0);
    while let Some(best) = take_best(&mut open, random) {
        if let Some(leaf) = descend(placement, replicas, best, Mode::Needy, random) {
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
