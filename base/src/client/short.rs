//! PUT of a short object: its body is read whole, and goes with one request to each replica.
//!
//! What a long body needs, nodes that agree before its first byte is asked for and a stream to each of them, would cost a short
//! one more than the body itself. So it is asked for at once, in vain if there are too few nodes; its checksums stand among the
//! headers, and a node that fails is followed by another one, which gets the same bytes.
//!
//! One thing is different by it. A node that was promised to a conditional write ([`ballot`](crate::ballot)) refuses, and another one
//! may have taken the body already. Only when surely none has is the PUT begun again with a newer timestamp: its version must
//! not be seen twice, once before the conditional write and once after it. Otherwise the promise counts as a failed node.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;

use super::digests::{Digests, Sums};
use super::nodes::NearFirst;
use super::put::{MAX_FENCES, PutError, PutObject, PutOutcome, fence, is_sound, outcome, plain, stamp_after};
use super::route::{Route, with_policy};
use super::write::Round;
use super::{Answer, ClusterClient, NoAnswer, Target, updates};
use crate::quorum::Tally;

/// The longest body that is short: what an object server takes in one piece.
const MAX_SHORT_BYTES: u64 = 64 * 1024;

/// Whether a body is known to be short.
pub(super) fn is_short(length: Option<u64>) -> bool {
    length.is_some_and(|length| length <= MAX_SHORT_BYTES)
}

impl ClusterClient {
    /// [`ClusterClient::put_object`] of a body that [`is_short`].
    pub(super) async fn put_short(&self, put: PutObject<'_>) -> Result<PutOutcome, PutError> {
        let (target, may_be_later) = (Target::Object(put.path), put.may_be_later);
        let route = Route::new(&self.inner, Method::PUT, &target)?;
        let mut headers = with_policy(&plain(put.headers), &target);
        let (payload, sums) = gather(put, &mut headers).await?;
        let (route, rings) = (Arc::new(route.with_payload(payload)), self.rings());
        let (replicas, salt) = (route.replicas(), &self.inner.cluster.hash_path);
        let mut written = None;
        for _ in 0..MAX_FENCES {
            let each = updates::for_each_replica(&headers, replicas, &target, &rings, salt);
            let round = Round::new(Arc::clone(&route), route.nodes(&target).near_first(NearFirst::Put));
            let answers = round.send(each, &mut Tally::new(replicas), |answer| sound(answer, &sums)).await;
            let fence = answers.iter().filter_map(|answer| fence(&answer.headers)).max();
            match fence.filter(|_| is_nowhere(&answers, &round, replicas)) {
                None => return Ok(PutOutcome { written, ..conclude(answers, replicas, &sums)? }),
                Some(fence) if may_be_later => written = Some(stamp_after(&mut headers, fence)),
                Some(_) => break,
            }
        }
        tracing::warn!(?target, "a conditional write is in the way of a PUT");
        Err(NoAnswer { statuses: vec![StatusCode::CONFLICT.as_u16(); replicas] }.into())
    }
}

/// Reads the body, and puts among the headers what is known now.
async fn gather(put: PutObject<'_>, headers: &mut HeaderMap) -> Result<(Bytes, Sums), PutError> {
    let PutObject { mut body, length, max_length, expect_etag, footers, .. } = put;
    let mut digests = Digests::new(max_length.min(MAX_SHORT_BYTES));
    let mut all = Bytes::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame?.into_data() else { continue };
        digests.update(&chunk)?;
        all = joined(all, chunk);
    }
    let sums = digests.finish(length, expect_etag)?;
    // Said also when it is 0, which no body says by itself.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(sums.length));
    headers.extend(sums.headers());
    if let Some(footers) = footers {
        headers.extend((footers.make)()?);
    }
    Ok((all, sums))
}

/// Mostly there is one piece, which is not copied.
fn joined(all: Bytes, chunk: Bytes) -> Bytes {
    if all.is_empty() {
        return chunk;
    }
    let mut both = BytesMut::from(all);
    both.extend_from_slice(&chunk);
    both.freeze()
}

/// An answer as it counts: a promise is looked at by itself, and bytes that came damaged are not there.
fn sound(answer: Answer, sums: &Sums) -> Answer {
    let counts = fence(&answer.headers).is_some() || is_sound(&answer, &sums.etag);
    if counts { answer } else { Answer { status: StatusCode::SERVICE_UNAVAILABLE, ..answer } }
}

/// Whether every node that was asked has answered that it has not taken the object.
fn is_nowhere(answers: &[Answer], round: &Round, replicas: usize) -> bool {
    answers.len() == replicas && round.asked() == replicas && answers.iter().all(|a| a.status.is_client_error())
}

fn conclude(answers: Vec<Answer>, replicas: usize, sums: &Sums) -> Result<PutOutcome, PutError> {
    let unavailable = |answer: Answer| match fence(&answer.headers) {
        Some(_) => Answer { status: StatusCode::SERVICE_UNAVAILABLE, ..answer },
        None => answer,
    };
    let answers: Vec<_> = answers.into_iter().map(unavailable).collect();
    if let Some(newer) = answers.iter().find(|answer| answer.status == StatusCode::CONFLICT) {
        return Ok(PutOutcome::superseded(newer.headers.clone()));
    }
    let mut tally = Tally::new(replicas);
    answers.iter().for_each(|answer| tally.push(answer.status.as_u16()));
    outcome(&tally, answers, sums)
}
