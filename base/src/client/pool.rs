//! One request to one node, over a pool of kept connections.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::{Connector, Whom};
use crate::body::{Body, Patient};
use crate::cluster::Cluster;

/// Idle connections kept for each node.
const MAX_IDLE_PER_NODE: usize = 64;
/// Shorter than the servers' patience, so that a kept connection is rarely one that the server is just closing.
const IDLE: Duration = Duration::from_secs(20);

/// Most headers in one answer: an object's 90 metadata items and its others are more than hyper's own 100.
const MAX_HEADERS: usize = 256;

/// How long to wait for a node.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// For the response's head, and for each further piece of its body.
    pub response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_millis(500), response: Duration::from_secs(10) }
    }
}

/// A pool of connections to the storage nodes.
#[derive(Clone)]
pub struct Pool {
    client: Client<Connector, Body>,
    timeouts: Timeouts,
}

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No connection, or it broke before the answer.
    #[error("no answer: {0}")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The ring gives it an address that cannot stand in a URI.
    #[error("{0:?} is not an address")]
    Address(String),
}

impl Pool {
    /// An empty pool for requests to the servers of a cluster.
    pub fn new(timeouts: Timeouts, cluster: &Cluster) -> Self {
        Self::with(timeouts, Whom::Cluster(cluster.backend_tls.clone()))
    }

    /// An empty pool for requests to anybody else, by TLS where the URL says so.
    pub fn outside(timeouts: Timeouts) -> Self {
        Self::with(timeouts, Whom::Anybody(Arc::default()))
    }

    fn with(timeouts: Timeouts, whom: Whom) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeouts.connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE_PER_NODE)
            .http1_max_headers(MAX_HEADERS)
            .build(Connector::new(connector, whom));
        Self { client, timeouts }
    }

    /// Sends a request whose URI is absolute (`http://ip:port/...`) and waits for the response's head.
    ///
    /// The response's body fails with `Stalled` when the node pauses too long. The time for the head is counted from
    /// the start, so a request with a long body goes through [`Pool::send_untimed`].
    ///
    /// # Errors
    /// When the node cannot be reached or does not answer in time.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, NodeError> {
        self.send_within(request, self.timeouts.response).await
    }

    /// As [`Pool::send`], with another limit on the time to the head and on the pauses of the response's body.
    ///
    /// # Errors
    /// When the node cannot be reached or does not answer in time.
    pub async fn send_within(&self, request: Request<Body>, limit: Duration) -> Result<Response<Body>, NodeError> {
        let answered = tokio::time::timeout(limit, self.client.request(request));
        let response = answered.await.map_err(|_| NodeError::TimedOut(limit))??;
        Ok(response.map(|incoming| Patient::new(incoming, limit).boxed_unsync()))
    }

    /// As [`Pool::send`], without a limit on the time to the head: the caller watches the progress of its body.
    ///
    /// # Errors
    /// When the node cannot be reached or the connection breaks.
    pub async fn send_untimed(&self, request: Request<Body>) -> Result<Response<Body>, NodeError> {
        let response = self.client.request(request).await?;
        Ok(response.map(|incoming| Patient::new(incoming, self.timeouts.response).boxed_unsync()))
    }

    /// The waits this pool was made with.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }
}
