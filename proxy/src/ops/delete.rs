//! Deleting objects.

use apus_base::client::Target;
use http::{HeaderMap, HeaderName, Method};

use super::resource::{ObjectName, Resource};
use super::versions::Version;
use super::{Call, history};
use crate::error::Error;

/// The object is deleted only if this is when it expires; an expirer says so, and clients may.
pub(super) const IF_DELETE_AT: HeaderName = HeaderName::from_static("x-if-delete-at");

/// What became of a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Whether there was something to delete.
    pub existed: bool,
    /// Where versions are kept: the one that was deleted, or the delete marker.
    pub version: Option<Version>,
    /// The current version after one was deleted.
    pub current: Option<Version>,
}

/// Deletes an object; where versions are kept, it goes out of sight.
///
/// # Errors
/// When the caller may not, there is no such object, there is a newer version (409), or too few servers can do it.
pub async fn delete(call: Call<'_>, name: &ObjectName) -> Result<(), Error> {
    let deleted = delete_version(call, name, None).await?;
    if deleted.existed { Ok(()) } else { Err(Error::NotFound) }
}

/// Deletes an object as [`delete`] does, or one of its versions for good. That there was nothing to delete is no error.
///
/// # Errors
/// As [`delete`].
pub async fn delete_version(call: Call<'_>, name: &ObjectName, version: Option<Version>) -> Result<Deleted, Error> {
    call.authorize(&Method::DELETE, &Resource::Object(name.clone())).await?;
    history::delete(call, name, version).await
}

/// Removes what is at a name, under the client's condition.
///
/// # Errors
/// As [`remove`], but that there was nothing is no error.
pub(super) async fn remove_current(call: Call<'_>, name: &ObjectName) -> Result<Deleted, Error> {
    let (mut headers, _) = call.write_headers();
    if let Some(expiry) = call.parts.headers.get(IF_DELETE_AT) {
        headers.insert(IF_DELETE_AT, expiry.clone());
    }
    match remove(call, name, headers).await {
        Ok(()) => Ok(Deleted { existed: true, ..Deleted::default() }),
        Err(Error::NotFound) => Ok(Deleted::default()),
        Err(error) => Err(error),
    }
}

/// Removes what is at a name. Servers that do not have it keep a tombstone all the same, against older versions elsewhere.
///
/// # Errors
/// As [`delete`], but anybody may.
pub(super) async fn remove(call: Call<'_>, name: &ObjectName, headers: HeaderMap) -> Result<(), Error> {
    let container = call.container_of(name).await?;
    call.write(Method::DELETE, &Target::Object(name.target(container.policy)), &headers).await.map(drop)
}
