//! Giving up uploads that nobody completes, as a lifecycle wants it.
//!
//! Somebody may be completing the upload in this very moment. So each of the two says what it wants before it looks what the other
//! does, on a majority of the primaries: whoever completes it says that it is [closing](Upload::close), and then looks whether it
//! was given up; whoever gives it up marks it so, on condition that it is unchanged, and then looks whether it is closing. At least
//! one of them sees the other and stops. If both do, it is given up when the completion has died for certain.
//!
//! Then it is looked whether an object came of it, in whatever version: a completion may have died when all was done but the
//! removal of the upload. The parts of that stay. Else the parts go, and last the upload itself: until then it can be given up
//! again, and a crash leaves nothing that would not be.

use apus_base::timestamp::Timestamp;
use apus_base::wire::header::BACKEND_TIMESTAMP;
use apus_base::{body, clock};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};

use super::list::{Row, after, rows};
use super::{CLOSING, Upload};
use crate::error::Error;
use crate::ops::condition::Condition;
use crate::ops::get::{Read, get};
use crate::ops::large::{S3_ETAG, UPLOAD_ID};
use crate::ops::listing::Listing;
use crate::ops::lock::of_upload;
use crate::ops::put::{Put, put};
use crate::ops::resource::ObjectName;
use crate::ops::rows::{Entry, Object, collect};
use crate::ops::versions::{Version, VersionError, Versions, list};
use crate::s3::Face;
use crate::s3::auth::header;
use crate::s3::fault::Fault;
use crate::s3::translate::SEGMENTS;

/// In the place of the ETag of what came of an upload: nothing will.
const GIVEN_UP: HeaderValue = HeaderValue::from_static("given-up");

/// Whoever says that it is closing and has not done it after so long has died: a completion takes minutes at most.
const CLOSING_SECS: u64 = 3600;
/// Versions that are listed in one turn.
const PAGE: usize = 100;

/// An upload that is not completed.
pub(in crate::s3) struct Open {
    pub(in crate::s3) key: String,
    id: String,
    /// When it began, in seconds since 1970.
    pub(in crate::s3) began: u64,
}

impl Open {
    fn of(row: &Entry) -> Option<Self> {
        let Entry::Object(row) = row else { return None };
        let upload = Row::of(&row.name, &row.last_modified)?;
        let listed = || Timestamp::from_isoformat(&upload.modified);
        let began = began(&upload.id).or_else(listed)?.secs();
        Some(Self { key: upload.key, id: upload.id, began })
    }
}

/// When an upload began, by an id that this server gave. Others are of a Swift that was here before.
fn began(id: &str) -> Option<Timestamp> {
    let ticks = id.strip_prefix('u').filter(|rest| rest.len() == 48)?.get(..16)?;
    u64::from_str_radix(ticks, 16).ok().map(Timestamp::from_ticks)
}

/// The uploads of a bucket after `marker` whose keys begin so, and where the next page begins, if there is one.
///
/// # Errors
/// When they cannot be listed.
pub(in crate::s3) async fn page(
    face: &Face<'_>,
    marker: String,
    prefix: &str,
) -> Result<(Vec<Open>, Option<String>), Fault> {
    let rows = rows(face, marker, prefix).await?;
    Ok((rows.iter().filter_map(Open::of).collect(), rows.last().map(|last| after(last.name()))))
}

/// Removes an upload with all that it has; whether it was there still.
///
/// # Errors
/// When the cluster cannot do it now. It can be done again.
pub(in crate::s3) async fn abort(face: &Face<'_>, open: &Open) -> Result<bool, Fault> {
    let parts = of_upload(face.parts);
    let face = &face.on(&parts);
    let (container, name) = (format!("{}{SEGMENTS}", face.bucket()), format!("{}/{}", open.key, open.id));
    let mut upload = Upload { id: open.id.clone(), name, container, headers: HeaderMap::new(), is_open: true };
    let marker = || face.name(&upload.container, upload.name.as_str());
    let Some(seen) = newest(face, marker(), None).await?.filter(|seen| !is_closing(seen)) else { return Ok(false) };
    if !has_mark(&seen) && !give_up(face, marker(), &seen).await? {
        return Ok(false);
    }
    let Some(marked) = newest(face, marker(), None).await?.filter(|marked| !is_closing(marked)) else {
        return Ok(false);
    };
    upload.headers = marked;
    let is_completed = is_in_a_version(face, open).await?;
    if !is_completed {
        for (_, part) in upload.parts(face).await? {
            upload.remove(face, &part.name).await?;
        }
    }
    upload.remove(face, &upload.name).await?;
    Ok(!is_completed)
}

/// Whether an upload was given up.
///
/// # Errors
/// When too few servers answer.
pub(super) async fn is_given_up(face: &Face<'_>, upload: &Upload) -> Result<bool, Fault> {
    let found = newest(face, face.name(&upload.container, upload.name.as_str()), None).await?;
    Ok(found.is_some_and(|found| has_mark(&found)))
}

fn has_mark(headers: &HeaderMap) -> bool {
    headers.get(S3_ETAG) == Some(&GIVEN_UP)
}

/// Whether somebody completes an upload just now.
fn is_closing(headers: &HeaderMap) -> bool {
    let since = header(headers, BACKEND_TIMESTAMP).parse::<Timestamp>().unwrap_or_default().secs();
    headers.contains_key(CLOSING) && clock::now().secs() < since.saturating_add(CLOSING_SECS)
}

/// Whether an object, or one of its versions, came of an upload.
async fn is_in_a_version(face: &Face<'_>, open: &Open) -> Result<bool, Fault> {
    let came_of_it =
        |found: Option<HeaderMap>| found.is_some_and(|found| header(&found, UPLOAD_ID.as_str()) == open.id);
    let name = || face.name(face.bucket(), open.key.as_str());
    if came_of_it(newest(face, name(), None).await?) {
        return Ok(true);
    }
    let (mut marker, mut has_marker) = (None, false);
    loop {
        let rows = versions(face, &open.key, has_marker, marker).await?;
        let mut last = None;
        for row in rows.iter().filter(|row| row.name == open.key) {
            let version: Option<Version> = row.version_id.as_deref().and_then(|id| id.parse().ok());
            if row.s3_etag.is_some() && came_of_it(newest(face, name(), version).await?) {
                return Ok(true);
            }
            last = row.version_id.clone();
        }
        if rows.len() < PAGE || rows.last().is_none_or(|last| last.name != open.key) {
            return Ok(false);
        }
        (marker, has_marker) = (last, true);
    }
}

async fn versions(face: &Face<'_>, key: &str, has_marker: bool, marker: Option<String>) -> Result<Vec<Object>, Fault> {
    let begin = if has_marker { key.to_owned() } else { String::new() };
    let listing = Listing { limit: PAGE as u64, prefix: key.to_owned(), marker: begin, ..Listing::default() };
    let request = face.request(Method::GET, HeaderMap::new());
    let listed = list(face.call(&request), face.container(), &Versions { listing, has_marker, marker }, true).await;
    let rows = match listed {
        Ok(listed) => collect(listed.into_body(), PAGE, Entry::read).await,
        Err(error) => Err(error),
    };
    let object = |row| match row {
        Entry::Object(object) => Some(*object),
        Entry::Subdir { .. } => None,
    };
    Ok(rows.map_err(|error| face.bucket_fault(error))?.into_iter().filter_map(object).collect())
}

async fn newest(face: &Face<'_>, name: ObjectName, version: Option<Version>) -> Result<Option<HeaderMap>, Fault> {
    let request = face.request(Method::HEAD, HeaderMap::new());
    let read = Read { version, ..Read::asked(name, Method::HEAD, &HeaderMap::new(), true) };
    match get(face.call(&request), read).await {
        Ok(response) => Ok(Some(response.headers().clone())),
        Err(Error::Version(VersionError::DeleteMarker(_))) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(face.fault(error)),
    }
}

/// Marks an upload as given up; whether it still is as it was seen.
async fn give_up(face: &Face<'_>, name: ObjectName, seen: &HeaderMap) -> Result<bool, Fault> {
    let Ok(stamp) = header(seen, BACKEND_TIMESTAMP).parse::<Timestamp>() else { return Ok(false) };
    let kind = seen.get(CONTENT_TYPE).cloned().unwrap_or(super::create::OF_UPLOADS);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind), (S3_ETAG, GIVEN_UP)]);
    let request = face.request(Method::PUT, headers.clone());
    let mark = Put::new(name, headers, Ok(Some(0)), body::empty());
    let marked = put(face.call(&request), Put { condition: Some(Condition::unchanged(stamp)), ..mark }).await;
    match marked {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.behind(), Error::Unmet { .. } | Error::Contended) => Ok(false),
        Err(error) => Err(face.fault(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str, last_modified: &str) -> Option<(String, u64)> {
        let row = Object { name: name.to_owned(), last_modified: last_modified.to_owned(), ..Object::default() };
        Open::of(&Entry::Object(Box::new(row))).map(|open| (open.key, open.began))
    }

    #[test]
    fn an_upload_is_as_old_as_its_id() {
        let id = format!("u{:016x}{}", Timestamp::from_secs(1_712_345_678).ticks(), "0".repeat(32));
        let modified = "2026-11-21T03:17:50.123450";
        assert_eq!(open(&format!("a/b/{id}"), modified), Some(("a/b".into(), 1_712_345_678)));
        assert_eq!(open("a/VXBsb2FkIElE", modified), Some(("a".into(), 1_795_231_070)));
        assert_eq!((open(&format!("a/{id}/7"), modified), open("a/u☃", "soon")), (None, None));
    }
}
