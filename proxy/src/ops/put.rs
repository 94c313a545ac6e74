//! Storing objects.

use apus_base::body::Body;
use apus_base::client::{PutError, PutObject};
use apus_base::timestamp::Timestamp;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{Call, crypto};
use super::headers::{content_type, stored};
use super::resource::{ObjectName, Resource};
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
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The MD5 of its bytes; `None` when the cluster has a newer version already and did not take this one.
    pub etag: Option<String>,
    /// Its version.
    pub written: Timestamp,
}

/// Stores an object.
///
/// # Errors
/// When the caller may not, there is no such container, a limit is broken, the body does not come whole or is not what
/// its `ETag` promised, the object exists but must not, or too few servers can do it. Then nothing is stored, but after
/// `Unavailable` some servers may have it all the same.
pub async fn put(call: Call<'_>, put: Put) -> Result<Stored, Error> {
    let only_if_absent = put.headers.get(IF_NONE_MATCH).map(is_any);
    if only_if_absent == Some(false) {
        return Err(Error::IfNoneMatch);
    }
    call.authorize(&Method::PUT, &Resource::Object(put.name.clone())).await?;
    let container = call.container_of(&put.name).await?;
    let max_length = call.proxy.config.constraints.max_file_size;
    let length = put.length?;
    if length.is_some_and(|length| length > max_length) {
        return Err(Error::TooLarge);
    }
    let (mut headers, written) = call.write_headers();
    describe(call, &put.name, &put.headers, written, &mut headers)?;
    if only_if_absent.is_some() {
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    // One that is no text is still a promise, and no body keeps it.
    let expect_etag = put.headers.get(ETAG).map(|etag| String::from_utf8_lossy(etag.as_bytes()).into_owned());
    let expect_etag = expect_etag.filter(|etag| !etag.is_empty());
    crypto::seal_metadata(call.proxy, &put.name, &mut headers)?;
    let outgoing = crypto::Outgoing::new(call.proxy, &put.name, &mut headers, put.body, expect_etag)?;
    let answered = outgoing.answered();
    let stored = call.proxy.client.put_object(PutObject {
        path: put.name.target(container.policy),
        headers: &headers,
        body: outgoing.body,
        length,
        max_length,
        expect_etag: outgoing.expect_etag.as_deref(),
        footers: outgoing.footers,
    });
    let outcome = stored.await?;
    let newer = outcome.status == StatusCode::ACCEPTED;
    Ok(Stored { etag: answered(outcome.etag).filter(|_| !newer), written })
}

/// Writes into `headers` what shall be stored beside the bytes, if it keeps to the rules.
fn describe(
    call: Call<'_>,
    name: &ObjectName,
    request: &HeaderMap,
    now: Timestamp,
    headers: &mut HeaderMap,
) -> Result<(), Error> {
    let constraints = &call.proxy.config.constraints;
    let kind = content_type(request, &name.object, is_true(request, "x-detect-content-type"));
    constraints.check_name(Level::Object, &name.account, &name.object)?;
    let expiry = delete_at(request, now)?;
    check_content_type(&kind)?;
    constraints.check_metadata(request, Level::Object)?;
    headers.extend(stored(request));
    headers.insert(CONTENT_TYPE, kind);
    if let Some(expiry) = expiry {
        headers.insert(DELETE_AT, HeaderValue::from(expiry));
    }
    Ok(())
}

/// Whether a list of ETags holds `*`.
fn is_any(value: &HeaderValue) -> bool {
    value.as_bytes().split(|b| *b == b',').any(|tag| tag.trim_ascii() == b"*")
}

impl From<PutError> for Error {
    fn from(error: PutError) -> Self {
        match error {
            PutError::NoQuorum(reason) => reason.into(),
            PutError::Exists => Self::Refused(StatusCode::PRECONDITION_FAILED, String::new()),
            PutError::EtagMismatch { .. } => Self::Refused(StatusCode::UNPROCESSABLE_ENTITY, String::new()),
            PutError::Body(error) => Self::Body(error),
            PutError::Refused(answer) => super::refused(&answer),
            PutError::Footers(reason) => {
                tracing::error!(%reason, "an object cannot be described");
                Self::Refused(StatusCode::INTERNAL_SERVER_ERROR, String::new())
            }
        }
    }
}
