//! The `[proxy.lifecycle]` table of a node's configuration.

use std::time::Duration;

use apus_base::seconds;
use serde::{Deserialize, Serialize};

/// How lifecycles are carried out. Every field has a default; times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The rest between two looks at which buckets have something to do; 0 means that this proxy does not look.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// How long a day of a rule is, the same at every proxy. Who tries rules out makes it short.
    pub day: u64,
    /// Objects, versions and uploads removed in a second at most.
    pub tasks_per_second: f64,
    /// Removals at once, in each of the few buckets that are gone through together.
    pub concurrency: usize,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLifecycle {
    /// No time.
    #[error("lifecycle: a day must have at least a second")]
    Day,
    /// No pace.
    #[error("lifecycle: tasks_per_second must be a number above 0")]
    Pace,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(300), day: 86_400, tasks_per_second: 500.0, concurrency: 8 }
    }
}

impl Config {
    /// Looks whether it makes sense.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), InvalidLifecycle> {
        match () {
            () if self.day == 0 => Err(InvalidLifecycle::Day),
            () if !(self.tasks_per_second.is_finite() && self.tasks_per_second > 0.0) => Err(InvalidLifecycle::Pace),
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let check = |text: &str| toml::from_str::<Config>(text).unwrap().check();
        assert_eq!(check("day = 1\ninterval = 0"), Ok(()));
        assert_eq!(check("day = 0"), Err(InvalidLifecycle::Day));
        assert_eq!(check("tasks_per_second = 0"), Err(InvalidLifecycle::Pace));
    }
}
