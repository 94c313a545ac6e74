//! Bringing to a majority what only a minority has, because somebody has to know whether it has happened.

use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::primaries::{Primaries, Seen};
use super::{Condition, Write};
use crate::ballot::Proposal;
use crate::client::route::Route;
use crate::client::{NoAnswer, PutError, PutObject, Target};
use crate::timestamp::Timestamp;
use crate::wire::header::{BACKEND_DATA_TIMESTAMP, TIMESTAMP};

/// Which headers an object server stores beside those that it stores always.
const STORED_HEADERS: HeaderName = HeaderName::from_static("x-backend-replication-headers");
/// Marks what is no client's write: an object that has expired may be stored.
const REPLICATION: HeaderName = HeaderName::from_static("x-backend-replication");
/// Asks for an object that has expired.
const OPEN_EXPIRED: HeaderName = HeaderName::from_static("x-backend-open-expired");
/// What an answer says of itself and not of the object.
const OF_THE_ANSWER: [HeaderName; 8] = [
    CONTENT_LENGTH,
    ETAG,
    LAST_MODIFIED,
    http::header::DATE,
    http::header::CONNECTION,
    http::header::TRANSFER_ENCODING,
    http::header::ACCEPT_RANGES,
    HeaderName::from_static(TIMESTAMP),
];

impl Primaries<'_> {
    /// Writes again what a primary has, if it still is the newest and a majority does not have it. If that fails it is seen by
    /// the next look. Gives the versions as which it may be there now.
    pub(super) async fn help(&self, seen: &Seen) -> Vec<Timestamp> {
        let version = seen.vote.version;
        let write = if seen.has_data { self.held_again(seen).await } else { Ok(Write::Tombstone) };
        let write = match write {
            Ok(write) => write,
            Err(error) => {
                tracing::warn!(%error, %version, "a conditional write of somebody else cannot be finished");
                return Vec::new();
            }
        };
        let mut proposal = Proposal::new(self.replicas());
        let decided = self.decide(&mut proposal, &write, &Condition::IsNewest(version)).await;
        match &decided {
            Ok(written) => tracing::info!(%version, %written, "finished a write that only a minority had"),
            Err(error) => tracing::debug!(%version, %error, "somebody else has finished it or written over it"),
        }
        proposal.into_own().into_iter().chain(decided.ok()).collect()
    }

    /// Has the primaries hold what one of them has.
    async fn held_again(&self, seen: &Seen) -> Result<Write, PutError> {
        let route = Route::new(&self.client.inner, Method::GET, &Target::Object(self.path))?;
        let mut headers = self.common.clone();
        headers.insert(OPEN_EXPIRED, HeaderValue::from_static("true"));
        let gone = |status: StatusCode| NoAnswer { statuses: vec![status.as_u16()] };
        let found = route.ask(&seen.node, headers, self.client.inner.config.node_timeout).await;
        let found = found.ok_or_else(|| gone(StatusCode::SERVICE_UNAVAILABLE))?;
        if found.status() != StatusCode::OK || data_timestamp(found.headers()) != Some(seen.vote.version) {
            return Err(gone(found.status()).into());
        }
        let (head, body) = found.into_parts();
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let again = PutObject {
            path: self.path,
            headers: &stored(&head.headers),
            body,
            length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            max_length: u64::MAX,
            expect_etag: text(ETAG),
            footers: None,
            may_be_later: false,
        };
        self.hold(again).await.map(|(write, ..)| write)
    }
}

fn data_timestamp(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(BACKEND_DATA_TIMESTAMP)?.to_str().ok()?.parse().ok()
}

/// The headers of a PUT of what a GET has shown.
fn stored(shown: &HeaderMap) -> HeaderMap {
    let of_object = |name: &HeaderName| !OF_THE_ANSWER.contains(name) && !name.as_str().starts_with("x-backend-");
    let kept = shown.iter().filter(|(name, _)| of_object(name)).map(|(name, value)| (name.clone(), value.clone()));
    let mut headers: HeaderMap = kept.collect();
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    let names = HeaderValue::try_from(names.join(" "));
    headers.extend(names.map(|names| (STORED_HEADERS, names)));
    headers.insert(REPLICATION, HeaderValue::from_static("true"));
    headers.extend(shown.get(TIMESTAMP).map(|shown| (HeaderName::from_static(TIMESTAMP), shown.clone())));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_again_is_the_object_and_nothing_of_the_answer() {
        let shown = [
            ("content-type", "a/b"),
            ("x-object-meta-a", "1"),
            ("x-object-sysmeta-b", "2"),
            ("x-static-large-object", "True"),
            ("x-delete-at", "7"),
            ("etag", "abc"),
            ("content-length", "3"),
            ("x-timestamp", "5.00000"),
            ("x-backend-timestamp", "5.00000"),
            ("date", "now"),
        ];
        let shown: HeaderMap = shown.into_iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        let again = stored(&shown);
        let mut names: Vec<_> = again["x-backend-replication-headers"].to_str().unwrap().split(' ').collect();
        names.sort_unstable();
        let kept = ["content-type", "x-delete-at", "x-object-meta-a", "x-object-sysmeta-b", "x-static-large-object"];
        assert_eq!(names, kept);
        assert!(kept.iter().all(|name| again[*name] == shown[*name]));
        assert_eq!(
            (&again["x-timestamp"], &again["x-backend-replication"]),
            (&shown["x-timestamp"], &"true".parse().unwrap())
        );
        assert!(!again.contains_key("etag") && !again.contains_key("date"));
    }
}
