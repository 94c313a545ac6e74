//! The `[updater]` table of a node's configuration.

use std::time::Duration;

use apus_base::seconds;
use serde::{Deserialize, Serialize};

/// How the updater works. Every field has a default; times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The rest between two passes while there is little to do; 0 means that object servers do not update by themselves.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// How old an update must be to be given up when no server of its container knows the container.
    #[serde(with = "seconds")]
    pub reclaim_age: Duration,
    /// Containers with waiting updates that are remembered for recon, those that wait longest.
    pub async_tracker_max_entries: usize,
    /// How many of them recon shows.
    pub async_tracker_dump_count: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            reclaim_age: Duration::from_secs(7 * 86_400),
            async_tracker_max_entries: 100,
            async_tracker_dump_count: 5,
        }
    }
}
