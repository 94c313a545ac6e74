//! HTTP/2 on a connection. Its requests reach the service in HTTP/1's words, so that nobody behind here needs to know.
//!
//! One connection carries many requests, so a hostile client can do here what HTTP/1 does not let it:
//!
//! * open streams without end: [`MAX_STREAMS`], and [`MAX_HEAD_BYTES`] of headers each, continuations included;
//! * open and reset them ("rapid reset"): h2 counts those that no service has seen ([`MAX_PENDING_RESETS`]), [`Traffic`]
//!   those that were given up before their answer, and cuts the connection;
//! * keep it open with pings and no request: idle for [`Limits::patience`](super::Limits), it is closed;
//! * ask for bodies and give them no window: each is drawn from its source by a task of its own ([`draw`]), which
//!   lets go of it when the client takes nothing for as long.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::connection::{Io, Peer};
use super::{MAX_HEAD_BYTES, Server, Service, answer};
use crate::body::{self, Body, BodyError, Patient};

/// Requests of one client at once; a further one waits at the client.
const MAX_STREAMS: u32 = 128;
/// Streams that were reset before anybody looked at them.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that we reset because of what the client sent.
const MAX_OWN_RESETS: usize = 128;
/// Requests that a client may give up before they are answered, while it lets fewer be answered.
const MAX_GIVEN_UP: u64 = 100;
/// What a client may send ahead in one stream, and in all of them; as much is held in memory at worst.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// What is held of one answer that the client has no window for.
const MAX_UNSENT_BYTES: usize = 128 * 1024;
/// Largest frame that is taken; larger ones save little.
const MAX_FRAME_BYTES: u32 = 64 * 1024;

/// Serves requests until the client, its idleness, its manners or a shutdown end it.
pub(super) async fn serve<S: Service>(server: &Arc<Server<S>>, io: impl Io + Unpin + 'static, peer: Peer) {
    let traffic = Traffic::default();
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let (server, visit) = (Arc::clone(server), traffic.enter());
        async move { Ok::<_, Infallible>(respond(&server, request, peer, visit).await) }
    });
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buf_size(MAX_UNSENT_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_connection(TokioIo::new(io), service);
    let mut serving = std::pin::pin!(serving);
    let patience = server.limits.patience;
    let leave_within = tokio::select! {
        ended = serving.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(peer = %peer.address, %error, "a connection ended early");
            }
            return;
        }
        () = server.shutdown.cancelled() => server.limits.grace,
        over = traffic.over(patience) => match over {
            Over::Idle => patience,
            Over::Abused => {
                tracing::warn!(peer = %peer.address, "a client gives up requests faster than it lets them be answered");
                return;
            }
        },
    };
    serving.as_mut().graceful_shutdown();
    // A client that does not answer to the farewell is left alone with it.
    let _ = timeout(leave_within, serving).await;
}

async fn respond<S: Service>(
    server: &Server<S>,
    request: Request<Incoming>,
    peer: Peer,
    mut visit: Visit,
) -> Response<Body> {
    let patience = server.limits.patience;
    let request = request.map(|incoming| Patient::new(incoming, patience).boxed_unsync());
    let is_head = request.method() == Method::HEAD;
    let response = answer::answer(server, in_words_of_http1(request), peer).await;
    visit.answered = true;
    if is_head { bodiless(response) } else { response.map(|body| drawn(body, patience, visit)) }
}

/// Gives a request the headers that say in HTTP/1 what HTTP/2 says otherwise: the host, and how its body is framed.
fn in_words_of_http1(mut request: Request<Body>) -> Request<Body> {
    let uri = std::mem::take(request.uri_mut());
    let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    *request.uri_mut() = uri.path_and_query().cloned().map_or(uri, Uri::from);
    let sends = matches!(*request.method(), Method::PUT | Method::POST);
    let ended = request.body().is_end_stream();
    let headers = request.headers_mut();
    if !headers.contains_key(CONTENT_LENGTH) {
        match ended {
            false => _ = headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
            true if sends => _ = headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0")),
            true => {}
        }
    }
    request
}

/// An answer to HEAD: hyper leaves its body out in HTTP/1 only.
fn bodiless(mut response: Response<Body>) -> Response<Body> {
    if let Some(len) = response.body().size_hint().exact().filter(|len| *len > 0) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(len.into());
    }
    response.map(|_| body::empty())
}

/// The same body, drawn from its source by a task of its own.
fn drawn(body: Body, patience: Duration, visit: Visit) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let (sender, frames) = mpsc::channel(1);
    let size = body.size_hint();
    tokio::spawn(draw(body, sender, patience, visit));
    Drawn { frames, size }.boxed_unsync()
}

/// A frame, a failure, or the end, which has to be said: a task that just stops has not come to the end.
type Said = Option<Result<Frame<Bytes>, BodyError>>;

/// Hands on frames until the end, a failure, or a client that is gone or takes nothing.
async fn draw(mut body: Body, sender: mpsc::Sender<Said>, patience: Duration, visit: Visit) {
    loop {
        let frame = tokio::select! {
            () = sender.closed() => break,
            frame = body.frame() => frame,
        };
        let goes_on = matches!(frame, Some(Ok(_)));
        match timeout(patience, sender.send(frame)).await {
            Ok(Ok(())) if goes_on => {}
            _ => break,
        }
    }
    drop(visit);
}

struct Drawn {
    frames: mpsc::Receiver<Said>,
    size: SizeHint,
}

/// The client took nothing of the body for too long.
#[derive(Debug, thiserror::Error)]
#[error("the client took nothing of the answer for too long")]
struct NotTaken;

impl http_body::Body for Drawn {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Said> {
        let cut = || Some(Err(BodyError::Source(Box::new(NotTaken))));
        self.frames.poll_recv(cx).map(|frame| frame.unwrap_or_else(cut))
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

/// The requests of a connection.
#[derive(Default)]
struct Traffic(watch::Sender<Counts>);

#[derive(Clone, Copy, Default)]
struct Counts {
    open: u64,
    answered: u64,
    given_up: u64,
}

/// Why a connection should end.
enum Over {
    Idle,
    Abused,
}

impl Traffic {
    fn enter(&self) -> Visit {
        self.0.send_modify(|counts| counts.open += 1);
        Visit { counts: self.0.clone(), answered: false }
    }

    /// Waits until nothing was asked for so long, or too much was given up.
    async fn over(&self, patience: Duration) -> Over {
        let mut counts = self.0.subscribe();
        loop {
            let Counts { open, answered, given_up } = *counts.borrow_and_update();
            if given_up > MAX_GIVEN_UP && given_up > answered {
                return Over::Abused;
            }
            let waited = if open == 0 { timeout(patience, counts.changed()).await } else { Ok(counts.changed().await) };
            if waited.is_err() {
                return Over::Idle;
            }
        }
    }
}

/// One request, from its head to the end of its answer.
struct Visit {
    counts: watch::Sender<Counts>,
    answered: bool,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.counts.send_modify(|counts| {
            counts.open -= 1;
            *(if self.answered { &mut counts.answered } else { &mut counts.given_up }) += 1;
        });
    }
}
