//! The state of a placement under way: the table, what every domain still needs, and what may still move.

use crate::tree::{LEVELS, Path, ROOT, Tree};

/// In the table: assigned to no device.
pub(crate) const NOBODY: u32 = u32::MAX;

/// What each node of the tree should hold.
///
/// `low` and `high` are what a perfect placement keeps, and no move makes worse. `safe_low` and `safe_high` are wider: only
/// past them is a replica closer to another than the cluster's shape demands, and only that is worth a move of its own.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Replicas altogether.
    pub(crate) quota: Vec<u64>,
    /// Replicas of one partition, at least: the quota rounded down.
    pub(crate) low: Vec<usize>,
    /// Replicas of one partition, at most: the quota rounded up.
    pub(crate) high: Vec<usize>,
    safe_low: Vec<usize>,
    safe_high: Vec<usize>,
}

impl Limits {
    /// `most` is how many replicas of one partition a node may hold if all of its kind share evenly.
    pub(crate) fn new(quota: Vec<u64>, parts: u64, most: &[f64]) -> Limits {
        let whole = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let low: Vec<usize> = quota.iter().map(|q| whole(q / parts)).collect();
        let high: Vec<usize> = quota.iter().map(|q| whole(q.div_ceil(parts))).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of replicas")]
        let most: Vec<usize> = most.iter().map(|most| *most as usize).collect();
        // A domain that must hold more than its even share of some partitions should at least hold that of every one.
        let safe_low = low.iter().zip(&most).map(|(low, most)| if low >= most { *most } else { 0 }).collect();
        let safe_high = high.iter().zip(&most).map(|(high, most)| *high.max(most)).collect();
        Limits { quota, low, high, safe_low, safe_high }
    }
}

/// One replica of a partition: which row of the table it is in, and the domains of its device (`None`: homeless).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replica {
    pub(crate) row: usize,
    pub(crate) path: Option<Path>,
}

pub(crate) struct Placement<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) parts: usize,
    pub(crate) limits: Limits,
    /// Device ids, a row per replica.
    pub(crate) rows: Vec<Vec<u32>>,
    /// Quota less what is there, by node; negative is too much.
    pub(crate) need: Vec<i64>,
    /// Partitions that may not move: moved too recently, or in this run already.
    settled: Vec<bool>,
    /// Cells that found their place in this run: finding them another one costs nothing.
    fresh: Vec<Vec<bool>>,
    /// The domains that should hold replicas of every partition (`safe_low`).
    demanding: Vec<usize>,
}

impl<'t> Placement<'t> {
    /// `settled` tells for each partition whether it moved too recently to move again.
    pub(crate) fn new(tree: &'t Tree, limits: Limits, rows: Vec<Vec<u32>>, settled: Vec<bool>) -> Placement<'t> {
        let fresh = rows.iter().map(|row| row.iter().map(|id| *id == NOBODY).collect()).collect();
        let need = limits.quota.iter().map(|q| i64::try_from(*q).unwrap_or(i64::MAX)).collect();
        let demanding = tree.top_down().skip(1).filter(|node| limits.safe_low[*node] > 0).collect();
        let mut placement = Placement { tree, parts: settled.len(), limits, rows, need, settled, fresh, demanding };
        for at in 0..placement.rows.len() {
            for part in 0..placement.rows[at].len() {
                if let Some(path) = placement.path_at(at, part) {
                    placement.count(&path, -1);
                }
            }
        }
        placement
    }

    fn path_at(&self, row: usize, part: usize) -> Option<Path> {
        self.tree.path(*self.rows.get(row)?.get(part)?).copied()
    }

    fn count(&mut self, path: &Path, change: i64) {
        for node in path.iter().chain([&ROOT]) {
            self.need[*node] += change;
        }
    }

    /// The replicas of a partition, into a buffer of the caller's.
    pub(crate) fn replicas(&self, part: usize, into: &mut Vec<Replica>) {
        into.clear();
        for (row, ids) in self.rows.iter().enumerate() {
            if let Some(id) = ids.get(part) {
                into.push(Replica { row, path: self.tree.path(*id).copied() });
            }
        }
    }

    pub(crate) fn device_at(&self, row: usize, part: usize) -> Option<u32> {
        self.rows.get(row)?.get(part).copied()
    }

    /// Whether a replica may be put elsewhere: it is new or homeless, or its partition may move and did not yet.
    pub(crate) fn may_move(&self, row: usize, part: usize) -> bool {
        self.is_fresh(row, part) || !self.settled[part]
    }

    pub(crate) fn is_fresh(&self, row: usize, part: usize) -> bool {
        self.fresh[row][part]
    }

    pub(crate) fn is_settled(&self, part: usize) -> bool {
        self.settled[part]
    }

    /// Puts a replica on the device of a leaf.
    pub(crate) fn put(&mut self, row: usize, part: usize, leaf: usize) {
        let Some(id) = self.tree.nodes[leaf].device else {
            return;
        };
        if let Some(path) = self.path_at(row, part) {
            self.count(&path, 1);
        }
        if !self.fresh[row][part] {
            self.fresh[row][part] = true;
            self.settled[part] = true;
        }
        self.rows[row][part] = id;
        if let Some(path) = self.path_at(row, part) {
            self.count(&path, -1);
        }
    }

    /// A removed device counts as this partition's move of the run.
    pub(crate) fn settle(&mut self, part: usize) {
        self.settled[part] = true;
    }
}

/// How many of these replicas lie in a node of the given level.
pub(crate) fn held(replicas: &[Replica], node: usize, level: usize) -> usize {
    match level {
        0 => replicas.iter().filter(|replica| replica.path.is_some()).count(),
        _ => replicas.iter().filter(|replica| replica.path.is_some_and(|path| path[level - 1] == node)).count(),
    }
}

impl Placement<'_> {
    /// Whether the replica on `from` may go to `to` without making any domain worse for its partition.
    pub(crate) fn allows(&self, replicas: &[Replica], from: &Path, to: &Path) -> bool {
        (0..LEVELS).filter(|level| from[*level] != to[*level]).all(|level| {
            held(replicas, from[level], level + 1) > self.limits.low[from[level]]
                && held(replicas, to[level], level + 1) < self.limits.high[to[level]]
        })
    }

    /// The domains that hold too few of these replicas, and all domains that they are in.
    pub(crate) fn lacking(&self, replicas: &[Replica]) -> Vec<usize> {
        let mut lacking = Vec::new();
        for node in &self.demanding {
            let mut at = *node;
            if held(replicas, at, self.tree.nodes[at].level) >= self.limits.safe_low[at] {
                continue;
            }
            while at != ROOT {
                lacking.push(at);
                at = self.tree.nodes[at].parent;
            }
        }
        lacking
    }

    /// By how many replicas a partition misses the safe bounds of the domains it is in, or should be in.
    pub(crate) fn violation(&self, replicas: &[Replica]) -> usize {
        let missing = |node: &usize| {
            let held = held(replicas, *node, self.tree.nodes[*node].level);
            self.limits.safe_low[*node].saturating_sub(held)
        };
        let mut sum = self.demanding.iter().map(missing).sum();
        for (at, replica) in replicas.iter().enumerate() {
            let Some(path) = replica.path else { continue };
            for level in 0..LEVELS {
                let first = !replicas[..at].iter().any(|r| r.path.is_some_and(|p| p[level] == path[level]));
                let over = held(replicas, path[level], level + 1).saturating_sub(self.limits.safe_high[path[level]]);
                sum += if first { over } else { 0 };
            }
        }
        sum
    }
}
