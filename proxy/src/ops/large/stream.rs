//! The body of a large object: its segments, read one after the other while the client takes them.
//!
//! One segment is read at a time. Shortly before its end the next one is asked for, so that the client does not wait at the
//! seam; nothing else is read ahead, and nothing is kept. The first segment is opened before anything is answered. What
//! fails later cuts the connection: a large object is never silently short.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use apus_base::body::{Body, BodyError};
use apus_base::client::NoAnswer;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, ETAG, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::View;
use super::error::LargeError;
use crate::auth::Denied;
use crate::error::Error;
use crate::ops::OwnedCall;
use crate::ops::get::{Read, get};
use crate::ops::resource::ObjectName;

/// The next segment is asked for when this much of the present one is left: more than arrives while a storage server
/// begins to answer, and so little that a slow client does not let the next one wait until its server gives up.
const LOOK_AHEAD_BYTES: u64 = 2 * 1024 * 1024;

/// What comes next in a large object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes that are here.
    Bytes(Bytes),
    /// An object, or a part of one.
    Object(Part),
}

/// A segment to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Which object.
    pub(super) name: ObjectName,
    /// Which bytes of it; `None` for all.
    pub(super) range: Option<Range<u64>>,
    /// The ETag that it has to have.
    pub(super) etag: Option<String>,
    /// How many bytes have to come.
    pub(super) length: Option<u64>,
}

/// Where the pieces come from.
pub(super) trait Pieces: Send + 'static {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Piece>, Broken>> + Send;
}

/// Why a large object cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It is not what its manifest says: for the client to repair.
    #[error("{0}")]
    Changed(String),
    /// Too few storage servers answer: may be tried again.
    #[error("{0}")]
    Unavailable(String),
}

impl Broken {
    /// What the failed read of a segment or of a manifest means.
    pub(super) fn at(name: &ObjectName, error: &Error) -> Self {
        let text = format!("/{}/{}: {error}", name.container, name.object);
        match error.behind() {
            Error::Unavailable | Error::Denied(Denied::Unavailable(NoAnswer { .. })) => Self::Unavailable(text),
            Error::Refused(status, _) if status.is_server_error() => Self::Unavailable(text),
            _ => Self::Changed(text),
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        tracing::warn!(%broken, "a large object cannot be read");
        match broken {
            Broken::Changed(what) => LargeError::Segment(what).into(),
            Broken::Unavailable(_) => Self::Unavailable,
        }
    }
}

/// A body of these pieces, `total` bytes if that is known, which may take as long as `patience`.
///
/// # Errors
/// When the first object among them cannot be opened.
pub(super) async fn start<P: Pieces>(
    call: OwnedCall,
    pieces: P,
    total: Option<u64>,
    patience: Duration,
) -> Result<Body, Broken> {
    let (ready, ahead, ends) = (VecDeque::new(), Ahead::Idle(pieces), Instant::now() + patience);
    let mut reading = Reading { call, ready, current: None, ahead, sent: 0, total, ends };
    while reading.current.is_none() && !matches!(reading.ahead, Ahead::Over) {
        reading.advance().await?;
    }
    let chunks = stream::unfold(Some(Box::new(reading)), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(chunk) => Some((Ok(Frame::data(chunk?)), Some(reading))),
            Err(error) => {
                tracing::error!(%error, sent = reading.sent, "a large object broke off");
                Some((Err(error), None))
            }
        }
    });
    Ok(StreamBody::new(chunks).boxed_unsync())
}

/// A piece whose bytes can be taken.
enum Opened {
    Bytes(Bytes),
    Object(Body, u64),
}

/// The piece after the present one.
enum Ahead<P> {
    /// Nobody asked for it yet.
    Idle(P),
    /// It is being opened.
    Opening(AbortOnDropHandle<(P, Result<Option<Opened>, Broken>)>),
    /// There is none.
    Over,
}

struct Reading<P> {
    call: OwnedCall,
    /// Bytes that come before those of `current`.
    ready: VecDeque<Bytes>,
    /// The open segment, and how much of it is left.
    current: Option<(Body, u64)>,
    ahead: Ahead<P>,
    sent: u64,
    total: Option<u64>,
    ends: Instant,
}

impl<P: Pieces> Reading<P> {
    /// The next bytes, counted.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if Instant::now() > self.ends {
            return Err(source(Broken::Unavailable("it took too long".into())));
        }
        let chunk = self.chunk().await?;
        self.sent += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        match (&chunk, self.total) {
            (None, Some(total)) if self.sent < total => Err(miscounted(self.sent, total)),
            (_, Some(total)) if self.sent > total => Err(miscounted(self.sent, total)),
            _ => Ok(chunk),
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            let Some((body, left)) = &mut self.current else {
                if matches!(self.ahead, Ahead::Over) {
                    return Ok(None);
                }
                self.advance().await.map_err(source)?;
                continue;
            };
            let chunk = match body.frame().await.transpose()? {
                Some(frame) => frame.into_data().unwrap_or_default(),
                None => {
                    self.current = None;
                    continue;
                }
            };
            *left = left.saturating_sub(chunk.len() as u64);
            if *left <= LOOK_AHEAD_BYTES {
                self.look_ahead();
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    /// Begins to open the next piece, unless that has begun.
    fn look_ahead(&mut self) {
        self.ahead = match std::mem::replace(&mut self.ahead, Ahead::Over) {
            Ahead::Idle(pieces) => {
                Ahead::Opening(AbortOnDropHandle::new(tokio::spawn(next_of(self.call.clone(), pieces))))
            }
            other => other,
        };
    }

    /// Takes the next piece.
    async fn advance(&mut self) -> Result<(), Broken> {
        self.look_ahead();
        let Ahead::Opening(opening) = std::mem::replace(&mut self.ahead, Ahead::Over) else {
            return Ok(());
        };
        let (pieces, opened) = opening.await.map_err(|error| Broken::Unavailable(error.to_string()))?;
        match opened? {
            Some(Opened::Bytes(bytes)) => self.ready.push_back(bytes),
            Some(Opened::Object(body, length)) => self.current = Some((body, length)),
            None => return Ok(()),
        }
        self.ahead = Ahead::Idle(pieces);
        Ok(())
    }
}

fn miscounted(sent: u64, total: u64) -> BodyError {
    source(Broken::Changed(format!("{sent} bytes came instead of {total}")))
}

fn source(broken: Broken) -> BodyError {
    BodyError::Source(Box::new(broken))
}

async fn next_of<P: Pieces>(call: OwnedCall, mut pieces: P) -> (P, Result<Option<Opened>, Broken>) {
    let opened = match pieces.next().await {
        Ok(None) => Ok(None),
        Ok(Some(Piece::Bytes(bytes))) => Ok(Some(Opened::Bytes(bytes))),
        Ok(Some(Piece::Object(part))) => open(call, part).await.map(Some),
        Err(broken) => Err(broken),
    };
    (pieces, opened)
}

/// Opens a segment. In a box, because the segments of a large object are read as any object is.
fn open(call: OwnedCall, part: Part) -> BoxFuture<'static, Result<Opened, Broken>> {
    Box::pin(async move {
        let mut headers = HeaderMap::new();
        if let Some(range) = &part.range
            && let Ok(value) = HeaderValue::try_from(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
        {
            headers.insert(RANGE, value);
        }
        let read = Read::asked(part.name.clone(), Method::GET, &HeaderMap::new(), false);
        let read = Read { headers, view: View::Manifest, ..read };
        let response = get(call.call(), read).await.map_err(|error| Broken::at(&part.name, &error))?;
        let length = check(&part, &response)?;
        Ok(Opened::Object(response.into_body(), length))
    })
}

/// The length of what came, if it is what was asked for.
fn check(part: &Part, response: &Response<Body>) -> Result<u64, Broken> {
    let ObjectName { container, object, .. } = &part.name;
    let expected = if part.range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    if response.status() != expected {
        return Err(Broken::Changed(format!("/{container}/{object}: the answer was {}", response.status())));
    }
    let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let etag = text(ETAG).map(|etag| etag.trim_matches('"'));
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if part.etag.as_deref().is_some_and(|expected| etag != Some(expected))
        || part.length.is_some_and(|l| length != Some(l))
    {
        let (expected, wanted) = (&part.etag, part.length);
        return Err(Broken::Changed(format!(
            "/{container}/{object} changed: its ETag and length are {etag:?} and {length:?} instead of {expected:?} and {wanted:?}"
        )));
    }
    Ok(length.unwrap_or(0))
}
