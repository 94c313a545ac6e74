//! One object: each replica of it is looked at, and rewrapped where it has to be.

use apus_base::client::{ObjectPath, Target};
use apus_base::crypto::rewrap;
use apus_base::wire::header::{BACKEND_DATA_TIMESTAMP, BACKEND_TIMESTAMP, REWRAP, REWRAPPING, TIMESTAMP};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::Rekey;
use super::state::Counts;

/// How often a replica is looked at again that got another version in between.
const MAX_ATTEMPTS: usize = 4;

/// What became of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// It has no such object.
    Absent,
    /// All of it is under the active secret.
    Current,
    Rewrapped,
    Failed,
    Unreachable,
}

impl Rekey {
    /// Brings all replicas of an object under the active secret, and its row, if that is `outdated`.
    pub(super) async fn object(&self, path: ObjectPath<'_>, outdated: bool) -> Counts {
        let target = Target::Object(path);
        let mut counts = Counts { objects: 1, ..Counts::default() };
        let mut is_anywhere = false;
        for replica in 0..self.client.replica_count(&target) {
            let done = self.replica(replica, path, outdated).await;
            is_anywhere |= done != Done::Absent;
            match done {
                Done::Absent | Done::Current => {}
                Done::Rewrapped => counts.rewrapped += 1,
                Done::Failed => counts.failed += 1,
                Done::Unreachable => counts.unreachable += 1,
            }
        }
        if outdated && !is_anywhere {
            tracing::warn!(
                path.container,
                path.object,
                "a listing has a row under an old secret of an object that is nowhere"
            );
            counts.failed += 1;
        }
        counts
    }

    async fn replica(&self, replica: usize, path: ObjectPath<'_>, mut outdated: bool) -> Done {
        for _ in 0..MAX_ATTEMPTS {
            let Some(head) = self.ask(replica, Method::HEAD, path, opens_expired()).await else {
                return Done::Unreachable;
            };
            match head.0 {
                StatusCode::NOT_FOUND => return Done::Absent,
                status if !status.is_success() => return Done::Unreachable,
                _ => {}
            }
            let stored = head.1;
            let rewrapped = match rewrap(&self.keymaster, (path.account, path.container, path.object), &stored) {
                Ok(rewrapped) => rewrapped,
                Err(reason) => {
                    tracing::error!(%reason, path.account, path.container, path.object, "an object stays under its old secret");
                    return Done::Failed;
                }
            };
            if rewrapped.is_empty() && !outdated && !stored.contains_key(REWRAPPING) {
                return Done::Current;
            }
            match self.rewrap(replica, path, &stored, rewrapped).await {
                Some(StatusCode::ACCEPTED) => return Done::Rewrapped,
                // A client was quicker, and has told the listing.
                Some(StatusCode::CONFLICT | StatusCode::NOT_FOUND) => outdated = false,
                _ => return Done::Unreachable,
            }
        }
        Done::Failed
    }

    async fn rewrap(
        &self,
        replica: usize,
        path: ObjectPath<'_>,
        stored: &HeaderMap,
        mut headers: HeaderMap,
    ) -> Option<StatusCode> {
        let method = Method::from_bytes(REWRAP.as_bytes()).ok()?;
        headers.insert(TIMESTAMP, HeaderValue::from_str(&self.clock.next().internal()).ok()?);
        for name in [BACKEND_DATA_TIMESTAMP, BACKEND_TIMESTAMP] {
            headers.insert(HeaderName::from_static(name), stored.get(name)?.clone());
        }
        headers.insert(IF_MATCH, stored.get(ETAG)?.clone());
        Some(self.ask(replica, method, path, headers).await?.0)
    }

    async fn ask(
        &self,
        replica: usize,
        method: Method,
        path: ObjectPath<'_>,
        headers: HeaderMap,
    ) -> Option<(StatusCode, HeaderMap)> {
        let target = Target::Object(path);
        let response = self.client.ask_replica(replica, method, &target, None, &headers).await?;
        let (head, _) = response.into_parts();
        Some((head.status, head.headers))
    }
}

/// An object that has expired is still there.
fn opens_expired() -> HeaderMap {
    [(HeaderName::from_static("x-backend-open-expired"), HeaderValue::from_static("true"))].into_iter().collect()
}
