//! The `[expirer]` table of a node's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use apus_base::seconds;
use serde::{Deserialize, Serialize};

/// How the expirer works. Every field has a default; times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The rest between two passes; 0 means that object servers do not expire by themselves.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// Objects deleted in a second at most.
    pub tasks_per_second: f64,
    /// Objects deleted at once.
    pub concurrency: usize,
    /// How many expirers share the work; 0 lets the object servers of the ring share it by themselves.
    pub processes: u64,
    /// Which of them this one is, from 0.
    pub process: u64,
    /// How long an object that cannot be found, or has another expiry, is looked for before its row is given up.
    #[serde(with = "seconds")]
    pub reclaim_age: Duration,
    /// Rows that are put in turn by their containers.
    pub round_robin_task_cache_size: usize,
    /// How long objects stay after they expired, in seconds, by `account` or `account/container`.
    pub delay_reaping: BTreeMap<String, f64>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// There is no such process.
    #[error("process must be less than processes")]
    Process,
    /// A key that names nothing.
    #[error("delay_reaping: {0:?} should be an account or account/container")]
    DelayOf(String),
    /// No time.
    #[error("delay_reaping: the delay of {0:?} must be a number of seconds from 0")]
    Delay(String),
    /// No pace.
    #[error("tasks_per_second must be a number above 0")]
    Pace,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            tasks_per_second: 500.0,
            concurrency: 8,
            processes: 0,
            process: 0,
            reclaim_age: Duration::from_secs(7 * 86_400),
            round_robin_task_cache_size: 10_000,
            delay_reaping: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Looks whether it makes sense.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.processes > 0 && self.process >= self.processes {
            return Err(InvalidConfig::Process);
        }
        if !(self.tasks_per_second.is_finite() && self.tasks_per_second > 0.0) {
            return Err(InvalidConfig::Pace);
        }
        for (key, delay) in &self.delay_reaping {
            let names: Vec<_> = key.split('/').collect();
            if names.len() > 2 || names.iter().any(|name| name.is_empty()) {
                return Err(InvalidConfig::DelayOf(key.clone()));
            }
            if Duration::try_from_secs_f64(*delay).is_err() {
                return Err(InvalidConfig::Delay(key.clone()));
            }
        }
        Ok(())
    }

    /// How long objects of a container stay after they expired.
    pub(super) fn delay(&self, account: &str, container: &str) -> Duration {
        if self.delay_reaping.is_empty() {
            return Duration::ZERO;
        }
        let own = self.delay_reaping.get(&format!("{account}/{container}"));
        let delay = own.or_else(|| self.delay_reaping.get(account)).copied().unwrap_or(0.0);
        Duration::try_from_secs_f64(delay).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_delay_is_stronger_than_the_accounts() {
        let config: Config = toml::from_str("delay_reaping = { a = 5, \"a/c\" = 0.5, \"b/c\" = 7 }").unwrap();
        assert!(config.check().is_ok());
        let secs = |account, container| config.delay(account, container).as_secs_f64();
        assert_eq!([secs("a", "c"), secs("a", "d"), secs("b", "c"), secs("b", "d")], [0.5, 5.0, 7.0, 0.0]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "processes = 2\nprocess = 2",
            "delay_reaping = { \"a/b/c\" = 1 }",
            "delay_reaping = { \"/a\" = 1 }",
            "delay_reaping = { a = -1 }",
            "tasks_per_second = 0",
        ] {
            assert!(toml::from_str::<Config>(text).unwrap().check().is_err(), "{text}");
        }
    }
}
