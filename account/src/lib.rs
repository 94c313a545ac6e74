//! The account server: which containers an account has, and what is known of the account itself.
//!
//! [`store`] is what accounts are: rows and how they merge, creation and deletion, listings. [`server`] speaks Swift's
//! backend protocol over it. Both stand on the listing databases of [`apus_base::db`], as containers do.

pub mod server;
pub mod store;

use std::sync::Arc;

use apus_base::cluster::Cluster;
use apus_base::db::Databases;
use apus_base::metrics::Metrics;
use apus_base::serve::{Backend, Limits, RateLimitConfig, Recon, Watch};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use server::AccountServer;

/// The `[account]` table of a node's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many requests it takes in a second.
    pub backend_ratelimit: RateLimitConfig,
}

/// What the server shares with the other roles of its process.
#[derive(Clone)]
pub struct Shared {
    /// Salt and policies.
    pub cluster: Arc<Cluster>,
    /// The listings of this node's devices.
    pub databases: Arc<Databases>,
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
    let watch = Watch { metrics: shared.metrics.clone(), recon: shared.recon.clone() };
    let limits = shared.limits;
    let backend = Backend::new(&shared.cluster, config.backend_ratelimit, &shared.metrics);
    let server = Arc::new(AccountServer::new(shared));
    apus_base::serve::serve_backend(listener, server, watch, limits, backend, shutdown).await;
}
