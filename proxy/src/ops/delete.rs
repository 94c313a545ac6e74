//! Deleting objects.

use apus_base::client::Target;
use http::{HeaderName, Method};

use super::Call;
use super::resource::{ObjectName, Resource};
use crate::error::Error;

/// The object is deleted only if this is when it expires; an expirer says so, and clients may.
const IF_DELETE_AT: HeaderName = HeaderName::from_static("x-if-delete-at");

/// Deletes an object. Servers that do not have it keep a tombstone all the same, against older versions elsewhere.
///
/// # Errors
/// When the caller may not, there is no such object, there is a newer version (409), or too few servers can do it.
pub async fn delete(call: Call<'_>, name: &ObjectName) -> Result<(), Error> {
    call.authorize(&Method::DELETE, &Resource::Object(name.clone())).await?;
    let container = call.container_of(name).await?;
    let (mut headers, _) = call.write_headers();
    if let Some(expiry) = call.parts.headers.get(IF_DELETE_AT) {
        headers.insert(IF_DELETE_AT, expiry.clone());
    }
    call.write(Method::DELETE, &Target::Object(name.target(container.policy)), &headers).await.map(drop)
}
