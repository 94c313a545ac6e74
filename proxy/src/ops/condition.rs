//! The condition of a write: what must, or must not, be at a name when something is stored or deleted there.
//!
//! It is decided together with the write, so that of all who compete on the same condition one succeeds at most; how is
//! said in [`apus_base::ballot`]. The ETag that counts is the one that clients are told: of a large object its own, of a static
//! link its target's, of an encrypted object that of its plaintext. A dynamic large object, and a dynamic link, are known by what is
//! stored at the name itself, because what they stand for changes without it.

use apus_base::body;
use apus_base::client::PutError;
use apus_base::conditional::Conditions;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::BACKEND_TIMESTAMP;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use super::large::SLO_ETAG;
use super::resource::ObjectName;
use super::symlink::Link;
use super::{Call, crypto};

/// What a write demands of what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    conditions: Conditions,
    /// Where a face keeps the ETag that its clients know, if it is another one.
    etag_in: Option<HeaderName>,
    /// When what is there was written, or last changed: for those who have looked at it before.
    unchanged: Option<Timestamp>,
}

impl Condition {
    /// That there is no object yet: `If-None-Match: *`.
    pub fn absent() -> Self {
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        Self { conditions: Conditions::from_headers(&headers), etag_in: None, unchanged: None }
    }

    /// That there is what was seen: an object whose `X-Backend-Timestamp`, which also changes with its metadata, is this one.
    pub fn unchanged(seen: Timestamp) -> Self {
        let conditions = Conditions::from_headers(&HeaderMap::new());
        Self { conditions, etag_in: None, unchanged: Some(seen) }
    }

    /// What `If-Match` and `If-None-Match` of a request demand; `None` without them. Its other conditions are for reads.
    pub fn of(request: &HeaderMap) -> Option<Self> {
        let conditions = Conditions::from_headers(request);
        conditions.is_about_etags().then_some(Self { conditions, etag_in: None, unchanged: None })
    }

    /// The same, where objects that have this header are known by it and not by their own ETag.
    #[must_use]
    pub fn with_etag_in(self, header: HeaderName) -> Self {
        Self { etag_in: Some(header), ..self }
    }

    /// Whether it demands that there is nothing.
    pub fn creates_only(&self) -> bool {
        self.conditions.creates_only()
    }

    /// Whether what is stored at a name meets it; `None` is nothing.
    ///
    /// # Errors
    /// When its ETag cannot be decrypted.
    pub(super) fn is_met(
        &self,
        call: Call<'_>,
        name: &ObjectName,
        stored: Option<&HeaderMap>,
    ) -> Result<bool, PutError> {
        if let Some(seen) = self.unchanged {
            return Ok(is_of(stored, seen));
        }
        let Some(stored) = stored else { return Ok(self.conditions.permit_write(None)) };
        let mut response = Response::new(body::empty());
        *response.headers_mut() = stored.clone();
        let opened = crypto::open(call, name, &Method::HEAD, response);
        let opened = opened.map_err(|error| PutError::Condition(Box::new(error)))?;
        Ok(self.conditions.permit_write(Some(&self.etag(opened.headers()))))
    }

    /// The ETag that clients know.
    fn etag(&self, stored: &HeaderMap) -> String {
        let text = |name: &HeaderName| stored.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let own = self.etag_in.as_ref().and_then(text);
        let of_link = || Link::of(stored).and_then(|link| link.etag);
        own.or_else(|| text(&SLO_ETAG)).or_else(of_link).or_else(|| text(&ETAG)).unwrap_or_default()
    }
}

/// Whether what is stored is of that time.
fn is_of(stored: Option<&HeaderMap>, seen: Timestamp) -> bool {
    let stamp = stored.and_then(|stored| stored.get(BACKEND_TIMESTAMP)?.to_str().ok()?.parse().ok());
    stamp == Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse::<HeaderName>().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn reads_conditions_are_none_of_a_write() {
        assert_eq!(Condition::of(&headers(&[("if-modified-since", "Thu, 01 Jan 1970 00:00:01 GMT")])), None);
        assert_eq!(Condition::of(&headers(&[("if-none-match", "*")])), Some(Condition::absent()));
        assert!(Condition::absent().creates_only());
    }

    #[test]
    fn what_was_seen_is_told_from_what_came_after_in_the_same_tick() {
        let seen: Timestamp = "1712345678.12345".parse().unwrap();
        let stored = |stamp: &str| headers(&[("x-backend-timestamp", stamp)]);
        assert!(is_of(Some(&stored("1712345678.12345")), seen));
        for other in ["1712345678.12345_0000000000000100", "1712345678.12346", "1712345678.12344", "soon"] {
            assert!(!is_of(Some(&stored(other)), seen), "{other}");
        }
        assert!(!is_of(None, seen) && !is_of(Some(&headers(&[])), seen));
        assert!(!Condition::unchanged(seen).creates_only());
    }

    #[test]
    fn the_etag_is_the_one_that_clients_know() {
        let etag = |pairs: &[(&str, &str)]| {
            let condition = Condition::absent().with_etag_in(HeaderName::from_static("x-object-sysmeta-s3api-etag"));
            condition.etag(&headers(pairs))
        };
        let plain = ("etag", "md5");
        assert_eq!(etag(&[plain]), "md5");
        assert_eq!(etag(&[plain, ("x-object-sysmeta-slo-etag", "slo")]), "slo");
        let link =
            [plain, ("x-object-sysmeta-symlink-target", "c/o"), ("x-object-sysmeta-symlink-target-etag", "target")];
        assert_eq!(etag(&link), "target");
        assert_eq!(etag(&[plain, ("x-object-sysmeta-slo-etag", "slo"), ("x-object-sysmeta-s3api-etag", "s3")]), "s3");
    }
}
