//! The container server: which objects a container holds, and what is known of the container itself.
//!
//! [`store`] is what containers are: rows and how they merge, creation and deletion, listings. It knows databases and no
//! sockets. [`server`] speaks Swift's backend protocol over it. [`report`] tells the account servers, soon and for as
//! long as it takes, what changed.

mod account_client;
pub mod report;
pub mod server;
pub mod store;

use std::sync::Arc;

use apus_base::client::pool::Pool;
use apus_base::cluster::Cluster;
use apus_base::db::Databases;
use apus_base::metrics::Metrics;
use apus_base::ring::Ring;
use apus_base::serve::{Backend, Limits, RateLimitConfig, Recon, Watch};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use report::{Changes, Reporter};
use server::ContainerServer;

/// The `[container]` table of a node's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often changed counts are told to the account servers, in seconds; changes in between travel together.
    pub report_interval_seconds: u64,
    /// How many requests it takes in a second.
    pub backend_ratelimit: RateLimitConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self { report_interval_seconds: 2, backend_ratelimit: RateLimitConfig::default() }
    }
}

/// What the server shares with the other roles of its process.
#[derive(Clone)]
pub struct Shared {
    /// Salt and policies.
    pub cluster: Arc<Cluster>,
    /// The listings of this node's devices.
    pub databases: Arc<Databases>,
    /// Connections to the account servers.
    pub pool: Pool,
    /// Where accounts are.
    pub account_ring: Arc<ArcSwap<Ring>>,
    /// Where whoever changes a container notes its device.
    pub changes: Arc<Changes>,
    /// This role's metrics.
    pub metrics: Metrics,
    /// What this role answers operators about itself.
    pub recon: Option<Arc<Recon>>,
    /// What peers may do.
    pub limits: Limits,
}

/// Serves until `shutdown` is cancelled, then finishes the requests in flight.
pub async fn serve(config: Config, shared: Shared, listener: TcpListener, shutdown: CancellationToken) {
    shared.databases.register(&shared.metrics);
    let reporter = Arc::new(Reporter::new(&config, &shared));
    let reporting = tokio::spawn(Arc::clone(&reporter).run(shutdown.clone()));
    let watch = Watch { metrics: shared.metrics.clone(), recon: shared.recon.clone() };
    let limits = shared.limits;
    let backend = Backend::new(&shared.cluster, config.backend_ratelimit, &shared.metrics);
    let server = Arc::new(ContainerServer::new(shared, reporter));
    apus_base::serve::serve_backend(listener, server, watch, limits, backend, shutdown).await;
    // It stops at the same signal, and after its last commit.
    let _ = reporting.await;
}
