//! One rebalance, from the operator's changes to new assignments.

use crate::Error;
use crate::builder::{Builder, row_lengths};
use crate::place::{self, Limits, NOBODY, Placement};
use crate::plan::quota::{Aims, quotas};
use crate::plan::share::{Shares, even_split};
use crate::random::Random;
use crate::tree::{ROOT, Tree};

/// What a rebalance did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Partition-replicas that are on another device than before, new ones included.
    pub moved: usize,
    /// Devices taken out.
    pub removed: usize,
    /// The balance now: how far the worst device is from its share, in percent.
    pub balance: f64,
    /// The dispersion now: the share of partition-replicas that are too close to another, in percent.
    pub dispersion: f64,
}

impl Builder {
    /// Assigns and reassigns partitions. The same builder, seed and `now` (seconds since 1970) give the same ring on every
    /// machine. Either all of it happens or, on an error, nothing.
    ///
    /// # Errors
    /// [`Error::TooFewDevices`] if there are fewer weighted devices than replicas.
    pub fn rebalance(&mut self, seed: u64, now: u64) -> Result<Outcome, Error> {
        let weighted = self.iter().filter(|d| d.device.weight > 0.0).count();
        #[expect(clippy::cast_precision_loss, reason = "a count of devices")]
        if (weighted as f64) < self.replicas {
            return Err(Error::TooFewDevices { replicas: self.replicas, devices: weighted });
        }
        self.age_moves(now);
        let before = self.rows.take();
        let removed = std::mem::take(&mut self.removed);
        let rows = self.resized(before.as_deref(), &removed);
        self.drop_devices(&removed);
        let first = before.is_none();
        let rows = self.placed(rows, before.as_deref().unwrap_or_default(), first, seed);
        let moved = self.adopt(rows, before.as_deref().unwrap_or_default());
        let dispersion = self.dispersion();
        self.dispersion = Some(dispersion);
        self.version += 1;
        self.devices_changed = false;
        Ok(Outcome { moved, removed: removed.len(), balance: self.balance()?, dispersion })
    }

    /// Brings the hours since each partition's last move up to now.
    fn age_moves(&mut self, now: u64) {
        let hours = now.saturating_sub(self.last_moves_epoch) / 3600;
        if hours == 0 {
            return;
        }
        let hours = u8::try_from(hours).unwrap_or(u8::MAX);
        for age in &mut self.last_moves {
            *age = age.saturating_add(hours);
        }
        self.last_moves_epoch = now;
    }

    /// The old rows in the sizes that the replica count asks for; what is new or was on a removed device is nobody's.
    fn resized(&self, before: Option<&[Vec<u32>]>, removed: &[u32]) -> Vec<Vec<u32>> {
        let keep = |id: &u32| {
            if removed.contains(id) || self.device(*id).is_none() { NOBODY } else { *id }
        };
        let lengths = row_lengths(self.parts(), self.replicas).into_iter().enumerate();
        lengths
            .map(|(row, length)| {
                let old = before.and_then(|rows| rows.get(row)).map_or(&[][..], Vec::as_slice);
                let mut ids: Vec<u32> = old.iter().take(length).map(keep).collect();
                ids.resize(length, NOBODY);
                ids
            })
            .collect()
    }

    fn drop_devices(&mut self, removed: &[u32]) {
        for id in removed {
            if let Some(slot) = self.devices.get_mut(*id as usize) {
                *slot = None;
            }
        }
        while self.devices.last().is_some_and(Option::is_none) {
            self.devices.pop();
        }
    }

    fn placed(&self, rows: Vec<Vec<u32>>, before: &[Vec<u32>], first: bool, seed: u64) -> Vec<Vec<u32>> {
        let tree = Tree::new(self.iter().map(|d| &d.device));
        let limits =
            Limits::new(self.quotas(&tree, &rows), self.parts() as u64, &even_split(&tree, self.replicas, f64::ceil));
        let settled = self.last_moves.iter().map(|age| u32::from(*age) < self.min_part_hours).collect();
        let mut placement = Placement::new(&tree, limits, rows, settled);
        let mut random = Random::new(seed);
        if first {
            place::first(&mut placement, &mut random);
        } else {
            settle_orphans(&mut placement, before);
            place::again(&mut placement, &mut random);
        }
        placement.rows
    }

    fn quotas(&self, tree: &Tree, rows: &[Vec<u32>]) -> Vec<u64> {
        let target = Shares::new(tree, self.replicas).target(self.overload);
        let per_weight = self.parts_per_weight(tree.nodes[ROOT].weight);
        let fair: Vec<f64> = tree.nodes.iter().map(|node| node.weight * per_weight).collect();
        let mut have = vec![0; tree.nodes.len()];
        for path in rows.iter().flatten().filter_map(|id| tree.path(*id)) {
            for node in path {
                have[*node] += 1;
            }
        }
        let cells = rows.iter().map(|row| row.len() as u64).sum();
        let most = even_split(tree, self.replicas, f64::ceil);
        let aims = Aims { target: &target, fair: &fair, most: &most, have: &have };
        quotas(tree, &aims, cells, self.parts() as u64)
    }

    /// Takes new assignments over, with what follows from them, and counts the changes.
    fn adopt(&mut self, rows: Vec<Vec<u32>>, before: &[Vec<u32>]) -> usize {
        let mut moved = 0;
        let mut parts = vec![0u64; self.devices.len()];
        for (row, ids) in rows.iter().enumerate() {
            for (part, id) in ids.iter().enumerate() {
                if let Some(count) = parts.get_mut(*id as usize) {
                    *count += 1;
                }
                if before.get(row).and_then(|ids| ids.get(part)) != Some(id) {
                    moved += 1;
                    self.last_moves[part] = 0;
                }
            }
        }
        self.rows = Some(rows);
        for (device, parts) in self.devices.iter_mut().zip(parts) {
            if let Some(device) = device {
                device.parts = parts;
            }
        }
        self.want_parts();
        moved
    }

    /// Notes for each device what it still wants, for those who read the builder file.
    fn want_parts(&mut self) {
        let tree = Tree::new(self.devices.iter().flatten().map(|d| &d.device));
        let quota = self.quotas(&tree, self.rows.as_deref().unwrap_or_default());
        for (leaf, id) in tree.leaves() {
            if let Some(device) = self.devices[id as usize].as_mut() {
                let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
                device.parts_wanted = signed(quota[leaf]) - signed(device.parts);
            }
        }
    }

    /// Partition-replicas that one unit of weight is worth.
    #[expect(clippy::cast_precision_loss, reason = "partition counts are far below 2^52")]
    pub(crate) fn parts_per_weight(&self, total_weight: f64) -> f64 {
        self.parts() as f64 * self.replicas / total_weight
    }
}

/// A partition that lost a replica to a removed device has had its move for this run.
fn settle_orphans(placement: &mut Placement<'_>, before: &[Vec<u32>]) {
    for (row, old) in before.iter().enumerate() {
        for part in 0..old.len() {
            if placement.device_at(row, part) == Some(NOBODY) {
                placement.settle(part);
            }
        }
    }
}
