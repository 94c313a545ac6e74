//! The real Swift as oracle for rings and builders: each reads the other's files, both look the same things up, and our
//! placement is held against Swift's on uneven clusters.

mod command;
mod files;
mod placement;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use apus_ring_builder::{Builder, NewDevice};
use serde_json::{Value, json};

/// Some time in 2023; rebalances take the time as a value.
const NOW: u64 = 1_700_000_000;

/// Asks the real Swift; see `oracle/ring.py`.
fn swift(jobs: &[Value]) -> Vec<Value> {
    let python = std::env::var_os("APUS_SWIFT_PYTHON")
        .expect("APUS_SWIFT_PYTHON does not name a Python with the real Swift: run `make test`, which makes one");
    let script = apus_tests::tools::checkout().join("tests/oracle/ring.py");
    let command = Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = command.unwrap_or_else(|error| panic!("cannot run {}: {error}", python.display()));
    child.stdin.take().unwrap().write_all(Value::from(jobs).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Swift failed, see above");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A device in one line: region, zone, server and weight.
fn device(name: u32, region: u32, zone: u32, server: u32, weight: f64) -> NewDevice {
    let ip = format!("10.{region}.{zone}.{server}");
    NewDevice {
        region,
        zone,
        replication_ip: ip.clone(),
        ip,
        port: 6200,
        replication_port: 6300,
        device: format!("sd{name}"),
        weight,
        meta: format!("r\u{e4}ck \"{zone}\""),
    }
}

fn as_json(device: &NewDevice) -> Value {
    json!({
        "region": device.region, "zone": device.zone, "ip": device.ip, "port": device.port, "device": device.device,
        "weight": device.weight, "meta": device.meta, "replication_ip": device.replication_ip,
        "replication_port": device.replication_port,
    })
}

struct Cluster {
    name: &'static str,
    part_power: u8,
    replicas: f64,
    overload: f64,
    devices: Vec<NewDevice>,
}

impl Cluster {
    /// `servers` lists region, zone, server and the weights of its disks.
    fn new(name: &'static str, part_power: u8, replicas: f64, overload: f64, servers: &[Server<'_>]) -> Cluster {
        let disks = servers.iter().flat_map(|(r, z, s, weights)| weights.iter().map(|weight| (*r, *z, *s, *weight)));
        let devices = (0..).zip(disks).map(|(name, (r, z, s, weight))| device(name, r, z, s, weight)).collect();
        Cluster { name, part_power, replicas, overload, devices }
    }

    fn as_json(&self) -> Value {
        let devices: Vec<Value> = self.devices.iter().map(as_json).collect();
        json!({"part_power": self.part_power, "replicas": self.replicas, "overload": self.overload, "devices": devices})
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::create(self.part_power, self.replicas, 1).unwrap();
        builder.set_overload(self.overload).unwrap();
        for device in &self.devices {
            builder.add_device(device.clone()).unwrap();
        }
        builder
    }
}

type Server<'w> = (u32, u32, u32, &'w [f64]);

fn read_builder(path: impl AsRef<Path>) -> Builder {
    Builder::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}
