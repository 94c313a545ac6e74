//! The ring: which devices hold a partition, and who stands in when they do not answer.
//!
//! A name hashes to a 16-byte digest; its top bits are the partition. The ring is a table with one row per replica and
//! one device id per partition in each row, plus the devices. Everybody in a cluster has the same file, so nobody asks.
//! [`Ring::partition`], [`Ring::primaries`] and [`Ring::handoffs`] are the whole of it; the rest of this module reads
//! and writes Swift's ring files, versions 1 and 2 (`swift/common/ring/{ring,io}.py`, `doc/source/overview_ring_format.rst`).
//!
//! Pure values: no file, socket or clock. A ring that exists is sound: [`Ring::new`] and [`Ring::from_bytes`] refuse
//! assignments to devices that are not there, so no lookup can fail. Building rings is the ring-builder's work.

mod device;
mod gzip;
mod handoffs;
mod json;
mod read;
mod table;
#[cfg(test)]
mod tests;
mod tiers;
mod write;

use std::sync::Arc;

pub use device::Device;
pub use handoffs::Handoffs;
pub use table::{IdWidth, MAX_REPLICA_ROWS, Table};
use tiers::Tiers;

/// The highest partition power: a partition is a prefix of a 32-bit number.
pub const MAX_PART_POWER: u8 = 32;

/// A ring, ready for lookups. Clones share the assignment table.
#[derive(Debug, Clone)]
pub struct Ring {
    devices: Vec<Option<Device>>,
    table: Arc<Table>,
    tiers: Tiers,
    version: Option<u64>,
    next_part_power: Option<u8>,
}

impl Ring {
    /// A ring from its devices (the id of each is its place; holes are `None`) and assignments.
    ///
    /// # Errors
    /// [`Error::UnknownDevice`] if a partition is assigned to a device that is not there (or to none), and
    /// [`Error::Malformed`] if a device's id is not its place.
    pub fn new(devices: Vec<Option<Device>>, table: Table) -> Result<Ring, Error> {
        let misplaced =
            |(place, device): (usize, &Option<Device>)| device.as_ref().is_some_and(|d| d.id as usize != place);
        if devices.iter().enumerate().any(misplaced) {
            return Err(Error::Malformed("a device whose id is not its place in the list"));
        }
        let tiers = Tiers::new(&devices, &table)?;
        Ok(Ring { devices, table: Arc::new(table), tiers, version: None, next_part_power: None })
    }

    /// The same ring with the builder's version number.
    #[must_use]
    pub fn with_version(self, version: Option<u64>) -> Ring {
        Ring { version, ..self }
    }

    /// The same ring announcing a partition power increase, or its end (`None`).
    #[must_use]
    pub fn with_next_part_power(self, next_part_power: Option<u8>) -> Ring {
        Ring { next_part_power, ..self }
    }

    /// Reads a ring file of version 1 or 2, gzip and all. `bytes` is the whole file.
    ///
    /// # Errors
    /// Any [`Error`]: the file is malformed, truncated, corrupt, of another version, or past the stated limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Ring, Error> {
        read::ring(bytes)
    }

    /// This ring as a version 1 file, what Swift writes by default. `file_name` (`object.ring.gz`) goes into the gzip
    /// header, where the rules of `file(1)` look for it; equal rings of equal names are equal bytes.
    ///
    /// # Errors
    /// [`Error::WideIds`] if device ids need four bytes, which only version 2 can say.
    pub fn to_v1_bytes(&self, file_name: &str) -> Result<Vec<u8>, Error> {
        write::v1(self, file_name)
    }

    /// This ring as a version 2 file (Swift 2.36 and later), with checksummed sections and their index.
    ///
    /// # Errors
    /// [`Error::Json`] if a device cannot be said in JSON (a weight that is not a number).
    pub fn to_v2_bytes(&self, file_name: &str) -> Result<Vec<u8>, Error> {
        write::v2(self, file_name)
    }

    /// The partition of a name, from the digest of its path.
    pub fn partition(&self, digest: &[u8; 16]) -> u32 {
        partition(digest, self.part_power())
    }

    /// The devices that hold `part`, in the order of the replicas; one device holding two replicas comes once.
    /// Swift's node `index` is the place in this sequence. Empty if there is no such partition.
    pub fn primaries(&self, part: u32) -> impl Iterator<Item = &Device> {
        let part = part as usize;
        let ids = self.table.replicas(part).enumerate();
        let fresh = ids.filter(move |(row, id)| self.table.replicas(part).take(*row).all(|before| before != *id));
        fresh.filter_map(|(_, id)| self.device(id))
    }

    /// The devices that stand in for the primaries of `part`, best first, in exactly Swift's order. Lazy: a caller that
    /// takes two pays for two. Every assigned device that is not a primary comes once.
    pub fn handoffs(&self, part: u32) -> Handoffs<'_> {
        Handoffs::new(self, part)
    }

    /// The devices by id; removed ones are holes.
    pub fn devices(&self) -> &[Option<Device>] {
        &self.devices
    }

    /// The device of this id.
    pub fn device(&self, id: u32) -> Option<&Device> {
        self.devices.get(id as usize)?.as_ref()
    }

    /// Replicas per partition on average: 2.5 means that the lower half of the partitions has three.
    pub fn replica_count(&self) -> f64 {
        self.table.replica_count()
    }

    /// The number of partitions, a power of two.
    pub fn part_count(&self) -> usize {
        self.table.part_count()
    }

    /// log2 of the number of partitions.
    pub fn part_power(&self) -> u8 {
        self.table.part_power()
    }

    /// By how many bits a 32-bit hash prefix is shifted right to be a partition.
    pub fn part_shift(&self) -> u8 {
        MAX_PART_POWER - self.part_power()
    }

    /// The assignments.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The builder's version, if the file says it.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The partition power that is being prepared, if any.
    pub fn next_part_power(&self) -> Option<u8> {
        self.next_part_power
    }

    /// A ring with the same assignments whose devices answer elsewhere: `address` gives each device's new host and port,
    /// which also become its replication address. Ids, names, regions and zones stay.
    #[must_use]
    pub fn map_addresses(&self, mut address: impl FnMut(&Device) -> (String, u16)) -> Ring {
        let mut moved = |device: &Device| {
            let (ip, port) = address(device);
            Device { replication_ip: ip.clone(), replication_port: port, ip, port, ..device.clone() }
        };
        let devices: Vec<_> = self.devices.iter().map(|device| device.as_ref().map(&mut moved)).collect();
        let tiers = self.tiers.regrouped(&devices);
        Ring { devices, tiers, table: Arc::clone(&self.table), ..*self }
    }
}

/// Two rings are equal when a Swift node could not tell them apart: same devices, assignments and versions.
impl PartialEq for Ring {
    fn eq(&self, other: &Ring) -> bool {
        self.devices == other.devices
            && self.table == other.table
            && self.version == other.version
            && self.next_part_power == other.next_part_power
    }
}

/// The partition of a digest at a partition power: the top bits, big end first.
pub fn partition(digest: &[u8; 16], part_power: u8) -> u32 {
    let [a, b, c, d, ..] = *digest;
    let shift = u32::from(MAX_PART_POWER.saturating_sub(part_power));
    u32::from_be_bytes([a, b, c, d]).checked_shr(shift).unwrap_or(0)
}

/// Why a ring was refused. Unless said otherwise the file is at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not gzip, or its checksum does not match, or it ends early.
    #[error("the ring file is not sound gzip: {0}")]
    Gzip(#[from] std::io::Error),
    /// The magic bytes are missing.
    #[error("this is not a ring file: it does not begin with R1NG")]
    Magic,
    /// A format version other than 1 and 2. Version 0 (a bare pickle) has no magic and is refused as such.
    #[error("ring file version {0} is not supported, only 1 and 2")]
    Version(u16),
    /// A length or an offset points outside the file.
    #[error("the ring file is cut off: {0}")]
    Truncated(&'static str),
    /// Metadata or devices are not the JSON they should be, or cannot become it.
    #[error("the ring file's {what} cannot be understood: {source}")]
    Json {
        /// Which part of the file.
        what: &'static str,
        /// What the JSON reader says.
        source: serde_json::Error,
    },
    /// The parts of the file contradict each other.
    #[error("the ring file is malformed: {0}")]
    Malformed(&'static str),
    /// A section of a version 2 file does not match its digest.
    #[error("section {0} of the ring file does not match its checksum")]
    Checksum(String),
    /// A partition is assigned to nobody, or to a device that is not in the list.
    #[error("partition {part} is assigned to device {id}, which does not exist")]
    UnknownDevice {
        /// The partition.
        part: usize,
        /// The device id in the table.
        id: u32,
    },
    /// The file unfolds to more than this program is willing to hold.
    #[error("the ring file holds more than {0}")]
    Limit(&'static str),
    /// Our caller asked for version 1 of a ring with more than 65,534 device ids.
    #[error("ring format version 1 only has room for 2-byte device ids: write version 2")]
    WideIds,
}
