//! From devices with too much straight to devices with too little.

use super::repair::{needy_below, shuffled};
use super::state::{Placement, Replica, held};
use crate::random::Random;
use crate::tree::{LEVELS, ROOT};

/// Moves surplus replicas, at most one per partition. Every move brings every domain it touches nearer to its quota.
pub(super) fn shed(placement: &mut Placement<'_>, random: &mut Random) {
    let mut replicas = Vec::new();
    for part in shuffled(placement.parts, random) {
        if placement.is_settled(part) {
            continue;
        }
        placement.replicas(part, &mut replicas);
        let need = |replica: &Replica| replica.path.map_or(0, |path| placement.need[path[LEVELS - 1]]);
        let mut surplus: Vec<Replica> = replicas.iter().copied().filter(|replica| need(replica) < 0).collect();
        surplus.sort_by_key(need);
        let found = surplus.iter().find_map(|from| Some((from.row, target_of(placement, &replicas, *from, random)?)));
        if let Some((row, leaf)) = found {
            placement.put(row, part, leaf);
        }
    }
}

/// Climbs from the device as long as each domain on the way has too much and may give, and looks at each height for a
/// sibling that needs more.
fn target_of(placement: &Placement<'_>, replicas: &[Replica], from: Replica, random: &mut Random) -> Option<usize> {
    let path = from.path?;
    for level in (0..LEVELS).rev() {
        let node = path[level];
        let may_give = placement.need[node] < 0 && held(replicas, node, level + 1) > placement.limits.low[node];
        if !may_give {
            return None;
        }
        let parent = if level == 0 { ROOT } else { path[level - 1] };
        let place = needy_below(placement, replicas, parent, node, random);
        if place.is_some() {
            return place;
        }
    }
    None
}
