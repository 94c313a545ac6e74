//! The HTTP server under every role: limits on what a peer may send, `/metrics`, `/healthcheck`, graceful shutdown.
//!
//! A role brings a [`Service`] and a bound listener. Here is what no role has to think of: a peer that sends its head
//! too slowly, too large or not at all, a body that stalls ([`BodyError::Stalled`](crate::body::BodyError) reaches the
//! role), more connections than the process may hold, and finishing requests in flight when asked to stop.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{self, Body, Patient};
use crate::metrics::Metrics;

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
    /// How long a peer may pause while it sends a head or a body.
    pub patience: Duration,
    /// How long requests in flight may go on after a shutdown was asked for.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, patience: Duration::from_secs(60), grace: Duration::from_secs(30) }
    }
}

/// What answers requests. `peer` is the address of the connection's other end.
pub trait Service: Send + Sync + 'static {
    /// Answers one request; every failure is a response.
    fn call(&self, request: Request<Body>, peer: SocketAddr) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves until `shutdown` is cancelled, then finishes the requests in flight, for [`Limits::grace`] at most.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    metrics: Metrics,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        // The semaphore is never closed, so a place always comes.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
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
        let (service, metrics, shutdown) = (Arc::clone(&service), metrics.clone(), shutdown.clone());
        connections.spawn(async move {
            connection(stream, peer, service, metrics, limits, shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::warn!(grace = ?limits.grace, "some requests did not finish in time and were cut off");
    }
}

async fn connection<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<S>,
    metrics: Metrics,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // Without this, a small response waits 40 ms for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (service, metrics) = (Arc::clone(&service), metrics.clone());
        async move { Ok::<_, Infallible>(observed(&*service, request, peer, &metrics, limits).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), answer);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

async fn observed<S: Service>(
    service: &S,
    request: Request<Incoming>,
    peer: SocketAddr,
    metrics: &Metrics,
    limits: Limits,
) -> Response<Body> {
    if let Some(response) = own_paths(&request, metrics) {
        return response;
    }
    let (started, method) = (Instant::now(), request.method().clone());
    let keep_alive = request.headers().get(CONNECTION).filter(|v| v.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    let keep_alive = keep_alive.cloned();
    let in_flight = metrics.enter();
    let request = request.map(|incoming| Patient::new(incoming, limits.patience).boxed_unsync());
    let mut response = service.call(request, peer).await;
    metrics.observe(&method, response.status().as_u16(), started.elapsed());
    drop(in_flight);
    // Who asks for it is told so, as old clients expect.
    if let Some(keep_alive) = keep_alive {
        response.headers_mut().entry(CONNECTION).or_insert(keep_alive);
    }
    if let Some(reason) = reason(response.status()) {
        response.extensions_mut().insert(ReasonPhrase::from_static(reason));
    }
    response
}

/// What Swift's status lines say where it is not what the RFC suggests, or where there is no RFC.
fn reason(status: StatusCode) -> Option<&'static [u8]> {
    Some(match status.as_u16() {
        413 => b"Request Entity Too Large",
        414 => b"Request URI Too Long",
        416 => b"Requested Range Not Satisfiable",
        497 => b"Blacklisted",
        498 => b"Rate Limited",
        499 => b"Client Disconnect",
        500 => b"Internal Error",
        529 => b"Too Many Backend Requests",
        _ => return None,
    })
}

/// `/metrics` is the same on every role, so it is answered here.
fn own_paths(request: &Request<Incoming>, metrics: &Metrics) -> Option<Response<Body>> {
    if request.uri().path() != "/metrics" || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let mut response = Response::new(body::full(metrics.render()));
    let kind = http::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Some(response)
}

/// A response of a status and a short text, for servers whose peers are machines.
pub fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(body::full(text.into()));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
