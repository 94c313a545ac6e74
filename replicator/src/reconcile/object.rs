//! One misplaced object: brought to the right policy, and deleted under the wrong one.

use apus_base::body::Body;
use apus_base::client::{NoAnswer, ObjectPath, PutError, PutObject, Target};
use apus_base::policy::PolicyIndex;
use apus_base::quorum::quorum_size;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::{self, BACKEND_TIMESTAMP, TIMESTAMP};
use apus_base::{clock, crash};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::entry::{self, Entry};
use super::{CLEANED, MOVED, Reconciler, destination};

/// Whether an object server shows what has expired: that is moved too, for the expirer to find.
const OPEN_EXPIRED: &str = "x-backend-open-expired";
/// Headers of an answer that are not the object's: they are of the connection, or set anew.
const NOT_KEPT: [&str; 10] = [
    "accept-ranges",
    "connection",
    "content-length",
    "content-range",
    "date",
    "etag",
    "last-modified",
    "server",
    "transfer-encoding",
    "x-timestamp",
];

/// What became of a row of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It can go; and how it was settled.
    Settled(&'static str),
    /// It has to be tried again.
    Waits,
}

/// Why an object cannot be settled now.
#[derive(Debug, thiserror::Error)]
enum Waits {
    #[error("the container's policy is not known")]
    NoPolicy,
    #[error("a partition power is being changed, or there is no ring, of policy {}", .0.0)]
    Ring(PolicyIndex),
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("it cannot be stored under the right policy: {0}")]
    Put(#[from] PutError),
    #[error("the servers answered {0}")]
    Refused(StatusCode),
    #[error("it is not there, or an older one ({0})")]
    NoSource(Timestamp),
    #[error("a timestamp is no header")]
    Header(#[from] http::header::InvalidHeaderValue),
}

impl Reconciler {
    /// Does what one row of the queue asks for.
    pub(super) async fn settle(&self, entry: &Entry) -> Outcome {
        match self.try_settle(entry).await {
            Ok(how) => Outcome::Settled(how),
            Err(reason) => {
                let (policy, container, object) = (entry.policy.0, &entry.container, &entry.object);
                tracing::warn!(%reason, policy, entry.account, container, object, "a misplaced object has to wait");
                Outcome::Waits
            }
        }
    }

    async fn try_settle(&self, entry: &Entry) -> Result<&'static str, Waits> {
        let right = destination::policy(self.client(), &entry.account, &entry.container).await;
        let right = match right {
            Some(right) if right == entry.policy => return Ok("in place"),
            Some(right) => right,
            None if self.is_given_up(entry) => return Ok("lost"),
            None => return Err(Waits::NoPolicy),
        };
        self.check_ring(entry.policy)?;
        self.check_ring(right)?;
        let there = self.versions(entry.path(right)).await?;
        let as_new = there.iter().filter(|version| **version >= entry.at).count();
        if as_new >= quorum_size(self.client().replica_count(&Target::Object(entry.path(right)))) {
            self.clean(entry).await?;
            return Ok("superseded");
        }
        let source = self.newest(entry.path(entry.policy)).await?;
        let how = match (source.status(), version(&source)) {
            (StatusCode::NOT_FOUND, _) if entry.deleted => {
                self.delete(entry.path(right), entry::moved_at(entry.at)).await?;
                "deleted"
            }
            (status, at) if status.is_success() && at >= entry.at => {
                self.copy(entry.path(right), source, entry::moved_at(at)).await?;
                "moved"
            }
            // Another reconciler was quicker, or a client; the other copies are for replication to make.
            _ if as_new > 0 => "superseded",
            _ if self.is_given_up(entry) => {
                tracing::error!(
                    entry.account,
                    entry.container,
                    entry.object,
                    "a misplaced object was not found and is given up"
                );
                return Ok("lost");
            }
            (_, at) => return Err(Waits::NoSource(at)),
        };
        crash::point(MOVED);
        self.clean(entry).await?;
        Ok(how)
    }

    fn is_given_up(&self, entry: &Entry) -> bool {
        clock::now().secs().saturating_sub(entry.at.secs()) > self.config.reclaim_age.as_secs()
    }

    fn check_ring(&self, policy: PolicyIndex) -> Result<(), Waits> {
        let rings = self.client().rings();
        let is_ready = rings.objects.get(&policy).is_some_and(|ring| ring.next_part_power().is_none());
        if is_ready { Ok(()) } else { Err(Waits::Ring(policy)) }
    }

    /// What the primaries have of an object, tombstones included; a quorum of them at least.
    async fn versions(&self, path: ObjectPath<'_>) -> Result<Vec<Timestamp>, Waits> {
        let target = Target::Object(path);
        let (replicas, headers) = (self.client().replica_count(&target), opens_expired());
        let asked =
            (0..replicas).map(|replica| self.client().ask_replica(replica, Method::HEAD, &target, None, &headers));
        let answers: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        let is_sound = |status: StatusCode| status.is_success() || status == StatusCode::NOT_FOUND;
        let versions: Vec<_> = answers.iter().filter(|answer| is_sound(answer.status())).map(version).collect();
        if versions.len() >= quorum_size(replicas) {
            return Ok(versions);
        }
        Err(NoAnswer { statuses: answers.iter().map(|answer| answer.status().as_u16()).collect() }.into())
    }

    /// The newest version of an object under a policy; 404 with the tombstone's timestamp if it was deleted.
    async fn newest(&self, path: ObjectPath<'_>) -> Result<Response<Body>, Waits> {
        let answer = self.client().read(Method::GET, &Target::Object(path), None, &opens_expired(), true).await?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(answer),
            status => Err(Waits::Refused(status)),
        }
    }

    /// Stores what comes from the wrong place in the right one, under the same names and values.
    async fn copy(&self, to: ObjectPath<'_>, source: Response<Body>, at: Timestamp) -> Result<(), Waits> {
        let (head, body) = source.into_parts();
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let length = text(http::header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let mut headers = kept(&head.headers);
        headers.insert(TIMESTAMP, HeaderValue::try_from(at.internal())?);
        let put = PutObject {
            path: to,
            headers: &headers,
            body,
            length,
            max_length: length.unwrap_or(u64::MAX),
            expect_etag: text(http::header::ETAG),
            footers: None,
            may_be_later: false,
        };
        // 202 says that there is something newer.
        self.client().put_object(put).await?;
        Ok(())
    }

    /// Deletes the version under the wrong policy, and nothing newer. Its expiry stays in the expirer's queue, for it is that of
    /// the object in the right place too.
    async fn clean(&self, entry: &Entry) -> Result<(), Waits> {
        self.delete(entry.path(entry.policy), entry.cleaned_at()).await?;
        crash::point(CLEANED);
        Ok(())
    }

    async fn delete(&self, path: ObjectPath<'_>, at: Timestamp) -> Result<(), Waits> {
        let mut headers = HeaderMap::new();
        headers.insert(TIMESTAMP, HeaderValue::try_from(at.internal())?);
        headers.insert(header::CLEAN_EXPIRING_QUEUE, HeaderValue::from_static("no"));
        let outcome = self.client().write(Method::DELETE, &Target::Object(path), &headers).await?;
        match outcome.best.status {
            // A conflict is something newer, which has a row of its own.
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(()),
            status => Err(Waits::Refused(status)),
        }
    }
}

fn opens_expired() -> HeaderMap {
    [(HeaderName::from_static(OPEN_EXPIRED), HeaderValue::from_static("true"))].into_iter().collect()
}

/// The newest version that an answer tells of, tombstones included; the beginning of time when there is none.
fn version(answer: &Response<Body>) -> Timestamp {
    let text = answer.headers().get(BACKEND_TIMESTAMP).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::ZERO)
}

/// The object's own headers.
fn kept(headers: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| !NOT_KEPT.contains(&name.as_str()) && !name.as_str().starts_with("x-backend-");
    headers.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_objects_goes_with_it() {
        let mut headers = HeaderMap::new();
        let mut set = |names: &[&'static str]| {
            names.iter().for_each(|name| _ = headers.insert(*name, HeaderValue::from_static("x")));
        };
        let own =
            ["content-type", "x-object-meta-a", "x-object-sysmeta-slo-etag", "x-static-large-object", "x-delete-at"];
        set(&own);
        set(&["date", "etag", "x-timestamp", "x-backend-timestamp", "content-length", "connection"]);
        let kept = kept(&headers);
        assert_eq!(kept.len(), own.len());
        assert!(own.iter().all(|name| kept.contains_key(*name)));
    }
}
