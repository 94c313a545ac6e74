//! The `[object]` table of a node's configuration.

use std::time::Duration;

use apus_base::fs::Reserve;
use apus_base::seconds;
use apus_base::serve::RateLimitConfig;
use serde::{Deserialize, Serialize};

/// How an object server works. Every field has a default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Threads that work on one device at the same time: so many short versions are flushed together, and so many reads are open.
    pub disk_threads: usize,
    /// Bytes read from or written to a disk at once; a request holds up to three of these in memory.
    pub chunk_size: usize,
    /// Bytes of each of the two files of a device's journal, less on a small device; 0 for no journal: then every version is flushed
    /// by itself.
    pub journal_bytes: u64,
    /// Bytes of memory for what is known of objects that were read, so that they can be read again at once; 0 for none.
    pub hot_bytes: u64,
    /// How much of a device stays free: bytes, or a share such as "1%".
    pub fallocate_reserve: Reserve,
    /// The longest body, in bytes.
    pub max_file_size: u64,
    /// Headers beside metadata that are kept with an object, in lower case.
    pub allowed_headers: Vec<String>,
    /// Seconds that a request waits for container servers before its update is kept for later.
    #[serde(with = "seconds")]
    pub container_update_timeout: Duration,
    /// Seconds to connect to a container server.
    #[serde(with = "seconds")]
    pub conn_timeout: Duration,
    /// Seconds that a container server may take for a batch of updates.
    #[serde(with = "seconds")]
    pub node_timeout: Duration,
    /// Seconds that a peer may pause in the middle of a request.
    #[serde(with = "seconds")]
    pub client_timeout: Duration,
    /// Seconds that requests in flight may go on at shutdown.
    #[serde(with = "seconds")]
    pub shutdown_grace: Duration,
    /// Connections held at once.
    pub max_connections: usize,
    /// How many requests it takes in a second.
    pub backend_ratelimit: RateLimitConfig,
}

/// Swift's default for `allowed_headers`.
const ALLOWED_HEADERS: [&str; 9] = [
    "content-disposition",
    "content-encoding",
    "x-delete-at",
    "x-object-manifest",
    "x-static-large-object",
    "cache-control",
    "content-language",
    "expires",
    "x-robots-tag",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            disk_threads: 16,
            chunk_size: 256 * 1024,
            journal_bytes: 32 * 1024 * 1024,
            hot_bytes: 64 * 1024 * 1024,
            fallocate_reserve: Reserve::default(),
            // Swift's: 5 GiB, and two bytes more.
            max_file_size: 5 * 1024 * 1024 * 1024 + 2,
            allowed_headers: ALLOWED_HEADERS.map(str::to_owned).to_vec(),
            container_update_timeout: Duration::from_secs(1),
            conn_timeout: Duration::from_millis(500),
            node_timeout: Duration::from_secs(3),
            client_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
            max_connections: 4096,
            backend_ratelimit: RateLimitConfig::default(),
        }
    }
}
