//! Replacing the metadata of objects.

use apus_base::client::Target;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::headers::stored;
use super::put::DELETE_AT;
use super::resource::{ObjectName, Resource};
use super::symlink::{Link, LinkError};
use super::{Call, crypto, lock, versions};
use crate::constraints::{Level, check_content_type, delete_at};
use crate::error::Error;

/// Asks the object servers not to tell the listing: nothing that it shows is changed. No client can set it.
pub(super) const UNLISTED: HeaderName = HeaderName::from_static(apus_base::wire::header::UNLISTED);

/// What became of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The object has new metadata.
    Done,
    /// The object is a link, which has new metadata, but not what it stands for.
    OnLink {
        /// The path of its target in the API, percent-encoded.
        path: String,
        /// What a static link says of its target.
        etag: Option<String>,
    },
}

/// Replaces all metadata of an object and its expiry; its content type stays unless the request has one.
///
/// # Errors
/// When the caller may not, a limit is broken, there is no such object, it is locked and would expire, or too few servers can
/// do it.
pub async fn post(call: Call<'_>, name: &ObjectName, request: &HeaderMap) -> Result<Posted, Error> {
    call.authorize(&Method::POST, &Resource::Object(name.clone())).await?;
    if Link::is_asked(request) {
        return Err(LinkError::Post.into());
    }
    let mut request = request.clone();
    request.extend(lock::kept(call, name, &request).await?);
    versions::post(call, name, &request).await
}

/// Replaces the metadata of what is at a name, and gives the system metadata that it has.
///
/// # Errors
/// As [`post`], but anybody may.
pub(super) async fn replace(call: Call<'_>, name: &ObjectName, request: &HeaderMap) -> Result<HeaderMap, Error> {
    let container = call.container_of(name).await?;
    call.proxy.config.constraints.check_metadata(request, Level::Object)?;
    let (mut headers, now) = call.write_headers();
    headers.extend(stored(request));
    crypto::seal_metadata(call.proxy, name, &mut headers)?;
    call.open_expired(&mut headers);
    if let Some(unlisted) = request.get(UNLISTED) {
        headers.insert(UNLISTED, unlisted.clone());
    }
    if let Some(kind) = request.get(CONTENT_TYPE).filter(|kind| !kind.is_empty()) {
        check_content_type(kind)?;
        headers.insert(CONTENT_TYPE, kind.clone());
    }
    if let Some(expiry) = delete_at(request, now)? {
        headers.insert(DELETE_AT, HeaderValue::from(expiry));
    }
    call.write(Method::POST, &Target::Object(name.target(container.policy)), &headers)
        .await
        .map(|answer| answer.headers)
}
