//! The `[reaper]` table of a node's configuration.

use std::time::Duration;

use apus_base::seconds;
use serde::{Deserialize, Serialize};

/// How the reaper works. Every field has a default; times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The rest between two passes; 0 means that account servers do not reap by themselves.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// How long a deleted account stays as it is, for somebody to regret it.
    #[serde(with = "seconds")]
    pub delay_reaping: Duration,
    /// How long after that a warning says that an account is still not reaped.
    #[serde(with = "seconds")]
    pub reap_warn_after: Duration,
    /// Objects of one container deleted at once.
    pub concurrency: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            delay_reaping: Duration::ZERO,
            reap_warn_after: Duration::from_secs(30 * 86_400),
            concurrency: 8,
        }
    }
}
