//! DELETE of an object, whatever is there: a tombstone on all replicas, and what becomes of it where a conditional write stands in
//! its way ([`ballot::deletion`](crate::ballot::deletion)).

use http::{HeaderMap, Method, StatusCode};

use super::put::{MAX_FENCES, PutError, fence, stamp_after};
use super::write::WriteOutcome;
use super::{Answer, ClusterClient, NoAnswer, ObjectPath, Target};
use crate::ballot::deletion::{Next, Refusals};
use crate::timestamp::Timestamp;
use crate::wire::header::{BACKEND_DATA_TIMESTAMP, IF_DELETE_AT, TIMESTAMP};

impl ClusterClient {
    /// Deletes an object on all replicas. The answer need not be a success: 404, 409 and 412 of a quorum are answers too.
    ///
    /// `headers` have the `X-Timestamp`. One that `may_be_later` gets a newer one when a conditional write was promised
    /// that nothing older gets in.
    ///
    /// # Errors
    /// `NoQuorum`: it may have been deleted, or will be. `Contended`: it was not.
    pub async fn delete_object(
        &self,
        path: ObjectPath<'_>,
        mut headers: HeaderMap,
        may_be_later: bool,
    ) -> Result<Answer, PutError> {
        let target = Target::Object(path);
        for _ in 0..MAX_FENCES {
            let outcome = self.write(Method::DELETE, &target, &headers).await?;
            let fences = outcome.answers.iter().filter_map(|answer| fence(&answer.headers));
            let Some(fence) = fences.max().filter(|_| may_be_later && !outcome.best.status.is_success()) else {
                return Ok(outcome.best);
            };
            let refusals = refusals(&outcome);
            match refusals.next(outcome.asked) {
                Next::Done => return Ok(who_took_it(outcome)),
                Next::Later => {
                    stamp_after(&mut headers, fence);
                }
                // A ballot does not know that condition.
                Next::Finish if !headers.contains_key(IF_DELETE_AT) => {
                    self.finish_deletion(path, &headers, written(&headers), refusals).await?;
                    return Ok(who_took_it(outcome));
                }
                Next::Finish | Next::Unknown => {
                    let statuses = outcome.answers.iter().map(|answer| answer.status.as_u16()).collect();
                    return Err(NoAnswer { statuses }.into());
                }
            }
        }
        Err(PutError::Contended)
    }
}

fn written(headers: &HeaderMap) -> Timestamp {
    headers.get(TIMESTAMP).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default()
}

/// Whether this replica has the tombstone now: also one that had nothing to delete keeps it.
fn has_taken(answer: &Answer) -> bool {
    let is_written = answer.status.is_success() || answer.status == StatusCode::NOT_FOUND;
    is_written && fence(&answer.headers).is_none()
}

fn refusals(outcome: &WriteOutcome) -> Refusals {
    let mut refusals = Refusals { unknown: outcome.asked.saturating_sub(outcome.answers.len()), ..Refusals::default() };
    for answer in &outcome.answers {
        let is_fenced = fence(&answer.headers).is_some();
        match answer.status {
            _ if has_taken(answer) => refusals.taken += 1,
            // Whoever has a version in place of a promise says which.
            _ if is_fenced && !answer.headers.contains_key(BACKEND_DATA_TIMESTAMP) => refusals.by_promise += 1,
            status if is_fenced || status.is_client_error() => refusals.by_version += 1,
            _ => refusals.unknown += 1,
        }
    }
    refusals
}

/// The answer of a replica that had something to delete, if there is one.
fn who_took_it(outcome: WriteOutcome) -> Answer {
    let WriteOutcome { mut best, answers, .. } = outcome;
    match answers.into_iter().filter(has_taken).min_by_key(|answer| answer.status) {
        Some(taken) => taken,
        None => {
            best.status = StatusCode::NO_CONTENT;
            best
        }
    }
}
