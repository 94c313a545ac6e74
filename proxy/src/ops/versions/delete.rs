//! Deleting: of the current version by a delete marker, of any version for good.

use apus_base::body::{self, Body};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::{IF_DELETE_AT, TIMESTAMP};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use super::archive::{Archive, id};
use super::current::{in_archive, keep, linked, written};
use super::{DELETE_MARKER, Version, VersionError};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::condition::Condition;
use crate::ops::delete::{Deleted, look, remove, remove_current, remove_if, remove_now};
use crate::ops::duplicate::newest;
use crate::ops::lock;
use crate::ops::put::{Put, store};
use crate::ops::resource::{ObjectName, Resource};
use crate::ops::timestamp_value;

/// Deletes an object, or one version of it.
///
/// # Errors
/// As [`remove`], when there is no such version, or it is locked.
pub(in crate::ops) async fn delete(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    condition: Option<&Condition>,
) -> Result<Deleted, Error> {
    let archive = Archive::of(call, name).await?;
    match (version, archive) {
        (Some(Version::Id(id)), Some(archive)) => {
            let is_protected = lock::is_protected(call, name).await?;
            lock::check(call, &archive.version(name, id), is_protected, |_| false).await?;
            look(call, &archive.version(name, id), condition).await?;
            delete_version(call, name, &archive, id).await
        }
        (Some(Version::Id(_)), None) if call.proxy.config.versioned_writes.allow_object_versioning => {
            Err(VersionError::NotVersioned.into())
        }
        (None, Some(archive)) if archive.enabled => mark_deleted(call, name, &archive, condition).await,
        (_, archive) => {
            if lock::is_protected(call, name).await? {
                let leads =
                    |found: &HeaderMap| archive.as_ref().is_some_and(|archive| linked(found, archive).is_some());
                lock::check(call, name, true, leads).await?;
            }
            remove_current(call, name, condition).await
        }
    }
}

/// Stores a delete marker, then removes the link.
async fn mark_deleted(
    call: Call<'_>,
    name: &ObjectName,
    archive: &Archive,
    condition: Option<&Condition>,
) -> Result<Deleted, Error> {
    look(call, name, condition).await?;
    keep(call, archive, name).await?;
    let (mut headers, now) = call.write_headers();
    store(call, marker(archive.version(name, id(now)), now)).await.map_err(in_archive)?;
    if let Some(expiry) = call.parts.headers.get(IF_DELETE_AT) {
        headers.insert(HeaderName::from_static(IF_DELETE_AT), expiry.clone());
    }
    let done = match condition {
        Some(condition) => remove_if(call, name, condition).await,
        None => remove_now(call, name, headers).await,
    };
    if matches!(done, Err(Error::Unmet { .. } | Error::Contended)) {
        // Somebody else was first; the marker that was stored for nothing goes.
        remove(call, &archive.version(name, id(now)), call.write_headers().0).await?;
    }
    Ok(Deleted { existed: removed(done)?, version: Some(Version::Id(id(now))), current: None })
}

/// A delete marker.
pub(in crate::ops) fn marker(name: ObjectName, written: Timestamp) -> Put {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(DELETE_MARKER))]);
    Put { own: true, written: Some(written), ..Put::new(name, headers, Ok(Some(0)), body::empty()) }
}

/// Removes a version. If it is the current one, the link to it goes first.
async fn delete_version(call: Call<'_>, name: &ObjectName, archive: &Archive, id: Timestamp) -> Result<Deleted, Error> {
    let version = archive.version(name, id);
    call.authorize(&Method::DELETE, &Resource::Object(version.clone())).await?;
    let current = current(call, name, archive).await?;
    if let Some(link) = current.filter(|link| link.to == id) {
        let (mut headers, _) = call.write_headers();
        // Just later than the link that was seen: one that is moved meanwhile is later and stays.
        headers.insert(TIMESTAMP, timestamp_value(link.written.with_offset(link.written.offset() + 1)));
        removed(remove(call, name, headers).await)?;
    }
    let existed = removed(remove(call, &version, call.write_headers().0).await)?;
    let left = current.filter(|link| link.to != id).map_or(Version::Null, |link| Version::Id(link.to));
    Ok(Deleted { existed, version: Some(Version::Id(id)), current: Some(left) })
}

/// The link to a current version.
#[derive(Clone, Copy)]
struct CurrentLink {
    to: Timestamp,
    written: Timestamp,
}

/// The link to the current version, if there is one and it is not the null version.
async fn current(call: Call<'_>, name: &ObjectName, archive: &Archive) -> Result<Option<CurrentLink>, Error> {
    let current = newest(call, name).await?;
    let link =
        |found: &Response<Body>| Some(CurrentLink { to: linked(found.headers(), archive)?, written: written(found) });
    Ok(current.as_ref().and_then(link))
}

/// Whether there was something to remove.
fn removed(done: Result<(), Error>) -> Result<bool, Error> {
    match done {
        Ok(()) => Ok(true),
        Err(Error::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}
