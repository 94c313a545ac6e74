//! A device as rings know it: one disk behind one server.

use serde::{Deserialize, Serialize};

use super::Error;

/// One device. In JSON its fields come in alphabetical order, as Swift writes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// The name of the disk under the server's `devices` folder, `sdb1`.
    pub device: String,
    /// The place in the ring's list of devices; what the assignment table holds.
    pub id: u32,
    /// Where its servers answer: an IPv4 or IPv6 address (without brackets) or a host name.
    pub ip: String,
    /// Free text of the operator.
    pub meta: String,
    /// The port of the server this ring is for.
    pub port: u16,
    /// The region, the widest failure domain.
    pub region: u32,
    /// Where replication traffic goes.
    pub replication_ip: String,
    /// The port for replication traffic.
    pub replication_port: u16,
    /// The share of partitions it wants, relative to the others; 0 drains it.
    pub weight: f64,
    /// The zone within the region.
    pub zone: u32,
}

impl Device {
    /// `r1z2-10.0.0.1/sdb1`, as Swift names a device in messages.
    pub fn tier_name(&self) -> String {
        format!("r{}z{}-{}/{}", self.region, self.zone, self.ip, self.device)
    }
}

/// A device as files of any age say it. Unknown keys are passed over, as Swift does.
#[derive(Deserialize)]
pub(super) struct StoredDevice {
    id: Option<u32>,
    #[serde(default = "first_region")]
    region: u32,
    zone: u32,
    ip: String,
    port: u16,
    device: String,
    weight: f64,
    #[serde(default)]
    meta: String,
    replication_ip: Option<String>,
    replication_port: Option<u16>,
}

fn first_region() -> u32 {
    1
}

impl StoredDevice {
    /// The device at `place` in the list: what old files do not say is filled in.
    pub(super) fn at(self, place: usize) -> Result<Device, Error> {
        let id = u32::try_from(place).map_err(|_| Error::Limit("4,294,967,295 devices"))?;
        if self.id.is_some_and(|stored| stored != id) {
            return Err(Error::Malformed("a device whose id is not its place in the list"));
        }
        Ok(Device {
            id,
            region: self.region,
            zone: self.zone,
            replication_ip: self.replication_ip.unwrap_or_else(|| self.ip.clone()),
            replication_port: self.replication_port.unwrap_or(self.port),
            ip: self.ip,
            port: self.port,
            device: self.device,
            weight: self.weight,
            meta: self.meta,
        })
    }
}
