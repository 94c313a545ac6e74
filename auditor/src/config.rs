//! The `[auditor]` table of a node's configuration.

use std::time::Duration;

use apus_base::seconds;
use serde::{Deserialize, Serialize};

use crate::watch::dark_data;

/// How a node audits. Every field has a default; times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// From the beginning of one audit of all objects of a device to that of the next, if it is done by then; 0 means that
    /// servers do not audit by themselves.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// The share of the time in which an audit may have a read of a device in flight: more than 0, at most 1.
    pub disk_share: f64,
    /// The same as `interval` for audits that read no bodies, only metadata, and so find soon what is cut off or gone; 0 for none.
    #[serde(with = "seconds")]
    pub zero_byte_interval: Duration,
    /// From one audit of a server's accounts or containers to the next; 0 for none.
    #[serde(with = "seconds")]
    pub listing_interval: Duration,
    /// A program that is shown every object that was found sound, as lines of JSON, and its arguments; none when empty.
    pub watcher_command: Vec<String>,
    /// What to do with objects that no container lists; nothing is looked for without it.
    pub dark_data_action: Option<dark_data::Action>,
    /// How old such an object must be.
    #[serde(with = "seconds")]
    pub dark_data_grace_age: Duration,
}

/// Why an `[auditor]` table is refused.
#[derive(Debug, thiserror::Error)]
#[error("disk_share must be more than 0 and at most 1")]
pub struct InvalidConfig;

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(86_400),
            disk_share: 0.1,
            zero_byte_interval: Duration::from_secs(6 * 3600),
            listing_interval: Duration::from_secs(6 * 3600),
            watcher_command: Vec::new(),
            dark_data_action: None,
            dark_data_grace_age: Duration::from_secs(7 * 86_400),
        }
    }
}

impl Config {
    /// Checks what its types do not say.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.disk_share > 0.0 && self.disk_share <= 1.0 { Ok(()) } else { Err(InvalidConfig) }
    }
}
