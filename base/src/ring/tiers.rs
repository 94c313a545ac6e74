//! The failure domains of a ring's devices, numbered densely so that a lookup can mark them in a bitmap.
//!
//! Only devices that hold partitions count: a zone without any cannot be reached by walking the table, and waiting for
//! it would walk the whole table each time.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Device, Error, Table};

/// Region, zone, server and device, from wide to narrow.
pub(super) const LEVELS: usize = 4;

/// For each device id the bits of its domains in one bitmap, and how many domains each level has.
#[derive(Debug, Clone)]
pub(super) struct Tiers {
    /// `bits[id][level]`; all of level 0 lie before all of level 1, and so on. `None` for a device without partitions.
    bits: Vec<Option<[u32; LEVELS]>>,
    pub(super) domains: [u32; LEVELS],
}

impl Tiers {
    /// Numbers the domains, and checks on the way that each assigned device exists.
    pub(super) fn new(devices: &[Option<Device>], table: &Table) -> Result<Tiers, Error> {
        let mut assigned = vec![false; devices.len()];
        for (at, id) in table.ids().enumerate() {
            let exists = devices.get(id as usize).is_some_and(Option::is_some);
            match assigned.get_mut(id as usize) {
                Some(seen) if exists => *seen = true,
                _ => {
                    return Err(Error::UnknownDevice { part: at % table.part_count(), id });
                }
            }
        }
        Ok(Tiers::number(devices, |id| assigned.get(id).copied().unwrap_or(false)))
    }

    /// The same assignments with devices that moved to other addresses.
    pub(super) fn regrouped(&self, devices: &[Option<Device>]) -> Tiers {
        Tiers::number(devices, |id| self.bits.get(id).is_some_and(Option::is_some))
    }

    fn number<'d>(devices: &'d [Option<Device>], assigned: impl Fn(usize) -> bool) -> Tiers {
        let mut regions = Numbering::default();
        let mut zones = Numbering::default();
        let mut servers = Numbering::default();
        let mut disks = Numbering::default();
        let mut number = |device: &'d Device| {
            let (region, zone) = (device.region, device.zone);
            [
                regions.of(region),
                zones.of((region, zone)),
                servers.of((region, zone, device.ip.as_str())),
                disks.of(device.id),
            ]
        };
        let present = devices.iter().enumerate();
        let mut bits: Vec<_> =
            present.map(|(id, device)| device.as_ref().filter(|_| assigned(id)).map(&mut number)).collect();
        let domains = [regions.count(), zones.count(), servers.count(), disks.count()];
        for device in bits.iter_mut().flatten() {
            let mut offset = 0;
            for (bit, count) in device.iter_mut().zip(domains) {
                *bit += offset;
                offset += count;
            }
        }
        Tiers { bits, domains }
    }

    pub(super) fn of(&self, id: u32) -> Option<[u32; LEVELS]> {
        self.bits.get(id as usize).copied().flatten()
    }
}

struct Numbering<K>(HashMap<K, u32>);

impl<K> Default for Numbering<K> {
    fn default() -> Self {
        Numbering(HashMap::new())
    }
}

impl<K: Eq + Hash> Numbering<K> {
    fn of(&mut self, key: K) -> u32 {
        let next = self.count();
        *self.0.entry(key).or_insert(next)
    }

    #[expect(clippy::cast_possible_truncation, reason = "no more domains than devices, whose ids are u32")]
    fn count(&self) -> u32 {
        self.0.len() as u32
    }
}
