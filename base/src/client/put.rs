//! PUT of an object: one stream in, one to each replica.
//!
//! Enough nodes have to agree before the first byte is asked for. Each chunk is hashed here, once, and fed to every node; the
//! MD5 and the CRC-32 travel behind the body as trailers. Whatever goes wrong before the trailers drops the streams, and an
//! object server that does not get a whole body stores nothing. A [`short`] body has a shorter way.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::digests::{Digests, Sums};
use super::hop::{self, Hop, Opened};
use super::nodes::NearFirst;
use super::route::{Route, with_policy};
use super::short;
use super::{Answer, ClusterClient, NoAnswer, ObjectPath, Target, updates};
use crate::body::{Body, BodyError};
use crate::clock;
use crate::quorum::{Tally, quorum_size};
use crate::timestamp::Timestamp;
use crate::wire::header::{BODY_CRC, BODY_ETAG, FENCE, OBJECT_CONTENT_LENGTH, TIMESTAMP};

/// How often a PUT or a DELETE is begun again with a newer timestamp. Each time another conditional write has been quicker.
pub(super) const MAX_FENCES: usize = 5;

/// An object to store.
pub struct PutObject<'a> {
    /// Where.
    pub path: ObjectPath<'a>,
    /// Backend headers: `X-Timestamp`, `Content-Type`, metadata, and `If-None-Match: *` if there may be none yet. Without
    /// `Content-Length`, `Transfer-Encoding`, `Expect` and `ETag`, which are set or dropped here.
    pub headers: &'a HeaderMap,
    /// The bytes. Unless they are few they are not asked for before enough replicas are ready, so a client that waits for
    /// `100 Continue` does not send in vain.
    pub body: Body,
    /// How many they are, if it is known.
    pub length: Option<u64>,
    /// How many they may be.
    pub max_length: u64,
    /// The MD5 that they must have, in hexadecimal digits, quoted or not.
    pub expect_etag: Option<&'a str>,
    /// Metadata that is known only when all bytes have been.
    pub footers: Option<Footers>,
    /// Whether it may get a newer `X-Timestamp` than it came with, if a conditional write was promised that nothing older
    /// gets in. Otherwise it is refused then.
    pub may_be_later: bool,
}

/// Metadata of an object that travels behind its body: what is computed over it.
pub struct Footers {
    /// The names that there may be. Object servers take `X-Object-Sysmeta-*` and `X-Object-Transient-Sysmeta-*` only.
    pub names: Vec<&'static str>,
    /// Makes them, after the last byte. It may still refuse the object.
    pub make: Box<dyn FnOnce() -> Result<HeaderMap, PutError> + Send>,
}

impl Footers {
    /// These and others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        let names = [self.names, others.names].concat();
        let make = move || {
            let mut all = (self.make)()?;
            all.extend((others.make)()?);
            Ok(all)
        };
        Self { names, make: Box::new(make) }
    }
}

/// What became of an object's PUT.
#[derive(Clone, Debug)]
pub struct PutOutcome {
    /// 201, or 202 when the replicas have a newer version already.
    pub status: StatusCode,
    /// The MD5 of the bytes; `None` when they were not read, because the replicas have a newer version.
    pub etag: Option<String>,
    /// How many bytes were read.
    pub length: u64,
    /// The headers of the replica that speaks for the quorum.
    pub headers: HeaderMap,
    /// Its version, if that is not the `X-Timestamp` that it came with.
    pub written: Option<Timestamp>,
}

impl PutOutcome {
    /// A newer version is there; the headers say which.
    pub(super) fn superseded(headers: HeaderMap) -> Self {
        Self { status: StatusCode::ACCEPTED, etag: None, length: 0, headers, written: None }
    }
}

/// Why an object was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Too few replicas were ready, stayed, or agreed; a client gets 503.
    #[error(transparent)]
    NoQuorum(#[from] NoAnswer),
    /// `If-None-Match: *` was asked for and there is one; a client gets 412.
    #[error("the object exists already")]
    Exists,
    /// What is there does not meet the condition; a client gets 412, or 404 if there is nothing to meet it.
    #[error("what is there does not meet the condition")]
    Unmet {
        /// Whether there is an object.
        exists: bool,
    },
    /// Too many conditional writes of the object at once: surely nothing was written. A client gets 409 and may try again.
    #[error("others write the object at the same time")]
    Contended,
    /// It cannot be judged whether the condition is met; a client gets 500.
    #[error("the condition cannot be judged: {0}")]
    Condition(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The bytes do not have the promised MD5; a client gets 422.
    #[error("the bytes have the MD5 {actual}, not the promised one")]
    EtagMismatch {
        /// Their MD5.
        actual: String,
    },
    /// The sender stalled (408), went away (499), sent too much (413), or failed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A quorum of the replicas refused with the same class of status.
    #[error("the replicas refused with {}", .0.status)]
    Refused(Box<Answer>),
    /// What was to be computed over the bytes cannot be; a client gets 500.
    #[error("the metadata behind the body cannot be made: {0}")]
    Footers(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ClusterClient {
    /// Stores an object on all replicas, or on handoffs in place of those that are not ready.
    ///
    /// Nothing is stored anywhere unless the whole body arrived and has the right MD5 and length.
    ///
    /// # Errors
    /// Any [`PutError`]. After `NoQuorum` some replicas may hold the object, as after any write that failed.
    pub async fn put_object(&self, put: PutObject<'_>) -> Result<PutOutcome, PutError> {
        if let Some(too_long) = put.length.filter(|length| *length > put.max_length) {
            tracing::debug!(too_long, "an object was refused for its length");
            return Err(BodyError::TooLong(put.max_length).into());
        }
        // Whether there is none is asked before any node has stored it.
        if short::is_short(put.length) && !put.headers.contains_key(header::IF_NONE_MATCH) {
            return self.put_short(put).await;
        }
        let target = Target::Object(put.path);
        let rings = self.rings();
        let route = Arc::new(Route::new(&self.inner, Method::PUT, &target)?);
        let mut headers = with_policy(&put_headers(&put), &target);
        let salt = &self.inner.cluster.hash_path;
        let mut written = None;
        for _ in 0..MAX_FENCES {
            let each = updates::for_each_replica(&headers, route.replicas(), &target, &rings, salt);
            match open(Arc::clone(&route), &target, each).await? {
                Opening::Storing(storing) => return Ok(PutOutcome { written, ..storing.store(put).await? }),
                Opening::Superseded(outcome) => return Ok(outcome),
                Opening::Fenced(fence) if put.may_be_later => written = Some(stamp_after(&mut headers, fence)),
                Opening::Fenced(_) => break,
            }
        }
        tracing::warn!(object = put.path.object, "a conditional write is in the way of a PUT");
        Err(NoAnswer { statuses: vec![StatusCode::CONFLICT.as_u16(); route.replicas()] }.into())
    }
}

/// Says which version a write is, instead of any other.
pub(super) fn stamp(headers: &mut HeaderMap, written: Timestamp) {
    // Digits are always a header's value.
    if let Ok(written) = HeaderValue::try_from(written.internal()) {
        headers.insert(HeaderName::from_static(TIMESTAMP), written);
    }
}

/// Has a write come after a promise, and says as which version.
pub(super) fn stamp_after(headers: &mut HeaderMap, fence: Timestamp) -> Timestamp {
    let later = Timestamp::from_ticks(fence.ticks().max(clock::now().ticks()) + 1);
    stamp(headers, later);
    later
}

/// What a node was promised that kept it from a write: one with a newer timestamp gets in.
pub(super) fn fence(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(FENCE)?.to_str().ok()?.parse().ok()
}

/// The caller's headers without those that say how its own body came.
pub(super) fn plain(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::ETAG, header::EXPECT] {
        headers.remove(name);
    }
    headers
}

pub(super) fn put_headers(put: &PutObject<'_>) -> HeaderMap {
    let mut headers = plain(put.headers);
    headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    headers.insert(header::TRAILER, announced(put.footers.as_ref().map_or(&[], |footers| &footers.names)));
    if let Some(length) = put.length {
        headers.insert(OBJECT_CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers
}

/// Trailers that are not announced are not sent.
fn announced(footers: &[&str]) -> HeaderValue {
    let names = [&[BODY_ETAG, BODY_CRC], footers].concat().join(", ");
    // Names of headers fit a header.
    HeaderValue::from_str(&names).unwrap_or(HeaderValue::from_static("x-backend-etag, x-backend-crc32"))
}

/// The nodes that wait for the body.
pub(super) struct Storing {
    pub(super) route: Arc<Route>,
    pub(super) replicas: usize,
    /// How many of them have to get it.
    pub(super) needed: usize,
    pub(super) hops: Vec<Hop>,
    /// What nodes said that did not need the body.
    pub(super) answers: Vec<Answer>,
}

/// How a PUT begins.
enum Opening {
    Storing(Storing),
    /// The replicas have a newer version, so that the body is not needed.
    Superseded(PutOutcome),
    /// A conditional write was promised that nothing older gets in.
    Fenced(Timestamp),
}

/// Finds a node for each set of headers.
async fn open(route: Arc<Route>, target: &Target<'_>, each: Vec<HeaderMap>) -> Result<Opening, PutError> {
    let nodes = Mutex::new(route.nodes(target).near_first(NearFirst::Put));
    let replicas = each.len();
    let opened = each.into_iter().map(|headers| hop::open(&route, &nodes, headers));
    let opened = futures_util::future::join_all(opened).await;
    let (mut hops, mut answers) = (Vec::with_capacity(replicas), Vec::new());
    for opened in opened.into_iter().flatten() {
        match opened {
            Opened::Ready(hop) => hops.push(hop),
            Opened::Answered(answer) => answers.push(answer),
        }
    }
    if answers.iter().any(|answer| answer.status == StatusCode::PRECONDITION_FAILED) {
        return Err(PutError::Exists);
    }
    if let Some(fence) = answers.iter().filter_map(|answer| fence(&answer.headers)).max() {
        return Ok(Opening::Fenced(fence));
    }
    if let Some(newer) = answers.iter().position(|answer| answer.status == StatusCode::CONFLICT) {
        let headers = answers.swap_remove(newer).headers;
        return Ok(Opening::Superseded(PutOutcome::superseded(headers)));
    }
    let storing = Storing { route, replicas, needed: quorum_size(replicas), hops, answers };
    if storing.hops.len() < storing.needed { Err(storing.refused()) } else { Ok(Opening::Storing(storing)) }
}

impl Storing {
    async fn store(mut self, put: PutObject<'_>) -> Result<PutOutcome, PutError> {
        let sums = self.stream(put).await?;
        self.conclude(sums).await
    }

    /// Sends the body to all nodes. They have yet to answer.
    pub(super) async fn stream(&mut self, put: PutObject<'_>) -> Result<Sums, PutError> {
        let PutObject { mut body, length, max_length, expect_etag, footers, .. } = put;
        let mut digests = Digests::new(max_length);
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame?.into_data() else { continue };
            if chunk.is_empty() {
                continue;
            }
            digests.update(&chunk)?;
            self.feed(|| Frame::data(chunk.clone())).await?;
        }
        let sums = digests.finish(length, expect_etag)?;
        let mut trailers = sums.headers();
        if let Some(footers) = footers {
            trailers.extend((footers.make)()?);
        }
        self.feed(|| Frame::trailers(trailers.clone())).await?;
        Ok(sums)
    }

    /// Feeds one frame to every node; too few nodes left is an error.
    async fn feed(&mut self, frame: impl Fn() -> Frame<Bytes>) -> Result<(), PutError> {
        self.hops = Hop::feed_all(&self.route, std::mem::take(&mut self.hops), frame).await;
        if self.hops.len() < self.needed {
            return Err(NoAnswer { statuses: vec![503; self.replicas] }.into());
        }
        Ok(())
    }

    /// Waits for a quorum of answers, and a moment for the others, which are not cut off.
    async fn conclude(mut self, sums: Sums) -> Result<PutOutcome, PutError> {
        let (tell, mut told) = mpsc::channel(self.hops.len().max(1));
        for hop in std::mem::take(&mut self.hops) {
            let (route, tell, etag) = (Arc::clone(&self.route), tell.clone(), sums.etag.clone());
            // A task of its own, so that a slow replica may finish after the client has its answer.
            tokio::spawn(async move {
                let answer = hop.answer(&route).await.filter(|answer| is_sound(answer, &etag));
                let _ = tell.send(answer).await;
            });
        }
        drop(tell);
        let mut tally = Tally::new(self.replicas);
        self.answers.iter().for_each(|answer| tally.push(answer.status.as_u16()));
        let mut hear = |answer: Option<Answer>, tally: &mut Tally<'_>| {
            tally.push(answer.as_ref().map_or(503, |answer| answer.status.as_u16()));
            self.answers.push(answer.unwrap_or_else(|| Answer::of(StatusCode::SERVICE_UNAVAILABLE)));
        };
        while !tally.is_decided()
            && let Some(answer) = told.recv().await
        {
            hear(answer, &mut tally);
        }
        let rest = async {
            while let Some(answer) = told.recv().await {
                hear(answer, &mut tally);
            }
        };
        let _ = tokio::time::timeout(self.route.inner.config.post_quorum_timeout, rest).await;
        outcome(&tally, self.answers, &sums)
    }

    /// What to say when too few nodes are ready.
    pub(super) fn refused(self) -> PutError {
        let mut tally = Tally::new(self.replicas);
        self.answers.iter().for_each(|answer| tally.push(answer.status.as_u16()));
        refused(&tally, self.answers)
    }
}

/// What the answers mean that were tallied.
pub(super) fn outcome(tally: &Tally<'_>, mut answers: Vec<Answer>, sums: &Sums) -> Result<PutOutcome, PutError> {
    let Some(best) = tally.best() else { return Err(refused(tally, answers)) };
    let answer = answers.swap_remove(best);
    let status = match answer.status {
        StatusCode::CONFLICT => StatusCode::ACCEPTED,
        StatusCode::PRECONDITION_FAILED => return Err(PutError::Exists),
        status if status.is_success() => status,
        _ => return Err(PutError::Refused(Box::new(answer))),
    };
    let (etag, length) = (Some(sums.etag.clone()), sums.length);
    Ok(PutOutcome { status, etag, length, headers: answer.headers, written: None })
}

fn refused(tally: &Tally<'_>, mut answers: Vec<Answer>) -> PutError {
    if let Some(best) = tally.best() {
        return PutError::Refused(Box::new(answers.swap_remove(best)));
    }
    let statuses = tally.clone().into_statuses();
    tracing::error!(?statuses, "no quorum for an object's PUT");
    NoAnswer { statuses }.into()
}

/// Whether a replica has what was sent. If it found the bytes damaged on their way, or was promised to a conditional write
/// meanwhile, that is not the client's fault.
pub(super) fn is_sound(answer: &Answer, etag: &str) -> bool {
    if let Some(fence) = fence(&answer.headers) {
        tracing::warn!(%fence, "a conditional write came before the end of a PUT");
        return false;
    }
    let said = answer.headers.get(header::ETAG).and_then(|said| said.to_str().ok());
    let differs = said.is_some_and(|said| said.trim_matches('"') != etag);
    let is_sound = answer.status != StatusCode::UNPROCESSABLE_ENTITY && !(differs && answer.status.is_success());
    if !is_sound {
        tracing::error!(status = %answer.status, "a replica has other bytes than were sent to it");
    }
    is_sound
}
