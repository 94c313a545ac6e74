//! Rings for test clusters, built by `apus ring` as an operator would.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::tools;

/// 2^8 partitions: enough that a few devices share them evenly.
pub const PART_POWER: u8 = 8;

/// One device of a ring.
#[derive(Clone, Debug)]
pub struct Place {
    /// The failure domain.
    pub zone: usize,
    /// Its server.
    pub address: SocketAddr,
    /// Its folder's name.
    pub device: String,
}

/// Builds `NAME.builder` and `NAME.ring.gz` in a folder.
#[track_caller]
pub fn build(folder: &Path, name: &str, replicas: usize, places: &[Place]) {
    let builder = folder.join(format!("{name}.builder"));
    let verb = |arguments: &[&str]| {
        tools::run(Command::new(tools::binary()).arg("ring").arg(&builder).args(arguments));
    };
    verb(&["create", &PART_POWER.to_string(), &replicas.to_string(), "0"]);
    for place in places {
        verb(&["add", &format!("r1z{}-{}/{}", place.zone, place.address, place.device), "100"]);
    }
    // The same places in every run, so that what a story finds there is no chance.
    verb(&["rebalance", "--seed", name]);
}
