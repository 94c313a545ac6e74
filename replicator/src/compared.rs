//! How the other devices of a partition compare with one of this node's, for every pass that brings partitions to where they
//! belong.
//!
//! Each peer device is asked once, for all partitions that it shares as a primary; then, where a primary's disk is gone, who stands
//! in for it. One device may be both, of different partitions: what it said is joined, and a partition that it was not
//! asked about with success never counts as the same, since then nobody would bring it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;

use apus_base::pass::Progress;
use apus_base::ring::{Device, Ring};
use apus_base::wire::replication::PartitionDigest;
use futures_util::stream::{self, StreamExt as _};

use crate::replicate::moves::plan::is_same;

/// Peers that are asked at the same time for one device.
const MAX_ASKED: usize = 16;

/// How another device compares in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Same,
    Differs,
    /// It does not answer.
    Away,
}

/// What a peer device said of the partitions that it shares with this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// These differ.
    Differing(HashSet<u32>),
    /// Nothing.
    Away,
    /// Its node is there, its disk is not.
    NoDevice,
}

/// Why a peer was not compared with.
pub(crate) trait Fault: Display {
    /// Whether the node answers and says that it has no such disk.
    fn is_missing_device(&self) -> bool;
}

/// A device of this node among those of its ring.
#[derive(Clone, Copy)]
pub(crate) struct Around<'r> {
    pub(crate) ring: &'r Ring,
    pub(crate) own: &'r Device,
}

impl<'r> Around<'r> {
    /// By its place: its id may be from an older ring, and mean another now.
    fn is_own(self, device: &Device) -> bool {
        is_same(device, self.own)
    }

    /// Whether this device is one of a partition's primaries.
    pub(crate) fn is_home(self, partition: u32) -> bool {
        self.ring.primaries(partition).any(|primary| self.is_own(primary))
    }

    /// The primaries of a partition but for this device.
    pub(crate) fn others(self, partition: u32) -> Vec<&'r Device> {
        self.ring.primaries(partition).filter(|primary| !self.is_own(primary)).collect()
    }

    /// The devices that stand in for primaries whose disk is gone, so that there are as many copies as before: the first
    /// handoffs, of which this device may be one.
    fn stand_ins(self, partition: u32, compared: &Compared) -> Vec<&'r Device> {
        let is_gone = |primary: &&&Device| matches!(compared.0.get(&primary.id), Some(Said::NoDevice));
        let gone = self.others(partition).iter().filter(is_gone).count();
        self.ring.handoffs(partition).take(gone).filter(|handoff| !self.is_own(handoff)).collect()
    }

    /// Who shall have a partition besides this device.
    pub(crate) fn targets(self, partition: u32, compared: &Compared) -> Vec<Device> {
        self.others(partition).into_iter().chain(self.stand_ins(partition, compared)).cloned().collect()
    }
}

/// What all peer devices said, by their ids.
#[derive(Default)]
pub(crate) struct Compared(HashMap<u32, Said>);

impl Compared {
    /// Asks the primaries, and then those who stand in for some of them.
    pub(crate) async fn of<'r, F, E>(
        around: Around<'r>,
        digests: &[PartitionDigest],
        progress: &Progress,
        ask: impl Fn(&'r Device, Vec<PartitionDigest>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<HashSet<u32>, E>>,
        E: Fault,
    {
        let mut compared = Self::of_primaries(around, digests, progress, &ask).await;
        let stand_ins = share(digests, |partition| around.stand_ins(partition, &compared));
        compared.ask(stand_ins, progress, &ask).await;
        compared
    }

    /// Asks the primaries alone.
    pub(crate) async fn of_primaries<'r, F, E>(
        around: Around<'r>,
        digests: &[PartitionDigest],
        progress: &Progress,
        ask: &impl Fn(&'r Device, Vec<PartitionDigest>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<HashSet<u32>, E>>,
        E: Fault,
    {
        let mut compared = Self::default();
        compared.ask(share(digests, |partition| around.others(partition)), progress, ask).await;
        compared
    }

    async fn ask<'r, F, E>(
        &mut self,
        shared: Shared<'r>,
        progress: &Progress,
        ask: &impl Fn(&'r Device, Vec<PartitionDigest>) -> F,
    ) where
        F: Future<Output = Result<HashSet<u32>, E>>,
        E: Fault,
    {
        let mut asked = Vec::with_capacity(shared.len());
        for (device, digests) in shared.into_values() {
            let answer = ask(device, digests);
            asked.push(async move { (device, answer.await) });
        }
        let mut answers = stream::iter(asked).buffer_unordered(MAX_ASKED);
        while let Some((device, answer)) = answers.next().await {
            let said = answer.map_or_else(
                |fault| {
                    tracing::warn!(peer = device.tier_name(), %fault, "a peer cannot be compared with");
                    progress.fail();
                    if fault.is_missing_device() { Said::NoDevice } else { Said::Away }
                },
                Said::Differing,
            );
            self.hear(device.id, said);
        }
    }

    /// Takes in what a device said, the first time or once more about other partitions.
    fn hear(&mut self, id: u32, more: Said) {
        match self.0.entry(id) {
            Entry::Vacant(first) => _ = first.insert(more),
            Entry::Occupied(mut known) => match (known.get_mut(), more) {
                (Said::Differing(known), Said::Differing(more)) => known.extend(more),
                (Said::Differing(_), silence) => _ = known.insert(silence),
                // It was not heard about all that it was asked.
                (Said::Away | Said::NoDevice, _) => {}
            },
        }
    }

    /// How a device compares in a partition about which it was asked.
    pub(crate) fn side(&self, id: u32, partition: u32) -> Side {
        match self.0.get(&id) {
            Some(Said::Differing(differing)) if differing.contains(&partition) => Side::Differs,
            Some(Said::Differing(_)) => Side::Same,
            _ => Side::Away,
        }
    }

    /// What each device said.
    pub(crate) fn said(&self) -> impl Iterator<Item = &Said> {
        self.0.values()
    }
}

/// What to ask whom.
type Shared<'r> = BTreeMap<u32, (&'r Device, Vec<PartitionDigest>)>;

fn share<'r>(digests: &[PartitionDigest], sharers: impl Fn(u32) -> Vec<&'r Device>) -> Shared<'r> {
    let mut shared = Shared::new();
    for digest in digests {
        for device in sharers(digest.partition) {
            shared.entry(device.id).or_insert_with(|| (device, Vec::new())).1.push(*digest);
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use apus_base::ring::{IdWidth, Table};

    use super::*;

    #[derive(Debug)]
    struct Silence {
        missing_device: bool,
    }

    impl Display for Silence {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("silence")
        }
    }

    impl Fault for Silence {
        fn is_missing_device(&self) -> bool {
            self.missing_device
        }
    }

    fn device(id: u32) -> Device {
        let ip = format!("10.0.0.{id}");
        Device {
            device: "d".into(),
            id,
            replication_ip: ip.clone(),
            ip,
            meta: String::new(),
            port: 6200,
            region: 1,
            replication_port: 6200,
            weight: 1.0,
            zone: id,
        }
    }

    /// Three of four devices have each partition: all but device 3 the first, all but 2 the second, and so on.
    fn ring() -> Ring {
        let places = (0..3).flat_map(|row| (0..4u32).map(move |part| (0..4).filter(|id| *id != 3 - part).nth(row)));
        let table = Table::new(2, IdWidth::for_max_id(3), places.map(Option::unwrap)).unwrap();
        Ring::new((0..4).map(|id| Some(device(id))).collect(), table).unwrap()
    }

    /// The disk of device 3 is gone. All partitions differ on the others, which are primaries of some and stand in for
    /// device 3 in one each.
    async fn compare(again: fn(usize) -> Result<HashSet<u32>, Silence>) -> (Ring, Compared) {
        let (ring, own) = (ring(), device(0));
        let digests: Vec<_> = (0..4).map(|partition| PartitionDigest { partition, digest: [1; 16] }).collect();
        let often = Mutex::new(BTreeMap::new());
        let ask = |device: &Device, asked: Vec<PartitionDigest>| {
            let mut often = often.lock().unwrap();
            let times = often.entry(device.id).and_modify(|times| *times += 1).or_insert(0);
            let answer = match (device.id, again(*times)) {
                (3, _) => Err(Silence { missing_device: true }),
                (_, Ok(_)) => Ok(asked.iter().map(|digest| digest.partition).collect()),
                (_, silence) => silence,
            };
            std::future::ready(answer)
        };
        let compared = Compared::of(Around { ring: &ring, own: &own }, &digests, &Progress::default(), ask).await;
        (ring, compared)
    }

    #[tokio::test]
    async fn one_that_stands_in_keeps_what_it_said_as_a_primary() {
        let (ring, compared) = compare(|_| Ok(HashSet::new())).await;
        let own = device(0);
        let around = Around { ring: &ring, own: &own };
        for partition in 0..4 {
            let targets: Vec<u32> = around.targets(partition, &compared).iter().map(|device| device.id).collect();
            assert!(targets.contains(&1) && targets.contains(&2), "{targets:?} have partition {partition}");
            assert!([1, 2].iter().all(|id| compared.side(*id, partition) == Side::Differs), "partition {partition}");
        }
        assert_eq!(compared.said().filter(|said| **said == Said::NoDevice).count(), 1);
    }

    #[tokio::test]
    async fn one_that_was_silent_once_has_nothing_that_seems_to_be_the_same() {
        let first = |times| if times == 0 { Err(Silence { missing_device: false }) } else { Ok(HashSet::new()) };
        let second = |times| if times == 1 { Err(Silence { missing_device: false }) } else { Ok(HashSet::new()) };
        for again in [first, second] {
            let (_, compared) = compare(again).await;
            for (id, partition) in [(1, 0), (1, 1), (1, 3), (2, 0), (2, 2), (2, 3)] {
                assert_eq!(compared.side(id, partition), Side::Away, "device {id}, partition {partition}");
            }
        }
    }
}
