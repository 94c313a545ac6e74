//! Deleting: of the current version by a delete marker, of any version for good.
//!
//! # A version and the link to it
//! A version and the link that makes it current have two names, and whoever changes both may meet others who do, or die between.
//! No lock is taken; times decide, as for all that is written without a condition.
//! - The link goes before the version that it leads to, at a time just later than it was written. A link that was moved meanwhile is
//!   later and stays (409), and one looks again. So whatever is stored while a version goes is current afterwards.
//! - Who has removed a version looks at the link once more, and who has made an old version current looks at the version once
//!   more ([`restore`](super::restore)): the later of the two sees what the other did, and takes the link back.
//! - Where another version becomes current because this one went ([`Deleted::unlinked`]), its link is written just later than the
//!   other one went, and so before whatever was stored meanwhile. If no link went, none is written: what is there instead may have
//!   been stored, or deleted, while versioning was off.
//!
//! Who dies between leaves a name without a link, or at worst a link that leads nowhere, which reads like no object and goes when
//! its version is deleted again.

use apus_base::body::{self, Body};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::{IF_DELETE_AT, TIMESTAMP};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

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

/// How often a link is looked at that others move.
const MAX_LOOKS: usize = 10;

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
        Some(condition) => remove_if(call, name, condition).await.map(drop),
        None => remove_now(call, name, headers).await,
    };
    if matches!(done, Err(Error::Unmet { .. } | Error::Contended)) {
        // Somebody else was first; the marker that was stored for nothing goes.
        remove(call, &archive.version(name, id(now)), call.write_headers().0).await?;
    }
    Ok(Deleted { existed: removed(done)?, version: Some(Version::Id(id(now))), ..Deleted::default() })
}

/// A delete marker.
pub(in crate::ops) fn marker(name: ObjectName, written: Timestamp) -> Put {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(DELETE_MARKER))]);
    Put { own: true, written: Some(written), ..Put::new(name, headers, Ok(Some(0)), body::empty()) }
}

/// Removes a version, and the link to it if it is the current one.
async fn delete_version(call: Call<'_>, name: &ObjectName, archive: &Archive, id: Timestamp) -> Result<Deleted, Error> {
    let version = archive.version(name, id);
    call.authorize(&Method::DELETE, &Resource::Object(version.clone())).await?;
    let before = unlink(call, name, archive, id).await?;
    let existed = removed(remove(call, &version, call.write_headers().0).await)?;
    let after = unlink(call, name, archive, id).await?;
    let current = after.leads_to.map_or(Version::Null, Version::Id);
    Ok(Deleted {
        existed,
        version: Some(Version::Id(id)),
        current: Some(current),
        unlinked: after.at.or(before.at).filter(|_| after.leads_to.is_none()),
    })
}

/// What became of the link to a version.
pub(super) struct Unlinked {
    /// When it went, if it led there.
    at: Option<Timestamp>,
    /// The version that it leads to otherwise.
    leads_to: Option<Timestamp>,
}

/// Removes the link if it leads to this version.
///
/// # Errors
/// `Contended` when others always move it meanwhile, or too few servers answer.
pub(super) async fn unlink(
    call: Call<'_>,
    name: &ObjectName,
    archive: &Archive,
    id: Timestamp,
) -> Result<Unlinked, Error> {
    let mut refused = None;
    for _ in 0..MAX_LOOKS {
        let link = match current(call, name, archive).await? {
            Some(link) if link.to == id => link,
            Some(link) => return Ok(Unlinked { leads_to: Some(link.to), at: None }),
            // Those who did not refuse have its tombstone.
            None => return Ok(Unlinked { leads_to: None, at: refused.map(Timestamp::just_after) }),
        };
        let done = if refused == Some(link.written) {
            // It was not moved: a conditional write was promised that nothing older gets in.
            remove_if(call, name, &Condition::unchanged(link.written)).await
        } else {
            let (mut headers, at) = (call.backend_headers(), link.written.just_after());
            headers.insert(TIMESTAMP, timestamp_value(at));
            remove(call, name, headers).await.map(|()| at).or_else(|error| if_missing(error, at))
        };
        match done {
            Err(Error::Refused(StatusCode::CONFLICT, _) | Error::Unmet { .. } | Error::Contended) => {
                refused = Some(link.written);
            }
            done => return Ok(Unlinked { at: Some(done?), leads_to: None }),
        }
    }
    Err(Error::Contended)
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
    done.map(|()| true).or_else(|error| if_missing(error, false))
}

/// That there is nothing to remove is as good as having removed it.
fn if_missing<T>(error: Error, instead: T) -> Result<T, Error> {
    if matches!(error, Error::NotFound) { Ok(instead) } else { Err(error) }
}
