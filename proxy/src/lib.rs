//! The public face of the cluster. It knows no disk and no database: it parses what clients say, decides who may do
//! what, and asks the storage servers through `apus_base::client`.
//!
//! The way of a request: [`pipeline`] (one list of steps, in `middleware/`) → a face (`swift/`) → an operation (`ops/`)
//! → the cluster's client.

pub mod admission;
pub mod auth;
pub mod config;
pub mod constraints;
pub mod context;
pub mod error;
pub mod json;
pub mod middleware;
pub mod ops;
pub mod pipeline;
pub mod ratelimit;
pub mod s3;
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
use apus_base::serve::{Front, Service, Tls, Watch};

use admission::Admission;
use auth::Auth;
pub use config::{Config, InvalidConfig};
use middleware::name_check::NameCheck;
use ops::notification::Lanes;
use ratelimit::Ratelimit;

/// What all requests share. Clones are the same proxy, for work that outlives its request's handler.
#[derive(Clone)]
pub struct Proxy {
    /// How to behave.
    pub config: Arc<Config>,
    /// The way to the storage servers.
    pub client: ClusterClient,
    /// What the whole cluster agrees on: the salt and the storage policies.
    pub cluster: Arc<Cluster>,
    /// Where the versions of writes come from.
    pub clock: Arc<Clock>,
    /// The keys by which objects are encrypted.
    pub keymaster: Arc<Keymaster>,
    /// The users, their tokens and whose accounts there are.
    pub auth: Arc<Auth>,
    /// Who asked how often.
    pub ratelimit: Arc<Ratelimit>,
    /// The ways to the webhooks that are told what happens.
    pub notifications: Arc<Lanes>,
    /// What paths may not hold.
    pub name_check: Option<Arc<NameCheck>>,
    /// How many requests are worked on at once.
    pub admission: Arc<Admission>,
    /// What stands before HTTP on the public port.
    pub front: Front,
}

impl Proxy {
    /// Checks a configuration and reads the certificate. The client is made from [`Config::client`] and the rings.
    ///
    /// # Errors
    /// When a part of the configuration makes no sense.
    pub fn new(config: Config, client: ClusterClient, clock: Arc<Clock>) -> Result<Self, InvalidConfig> {
        config.lifecycle.check()?;
        config.notifications.check()?;
        let notifications = Arc::new(Lanes::new(&config.notifications));
        let auth = Arc::new(Auth::new(&config)?);
        let keymaster = Arc::new(Keymaster::new(&config.encryption)?);
        let cluster = Arc::clone(client.cluster());
        let ratelimit = Arc::new(Ratelimit::new(&config.ratelimit)?);
        let admission = Admission::new(config.max_requests, config.max_clients);
        let name_check = NameCheck::new(&config.name_check)?.map(Arc::new);
        let tls = config.tls.clone().map(|files| Tls::load(files, config.http2)).transpose()?.map(Arc::new);
        let front = Front { tls, require_proxy_protocol: config.require_proxy_protocol, http2: config.http2 };
        Ok(Self {
            config: Arc::new(config),
            client,
            cluster,
            clock,
            keymaster,
            auth,
            ratelimit,
            notifications,
            name_check,
            admission,
            front,
        })
    }
}

/// Serves clients until `shutdown` is cancelled, then finishes the requests in flight.
pub async fn serve(proxy: Arc<Proxy>, watch: Watch, listener: TcpListener, shutdown: CancellationToken) {
    let (limits, front) = (proxy.config.limits(), proxy.front.clone());
    proxy.admission.register(&watch.metrics);
    apus_base::serve::serve_public(listener, proxy, watch, limits, front, shutdown).await;
}

impl Service for Proxy {
    /// It can be taken out of service by a file.
    const OWN_HEALTHCHECK: bool = true;

    async fn call(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        pipeline::answer(self, request, peer).await
    }
}
