//! Uploads in parts. Everything of an upload is in a container beside the bucket's, as Swift keeps it:
//!
//! ```text
//! bucket+segments/key/UPLOAD        the upload itself: an empty object with the metadata that the whole will have
//! bucket+segments/key/UPLOAD/17     part 17
//! bucket/key                        when it is complete: a static large object of the parts
//! ```
//!
//! # What a crash leaves behind
//!
//! Parts belong to an upload that is there until it is completed or aborted. Completing stores the large object first and
//! removes the upload then: in between, a second attempt finds the object with the upload's id and succeeds again. Aborting
//! removes the upload last: until then it can be aborted again.
//!
//! Where there is object lock, or a lifecycle that gives up uploads, an upload is closed before the large object is stored: from then on it is not aborted and takes no
//! parts. One whose completion died before its end stays so; it can be completed again, and goes with the bucket.
//! What is not kept out is a part that began to be uploaded before that and ends after it. It takes the place of the one
//! before, and the object, which knows the parts that it was made of, cannot be read any more.

mod complete;
mod create;
pub(super) mod lapse;
mod list;
pub(super) mod part;
mod parts;
mod scheme;
mod whole;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

pub(super) use scheme::{Scheme, asked_algorithm};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::payload::Payload;
use super::translate::SEGMENTS;
use super::{Answered, Face, empty, lifecycle, lock};
use crate::error::Error;
use crate::ops::annotate::annotate;
use crate::ops::container::{self, ContainerName};
use crate::ops::delete::delete_version;
use crate::ops::get::{Read, get};
use crate::ops::large::UPLOAD_ID;
use crate::ops::listing::Listing;
use crate::ops::lock::of_upload;
use crate::ops::rows::{Entry, Object};

/// Parts that are listed in one turn: all that an upload can have, unless an operator allows more.
const PAGE: u64 = 10_000;

/// Says of an upload that it is being completed.
const CLOSING: HeaderName = HeaderName::from_static("x-object-transient-sysmeta-s3api-closing");
/// Parts that are looked at together. There may be ten thousand, and the client waits.
const TOGETHER: usize = 32;

/// `?uploads`
pub(super) async fn uploads(face: &Face<'_>) -> Answered {
    let parts = of_upload(face.parts);
    let face = &face.on(&parts);
    match face.parts.method {
        Method::GET if face.asked.key.is_some() => {
            let sentence = "Key is not expected for the GET method ?uploads subresource";
            Err(Fault::saying(Code::InvalidRequest, sentence))
        }
        Method::GET => list::answer(face).await,
        Method::POST => create::answer(face).await,
        _ => Err(face.no_method("UPLOADS")),
    }
}

/// `?uploadId=…`
pub(super) async fn upload(face: &Face<'_>, payload: Payload) -> Answered {
    let parts = of_upload(face.parts);
    let face = &face.on(&parts);
    match face.parts.method {
        Method::GET => parts::answer(face).await,
        Method::DELETE => abort(face).await,
        Method::POST => complete::answer(face, payload).await,
        _ => Err(face.no_method("UPLOAD")),
    }
}

/// An upload that is there, or was.
struct Upload {
    id: String,
    /// `key/UPLOAD`.
    name: String,
    /// The container of its parts.
    container: String,
    /// Its headers, or those of the object that came of it.
    headers: HeaderMap,
    /// Whether it is not completed yet, nor about to be.
    is_open: bool,
}

impl Upload {
    /// The upload that a request is about.
    async fn of(face: &Face<'_>) -> Result<Self, Fault> {
        let key = face.key()?;
        check_bucket(face).await?;
        let id = face.asked.query.get("uploadId").unwrap_or_default();
        let missing = || Fault::new(Code::NoSuchUpload).with("UploadId", &id);
        if id.is_empty() || id.contains(['/', '\0']) {
            return Err(missing());
        }
        let container = format!("{}{SEGMENTS}", face.bucket());
        let name = format!("{key}/{id}");
        let found = head(face, face.name(&container, name.as_str())).await;
        match found {
            Ok(headers) => {
                let is_open = !headers.contains_key(CLOSING);
                return Ok(Self { id, name, container, headers, is_open });
            }
            Err(error) if !error.is_not_found() => return Err(face.fault(error)),
            Err(_) => {}
        }
        match head(face, face.object()?).await {
            Ok(headers) if header(&headers, UPLOAD_ID.as_str()) == id => {
                Ok(Self { id, name, container, headers, is_open: false })
            }
            Err(error) if !error.is_not_found() => Err(face.fault(error)),
            _ => Err(missing()),
        }
    }

    /// The parts that are there, by their numbers.
    async fn parts(&self, face: &Face<'_>) -> Result<Vec<(u32, Object)>, Fault> {
        let request = face.request(Method::GET, HeaderMap::new());
        let (name, prefix) =
            (ContainerName { account: &face.account, container: &self.container }, format!("{}/", self.name));
        let (mut found, mut marker) = (Vec::new(), String::new());
        loop {
            let listing =
                Listing { limit: PAGE, marker, prefix: prefix.clone(), delimiter: "/".into(), ..Listing::default() };
            let rows = container::list(face.call(&request), name, &listing).await;
            let rows = rows.map_err(|error| face.container_fault(&self.container, error))?;
            let (count, last) = (rows.len() as u64, rows.last().map(|row| row.name().to_owned()));
            for row in rows {
                let Entry::Object(object) = row else { continue };
                let number = object.name.strip_prefix(&prefix).and_then(|number| number.parse().ok());
                found.extend(number.map(|number| (number, *object)));
            }
            match last {
                Some(last) if count == PAGE => marker = last,
                _ => break,
            }
        }
        found.sort_by_key(|(number, _)| *number);
        Ok(found)
    }

    /// Where what comes of it may be locked, or a lifecycle gives up uploads: keeps it from getting other parts, or from being
    /// aborted, from before it is completed until it is gone; or opens it again, when it surely was not completed.
    async fn close(&self, face: &Face<'_>, is_closing: bool) -> Result<(), Fault> {
        if !lock::is_enabled(face).await? && !lifecycle::gives_up_uploads(face).await? {
            return Ok(());
        }
        let request = face.request(Method::POST, HeaderMap::new());
        let name = face.name(&self.container, self.name.as_str());
        let set = |_: &HeaderMap, headers: &mut HeaderMap| {
            headers.remove(CLOSING);
            headers.extend(is_closing.then_some((CLOSING, HeaderValue::from_static("yes"))));
            Ok(())
        };
        match annotate(face.call(&request), &name, None, set).await {
            // It was completed meanwhile.
            Err(error) if !error.is_not_found() => return Err(face.fault(error)),
            _ => {}
        }
        if is_closing && lapse::is_given_up(face, self).await? {
            return Err(Fault::new(Code::NoSuchUpload).with("UploadId", &self.id));
        }
        Ok(())
    }

    /// Removes one of the objects that it is made of; that it is gone already is as good.
    async fn remove(&self, face: &Face<'_>, object: &str) -> Result<(), Fault> {
        let request = face.request(Method::DELETE, HeaderMap::new());
        let done = delete_version(face.call(&request), &face.name(&self.container, object), None).await;
        match done {
            Err(error) if !error.is_not_found() => Err(face.fault(error)),
            _ => Ok(()),
        }
    }
}

async fn head(face: &Face<'_>, name: crate::ops::resource::ObjectName) -> Result<HeaderMap, Error> {
    let request = face.request(Method::HEAD, HeaderMap::new());
    let read = Read::asked(name, Method::HEAD, &HeaderMap::new(), false);
    get(face.call(&request), read).await.map(|response| response.headers().clone())
}

/// # Errors
/// When there is no such bucket.
async fn check_bucket(face: &Face<'_>) -> Result<(), Fault> {
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    match info.map_err(|error| face.fault(error.into()))?.found() {
        Some(_) => Ok(()),
        None => Err(Fault::no_such_bucket(face.bucket())),
    }
}

/// Removes an upload with all that it has.
async fn abort(face: &Face<'_>) -> Answered {
    let upload = Upload::of(face).await?;
    if !upload.is_open {
        return Err(Fault::new(Code::NoSuchUpload).with("UploadId", &upload.id));
    }
    for (_, part) in upload.parts(face).await? {
        upload.remove(face, &part.name).await?;
    }
    upload.remove(face, &upload.name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
