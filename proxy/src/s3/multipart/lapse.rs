//! Giving up uploads that nobody completes, as a lifecycle wants it.
//!
//! Somebody may be completing the upload in this very moment. So it is first marked as given up, which is decided together with
//! it being there still and unchanged; from then on whoever wants to complete it hears `NoSuchUpload`. Then it is looked whether an
//! object came of it, whose parts these are; if so they stay. The parts go, and last the upload itself: until then it can be given
//! up again, and a crash leaves nothing that would not be.
//!
//! What remains is who has looked at all parts before the mark was there, and stores the object after it was looked for: a moment,
//! a day or more after the upload began. They hear of a success, and the object is broken, as on AWS, where whoever aborts an
//! upload that is being completed is told to expect either.

use apus_base::body;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::BACKEND_TIMESTAMP;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};

use super::Upload;
use super::list::{Row, after, rows};
use crate::error::Error;
use crate::ops::condition::Condition;
use crate::ops::get::{Read, get};
use crate::ops::large::{S3_ETAG, UPLOAD_ID};
use crate::ops::put::{Put, put};
use crate::ops::resource::ObjectName;
use crate::ops::rows::Entry;
use crate::s3::Face;
use crate::s3::auth::header;
use crate::s3::fault::Fault;
use crate::s3::translate::SEGMENTS;

/// In the place of the ETag of what came of an upload: nothing will.
const GIVEN_UP: HeaderValue = HeaderValue::from_static("given-up");

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
    let (container, name) = (format!("{}{SEGMENTS}", face.bucket()), format!("{}/{}", open.key, open.id));
    let Some(headers) = newest(face, face.name(&container, name.as_str())).await? else { return Ok(false) };
    if headers.get(S3_ETAG) != Some(&GIVEN_UP) && !give_up(face, face.name(&container, name.as_str()), &headers).await?
    {
        return Ok(false);
    }
    let whole = newest(face, face.name(face.bucket(), open.key.as_str())).await?;
    let upload = Upload { id: open.id.clone(), name, container, headers, is_open: true };
    let is_completed = whole.is_some_and(|whole| header(&whole, UPLOAD_ID.as_str()) == open.id);
    if !is_completed {
        for (_, part) in upload.parts(face).await? {
            upload.remove(face, &part.name).await?;
        }
    }
    upload.remove(face, &upload.name).await?;
    Ok(!is_completed)
}

async fn newest(face: &Face<'_>, name: ObjectName) -> Result<Option<HeaderMap>, Fault> {
    let request = face.request(Method::HEAD, HeaderMap::new());
    let read = Read::asked(name, Method::HEAD, &HeaderMap::new(), true);
    match get(face.call(&request), read).await {
        Ok(response) => Ok(Some(response.headers().clone())),
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
    use crate::ops::rows::Object;

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
