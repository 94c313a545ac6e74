//! The HTTP server under every role: limits on what a peer may send, `/metrics`, `/healthcheck`, [`recon`], graceful
//! shutdown.
//!
//! A role brings a [`Service`] and a bound listener. Here is what no role has to think of: a peer that sends its head
//! too slowly, too large or not at all, a body that stalls ([`BodyError::Stalled`](crate::body::BodyError) reaches the
//! role), a peer that does not read what it asked for, more connections than the process may hold, and finishing requests
//! in flight when asked to stop.
//!
//! Storage servers speak HTTP/1 with each other ([`serve_backend`]), by mutual TLS where the cluster has it, and refuse what is
//! beyond their rates. The public face ([`serve_public`]) may have more in
//! front, each layer in a module of its own, in the order in which a connection's bytes meet them:
//!
//! ```text
//! socket ─▶ linger ─▶ proxy_protocol ─▶ tls ─▶ first bytes ─┬─▶ heads, stream, spelling ─▶ http1 ─┬─▶ answer ─▶ the service
//!                     (who asks)                            └───────────────────────────▶ http2 ──┘
//! ```

mod answer;
mod connection;
mod heads;
mod http1;
mod http2;
mod linger;
mod near;
mod proxy_protocol;
mod ratelimit;
pub mod recon;
mod spelling;
mod stream;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::cluster::Cluster;
use crate::link::BackendTls;
use crate::metrics::Metrics;
use crate::near::Near;

pub use answer::plain;
use near::Neighbour;
pub use ratelimit::{RateLimitConfig, RateLimits};
pub use recon::Recon;
pub use tls::{Tls, TlsError, TlsFiles};

/// Most headers in one request: twice what Swift takes (90 metadata items and 36 others), so that a client with some too
/// many gets the face's sentence and not a bare 431.
const MAX_HEADERS: usize = 252;
/// Most bytes of a request's head, and the most read from a socket at once. 90 items of Swift's limits need 36 KiB.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// What a server allows its peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections held at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a peer may pause while it sends a head or a body, or takes an answer, and how long it has for everything
    /// before its first request.
    pub patience: Duration,
    /// How long requests in flight may go on after a shutdown was asked for.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, patience: Duration::from_secs(60), grace: Duration::from_secs(30) }
    }
}

/// What stands before the HTTP of the public face.
#[derive(Clone, Default)]
pub struct Front {
    /// Speaks TLS, and nothing without it.
    pub tls: Option<Arc<Tls>>,
    /// Whether each connection begins with the PROXY protocol, which says who asks.
    pub require_proxy_protocol: bool,
    /// Whether clients may speak HTTP/2, by ALPN or with prior knowledge.
    pub http2: bool,
}

/// What stands before the requests of a storage server.
#[derive(Clone, Debug, Default)]
pub struct Backend {
    /// Lets only nodes of the cluster in.
    pub tls: Option<Arc<BackendTls>>,
    /// How many requests it takes.
    pub rates: Option<Arc<RateLimits>>,
    /// Where other servers of this process find it.
    pub near: Near,
}

impl Backend {
    /// What the cluster and the role's configuration say, shown among the role's metrics.
    pub fn new(cluster: &Cluster, rates: RateLimitConfig, metrics: &Metrics) -> Self {
        if let Some(tls) = &cluster.backend_tls {
            tls.register(metrics);
        }
        let rates = Some(Arc::new(RateLimits::new(rates, metrics)));
        Self { tls: cluster.backend_tls.clone(), rates, near: cluster.near.clone() }
    }
}

/// In the extensions of a request that its client sent over TLS, as far as we or the balancer before us know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secure;

/// What answers requests. `peer` is the address of the connection's other end, or of the client that the PROXY protocol
/// names.
pub trait Service: Send + Sync + 'static {
    /// Whether `/healthcheck` is answered by the service and not here.
    const OWN_HEALTHCHECK: bool = false;

    /// Answers one request; every failure is a response.
    fn call(&self, request: Request<Body>, peer: SocketAddr) -> impl Future<Output = Response<Body>> + Send;
}

/// What operators and their tools may ask a role about itself.
#[derive(Clone)]
pub struct Watch {
    /// `/metrics`.
    pub metrics: Metrics,
    /// `/recon/...`.
    pub recon: Option<Arc<Recon>>,
}

impl From<Metrics> for Watch {
    fn from(metrics: Metrics) -> Self {
        Self { metrics, recon: None }
    }
}

/// What all connections of a listener share.
struct Server<S> {
    service: Arc<S>,
    watch: Watch,
    limits: Limits,
    /// Of the public face only.
    front: Option<Front>,
    /// Of storage servers.
    backend: Backend,
    shutdown: CancellationToken,
}

/// Serves whoever asks until `shutdown` is cancelled, then finishes the requests in flight, for [`Limits::grace`] at most.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    watch: impl Into<Watch>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    serve_backend(listener, service, watch, limits, Backend::default(), shutdown).await;
}

/// As [`serve`], for a storage server.
pub async fn serve_backend<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    watch: impl Into<Watch>,
    limits: Limits,
    backend: Backend,
    shutdown: CancellationToken,
) {
    let (rates, near) = (backend.rates.clone(), backend.near.clone());
    let server = Arc::new(Server { service, watch: watch.into(), limits, front: None, backend, shutdown });
    let _present =
        listener.local_addr().ok().map(|address| near.add(address, Arc::new(Neighbour::new(&server, address))));
    let serving = accept(listener, server);
    match rates {
        None => serving.await,
        Some(rates) => tokio::select! {
            () = serving => {}
            never = rates.watch() => match never {},
        },
    }
}

/// As [`serve`], for clients: with what stands in front, and in the manners that they know from Swift.
pub async fn serve_public<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    watch: impl Into<Watch>,
    limits: Limits,
    front: Front,
    shutdown: CancellationToken,
) {
    let tls = front.tls.clone();
    let backend = Backend::default();
    let serving = accept(
        listener,
        Arc::new(Server { service, watch: watch.into(), limits, front: Some(front), backend, shutdown }),
    );
    match tls {
        None => serving.await,
        Some(tls) => tokio::select! {
            () = serving => {}
            never = tls.watch() => match never {},
        },
    }
}

async fn accept<S: Service>(listener: TcpListener, server: Arc<Server<S>>) {
    let Limits { connections: places, grace, .. } = server.limits;
    let places = Arc::new(Semaphore::new(places));
    let connections = TaskTracker::new();
    loop {
        // The semaphore is never closed, so a place always comes.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let (stream, peer) = tokio::select! {
            () = server.shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely: let some connections end first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let server = Arc::clone(&server);
        connections.spawn(async move {
            connection::serve(server, stream, peer).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(?grace, "some requests did not finish in time and were cut off");
    }
}

#[cfg(test)]
mod tests;
