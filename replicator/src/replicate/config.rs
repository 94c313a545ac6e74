//! The `[replication]` table of a node's configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a node replicates. Without certificates it does not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where other nodes reach this one, `HOST:PORT` in UDP, as the rings of all roles of the process say it
    /// (`replication_ip`, `replication_port`). Without it, each role is reached where its server listens in TCP.
    #[serde(default)]
    pub listen: Option<String>,
    /// This node's certificate, in PEM.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate of the cluster's CA.
    pub ca: PathBuf,
    /// The certificates that the CA has revoked; without it, those that `[backend_tls]` names.
    #[serde(default)]
    pub crl: Option<PathBuf>,
    /// Seconds between two passes; 0 for none but those that an operator runs.
    #[serde(default = "interval")]
    pub interval: u64,
    /// Partitions of one device that are brought up to date at the same time.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Seconds that a tombstone is kept at least.
    #[serde(default = "reclaim_age")]
    pub reclaim_age: u64,
    /// Bytes in a second that each device gives at most in a directed move that a changed ring began; 0 is no limit. One that
    /// an operator runs has none.
    #[serde(default = "move_rate")]
    pub move_rate: u64,
}

fn interval() -> u64 {
    30
}

fn concurrency() -> usize {
    4
}

/// Half of what a disk reads at best, so that clients have the other half.
fn move_rate() -> u64 {
    100_000_000
}

/// Swift's week.
fn reclaim_age() -> u64 {
    7 * 24 * 60 * 60
}
