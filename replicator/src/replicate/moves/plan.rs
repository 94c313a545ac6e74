//! The plan of a directed move: which device pushes which partition to whom, decided from the old ring and the new one alone.
//!
//! Every node has both rings and makes the same plan, so nobody has to divide the work: each does its part.
//!
//! * Every copy that the new ring wants where the old one had none is pushed by exactly one of the old holders: one that the
//!   new ring still knows, if there is any, for who was removed may be dead; among those the one that has the least to do.
//! * The partitions with the fewest holders left come first. Among equals the order is a shuffle that depends on the
//!   partition alone, so that at any time the work is spread over all targets.
//!
//! A device is the same in both rings when its address and its name are: ids are given out again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use apus_base::ring::{Device, Ring};

/// Odd, so that multiplying by it shuffles the numbers of 32 bits: 2^32 by the golden ratio.
const SHUFFLE: u32 = 0x9e37_79b1;

/// Rings between which nothing can be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMove {
    /// Their partitions are not the same.
    #[error(
        "the old ring has 2^{0} partitions and the new one 2^{1}: a move is between rings of the same partition power"
    )]
    PartPower(u8, u8),
    /// The process ends before there is a plan.
    #[error("the plan was not finished")]
    Interrupted,
}

/// A partition that is pushed to a device that has none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The partition.
    pub partition: u32,
    /// Who pushes: an id of the old ring.
    pub source: u32,
    /// Who gets it: an id of the new ring.
    pub target: u32,
    /// How many of the old holders the new ring still knows.
    pub survivors: usize,
}

/// What all nodes do together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    transfers: Vec<Transfer>,
    /// The new holders of each partition that is pushed anywhere, by id.
    targets: BTreeMap<u32, Vec<u32>>,
    /// Partitions with the old holders, by id, who shall not hold them any more.
    leaving: BTreeSet<(u32, u32)>,
    /// How many devices push to each target.
    sources: HashMap<u32, usize>,
}

/// Where a device is: its address and its name.
type Seat<'a> = (&'a str, u16, &'a str);

impl Plan {
    /// The way from one ring to another.
    ///
    /// # Errors
    /// When their partitions are not the same.
    pub fn new(old: &Ring, new: &Ring) -> Result<Self, InvalidMove> {
        if old.part_power() != new.part_power() {
            return Err(InvalidMove::PartPower(old.part_power(), new.part_power()));
        }
        let mut plan = Self::default();
        let known: BTreeSet<Seat<'_>> = new.devices().iter().flatten().map(seat).collect();
        let mut moved: Vec<Moved<'_>> = Vec::new();
        for partition in (0..u32::MAX).take(old.part_count()) {
            let (holders, wanted): (Vec<&Device>, Vec<&Device>) =
                (old.primaries(partition).collect(), new.primaries(partition).collect());
            let gone = holders.iter().filter(|holder| !wanted.iter().any(|device| is_same(device, holder)));
            plan.leaving.extend(gone.map(|holder| (partition, holder.id)));
            let lacking: Vec<u32> = wanted
                .iter()
                .filter(|device| !holders.iter().any(|holder| is_same(device, holder)))
                .map(|device| device.id)
                .collect();
            if !lacking.is_empty() {
                let surviving: Vec<u32> =
                    holders.iter().filter(|holder| known.contains(&seat(holder))).map(|holder| holder.id).collect();
                moved.push(Moved { partition, holders, surviving, lacking });
            }
        }
        moved.sort_by_key(|moved| (moved.surviving.len(), moved.partition.wrapping_mul(SHUFFLE)));
        plan.assign(moved);
        Ok(plan)
    }

    fn assign(&mut self, moved: Vec<Moved<'_>>) {
        let mut loads: HashMap<u32, usize> = HashMap::new();
        let mut pairs = BTreeSet::new();
        for Moved { partition, holders, surviving, lacking } in moved {
            let all = || holders.iter().map(|holder| holder.id).collect();
            let sources: Vec<u32> = if surviving.is_empty() { all() } else { surviving.clone() };
            for target in &lacking {
                let Some(source) = sources.iter().copied().min_by_key(|id| (load(&loads, *id), *id)) else { continue };
                *loads.entry(source).or_default() += 1;
                pairs.insert((*target, source));
                self.transfers.push(Transfer { partition, source, target: *target, survivors: surviving.len() });
            }
            self.targets.insert(partition, lacking);
        }
        for (target, _) in pairs {
            *self.sources.entry(target).or_default() += 1;
        }
    }

    /// All of it, in the order in which it is to be done.
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// What the device with that id of the old ring pushes, in order: each partition with its targets.
    pub fn pushes(&self, source: u32) -> Vec<(u32, Vec<u32>)> {
        let mut pushes: Vec<(u32, Vec<u32>)> = Vec::new();
        for transfer in self.transfers.iter().filter(|transfer| transfer.source == source) {
            match pushes.last_mut().filter(|(partition, _)| *partition == transfer.partition) {
                Some((_, targets)) => targets.push(transfer.target),
                None => pushes.push((transfer.partition, vec![transfer.target])),
            }
        }
        pushes
    }

    /// The partitions that the device with that id of the old ring shall not hold any more.
    pub fn leaving(&self, holder: u32) -> impl Iterator<Item = u32> + '_ {
        self.leaving.iter().filter(move |(_, id)| *id == holder).map(|(partition, _)| *partition)
    }

    /// Who gets a partition newly, by the ids of the new ring.
    pub fn targets(&self, partition: u32) -> &[u32] {
        self.targets.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// How many devices of the cluster push to a target.
    pub fn sources(&self, target: u32) -> usize {
        self.sources.get(&target).copied().unwrap_or(0)
    }

    /// Whether the device with that id of the old ring has anything to do.
    pub fn involves(&self, holder: u32) -> bool {
        self.transfers.iter().any(|transfer| transfer.source == holder) || self.leaving(holder).next().is_some()
    }
}

/// A partition that some device is to get.
struct Moved<'a> {
    partition: u32,
    holders: Vec<&'a Device>,
    surviving: Vec<u32>,
    lacking: Vec<u32>,
}

fn load(loads: &HashMap<u32, usize>, id: u32) -> usize {
    loads.get(&id).copied().unwrap_or(0)
}

fn seat(device: &Device) -> Seat<'_> {
    (&device.ip, device.port, &device.device)
}

/// Whether two rings mean the same disk of the same server.
pub fn is_same(one: &Device, other: &Device) -> bool {
    seat(one) == seat(other)
}

#[cfg(test)]
mod tests;
