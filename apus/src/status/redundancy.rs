//! Which partitions have all their copies: everybody's answers to the question of [`apus_base::wire::redundancy`], compared.
//! Pure.
//!
//! Copies of a partition are good when they have the same digest as most others. A partition that is being written to may
//! look different from moment to moment; so whoever asks several times takes together what was seen each time, with
//! [`Compared::or`], and a partition that was whole once is whole.

use std::collections::{BTreeMap, BTreeSet};

use apus_base::ring::Ring;
use apus_base::wire::redundancy::Holdings;
use serde::Serialize;

/// What a device answered.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Holds(Holdings),
    /// Its server answers, and the device is not there.
    NoDevice,
    /// Its server does not answer, for this reason: what it holds is not known.
    Away(String),
}

/// How the copies of one partition are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copies {
    /// On primaries, equal with most others.
    pub(super) in_place: usize,
    /// Anywhere.
    pub(super) anywhere: usize,
    /// Primaries that may have one and do not answer.
    pub(super) unknown: usize,
    pub(super) wanted: usize,
}

/// The partitions of a ring that hold anything, compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Compared {
    pub(super) partitions: BTreeMap<u32, Copies>,
    /// For each device that is no primary of them, how many partitions it still has.
    pub(super) handoffs: BTreeMap<u32, usize>,
}

/// The same as figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Redundancy {
    /// Partitions that hold anything.
    pub(super) partitions: usize,
    /// Those with all copies in place.
    pub(super) complete: usize,
    /// How many of the others have how many good copies, wherever.
    pub(super) at_risk: BTreeMap<usize, usize>,
    /// How many of those may have more, on servers that do not answer.
    pub(super) unknown: usize,
    /// Partitions that handoffs still have, by device.
    pub(super) handoffs: BTreeMap<String, usize>,
}

/// Compares what the devices of a ring told.
pub(super) fn compare(ring: &Ring, told: &BTreeMap<u32, Told>) -> Compared {
    let mut holders: BTreeMap<u32, Vec<(u32, &str)>> = BTreeMap::new();
    for (device, told) in told {
        let Told::Holds(holdings) = told else { continue };
        for (partition, digest) in &holdings.partitions {
            holders.entry(*partition).or_default().push((*device, digest));
        }
    }
    let mut compared = Compared::default();
    for (partition, holders) in holders.into_iter().filter(|(partition, _)| (*partition as usize) < ring.part_count()) {
        let primaries: BTreeSet<u32> = ring.primaries(partition).map(|device| device.id).collect();
        for (device, _) in holders.iter().filter(|(device, _)| !primaries.contains(device)) {
            *compared.handoffs.entry(*device).or_default() += 1;
        }
        compared.partitions.insert(partition, copies(&primaries, &holders, told));
    }
    compared
}

fn copies(primaries: &BTreeSet<u32>, holders: &[(u32, &str)], told: &BTreeMap<u32, Told>) -> Copies {
    let mut equal: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (device, digest) in holders {
        let (in_place, anywhere) = equal.entry(digest).or_default();
        *in_place += usize::from(primaries.contains(device));
        *anywhere += 1;
    }
    let (in_place, anywhere) = equal.into_values().max().unwrap_or_default();
    let is_away = |device: &&u32| !matches!(told.get(device), Some(Told::Holds(_) | Told::NoDevice));
    let unknown = primaries.iter().filter(is_away).count();
    Copies { in_place, anywhere, unknown, wanted: primaries.len() }
}

impl Copies {
    fn is_complete(&self) -> bool {
        self.in_place == self.wanted
    }
}

impl Compared {
    /// Takes in what was seen another time: the better of the two counts.
    pub(super) fn or(mut self, other: Self) -> Self {
        for (partition, copies) in other.partitions {
            let known = self.partitions.entry(partition).or_insert(copies);
            *known = copies.max(*known);
        }
        self.handoffs = other.handoffs;
        self
    }

    pub(super) fn is_complete(&self) -> bool {
        self.partitions.values().all(Copies::is_complete)
    }

    pub(super) fn figures(&self, ring: &Ring) -> Redundancy {
        let name = |id: &u32| {
            let device = ring.device(*id);
            device.map_or_else(
                || format!("d{id}"),
                |device| format!("{} on {}:{}", device.device, device.ip, device.port),
            )
        };
        let mut figures = Redundancy {
            partitions: self.partitions.len(),
            handoffs: self.handoffs.iter().map(|(id, many)| (name(id), *many)).collect(),
            ..Redundancy::default()
        };
        for copies in self.partitions.values() {
            if copies.is_complete() {
                figures.complete += 1;
                continue;
            }
            *figures.at_risk.entry(copies.anywhere).or_default() += 1;
            figures.unknown += usize::from(copies.unknown > 0);
        }
        figures
    }
}

impl Redundancy {
    pub(super) fn incomplete(&self) -> usize {
        self.partitions - self.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::ring::{Device, IdWidth, Table};

    /// Four partitions, each on the devices 0, 1 and 2 of four.
    fn ring() -> Ring {
        let device = |id: u32| Device {
            device: format!("d{id}"),
            id,
            ip: "h".into(),
            meta: String::new(),
            port: 1,
            region: 1,
            replication_ip: "h".into(),
            replication_port: 1,
            weight: 1.0,
            zone: id,
        };
        let ids = (0..3).flat_map(|device| [device; 4]);
        let table = Table::new(2, IdWidth::for_max_id(3), ids).unwrap();
        // The fourth is nobody's primary, and a device all the same.
        Ring::new((0..4).map(|id| Some(device(id))).collect(), table).unwrap()
    }

    fn holds(partitions: &[(u32, &str)]) -> Told {
        let partitions = partitions.iter().map(|(partition, digest)| (*partition, (*digest).to_owned())).collect();
        Told::Holds(Holdings { partitions, ..Holdings::default() })
    }

    fn figures(told: [Told; 4]) -> Redundancy {
        let ring = ring();
        compare(&ring, &(0..).zip(told).collect()).figures(&ring)
    }

    #[test]
    fn equal_on_all_primaries_is_complete() {
        let all = || holds(&[(0, "a"), (1, "b")]);
        let found = figures([all(), all(), all(), holds(&[])]);
        assert_eq!((found.partitions, found.complete, found.incomplete()), (2, 2, 0));
        assert!(found.at_risk.is_empty() && found.handoffs.is_empty());
    }

    #[test]
    fn what_differs_is_missing_or_is_elsewhere_is_at_risk() {
        let first = holds(&[(0, "a"), (1, "b"), (2, "c")]);
        let found = figures([first, holds(&[(0, "old"), (1, "b")]), holds(&[(0, "a"), (1, "b")]), holds(&[(2, "c")])]);
        assert_eq!((found.partitions, found.complete), (3, 1));
        // Two of partition 0 are equal; of partition 2 one primary and a handoff have it.
        assert_eq!(found.at_risk, BTreeMap::from([(2, 2)]));
        assert_eq!((found.handoffs["d3 on h:1"], found.unknown), (1, 0));
    }

    #[test]
    fn a_server_that_does_not_answer_is_unknown_and_a_missing_device_is_not() {
        let some = || holds(&[(0, "a")]);
        assert_eq!(figures([some(), some(), Told::Away("refused".into()), holds(&[])]).unknown, 1);
        let gone = figures([some(), some(), Told::NoDevice, some()]);
        // The handoff stands in: there are three copies, and not in their places.
        assert_eq!((gone.unknown, gone.at_risk.clone(), gone.complete), (0, BTreeMap::from([(3, 1)]), 0));
    }

    #[test]
    fn a_partition_that_is_written_to_is_whole_when_it_was_seen_whole_once() {
        let ring = ring();
        let compared = |digests: [&str; 3]| {
            let told = (0..).zip(digests.map(|digest| holds(&[(0, digest)]))).collect();
            compare(&ring, &told)
        };
        let torn = compared(["b", "a", "a"]);
        assert!(!torn.is_complete() && torn.clone().or(compared(["b", "b", "b"])).is_complete());
        assert!(!torn.or(compared(["c", "b", "b"])).is_complete());
    }
}
