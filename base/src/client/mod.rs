//! The cluster's client: how a proxy, a pass or a server talks to the servers that the ring names.
//!
//! [`pool`] is one request to one node. What builds on it stands beside it, and [`ClusterClient`] is the door to all of it:
//!
//! - [`ClusterClient::read`]: one good answer, from the replicas in order and then the handoffs; an object's body goes on at
//!   another replica when one breaks off;
//! - [`ClusterClient::write`]: to all replicas at once, answered by their quorum;
//! - [`ClusterClient::put_object`]: a streamed body to all replicas;
//! - [`ClusterClient::delete_object`]: a tombstone on all replicas;
//! - [`ClusterClient::put_object_if`], [`ClusterClient::delete_object_if`]: the same on a condition, atomically;
//! - [`ClusterClient::ask_replica`]: one replica, for passes that have to look at each;
//! - [`ClusterClient::account_info`], [`ClusterClient::container_info`]: cached HEADs.
//!
//! Headers are backend headers, sent as they are given: it is the caller who turns a client's request into them (sets
//! `X-Timestamp`, keeps out what a client may not say) and a backend's answer into a client's. The policy's index, the
//! container servers that an object server has to tell and the account servers that a container server has to tell are
//! added here, because they come from the rings.

mod cache;
mod conditional;
mod config;
mod connect;
mod delete;
mod digests;
mod hop;
mod info;
mod limiter;
mod lookup;
mod memcached;
mod nodes;
mod order;
pub mod pool;
mod put;
mod read;
mod replicas;
mod resume;
mod route;
pub mod rows;
mod short;
mod stats;
mod target;
mod updates;
mod write;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

pub use conditional::Demand;
pub use config::{ClientConfig, InvalidNodeCount, RequestNodeCount};
pub use info::{AccountInfo, ContainerInfo, Info, Usage};
pub use order::{Affinity, InvalidAffinity, Locality, SortingMethod};
pub use put::{Footers, PutError, PutObject, PutOutcome};
pub use read::Heard;
pub use route::Chain;
pub use target::{ObjectPath, Rings, Target};
pub use write::WriteOutcome;

use cache::InfoCache;
use conditional::Turns;
use limiter::ErrorLimiter;
use nodes::Random;
use order::Timings;
use pool::{Pool, Timeouts};
use stats::Stats;

use crate::cluster::Cluster;
use crate::metrics::Metrics;

/// A client of one cluster. Clones are the same client.
#[derive(Clone)]
pub struct ClusterClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: ClientConfig,
    cluster: Arc<Cluster>,
    rings: ArcSwap<Rings>,
    pool: Pool,
    limiter: ErrorLimiter,
    timings: Timings,
    random: Random,
    turns: Turns,
    stats: Stats,
    accounts: InfoCache<AccountInfo>,
    containers: InfoCache<ContainerInfo>,
}

/// One node's answer with its body, or what a quorum of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, as the server sent them.
    pub headers: HeaderMap,
    /// The body, a short text if any.
    pub body: Bytes,
}

/// The nodes could not be reached, or did not agree: a client gets 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer from a quorum of the replicas; those that counted said {statuses:?}")]
pub struct NoAnswer {
    /// The statuses of the replicas that answered or (503) should have.
    pub statuses: Vec<u16>,
}

impl ClusterClient {
    /// A client for a role whose metrics are `metrics`; call it once per role.
    pub fn new(config: ClientConfig, cluster: Arc<Cluster>, rings: Rings, metrics: &Metrics) -> Self {
        let timeouts = Timeouts { connect: config.conn_timeout, response: config.node_timeout };
        let stats = Stats::new(metrics);
        let (accounts, containers) = cache::of(&config, &stats);
        let pool = Pool::new(timeouts, &cluster);
        let inner = Inner {
            cluster,
            accounts,
            containers,
            rings: ArcSwap::from_pointee(rings),
            pool,
            limiter: ErrorLimiter::new(config.error_suppression_limit, config.error_suppression_interval)
                .shown(metrics),
            timings: Timings::new(config.timing_expiry),
            random: Random::new(),
            turns: Turns::new(),
            stats,
            config,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The cluster that this is a client of.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.inner.cluster
    }

    /// The configuration this was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// The rings as they are now.
    pub fn rings(&self) -> Arc<Rings> {
        self.inner.rings.load_full()
    }

    /// Replaces the rings for requests that begin from now on.
    pub fn set_rings(&self, rings: Rings) {
        self.inner.rings.store(Arc::new(rings));
    }
}

#[cfg(test)]
mod tests;
