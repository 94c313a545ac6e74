//! Which containers have waited longest for an update: what recon shows of the updater. Pure.

use std::collections::BTreeMap;

use apus_base::timestamp::Timestamp;
use serde_json::{Value, json};

use super::seconds;

/// The oldest update of each of some containers.
#[derive(Clone, Debug)]
pub(super) struct Oldest {
    most: usize,
    containers: BTreeMap<(String, String), Timestamp>,
}

impl Oldest {
    /// Remembers that many containers at most, and forgets those that have waited least.
    pub(super) fn new(most: usize) -> Self {
        Self { most, containers: BTreeMap::new() }
    }

    /// Takes in an update that waits.
    pub(super) fn add(&mut self, account: &str, container: &str, since: Timestamp) {
        let key = (account.to_owned(), container.to_owned());
        let oldest = self.containers.entry(key).or_insert(since);
        *oldest = since.min(*oldest);
        if self.containers.len() > self.most
            && let Some(newest) = self.containers.iter().max_by_key(|(_, since)| **since).map(|(key, _)| key.clone())
        {
            self.containers.remove(&newest);
        }
    }

    /// Takes in what was found on another device.
    pub(super) fn merge(&mut self, other: &Self) {
        other.containers.iter().for_each(|((account, container), since)| self.add(account, container, *since));
    }

    /// In the shape of Swift's `object_updater_stats`, with `shown` containers.
    pub(super) fn stats(&self, shown: usize, now: Timestamp) -> Value {
        let mut sorted: Vec<_> = self.containers.iter().map(|(key, since)| (since, key)).collect();
        sorted.sort();
        let oldest = sorted.first().map(|(since, _)| seconds(**since));
        let entries: Vec<_> = sorted
            .iter()
            .take(shown)
            .map(|(since, (account, container))| json!({"timestamp": seconds(**since), "account": account, "container": container}))
            .collect();
        json!({
            "failures_oldest_timestamp": oldest,
            "failures_oldest_timestamp_age": oldest.map(|oldest| seconds(now) - oldest),
            "failures_account_container_count": self.containers.len(),
            "failures_oldest_timestamp_account_containers": {"oldest_count": entries.len(), "oldest_entries": entries},
            "tracker_memory_usage": self.memory(),
        })
    }

    fn memory(&self) -> usize {
        let names = self.containers.keys().map(|(account, container)| account.len() + container.len());
        names.map(|names| names + size_of::<((String, String), Timestamp)>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_waiting_are_shown_first() {
        let mut oldest = Oldest::new(2);
        for (container, secs) in [("b", 5), ("c", 9), ("a", 7), ("b", 6), ("a", 3)] {
            oldest.add("acc", container, Timestamp::from_secs(secs));
        }
        let stats = oldest.stats(1, Timestamp::from_secs(10));
        assert_eq!(
            (&stats["failures_oldest_timestamp"], &stats["failures_oldest_timestamp_age"]),
            (&json!(3.0), &json!(7.0))
        );
        assert_eq!(stats["failures_account_container_count"], 2);
        let entry = json!({"timestamp": 3.0, "account": "acc", "container": "a"});
        let shown = json!({"oldest_count": 1, "oldest_entries": [entry]});
        assert_eq!(stats["failures_oldest_timestamp_account_containers"], shown);
        assert_eq!(Oldest::new(2).stats(1, Timestamp::ZERO)["failures_oldest_timestamp"], Value::Null);
    }
}
