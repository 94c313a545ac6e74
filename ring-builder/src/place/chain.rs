//! The last surplus, through third devices.
//!
//! When no partition lets a replica go straight from a device with too much to one with too little, some other device can
//! stand between: it takes one partition and gives another. Such a chain is found by a breadth-first search from all devices
//! with a surplus at once; a step over a replica that moved in this run anyway costs no further move and is taken first.

use std::collections::VecDeque;

use super::state::{Placement, Replica, held};
use crate::random::Random;
use crate::tree::{LEVELS, Path, ROOT, Tree};

/// Looking at this many cells for each cell of the table is enough; what is left after that waits for the next rebalance.
const LOOKS_PER_CELL: usize = 40;

#[derive(Debug, Clone, Copy)]
struct Step {
    row: usize,
    part: usize,
    /// The leaf it leaves and the one it goes to.
    from: usize,
    to: usize,
}

pub(super) fn connect(placement: &mut Placement<'_>, random: &mut Random) {
    if surplus(placement).is_empty() {
        return;
    }
    let mut search = Search::new(placement, random);
    while search.looks_left > 0 {
        let Some(chain) = search.find(placement) else {
            return;
        };
        if !search.apply(placement, &chain) {
            return;
        }
    }
}

fn surplus(placement: &Placement<'_>) -> Vec<usize> {
    placement.tree.leaves().map(|(leaf, _)| leaf).filter(|leaf| placement.need[*leaf] < 0).collect()
}

struct Search {
    /// The cells of each leaf, as (row, partition). A cell that has left is dropped when it is met.
    cells: Vec<Vec<(usize, usize)>>,
    looks_left: usize,
    /// By node: leaves below that the search has not reached.
    unseen: Vec<usize>,
    came_by: Vec<Option<Step>>,
}

impl Search {
    fn new(placement: &Placement<'_>, random: &mut Random) -> Search {
        let nodes = placement.tree.nodes.len();
        let mut cells = vec![Vec::new(); nodes];
        for (row, ids) in placement.rows.iter().enumerate() {
            for (part, id) in ids.iter().enumerate() {
                if let Some(path) = placement.tree.path(*id).filter(|_| placement.may_move(row, part)) {
                    cells[path[LEVELS - 1]].push((row, part));
                }
            }
        }
        for list in &mut cells {
            random.shuffle(list);
        }
        let all = placement.rows.iter().map(Vec::len).sum::<usize>();
        Search { cells, looks_left: all * LOOKS_PER_CELL, unseen: vec![0; nodes], came_by: vec![None; nodes] }
    }

    /// A chain from a leaf with a surplus to one with a need, last step first.
    fn find(&mut self, placement: &Placement<'_>) -> Option<Vec<Step>> {
        self.came_by.fill(None);
        self.unseen = reachable(placement.tree);
        let mut queue: VecDeque<(usize, bool)> = VecDeque::new();
        for leaf in surplus(placement) {
            self.see(placement.tree, leaf);
            queue.push_back((leaf, true));
            queue.push_back((leaf, false));
        }
        let mut replicas = Vec::new();
        while let Some((leaf, fresh)) = queue.pop_front() {
            for at in 0..self.cells[leaf].len() {
                let (row, part) = self.cells[leaf][at];
                if placement.is_fresh(row, part) != fresh || !placement.may_move(row, part) {
                    continue;
                }
                self.looks_left = self.looks_left.saturating_sub(1);
                placement.replicas(part, &mut replicas);
                let reached = self.reach(placement, row, part, leaf, &replicas);
                for to in reached {
                    if placement.need[to] > 0 {
                        return Some(self.chain_to(to));
                    }
                    queue.push_front((to, true));
                    queue.push_back((to, false));
                }
                if self.looks_left == 0 || self.unseen[ROOT] == 0 {
                    return None;
                }
            }
        }
        None
    }

    /// Every leaf not seen yet to which this replica may go.
    fn reach(
        &mut self,
        placement: &Placement<'_>,
        row: usize,
        part: usize,
        leaf: usize,
        replicas: &[Replica],
    ) -> Vec<usize> {
        let Some(path) = path_of(placement, leaf) else {
            return Vec::new();
        };
        let mut reached = Vec::new();
        for level in (0..LEVELS).rev() {
            if held(replicas, path[level], level + 1) <= placement.limits.low[path[level]] {
                break;
            }
            let parent = if level == 0 { ROOT } else { path[level - 1] };
            self.collect(placement, replicas, parent, path[level], &mut reached);
        }
        for to in &reached {
            self.see(placement.tree, *to);
            self.came_by[*to] = Some(Step { row, part, from: leaf, to: *to });
        }
        reached
    }

    fn collect(
        &self,
        placement: &Placement<'_>,
        replicas: &[Replica],
        node: usize,
        except: usize,
        into: &mut Vec<usize>,
    ) {
        let level = placement.tree.nodes[node].level + 1;
        for child in &placement.tree.nodes[node].weighted_children {
            if *child == except
                || self.unseen[*child] == 0
                || held(replicas, *child, level) >= placement.limits.high[*child]
            {
                continue;
            }
            match placement.tree.nodes[*child].device {
                Some(_) => into.push(*child),
                None => self.collect(placement, replicas, *child, except, into),
            }
        }
    }

    fn see(&mut self, tree: &Tree, leaf: usize) {
        let Some(path) = tree.nodes[leaf].device.and_then(|id| tree.path(id)) else {
            return;
        };
        for node in path.iter().chain([&ROOT]) {
            self.unseen[*node] = self.unseen[*node].saturating_sub(1);
        }
    }

    fn chain_to(&self, to: usize) -> Vec<Step> {
        let mut chain = Vec::new();
        let mut at = to;
        while let Some(step) = self.came_by[at] {
            chain.push(step);
            at = step.from;
        }
        chain
    }

    /// Makes the moves from the needy end on. A chain that meets one partition twice may break; every step alone is sound,
    /// so the rest is left and the need has only moved. Says whether anything happened.
    fn apply(&mut self, placement: &mut Placement<'_>, chain: &[Step]) -> bool {
        let mut replicas = Vec::new();
        for (done, step) in chain.iter().enumerate() {
            placement.replicas(step.part, &mut replicas);
            let (from, to) = (path_of(placement, step.from), path_of(placement, step.to));
            let (Some(from), Some(to)) = (from, to) else {
                return done > 0;
            };
            let sound = placement.may_move(step.row, step.part) && placement.allows(&replicas, &from, &to);
            if !sound {
                return done > 0;
            }
            placement.put(step.row, step.part, step.to);
            self.cells[step.from].retain(|cell| *cell != (step.row, step.part));
            self.cells[step.to].push((step.row, step.part));
        }
        true
    }
}

fn path_of(placement: &Placement<'_>, leaf: usize) -> Option<Path> {
    placement.tree.path(placement.tree.nodes[leaf].device?).copied()
}

fn reachable(tree: &Tree) -> Vec<usize> {
    let mut leaves = vec![0; tree.nodes.len()];
    for (_, id) in tree.leaves() {
        if let Some(path) = tree.path(id) {
            for node in path.iter().chain([&ROOT]) {
                leaves[*node] += 1;
            }
        }
    }
    leaves
}
