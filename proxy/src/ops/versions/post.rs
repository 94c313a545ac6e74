//! New metadata for the current version.

use http::header::CONTENT_LOCATION;
use http::{HeaderMap, HeaderName};

use super::archive::Archive;
use super::current::linked;
use super::{VERSION_ID, Version};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::annotate::with_tags;
use crate::ops::post::{Posted, replace};
use crate::ops::put::DELETE_AT;
use crate::ops::resource::ObjectName;
use crate::ops::symlink::{Link, LinkError};

const DELETE_AFTER: HeaderName = HeaderName::from_static("x-delete-after");

/// Replaces the metadata of an object: of the link, which may expire, and of the version that it leads to, which does not.
///
/// # Errors
/// As [`replace`].
pub(in crate::ops) async fn post(call: Call<'_>, name: &ObjectName, request: &HeaderMap) -> Result<Posted, Error> {
    let kept = replace(call, name, &with_tags(call, name, request).await?).await?;
    let Some(link) = Link::of(&kept) else {
        return Ok(Posted::Done);
    };
    let archive = Archive::of(call, name).await?;
    let version = archive.and_then(|archive| Some(archive.version(name, linked(&kept, &archive)?)));
    let Some(version) = version else {
        return Ok(Posted::OnLink { path: link.path(&name.account), etag: link.etag });
    };
    let mut request = request.clone();
    [DELETE_AT, DELETE_AFTER].iter().for_each(|name| drop(request.remove(name)));
    let kept = replace(call, &version, &with_tags(call, &version, &request).await?).await?;
    Ok(match Link::of(&kept) {
        Some(link) => Posted::OnLink { path: link.path(&name.account), etag: link.etag },
        None => Posted::Done,
    })
}

/// The version that headers are of which were read; `None` where no versions are kept.
pub(in crate::ops) fn version_of(read: &HeaderMap) -> Option<Version> {
    read.get(VERSION_ID).and_then(|id| id.to_str().ok()?.parse().ok())
}

/// Where an object is whose headers were read: in the archive, if it is a version that is kept there.
///
/// # Errors
/// When a link of a client's was followed to it.
pub(in crate::ops) async fn place(call: Call<'_>, name: &ObjectName, read: &HeaderMap) -> Result<ObjectName, Error> {
    match (version_of(read), Archive::of(call, name).await?) {
        (Some(Version::Id(id)), Some(archive)) => Ok(archive.version(name, id)),
        _ if read.contains_key(CONTENT_LOCATION) => Err(LinkError::Post.into()),
        _ => Ok(name.clone()),
    }
}
