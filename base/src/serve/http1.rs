//! HTTP/1.0 and 1.1 on a connection, with headers in the spelling that old clients expect.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use super::connection::{Io, Peer};
use super::linger::{Unread, Watched};
use super::spelling::Asked;
use super::{MAX_HEAD_BYTES, MAX_HEADERS, Server, Service, answer};
use crate::body::{Body, BodyError, Patient};

/// What the layers below learn of the requests of one connection.
#[derive(Clone, Default)]
pub(super) struct Manners {
    pub(super) asked: Asked,
    pub(super) unread: Unread,
}

/// Serves requests until the peer, a shutdown or `until` ends it; a request in flight is finished.
pub(super) async fn serve<S: Service>(
    server: &Arc<Server<S>>,
    io: impl Io + Unpin + 'static,
    peer: Peer,
    manners: Manners,
    until: &CancellationToken,
) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let (server, manners) = (Arc::clone(server), manners.clone());
        async move { Ok::<_, Infallible>(respond(&server, request, peer, &manners).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.limits.patience)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(io), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = server.shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = until.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.address, %error, "a connection ended early");
    }
}

async fn respond<S: Service>(
    server: &Server<S>,
    request: Request<Incoming>,
    peer: Peer,
    manners: &Manners,
) -> Response<Body> {
    if peer.public {
        // Answers to peers are not spelled, and nobody would take it out again.
        manners.asked.push(request.method());
    }
    let keep_alive = request.headers().get(CONNECTION).filter(|v| v.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    let keep_alive = keep_alive.cloned();
    let (parts, incoming) = request.into_parts();
    let is_awaited = parts.headers.contains_key(EXPECT);
    let (body, rest) = Watched::new(incoming, &manners.unread);
    let body = Patient::new(body, server.limits.patience).boxed_unsync();
    let mut response = answer::answer(server, Request::from_parts(parts, body), peer).await;
    if peer.public {
        rest.forget(is_awaited).await;
    }
    if peer.public && manners.unread.get() {
        // What was not read would be taken for the next request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // Who asks for it is told so, as old clients expect.
    if let Some(keep_alive) = keep_alive {
        response.headers_mut().entry(CONNECTION).or_insert(keep_alive);
    }
    if let Some(reason) = reason(response.status()) {
        response.extensions_mut().insert(ReasonPhrase::from_static(reason));
    }
    if peer.public && response.status() == StatusCode::NO_CONTENT { with_zero_length(response) } else { response }
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

/// Swift's 204 says `Content-Length: 0`, and clients look at it, though RFC 9110 (8.6) would have it left out.
fn with_zero_length(response: Response<Body>) -> Response<Body> {
    let mut response = response.map(|_| Nothing.boxed_unsync());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// A body of no bytes that does not say so before it is asked. hyper drops the length of a 204 whose body has ended, and
/// keeps what it is told where a body of a known length is still to come.
struct Nothing;

impl http_body::Body for Nothing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
