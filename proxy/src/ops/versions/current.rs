//! What is at an object's name before it changes.

use apus_base::body::Body;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::{BACKEND_TIMESTAMP, TIMESTAMP};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::VersionError;
use super::archive::{Archive, id};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::duplicate::{duplicate, newest};
use crate::ops::resource::ObjectName;
use crate::ops::symlink::Link;

/// What a link of ours is known by.
const IS_OURS: HeaderName = HeaderName::from_static("x-object-sysmeta-versions-symlink");

/// Whether something is at the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Current {
    /// Something is.
    There,
    /// Nothing is.
    Missing,
}

/// Makes sure that what is at a name is in the archive: the null version is copied there.
pub(super) async fn keep(call: Call<'_>, archive: &Archive, name: &ObjectName) -> Result<Current, Error> {
    let Some(current) = newest(call, name).await? else {
        return Ok(Current::Missing);
    };
    if linked(current.headers(), archive).is_none() {
        let version = archive.version(name, id(written(&current)));
        duplicate(call, current, version).await.map_err(in_archive)?;
    }
    Ok(Current::There)
}

/// The version that an object with these headers leads to, if it is a link of ours. A client's copy of such a link is
/// none, even if it has the mark.
pub(super) fn linked(stored: &HeaderMap, archive: &Archive) -> Option<Timestamp> {
    let link = Link::of(stored).filter(|link| link.reserved && link.account.is_none());
    let target = link.filter(|_| stored.contains_key(IS_OURS))?.points_to("")?;
    let (_, id) = super::name::parse(&target.object).filter(|_| *target.container == *archive.container)?;
    Some(id)
}

/// Marks the headers of a link of ours.
pub(super) fn mark(headers: &mut HeaderMap) {
    headers.insert(IS_OURS, HeaderValue::from_static("true"));
}

/// When it was last changed.
pub(super) fn written(current: &Response<Body>) -> Timestamp {
    let stamp = |name: &str| current.headers().get(name)?.to_str().ok()?.parse().ok();
    stamp(BACKEND_TIMESTAMP).or_else(|| stamp(TIMESTAMP)).unwrap_or_default()
}

/// The archive is missing, if what is to be written there finds no container.
pub(super) fn in_archive(error: Error) -> Error {
    match error {
        Error::NotFound => VersionError::NoArchive.into(),
        error => error,
    }
}
