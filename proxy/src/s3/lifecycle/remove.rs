//! Removing what a listing has shown to be over its time, and nothing else.
//!
//! A listing is behind: an object may have been written anew since, got other tags, or be a version that somebody has made the
//! current one again. So each is looked at once more, in its newest version, judged by what is there, and then removed only as it
//! was seen:
//!
//! - *A current version* goes on the condition that what is at its name is still of the time that was seen
//!   ([`Condition::unchanged`]), which is decided together with the deletion by a majority of the primaries
//!   ([`ballot`](apus_base::ballot)). A write that comes before it makes it fail, one that comes after it is newer. If the
//!   primaries have no majority, nothing happens. A bucket that keeps versions gets a delete marker, which is taken back if
//!   the condition fails; should the proxy die in between, the marker is one version more, and what was current still is.
//! - *Another version* never changes; that it is not the current one is looked at just before. Who makes an old version
//!   current again (only Swift's clients can) in the moment between the two loses it, as if they had come a moment later.
//! - *A delete marker* goes if a listing of its key shows nothing else. A version that the listing did not know yet is not
//!   current then, and stays; a write at the same moment has made a version that is newer than the marker.
//! - *A locked version* is refused by the operation, and so is kept.
//!
//! Parts go with their object: they are left to the expirer when the object is certain to be gone, or will be.

use apus_base::timestamp::Timestamp;
use apus_base::wire::header::{BACKEND_DATA_TIMESTAMP, BACKEND_TIMESTAMP};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method};

use super::judge::{Listed, Now, Task};
use super::rule::{Facts, Rules};
use crate::error::Error;
use crate::ops::condition::Condition;
use crate::ops::delete::delete_version;
use crate::ops::get::{Read, get};
use crate::ops::listing::Listing;
use crate::ops::rows::{Entry, collect};
use crate::ops::versions::{VERSION_ID, Version, VersionError, Versions, list};
use crate::s3::auth::header;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::tagging::Tags;
use crate::s3::{Face, delete};

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Removed,
    /// There is something else now, or no rule is about what is there.
    Spared,
    /// It is locked.
    Kept,
}

/// Does a task.
///
/// # Errors
/// When the cluster cannot do it now.
pub(super) async fn remove(face: &Face<'_>, rules: &Rules, now: Now, task: &Task) -> Result<Outcome, Fault> {
    let done = match task {
        Task::Expire(listed) => expire(face, rules, now, listed).await,
        Task::Drop { listed, since, newer } => {
            let is_over = |facts: Facts<'_>| rules.drops(facts, *since, *newer, now.secs, now.day);
            drop_version(face, listed, is_over).await
        }
        Task::DropMarker(listed) => drop_marker(face, listed).await,
    };
    match done {
        Err(fault) => match fault.code {
            Code::AccessDenied => Ok(Outcome::Kept),
            Code::PreconditionFailed | Code::ConditionalRequestConflict | Code::NoSuchKey | Code::NoSuchVersion => {
                Ok(Outcome::Spared)
            }
            _ => Err(fault),
        },
        done => done,
    }
}

/// The newest of what is at a name, or one version; `None` if there is none.
async fn look(face: &Face<'_>, key: &str, version: Option<Version>) -> Result<Option<HeaderMap>, Fault> {
    let parts = face.request(Method::HEAD, HeaderMap::new());
    let asked = Read::asked(face.name(face.bucket(), key), Method::HEAD, &HeaderMap::new(), true);
    // What is at the name itself, where that leads to a version.
    let read = Read { as_link: version.is_none(), version, ..asked };
    match get(face.call(&parts), read).await {
        Ok(response) => Ok(Some(response.headers().clone())),
        Err(Error::Version(VersionError::DeleteMarker(_))) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(face.fault(error)),
    }
}

/// The version that is at a name.
fn version_in(headers: &HeaderMap) -> Version {
    header(headers, VERSION_ID.as_str()).parse().unwrap_or(Version::Null)
}

/// Whether a version is over, by tags that are looked for only if it matters which it has.
async fn is_over(face: &Face<'_>, listed: &Listed, rule: impl Fn(Facts<'_>) -> bool) -> Result<bool, Fault> {
    let none = Tags::default();
    if rule(listed.facts(Some(&none))) {
        return Ok(true);
    }
    if listed.is_marker {
        return Ok(false);
    }
    let found = look(face, &listed.key, Some(listed.version)).await?;
    Ok(found.is_some_and(|headers| rule(listed.facts(Some(&Tags::of_object(&headers))))))
}

async fn expire(face: &Face<'_>, rules: &Rules, now: Now, listed: &Listed) -> Result<Outcome, Fault> {
    let Some(headers) = look(face, &listed.key, None).await? else { return Ok(Outcome::Spared) };
    let stamp = |name: &str| header(&headers, name).parse::<Timestamp>().ok();
    let Some(seen) = stamp(BACKEND_TIMESTAMP) else { return Ok(Outcome::Spared) };
    if version_in(&headers) != listed.version {
        return Ok(Outcome::Spared);
    }
    let goes =
        |facts: Facts<'_>, written: u64| rules.expiry(facts, written, now.day).is_some_and(|(at, _)| at <= now.secs);
    let goes = match listed.version {
        Version::Id(_) => is_over(face, listed, |facts| goes(facts, listed.written)).await?,
        Version::Null => {
            let tags = Tags::of_object(&headers);
            let bytes = header(&headers, CONTENT_LENGTH.as_str()).parse().unwrap_or(listed.bytes);
            let written = stamp(BACKEND_DATA_TIMESTAMP).unwrap_or(seen).secs();
            goes(Facts { key: &listed.key, bytes, tags: Some(&tags) }, written)
        }
    };
    if !goes {
        return Ok(Outcome::Spared);
    }
    let name = face.name(face.bucket(), listed.key.as_str());
    delete::one(face, &name, None, Some(&Condition::unchanged(seen))).await?;
    Ok(Outcome::Removed)
}

async fn drop_version(face: &Face<'_>, listed: &Listed, rule: impl Fn(Facts<'_>) -> bool) -> Result<Outcome, Fault> {
    if !is_over(face, listed, rule).await? {
        return Ok(Outcome::Spared);
    }
    let current = look(face, &listed.key, None).await?;
    if listed.version == Version::Null || current.is_some_and(|headers| version_in(&headers) == listed.version) {
        return Ok(Outcome::Spared);
    }
    let name = face.name(face.bucket(), listed.key.as_str());
    delete::gone(face, &name, Some(listed.version), None).await?;
    Ok(Outcome::Removed)
}

async fn drop_marker(face: &Face<'_>, listed: &Listed) -> Result<Outcome, Fault> {
    let parts = face.request(Method::GET, HeaderMap::new());
    let listing = Listing { limit: 2, prefix: listed.key.clone(), ..Listing::default() };
    let versions = Versions { listing, has_marker: false, marker: None };
    let rows = match list(face.call(&parts), face.container(), &versions, true).await {
        Ok(response) => collect(response.into_body(), 2, Entry::read).await,
        Err(error) => Err(error),
    };
    let rows = rows.map_err(|error| face.bucket_fault(error))?;
    // The key itself comes before all that begin with it.
    let mut own = rows.iter().filter(|row| row.name() == listed.key);
    let is_it = |row: &Entry| matches!(row, Entry::Object(row) if Listed::of(row).as_ref() == Some(listed));
    if !own.next().is_some_and(is_it) || own.next().is_some() {
        return Ok(Outcome::Spared);
    }
    let (request, name) =
        (face.request(Method::DELETE, HeaderMap::new()), face.name(face.bucket(), listed.key.as_str()));
    match delete_version(face.call(&request), &name, Some(listed.version)).await {
        Ok(_) => Ok(Outcome::Removed),
        Err(error) => Err(face.object_fault(face.bucket(), &listed.key, Some(listed.version), error).await),
    }
}
