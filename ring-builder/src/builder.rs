//! The builder: devices, assignments and history, and the changes an operator makes to them.

use apus_base::ring::{Device, IdWidth, MAX_PART_POWER, MAX_REPLICA_ROWS, Ring, Table};

use crate::Error;

/// Partition-replicas a builder may have: what a ring file of 256 MiB holds in two-byte ids.
const MAX_CELLS: f64 = (128u64 << 20) as f64;

/// A device with what the builder keeps about it.
#[derive(Debug, Clone, PartialEq)]
pub struct BuilderDevice {
    /// What goes into the ring.
    pub device: Device,
    /// Partition-replicas it holds.
    pub parts: u64,
    /// How many more it should hold, by the last rebalance; negative is too many.
    pub parts_wanted: i64,
}

/// A device to add: everything but the id.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDevice {
    /// The region, 1 if there is only one.
    pub region: u32,
    /// The zone within the region.
    pub zone: u32,
    /// Address or host name of the server.
    pub ip: String,
    /// Port of the server.
    pub port: u16,
    /// Address for replication, often the same.
    pub replication_ip: String,
    /// Port for replication.
    pub replication_port: u16,
    /// Name of the disk.
    pub device: String,
    /// Its share relative to the others.
    pub weight: f64,
    /// Free text.
    pub meta: String,
}

/// A ring in the making. Changes take effect at the next [`rebalance`](Builder::rebalance).
#[derive(Debug, Clone, PartialEq)]
pub struct Builder {
    pub(crate) part_power: u8,
    pub(crate) next_part_power: Option<u8>,
    pub(crate) replicas: f64,
    pub(crate) min_part_hours: u32,
    pub(crate) overload: f64,
    /// By id, with holes.
    pub(crate) devices: Vec<Option<BuilderDevice>>,
    pub(crate) devices_changed: bool,
    pub(crate) version: u64,
    /// Ids of devices that go at the next rebalance.
    pub(crate) removed: Vec<u32>,
    /// A row of device ids per replica; none before the first rebalance.
    pub(crate) rows: Option<Vec<Vec<u32>>>,
    pub(crate) id_width: IdWidth,
    /// Hours since each partition moved, as of `last_moves_epoch`; 255 is "long ago".
    pub(crate) last_moves: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) last_moves_epoch: u64,
    /// Swift's rebalance starts here the next time; ours keeps it for Swift.
    pub(crate) gather_start: i64,
    pub(crate) dispersion: Option<f64>,
    /// 32 hex digits, given at the first save.
    pub(crate) id: Option<String>,
}

impl Builder {
    /// A builder without devices, of `2^part_power` partitions.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] for a part power past 32, less than one replica, or a table too large to be written.
    pub fn create(part_power: u8, replicas: f64, min_part_hours: u32) -> Result<Builder, Error> {
        check_size(part_power, replicas)?;
        Ok(Builder {
            part_power,
            next_part_power: None,
            replicas,
            min_part_hours,
            overload: 0.0,
            devices: Vec::new(),
            devices_changed: false,
            version: 0,
            removed: Vec::new(),
            rows: None,
            id_width: IdWidth::TwoBytes,
            last_moves: vec![0; 1 << part_power],
            last_moves_epoch: 0,
            gather_start: 0,
            dispersion: Some(0.0),
            id: None,
        })
    }

    /// Adds a device under the lowest free id, and tells the id.
    ///
    /// # Errors
    /// [`Error::DuplicateDevice`] if another device has its address and name, [`Error::OutOfBounds`] for a weight that is
    /// negative or no number, [`Error::Invalid`] for a name no server could have.
    pub fn add_device(&mut self, new: NewDevice) -> Result<u32, Error> {
        check_weight(new.weight)?;
        check_name(&new.device)?;
        self.check_unique(&new.ip, new.port, &new.device, None)?;
        let free = self.devices.iter().position(Option::is_none).unwrap_or(self.devices.len());
        let too_many = |_| Error::OutOfBounds { what: "device id", bounds: "below 2^32", value: free.to_string() };
        let id = u32::try_from(free).map_err(too_many)?;
        let NewDevice { region, zone, ip, port, replication_ip, replication_port, device, weight, meta } = new;
        let device = Device { device, id, ip, meta, port, region, replication_ip, replication_port, weight, zone };
        if free == self.devices.len() {
            self.devices.push(None);
        }
        self.devices[free] = Some(BuilderDevice { device, parts: 0, parts_wanted: 0 });
        self.id_width = self.id_width.max(IdWidth::for_max_id(id));
        self.changed();
        Ok(id)
    }

    /// Fails if a device other than `except` answers at the same address under the same name.
    pub(crate) fn check_unique(&self, ip: &str, port: u16, name: &str, except: Option<u32>) -> Result<(), Error> {
        let same = |d: &&BuilderDevice| d.device.ip == ip && d.device.port == port && d.device.device == name;
        match self.iter().filter(|d| Some(d.device.id) != except).find(same) {
            Some(d) => Err(Error::DuplicateDevice { id: d.device.id, at: format!("{ip}:{port}/{name}") }),
            None => Ok(()),
        }
    }

    /// Marks a device for removal: the next rebalance gives its replicas to others at once, whatever moved recently.
    ///
    /// # Errors
    /// [`Error::NoDevice`], or [`Error::MarkedForRemoval`] if it is already.
    pub fn remove_device(&mut self, id: u32) -> Result<(), Error> {
        self.changeable(id)?.device.weight = 0.0;
        self.removed.push(id);
        self.changed();
        Ok(())
    }

    /// Changes the share of a device.
    ///
    /// # Errors
    /// [`Error::NoDevice`], [`Error::MarkedForRemoval`], or [`Error::OutOfBounds`] for a weight that is none.
    pub fn set_weight(&mut self, id: u32, weight: f64) -> Result<(), Error> {
        check_weight(weight)?;
        self.changeable(id)?.device.weight = weight;
        self.changed();
        Ok(())
    }

    /// Moves a device to another region.
    ///
    /// # Errors
    /// [`Error::NoDevice`] or [`Error::MarkedForRemoval`].
    pub fn set_region(&mut self, id: u32, region: u32) -> Result<(), Error> {
        self.changeable(id)?.device.region = region;
        self.changed();
        Ok(())
    }

    /// Moves a device to another zone.
    ///
    /// # Errors
    /// [`Error::NoDevice`] or [`Error::MarkedForRemoval`].
    pub fn set_zone(&mut self, id: u32, zone: u32) -> Result<(), Error> {
        self.changeable(id)?.device.zone = zone;
        self.changed();
        Ok(())
    }

    /// Changes what assignments do not depend on: address, replication address, name, meta.
    ///
    /// # Errors
    /// [`Error::NoDevice`], [`Error::DuplicateDevice`] if the change makes two devices the same, [`Error::Invalid`].
    pub fn set_info(&mut self, id: u32, change: impl FnOnce(&mut Device)) -> Result<(), Error> {
        let mut device = self.device(id).ok_or(Error::NoDevice(id))?.device.clone();
        change(&mut device);
        check_name(&device.device)?;
        self.check_unique(&device.ip, device.port, &device.device, Some(id))?;
        self.existing(id)?.device = device;
        Ok(())
    }

    /// Changes the number of replicas; whole and part.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if it is less than one or the table would be too large.
    pub fn set_replicas(&mut self, replicas: f64) -> Result<(), Error> {
        check_size(self.part_power, replicas)?;
        if row_lengths(self.parts(), replicas) != row_lengths(self.parts(), self.replicas) {
            self.devices_changed = true;
        }
        self.replicas = replicas;
        Ok(())
    }

    /// Changes by which fraction a device may hold more than its weight says for the sake of dispersion.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if it is negative or no number.
    pub fn set_overload(&mut self, overload: f64) -> Result<(), Error> {
        if !overload.is_finite() || overload < 0.0 {
            return Err(Error::OutOfBounds {
                what: "overload",
                bounds: "a number, 0 or more",
                value: overload.to_string(),
            });
        }
        self.overload = overload;
        Ok(())
    }

    /// Changes for how many hours a partition rests after a move.
    pub fn set_min_part_hours(&mut self, hours: u32) {
        self.min_part_hours = hours;
    }

    /// Lets every partition move again at once. Until the last rings are everywhere and replication has run, this can make
    /// objects unreachable.
    pub fn pretend_min_part_hours_passed(&mut self) {
        self.last_moves_epoch = 0;
        self.last_moves.fill(u8::MAX);
    }

    /// The ring as it is now, for servers.
    ///
    /// # Errors
    /// [`Error::NeverRebalanced`], or [`Error::Ring`] if the assignments are unsound.
    pub fn to_ring(&self) -> Result<Ring, Error> {
        let rows = self.rows.as_ref().ok_or(Error::NeverRebalanced)?;
        let devices = self.devices.iter().map(|d| d.as_ref().map(|d| d.device.clone())).collect();
        let table = Table::new(self.part_power, self.id_width, rows.iter().flatten().copied())?;
        Ok(Ring::new(devices, table)?.with_version(Some(self.version)).with_next_part_power(self.next_part_power))
    }

    /// Every device there is, in the order of ids; those marked for removal are among them.
    pub fn iter(&self) -> impl Iterator<Item = &BuilderDevice> {
        self.devices.iter().flatten()
    }

    /// The device of this id.
    pub fn device(&self, id: u32) -> Option<&BuilderDevice> {
        self.devices.get(id as usize)?.as_ref()
    }

    /// The assignments as rows of device ids, one row per replica; none before the first rebalance.
    pub fn rows(&self) -> Option<&[Vec<u32>]> {
        self.rows.as_deref()
    }

    /// Whether a device goes at the next rebalance.
    pub fn is_removed(&self, id: u32) -> bool {
        self.removed.contains(&id)
    }

    /// The number of partitions.
    pub fn parts(&self) -> usize {
        1 << self.part_power
    }

    /// Replicas per partition.
    pub fn replicas(&self) -> f64 {
        self.replicas
    }

    /// The version: how often devices and assignments changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Seconds until every partition may move again, given the time in seconds since 1970.
    pub fn min_part_seconds_left(&self, now: u64) -> u64 {
        (u64::from(self.min_part_hours) * 3600).saturating_sub(now.saturating_sub(self.last_moves_epoch))
    }

    fn existing(&mut self, id: u32) -> Result<&mut BuilderDevice, Error> {
        self.devices.get_mut(id as usize).and_then(Option::as_mut).ok_or(Error::NoDevice(id))
    }

    fn changeable(&mut self, id: u32) -> Result<&mut BuilderDevice, Error> {
        if self.is_removed(id) {
            return Err(Error::MarkedForRemoval(id));
        }
        self.existing(id)
    }

    fn changed(&mut self) {
        self.devices_changed = true;
        self.version += 1;
    }
}

/// How long each row of the table is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sizes are checked"
)]
pub(crate) fn row_lengths(parts: usize, replicas: f64) -> Vec<usize> {
    let whole = replicas.trunc();
    let mut lengths = vec![parts; whole as usize];
    if replicas > whole {
        lengths.push((parts as f64 * (replicas - whole)) as usize);
    }
    lengths
}

pub(crate) fn check_size(part_power: u8, replicas: f64) -> Result<(), Error> {
    let out = |what, bounds, value| Err(Error::OutOfBounds { what, bounds, value });
    if part_power > MAX_PART_POWER {
        return out("part_power", "at most 32", part_power.to_string());
    }
    #[expect(clippy::cast_precision_loss, reason = "a small constant")]
    if !(1.0..=MAX_REPLICA_ROWS as f64).contains(&replicas) {
        return out("replicas", "at least 1 and at most 256", replicas.to_string());
    }
    if 2f64.powi(i32::from(part_power)) * replicas > MAX_CELLS {
        return out("part_power", "low enough for a ring of 256 MiB (25 with 3 replicas)", part_power.to_string());
    }
    Ok(())
}

pub(crate) fn check_weight(weight: f64) -> Result<(), Error> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    Err(Error::OutOfBounds { what: "weight", bounds: "a number, 0 or more", value: weight.to_string() })
}

/// A device's name is a folder under the server's `devices` and a part of backend paths.
fn check_name(name: &str) -> Result<(), Error> {
    let bad =
        name.is_empty() || name.starts_with(' ') || name.ends_with(' ') || name.contains(['/', '\0']) || name == "..";
    if bad { Err(Error::Invalid { what: "device name", value: format!("{name:?}") }) } else { Ok(()) }
}
