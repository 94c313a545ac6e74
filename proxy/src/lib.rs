//! The public face of the cluster. It knows no disk and no database: it parses what clients say, decides who may do
//! what, and asks the storage servers through `apus_base::client`.
//!
//! The way of a request: [`pipeline`] (one list of steps, in `middleware/`) → a face (`swift/`) → an operation (`ops/`)
//! → the cluster's client.

pub mod auth;
pub mod config;
pub mod constraints;
pub mod context;
pub mod error;
pub mod middleware;
pub mod ops;
pub mod pipeline;
pub mod swift;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use apus_base::body::Body;
use apus_base::client::ClusterClient;
use apus_base::clock::Clock;
use apus_base::cluster::Cluster;
use apus_base::crypto::Keymaster;
use apus_base::metrics::Metrics;
use apus_base::serve::Service;

use auth::Auth;
pub use config::{Config, InvalidConfig};

/// What all requests share.
pub struct Proxy {
    /// How to behave.
    pub config: Config,
    /// The way to the storage servers.
    pub client: ClusterClient,
    /// What the whole cluster agrees on: the salt and the storage policies.
    pub cluster: Arc<Cluster>,
    /// Where the versions of writes come from.
    pub clock: Arc<Clock>,
    /// The keys by which objects are encrypted.
    pub keymaster: Keymaster,
    /// The users, their tokens and whose accounts there are.
    pub auth: Auth,
}

impl Proxy {
    /// Checks a configuration. The client is made from [`Config::client`] and the rings.
    ///
    /// # Errors
    /// When a part of the configuration makes no sense.
    pub fn new(config: Config, client: ClusterClient, clock: Arc<Clock>) -> Result<Self, InvalidConfig> {
        let auth = Auth::new(&config)?;
        let keymaster = Keymaster::new(&config.encryption)?;
        let cluster = Arc::clone(client.cluster());
        Ok(Self { config, client, cluster, clock, keymaster, auth })
    }
}

/// Serves clients until `shutdown` is cancelled, then finishes the requests in flight.
pub async fn serve(proxy: Arc<Proxy>, metrics: Metrics, listener: TcpListener, shutdown: CancellationToken) {
    let limits = proxy.config.limits();
    apus_base::serve::serve(listener, proxy, metrics, limits, shutdown).await;
}

impl Service for Proxy {
    /// It can be taken out of service by a file.
    const OWN_HEALTHCHECK: bool = true;

    async fn call(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        pipeline::answer(self, request, peer).await
    }
}
