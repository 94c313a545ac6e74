//! Replacing the metadata of objects.

use apus_base::client::Target;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};

use super::{Call, crypto};
use super::headers::stored;
use super::put::DELETE_AT;
use super::resource::{ObjectName, Resource};
use crate::constraints::{Level, check_content_type, delete_at};
use crate::error::Error;

/// Replaces all metadata of an object and its expiry; its content type stays unless the request has one.
///
/// # Errors
/// When the caller may not, a limit is broken, there is no such object, or too few servers can do it.
pub async fn post(call: Call<'_>, name: &ObjectName, request: &HeaderMap) -> Result<(), Error> {
    call.authorize(&Method::POST, &Resource::Object(name.clone())).await?;
    let container = call.container_of(name).await?;
    call.proxy.config.constraints.check_metadata(request, Level::Object)?;
    let (mut headers, now) = call.write_headers();
    headers.extend(stored(request));
    crypto::seal_metadata(call.proxy, name, &mut headers)?;
    if let Some(kind) = request.get(CONTENT_TYPE).filter(|kind| !kind.is_empty()) {
        check_content_type(kind)?;
        headers.insert(CONTENT_TYPE, kind.clone());
    }
    if let Some(expiry) = delete_at(request, now)? {
        headers.insert(DELETE_AT, HeaderValue::from(expiry));
    }
    call.write(Method::POST, &Target::Object(name.target(container.policy)), &headers).await.map(drop)
}
