//! Deleting objects.

use apus_base::client::Target;
use http::Method;

use super::Call;
use super::resource::{ObjectName, Resource};
use crate::error::Error;

/// Deletes an object. Servers that do not have it keep a tombstone all the same, against older versions elsewhere.
///
/// # Errors
/// When the caller may not, there is no such object, there is a newer version (409), or too few servers can do it.
pub async fn delete(call: Call<'_>, name: &ObjectName) -> Result<(), Error> {
    call.authorize(&Method::DELETE, &Resource::Object(name.clone())).await?;
    let container = call.container_of(name).await?;
    let (headers, _) = call.write_headers();
    call.write(Method::DELETE, &Target::Object(name.target(container.policy)), &headers).await.map(drop)
}
