//! What can go wrong with a builder, by whose fault.

use std::path::PathBuf;

use apus_base::{pickle, ring};

/// Why a builder could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number outside what a ring can be.
    #[error("{what} must be {bounds} (was {value})")]
    OutOfBounds {
        /// What was set.
        what: &'static str,
        /// What would be right.
        bounds: &'static str,
        /// What was given.
        value: String,
    },
    /// Text on the command line, or a name or address in a device, that cannot be understood.
    #[error("Invalid {what}: {value}")]
    Invalid {
        /// What it should have been.
        what: &'static str,
        /// What was given.
        value: String,
    },
    /// All devices are gone or have no weight.
    #[error("There are no devices in this ring, or all devices have been deleted")]
    Empty,
    /// No partition may have two replicas on one device.
    #[error("Replica count of {replicas} requires at least as many devices with weight, there are {devices}")]
    TooFewDevices {
        /// Replicas asked for.
        replicas: f64,
        /// Devices of positive weight.
        devices: usize,
    },
    /// There is no device of this id.
    #[error("There is no device with id {0}")]
    NoDevice(u32),
    /// The id is taken.
    #[error("There is a device with id {0} already")]
    DuplicateId(u32),
    /// Another device has the same address and name.
    #[error("Device {id} already uses {at}.")]
    DuplicateDevice {
        /// The device that has it.
        id: u32,
        /// `ip:port/device`
        at: String,
    },
    /// The device goes at the next rebalance and cannot be changed any more.
    #[error("Device {0} is marked for removal and cannot be changed")]
    MarkedForRemoval(u32),
    /// There are no assignments yet.
    #[error("The builder was never rebalanced; run rebalance first")]
    NeverRebalanced,
    /// The builder contradicts itself: a bug, or a file damaged since.
    #[error("The ring is not valid: {0}")]
    NotValid(String),
    /// The builder file does not hold a builder.
    #[error("The builder file is not valid: {0}")]
    File(&'static str),
    /// The builder file is not even a pickle of the permitted kind.
    #[error("The builder file is not valid: {0}")]
    Pickle(#[from] pickle::Error),
    /// The ring file was refused, or cannot be written.
    #[error(transparent)]
    Ring(#[from] ring::Error),
    /// The file system said no.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried: `cannot read`.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The command works on a builder that does not exist.
    #[error("Ring Builder file does not exist: {} (make one with create)", .0.display())]
    NoBuilder(PathBuf),
    /// Devices and assignments must not change now.
    #[error("Partition power increase in progress: finish it before changing devices or rebalancing")]
    PartPowerIncrease,
    /// Another command is at work on this folder.
    #[error("Ring/builder dir currently locked: another apus ring command is at work in {}", .0.display())]
    Locked(PathBuf),
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] std::io::Error),
}
