//! How a client of the cluster behaves: the `[client]` table of a role's configuration, with Swift's defaults.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::order::{Affinity, Locality, SortingMethod};
use crate::seconds;

/// Timeouts, orders and limits of a [`ClusterClient`](super::ClusterClient).
///
/// Every time is in seconds, whole or with decimals, as in Swift's `proxy-server.conf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// How long to wait for a connection to a node.
    #[serde(with = "seconds")]
    pub conn_timeout: Duration,
    /// How long a node may take to answer, and may pause in a body in either direction.
    #[serde(with = "seconds")]
    pub node_timeout: Duration,
    /// The same for reads of objects, which can go on at another replica; unset means `node_timeout`.
    #[serde(with = "optional_seconds")]
    pub recoverable_node_timeout: Option<Duration>,
    /// How long to wait for the rest of the replicas once a quorum has decided the answer.
    #[serde(with = "seconds")]
    pub post_quorum_timeout: Duration,
    /// Whether a read asks the next replica when the one before has not answered within `concurrency_timeout`.
    pub concurrent_gets: bool,
    /// The pause between the starts of concurrent reads.
    #[serde(with = "seconds")]
    pub concurrency_timeout: Duration,
    /// How many nodes one request may ask: a number, or a multiple of the replicas as in `2 * replicas`.
    pub request_node_count: RequestNodeCount,
    /// In which order a read asks the replicas.
    pub sorting_method: SortingMethod,
    /// For `sorting_method = "affinity"`: where to read first, as in `r1z1=100, r1=200`; lower numbers come first.
    pub read_affinity: Affinity,
    /// Where objects are written first, as in `r1, r2z2`: handoffs there come before primaries elsewhere, to which replication
    /// then brings the object.
    pub write_affinity: Locality,
    /// How many devices there are tried before others.
    pub write_affinity_node_count: RequestNodeCount,
    /// How many handoffs there get a DELETE too, since they may have the object still; by default as many as there are
    /// primaries elsewhere.
    pub write_affinity_handoff_delete_count: Option<usize>,
    /// For `sorting_method = "timing"`: how long a measured time is believed.
    #[serde(with = "seconds")]
    pub timing_expiry: Duration,
    /// A node with more errors than this is left alone for a while.
    pub error_suppression_limit: u32,
    /// For so long after its last error.
    #[serde(with = "seconds")]
    pub error_suppression_interval: Duration,
    /// How many primaries without a trace of the object are not believed, because a rebalance may have just moved it.
    pub rebalance_missing_suppression_count: usize,
    /// How many chunks of a PUT may wait for each replica.
    pub put_queue_depth: usize,
    /// How long account info is believed; that there is none, a tenth of it.
    #[serde(with = "seconds")]
    pub recheck_account_existence: Duration,
    /// How long container info is believed; that there is none, a tenth of it.
    #[serde(with = "seconds")]
    pub recheck_container_existence: Duration,
    /// The most memory that the in-process cache of account and container info takes.
    pub info_cache_bytes: u64,
    /// `host:port` of memcached servers to keep account and container info in, instead of in this process.
    pub memcache_servers: Vec<String>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            conn_timeout: Duration::from_millis(500),
            node_timeout: Duration::from_secs(10),
            recoverable_node_timeout: None,
            post_quorum_timeout: Duration::from_millis(500),
            concurrent_gets: false,
            concurrency_timeout: Duration::from_millis(500),
            request_node_count: RequestNodeCount::TimesReplicas(2),
            sorting_method: SortingMethod::Shuffle,
            read_affinity: Affinity::default(),
            write_affinity: Locality::default(),
            write_affinity_node_count: RequestNodeCount::TimesReplicas(2),
            write_affinity_handoff_delete_count: None,
            timing_expiry: Duration::from_secs(300),
            error_suppression_limit: 10,
            error_suppression_interval: Duration::from_secs(60),
            rebalance_missing_suppression_count: 1,
            put_queue_depth: 10,
            recheck_account_existence: Duration::from_secs(60),
            recheck_container_existence: Duration::from_secs(60),
            info_cache_bytes: 64 << 20,
            memcache_servers: Vec::new(),
        }
    }
}

/// How many nodes one request may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestNodeCount {
    /// So many.
    Nodes(usize),
    /// So many times the replicas of the ring.
    TimesReplicas(usize),
}

/// Why a `request_node_count` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request_node_count must be a number above 0 or look like \"2 * replicas\", not {0:?}")]
pub struct InvalidNodeCount(String);

impl RequestNodeCount {
    /// The number for a ring of so many replicas.
    pub fn of(self, replicas: usize) -> usize {
        match self {
            Self::Nodes(nodes) => nodes,
            Self::TimesReplicas(times) => times.saturating_mul(replicas),
        }
    }
}

impl FromStr for RequestNodeCount {
    type Err = InvalidNodeCount;

    fn from_str(text: &str) -> Result<Self, InvalidNodeCount> {
        let number = |text: &str| text.trim().parse().ok().filter(|n| *n > 0);
        let parsed = match text.split_once('*') {
            Some((times, unit)) if unit.trim() == "replicas" => number(times).map(Self::TimesReplicas),
            Some(_) => None,
            None => number(text).map(Self::Nodes),
        };
        parsed.ok_or_else(|| InvalidNodeCount(text.to_owned()))
    }
}

impl fmt::Display for RequestNodeCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(nodes) => write!(f, "{nodes}"),
            Self::TimesReplicas(times) => write!(f, "{times} * replicas"),
        }
    }
}

impl Serialize for RequestNodeCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestNodeCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Typed {
            Number(u32),
            Text(String),
        }
        let text = match Typed::deserialize(deserializer)? {
            Typed::Number(number) => number.to_string(),
            Typed::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Durations as seconds, or absent.
mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's `with` passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::seconds::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::seconds::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_means_swifts_defaults() {
        assert_eq!(toml::from_str::<ClientConfig>("").unwrap(), ClientConfig::default());
    }

    #[test]
    fn what_is_written_is_read() {
        let text = "conn_timeout = 1\nrecoverable_node_timeout = 2.5\nrequest_node_count = \"3 * replicas\"\n\
                    sorting_method = \"affinity\"\nread_affinity = \"r1z1=100, r1=200\"";
        let config: ClientConfig = toml::from_str(text).unwrap();
        assert_eq!(config.conn_timeout, Duration::from_secs(1));
        assert_eq!(config.recoverable_node_timeout, Some(Duration::from_millis(2500)));
        assert_eq!(config.request_node_count.of(3), 9);
        assert_eq!(toml::from_str::<ClientConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "conn_timeout = -1",
            "node_timeout = \"long\"",
            "request_node_count = 0",
            "request_node_count = \"2 * disks\"",
            "read_affinity = \"near\"",
            "sorting_method = \"luck\"",
            "write_affinity = \"r1=100\"",
            "colour = 1",
        ] {
            assert!(toml::from_str::<ClientConfig>(text).is_err(), "{text}");
        }
    }
}
