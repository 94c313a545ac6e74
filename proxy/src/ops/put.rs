//! Storing objects.

use apus_base::body::Body;
use apus_base::client::{Demand, Footers, PutError, PutObject};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::TIMESTAMP;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::condition::Condition;
use super::crypto::Seal;
use super::headers::{content_type, pick, stored};
use super::large::check_manifest_header;
use super::notification::{Creation, Made};
use super::resource::{ObjectName, Resource};
use super::symlink::Link;
use super::versions::Version;
use super::{Call, crypto, history, lock, quota, timestamp_value};
use crate::constraints::{BadLength, Level, check_content_type, delete_at, is_true};
use crate::error::Error;

/// When an object expires, in seconds since 1970.
pub(super) const DELETE_AT: HeaderName = HeaderName::from_static("x-delete-at");

/// An object to store.
pub struct Put {
    /// Where.
    pub name: ObjectName,
    /// What the client says of it: content type, metadata, expiry, the `ETag` that it must have, `If-None-Match: *`.
    pub headers: HeaderMap,
    /// Its length; `None` if the body is chunked.
    pub length: Result<Option<u64>, BadLength>,
    /// Its bytes.
    pub body: Body,
    /// Its version, if that is settled; else it will be the time when it is stored.
    pub written: Option<Timestamp>,
    /// What must be there. `If-None-Match: *` among the headers is one, too, if there is none here.
    pub condition: Option<Condition>,
    /// Whether its headers are the cluster's own, or a client's that keep to the rules: then they are stored as they are.
    pub own: bool,
    /// How it is encrypted.
    pub seal: Seal,
    /// What the cluster keeps with it and knows only when all bytes have been.
    pub behind: Option<Footers>,
    /// How it came about, for who is told.
    pub made: Made,
}

impl Put {
    /// A client's.
    pub fn new(name: ObjectName, headers: HeaderMap, length: Result<Option<u64>, BadLength>, body: Body) -> Self {
        Self {
            name,
            headers,
            length,
            body,
            written: None,
            condition: None,
            own: false,
            seal: Seal::default(),
            behind: None,
            made: Made::default(),
        }
    }

    /// Holds a client's headers to the rules and keeps of them what is to be stored, and what says how. Gives the version.
    ///
    /// # Errors
    /// When a rule is broken.
    pub(super) fn settle(&mut self, call: Call<'_>) -> Result<Timestamp, Error> {
        let written = *self.written.get_or_insert_with(|| call.version());
        if !self.own {
            self.headers = described(call, &self.name, &self.headers, written)?;
            self.own = true;
        }
        Ok(written)
    }
}

/// A stored object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The MD5 of its bytes; `None` when the cluster has a newer version already and did not take this one.
    pub etag: Option<String>,
    /// When it was written, which is its version for the storage servers.
    pub written: Timestamp,
    /// How many bytes it has.
    pub length: u64,
    /// Its content type.
    pub kind: Option<HeaderValue>,
    /// The link that it is, if it is one.
    pub link: Option<Link>,
    /// Its version for clients, where versions are kept.
    pub version: Option<Version>,
}

/// Stores an object.
///
/// # Errors
/// When the caller may not, there is no such container, a limit is broken, the body does not come whole or is not what
/// its `ETag` promised, the object exists but must not, or too few servers can do it. Then nothing is stored, but after
/// `Unavailable` some servers may have it all the same.
pub async fn put(call: Call<'_>, put: Put) -> Result<Stored, Error> {
    put_with(call, put, HeaderMap::new()).await
}

/// Stores an object with headers of the cluster's own, which replace the client's and are not held to its limits.
///
/// # Errors
/// As [`put`].
pub(super) async fn put_with(call: Call<'_>, mut put: Put, own: HeaderMap) -> Result<Stored, Error> {
    let if_none_match = put.headers.remove(IF_NONE_MATCH);
    if put.condition.is_none() {
        put.condition = match if_none_match.as_ref().map(is_any) {
            Some(false) => return Err(Error::IfNoneMatch),
            Some(true) => Some(Condition::absent()),
            None => None,
        };
    }
    call.authorize(&Method::PUT, &Resource::Object(put.name.clone())).await?;
    let container = call.container_of(&put.name).await?;
    quota::check(call, &put.name, &container, put.length.unwrap_or(None)).await?;
    lock::at_write(call, &mut put, &container).await?;
    if put.seal == Seal::AsConfigured && crypto::is_default(&container) {
        put.seal = Seal::Always;
    }
    if !own.is_empty() {
        put.settle(call)?;
        put.headers.extend(own);
    }
    let creation = Creation::of(&put, &container);
    let stored = history::put(call, put).await?;
    if let Some(creation) = creation {
        creation.tell(call, &stored).await?;
    }
    Ok(stored)
}

/// Stores an object at its own name and as it is, whatever is kept of what was there.
///
/// # Errors
/// As [`put`], but anybody may.
pub(super) async fn store(call: Call<'_>, mut put: Put) -> Result<Stored, Error> {
    let container = call.container_of(&put.name).await?;
    let max_length = call.proxy.config.constraints.max_file_size;
    let length = put.length?;
    if length.is_some_and(|length| length > max_length) {
        return Err(Error::TooLarge);
    }
    let written = put.settle(call)?;
    let mut headers = call.backend_headers();
    headers.insert(TIMESTAMP, timestamp_value(written));
    let expect_etag = put.headers.remove(ETAG);
    headers.extend(put.headers);
    let kind =
        headers.entry(CONTENT_TYPE).or_insert_with(|| content_type(&HeaderMap::new(), &put.name.object, false)).clone();
    // One that is no text is still a promise, and no body keeps it.
    let expect_etag = expect_etag.as_ref().map(|etag| String::from_utf8_lossy(etag.as_bytes()).into_owned());
    crypto::seal_metadata(call.proxy, &put.name, &mut headers)?;
    let outgoing = crypto::Outgoing::new(call.proxy, &put.name, &mut headers, put.body, expect_etag, &put.seal)?;
    let answered = outgoing.answered();
    let object = PutObject {
        path: put.name.target(container.policy),
        headers: &headers,
        body: outgoing.body,
        length,
        max_length,
        expect_etag: outgoing.expect_etag.as_deref(),
        footers: both(outgoing.footers, put.behind),
        may_be_later: call.may_be_later(),
    };
    let outcome = match put.condition {
        Some(condition) => {
            let is_met = |stored: Option<&HeaderMap>| condition.is_met(call, &put.name, stored);
            let demand = Demand { is_met: &is_met, creates_only: condition.creates_only() };
            call.proxy.client.put_object_if(object, demand).await?
        }
        None => call.proxy.client.put_object(object).await?,
    };
    let written = outcome.written.unwrap_or(written);
    let newer = outcome.status == StatusCode::ACCEPTED;
    let etag = answered(outcome.etag).filter(|_| !newer);
    Ok(Stored { etag, written, length: outcome.length, kind: Some(kind), ..Stored::default() })
}

fn both(one: Option<Footers>, other: Option<Footers>) -> Option<Footers> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.and(other)),
        (one, other) => one.or(other),
    }
}

/// What a request stores beside the bytes and how, if it keeps to the rules.
fn described(call: Call<'_>, name: &ObjectName, request: &HeaderMap, now: Timestamp) -> Result<HeaderMap, Error> {
    let constraints = &call.proxy.config.constraints;
    constraints.check_name(Level::Object, &name.account, &name.object)?;
    let expiry = delete_at(request, now)?;
    let kind = content_type(request, &name.object, is_true(request, "x-detect-content-type"));
    check_content_type(&kind)?;
    constraints.check_metadata(request, Level::Object)?;
    check_manifest_header(request)?;
    let mut headers = stored(request);
    let is_link = Link::is_asked(request);
    headers.extend(pick(request, |name| *name == ETAG || (is_link && Link::is_of_request(name))));
    // A link that says no type of its own has none yet: it may get its target's.
    if !is_link || request.get(CONTENT_TYPE).is_some_and(|kind| !kind.is_empty()) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if let Some(expiry) = expiry {
        headers.insert(DELETE_AT, HeaderValue::from(expiry));
    }
    Ok(headers)
}

/// Whether a list of ETags holds `*`.
fn is_any(value: &HeaderValue) -> bool {
    value.as_bytes().split(|b| *b == b',').any(|tag| tag.trim_ascii() == b"*")
}

impl From<PutError> for Error {
    fn from(error: PutError) -> Self {
        match error {
            PutError::NoQuorum(reason) => reason.into(),
            PutError::Exists => Self::Unmet { exists: true },
            PutError::Unmet { exists } => Self::Unmet { exists },
            PutError::Contended => Self::Contended,
            PutError::EtagMismatch { .. } => Self::Refused(StatusCode::UNPROCESSABLE_ENTITY, String::new()),
            PutError::Body(error) => Self::Body(error),
            PutError::Refused(answer) => super::refused(&answer),
            PutError::Footers(reason) | PutError::Condition(reason) => {
                tracing::error!(%reason, "an object cannot be described, or a condition not judged");
                Self::Refused(StatusCode::INTERNAL_SERVER_ERROR, String::new())
            }
        }
    }
}
