//! How good the assignments are: balance, dispersion, validity. The measures are Swift's.

use std::collections::BTreeMap;

use crate::plan::share::{Shares, even_split};
use crate::tree::{LEVELS, ROOT, Tree};
use crate::{Builder, BuilderDevice, Error};

/// The balance of a device that should hold nothing and does: as bad as can be shown.
pub const MAX_BALANCE: f64 = 999.99;

/// The dispersion of one failure domain.
#[derive(Debug, Clone, PartialEq)]
pub struct TierReport {
    /// `r1`, `r1z2`, `r1z2-10.0.0.1` or `r1z2-10.0.0.1/sdb1`.
    pub name: String,
    /// Replicas of one partition it may hold if all domains of its kind share evenly.
    pub max_replicas: usize,
    /// Partition-replicas in it.
    pub placed: usize,
    /// Which share of them, in percent, is past `max_replicas`.
    pub dispersion: f64,
    /// How many partitions have 0, 1, 2, … replicas in it.
    pub by_replicas: Vec<usize>,
}

impl Builder {
    /// How far a device is from the share its weight gives it, in percent: 10.0 is a tenth too much.
    #[expect(clippy::cast_precision_loss, reason = "partition counts are far below 2^52")]
    pub fn balance_of(&self, device: &BuilderDevice) -> f64 {
        let total = self.total_weight();
        match device.device.weight {
            weight if weight > 0.0 => 100.0 * device.parts as f64 / (weight * self.parts_per_weight(total)) - 100.0,
            _ if device.parts > 0 => MAX_BALANCE,
            _ => 0.0,
        }
    }

    /// The balance of the worst device, without sign.
    ///
    /// # Errors
    /// [`Error::Empty`] if no device has weight.
    pub fn balance(&self) -> Result<f64, Error> {
        if self.total_weight() <= 0.0 {
            return Err(Error::Empty);
        }
        Ok(self.iter().map(|device| self.balance_of(device).abs()).fold(0.0, f64::max))
    }

    pub(crate) fn total_weight(&self) -> f64 {
        self.iter().map(|d| d.device.weight).sum()
    }

    /// The overload at which no replica would be closer to another than the cluster's shape demands.
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::TooFewDevices`].
    pub fn required_overload(&self) -> Result<f64, Error> {
        if self.total_weight() <= 0.0 {
            return Err(Error::Empty);
        }
        let tree = Tree::new(self.iter().map(|d| &d.device));
        let devices = tree.nodes[ROOT].weighted_devices;
        #[expect(clippy::cast_precision_loss, reason = "a count of devices")]
        if (devices as f64) < self.replicas {
            return Err(Error::TooFewDevices { replicas: self.replicas, devices });
        }
        Ok(Shares::new(&tree, self.replicas).required_overload)
    }

    /// The share of partition-replicas that are past what their domain should hold of one partition, in percent; each
    /// counted at the level where its partition is worst. Swift leaves out the partitions beyond a short last row; here all
    /// count.
    #[expect(clippy::cast_precision_loss, reason = "partition counts are far below 2^52")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of replicas")]
    pub fn dispersion(&self) -> f64 {
        let tree = Tree::new(self.iter().map(|d| &d.device));
        let most: Vec<usize> =
            even_split(&tree, self.replicas, f64::ceil).into_iter().map(|most| most as usize).collect();
        let mut at_risk = 0;
        each_part(self, &tree, |held| {
            let mut by_level = [0; LEVELS];
            for (node, replicas) in held {
                by_level[tree.nodes[*node].level - 1] += replicas.saturating_sub(most[*node]);
            }
            at_risk += by_level.into_iter().max().unwrap_or(0);
        });
        100.0 * at_risk as f64 / (self.parts() as f64 * self.replicas)
    }

    /// Every domain that holds a replica, in the order of regions, zones, addresses and ids, wide ones first.
    pub fn dispersion_report(&self) -> Vec<TierReport> {
        let tree = Tree::new(self.iter().map(|d| &d.device));
        let most = even_split(&tree, self.replicas, f64::ceil);
        let names = self.tier_names(&tree);
        let mut counts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        each_part(self, &tree, |held| {
            for (node, replicas) in held {
                let rows = self.rows.as_ref().map_or(0, Vec::len);
                let by = counts.entry(*node).or_insert_with(|| vec![0; rows + 1]);
                by[*replicas] += 1;
            }
        });
        let report = |(node, mut by): (usize, Vec<usize>)| {
            by[0] = self.parts() - by.iter().sum::<usize>();
            tier_report(names.get(&node).cloned().unwrap_or_default(), most[node], by)
        };
        counts.into_iter().map(report).collect()
    }

    fn tier_names(&self, tree: &Tree) -> BTreeMap<usize, String> {
        let mut names = BTreeMap::new();
        for device in self.iter().map(|d| &d.device) {
            let Some(path) = tree.path(device.id) else {
                continue;
            };
            let (region, zone, ip) = (device.region, device.zone, &device.ip);
            names.insert(path[0], format!("r{region}"));
            names.insert(path[1], format!("r{region}z{zone}"));
            names.insert(path[2], format!("r{region}z{zone}-{ip}"));
            names.insert(path[3], device.tier_name());
        }
        names
    }

    /// Checks that every replica is on a device that exists, no partition is twice on one device, and the counts agree.
    ///
    /// # Errors
    /// [`Error::NeverRebalanced`] or [`Error::NotValid`].
    pub fn validate(&self) -> Result<(), Error> {
        let rows = self.rows.as_ref().ok_or(Error::NeverRebalanced)?;
        let cells: usize = rows.iter().map(Vec::len).sum();
        let counted: u64 = self.iter().map(|d| d.parts).sum();
        if counted != cells as u64 {
            return Err(Error::NotValid(format!("devices count {counted} partitions, the table has {cells}")));
        }
        for part in 0..self.parts() {
            let ids: Vec<u32> = rows.iter().filter_map(|row| row.get(part).copied()).collect();
            if let Some(row) = ids.iter().position(|id| self.device(*id).is_none()) {
                return Err(Error::NotValid(format!("partition {part}, replica {row} is not assigned to a device")));
            }
            if ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id)) {
                return Err(Error::NotValid(format!("partition {part} is twice on one device: {ids:?}")));
            }
            if ids.len() + 1 < rows.len() {
                return Err(Error::NotValid(format!("partition {part} lacks a replica")));
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "partition counts are far below 2^52")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number of replicas, rounded already"
)]
fn tier_report(name: String, most: f64, by_replicas: Vec<usize>) -> TierReport {
    let max_replicas = most as usize;
    let at_risk: usize = by_replicas.iter().enumerate().map(|(n, parts)| n.saturating_sub(max_replicas) * parts).sum();
    let placed: usize = by_replicas.iter().enumerate().map(|(n, parts)| n * parts).sum();
    TierReport { name, max_replicas, placed, dispersion: 100.0 * at_risk as f64 / placed as f64, by_replicas }
}

/// Calls `see` for each partition with the domains that hold it and how many replicas each has.
fn each_part(builder: &Builder, tree: &Tree, mut see: impl FnMut(&[(usize, usize)])) {
    let Some(rows) = builder.rows.as_ref() else {
        return;
    };
    let mut held: Vec<(usize, usize)> = Vec::new();
    for part in 0..builder.parts() {
        held.clear();
        for path in rows.iter().filter_map(|row| tree.path(*row.get(part)?)) {
            for node in path {
                match held.iter_mut().find(|(other, _)| other == node) {
                    Some((_, replicas)) => *replicas += 1,
                    None => held.push((*node, 1)),
                }
            }
        }
        see(&held);
    }
}
