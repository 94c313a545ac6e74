//! Deleting one object, one of many, or one of its versions.
//!
//! An object that was uploaded in parts goes with its parts, which the expirer takes away: they are nobody else's. The
//! segments of a large object that Swift's clients made go at once.

use apus_base::timestamp::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::code::Code;
use super::fault::Fault;
use super::metadata::set;
use super::{Answered, Face, condition, empty};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::condition::Condition;
use crate::ops::container;
use crate::ops::delete::{Deleted, delete_if, delete_version};
use crate::ops::get::{Read, get};
use crate::ops::large::{S3_ETAG, delete as large, is_static};
use crate::ops::listing::Listing;
use crate::ops::put::Put;
use crate::ops::resource::ObjectName;
use crate::ops::rows::{Entry, collect};
use crate::ops::versions::{DELETE_MARKER, Version, VersionError, Versions, list, restore};

/// Versions that are looked at to find the one that becomes current again.
const VERSIONS: u64 = 100;

/// What became of a deletion.
pub(super) struct Gone {
    deleted: Deleted,
    /// Whether a delete marker was made, or was what went.
    marker: bool,
}

pub(super) async fn answer(face: &Face<'_>) -> Answered {
    let (name, version) = (face.object()?, face.version()?);
    let mut response = empty(StatusCode::NO_CONTENT);
    let shown = |version: Version, headers: &mut HeaderMap| {
        set(headers, HeaderName::from_static("x-amz-version-id"), &version.to_string());
    };
    let condition = condition::of_delete(&face.parts.headers)?;
    match one(face, &name, version, condition.as_ref()).await {
        Ok(gone) => {
            if let Some(version) = gone.deleted.version {
                shown(version, response.headers_mut());
            }
            if gone.marker {
                response.headers_mut().insert("x-amz-delete-marker", HeaderValue::from_static("true"));
            }
        }
        // A bucket that never kept versions has none to delete.
        Err(fault) if fault.code == Code::NoSuchVersion => {
            if let Some(version) = version {
                shown(version, response.headers_mut());
            }
        }
        Err(fault) if fault.code == Code::NoSuchKey && condition.is_none() => {}
        Err(fault) => return Err(fault),
    }
    Ok(response)
}

/// Deletes one object or one version of it.
pub(super) async fn one(
    face: &Face<'_>,
    name: &ObjectName,
    version: Option<Version>,
    condition: Option<&Condition>,
) -> Result<Gone, Fault> {
    let gone = gone(face, name, version, condition).await?;
    if let Some(version) = version {
        bring_back(face, name, version, &gone).await?;
    }
    Ok(gone)
}

/// The same; but if the current version went, no other becomes the current one.
pub(super) async fn gone(
    face: &Face<'_>,
    name: &ObjectName,
    version: Option<Version>,
    condition: Option<&Condition>,
) -> Result<Gone, Fault> {
    let parts = face.request(Method::DELETE, HeaderMap::new());
    let call = face.call(&parts);
    let found = look(face, name, version).await;
    let was_marker = matches!(found, Err(Error::Version(VersionError::DeleteMarker(_))));
    let found = match found {
        // What is current instead is another version, which stays.
        Err(error) if version == Some(Version::Null) && error.is_not_found() => {
            return Err(face.object_fault(&name.container, &name.object, version, error).await);
        }
        found => found,
    };
    let done = match found.unwrap_or_default() {
        Found::Plain => match condition {
            Some(condition) => delete_if(call, name, version, condition).await,
            None => delete_version(call, name, version).await,
        },
        // Its segments may only go when it is gone.
        Found::Upload | Found::Large if condition.is_some() => {
            large::delete_later(call, name, version, condition).await
        }
        Found::Upload => match large::delete_later(call, name, version, None).await {
            // Its parts are not where S3 puts them.
            Err(Error::Large(_)) => with_segments(call, name, version).await,
            done => done,
        },
        Found::Large => with_segments(call, name, version).await,
    };
    let deleted = match done.map_err(|error| condition::refused(error, condition, &name.object)) {
        Ok(deleted) => deleted,
        // AWS says so of what is not there as well.
        Err(Ok(fault)) if fault.code == Code::NoSuchKey => return Err(condition::unmet("If-Match")),
        Err(Ok(fault)) => return Err(fault),
        Err(Err(error)) => return Err(face.object_fault(&name.container, &name.object, version, error).await),
    };
    if !deleted.existed && deleted.version.is_none() {
        return Err(face.object_fault(&name.container, &name.object, version, Error::NotFound).await);
    }
    let made_marker = version.is_none() && deleted.version.is_some();
    Ok(Gone { deleted, marker: was_marker || made_marker })
}

/// What is to be deleted.
#[derive(Default)]
enum Found {
    #[default]
    Plain,
    /// An object that was uploaded in parts.
    Upload,
    /// A large object of Swift's.
    Large,
}

async fn look(face: &Face<'_>, name: &ObjectName, version: Option<Version>) -> Result<Found, Error> {
    let parts = face.request(Method::HEAD, HeaderMap::new());
    let read = Read { version, as_link: true, ..Read::asked(name.clone(), Method::HEAD, &HeaderMap::new(), false) };
    let response = get(face.call(&parts), read).await?;
    let headers = response.headers();
    Ok(match (is_static(headers), headers.contains_key(S3_ETAG)) {
        (false, _) => Found::Plain,
        (true, true) => Found::Upload,
        (true, false) => Found::Large,
    })
}

async fn with_segments(call: Call<'_>, name: &ObjectName, version: Option<Version>) -> Result<Deleted, Error> {
    let mut failed = None;
    let done = large::delete(call, name, version, |_path, done| {
        if let Err(error) = done
            && !error.is_not_found()
        {
            failed.get_or_insert(error);
        }
    });
    let given_up = done.await.is_err();
    match failed {
        Some(error) => Err(error),
        None if given_up => Err(Error::Unavailable),
        None => Ok(Deleted { existed: true, version, ..Deleted::default() }),
    }
}

/// Makes the newest version that is left the current one, if the current one went, or the marker that said that there is none: from
/// just after that, so that what was stored meanwhile stays.
async fn bring_back(face: &Face<'_>, name: &ObjectName, went: Version, gone: &Gone) -> Result<(), Fault> {
    let mut free = match (gone.deleted.unlinked, went) {
        (Some(unlinked), _) => unlinked,
        (None, Version::Id(marker)) if gone.marker && gone.deleted.current == Some(Version::Null) => marker,
        _ => return Ok(()),
    };
    let parts = face.request(Method::DELETE, HeaderMap::new());
    let link = |written, version| {
        let put = Put::new(name.clone(), HeaderMap::new(), Ok(Some(0)), apus_base::body::empty());
        restore(face.call(&parts), Put { written, ..put }, version)
    };
    for version in left(face, name, went).await? {
        free = next_tick(free);
        let done = match link(Some(free), version).await {
            // A marker that was made on a condition, say, hid the object a little later.
            Ok(stored) if stored.etag.is_none() && gone.marker && !is_there(face, name).await => {
                link(None, version).await
            }
            done => done,
        };
        match done {
            Ok(_) => return Ok(()),
            // The listing was behind.
            Err(Error::Version(VersionError::Missing)) => {}
            Err(error) => return Err(face.object_fault(&name.container, &name.object, None, error).await),
        }
    }
    Ok(())
}

/// The versions down to the newest marker, the newest one first, without the one that went.
async fn left(face: &Face<'_>, name: &ObjectName, went: Version) -> Result<Vec<Version>, Fault> {
    let listing = Listing { limit: VERSIONS, prefix: name.object.to_string(), ..Listing::default() };
    let parts = face.request(Method::GET, HeaderMap::new());
    let versions = Versions { listing, has_marker: false, marker: None };
    let listed = list(face.call(&parts), face.container(), &versions, true).await;
    let most = usize::try_from(VERSIONS).unwrap_or(usize::MAX);
    let rows = match listed {
        Ok(listed) => collect(listed.into_body(), most, Entry::read).await,
        Err(error) => Err(error),
    };
    let mut left = Vec::new();
    for row in rows.map_err(|error| face.bucket_fault(error))? {
        let Entry::Object(row) = row else { continue };
        match row.version_id.as_deref().and_then(|id| id.parse().ok()) {
            _ if *row.name != *name.object => break,
            Some(version) if version == went => {}
            _ if row.content_type == DELETE_MARKER => break,
            Some(version @ Version::Id(_)) => left.push(version),
            _ => {}
        }
    }
    Ok(left)
}

/// Whether anything is at the name, as far as the servers say.
async fn is_there(face: &Face<'_>, name: &ObjectName) -> bool {
    let parts = face.request(Method::HEAD, HeaderMap::new());
    let read = Read { as_link: true, ..Read::asked(name.clone(), Method::HEAD, &HeaderMap::new(), true) };
    !get(face.call(&parts), read).await.is_err_and(|error| error.is_not_found())
}

/// The next tick of the clock, at an offset of chance: others who bring something back do not write at the same time.
fn next_tick(time: Timestamp) -> Timestamp {
    let mut offset = [0];
    // Without chance it is the same for all, which matters only if they do not bring back the same.
    let _ = getrandom::fill(&mut offset);
    Timestamp::from_ticks(time.ticks() + 1).with_offset(u64::from(offset[0] / 2))
}

/// Whether a bucket is there.
pub(super) async fn check_bucket(face: &Face<'_>) -> Result<(), Fault> {
    let parts = face.request(Method::HEAD, HeaderMap::new());
    let done = container::read(face.call(&parts), face.container(), Method::HEAD, &Listing::default(), false).await;
    done.map(drop).map_err(|error| face.bucket_fault(error))
}
