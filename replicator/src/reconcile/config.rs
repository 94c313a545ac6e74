//! The `[reconciler]` table of a node's configuration.

use std::time::Duration;

use apus_base::seconds;
use serde::{Deserialize, Serialize};

/// How objects of the wrong policy are moved; Swift's names and defaults where it has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Between two passes; 0 is never.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// Objects moved at the same time.
    pub concurrency: usize,
    /// How long an object is looked for that the queue names and no server has.
    #[serde(with = "seconds")]
    pub reclaim_age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), concurrency: 4, reclaim_age: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}
