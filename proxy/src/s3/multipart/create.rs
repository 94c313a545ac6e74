//! CreateMultipartUpload.

use std::fmt::Write as _;

use apus_base::body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::check_bucket;
use super::scheme::{SCHEME, Scheme};
use crate::error::Error;
use crate::ops::container::{self, ContainerName};
use crate::ops::headers::LISTED_ETAG;
use crate::ops::put::{Put, put};
use crate::s3::encryption::Sealing;
use crate::s3::fault::Fault;
use crate::s3::metadata::set;
use crate::s3::translate::SEGMENTS;
use crate::s3::xml::Xml;
use crate::s3::{Answered, Face, acl, document, lock, metadata, object, tagging};

/// Whether the whole has a type of its own, and which: the upload itself has another.
pub(super) const HAS_TYPE: HeaderName = HeaderName::from_static("x-object-sysmeta-s3api-has-content-type");
pub(super) const TYPE: HeaderName = HeaderName::from_static("x-object-sysmeta-s3api-content-type");
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";
pub(super) const OF_UPLOADS: HeaderValue = HeaderValue::from_static("application/directory");

pub(super) async fn answer(face: &Face<'_>) -> Answered {
    let key = face.key()?;
    check_bucket(face).await?;
    object::check_key(face)?;
    acl::canned(face)?;
    let scheme = Scheme::asked(&face.parts.headers)?;
    let sealing = Sealing::of(face, &face.parts.headers).await?;
    let id = new_id(face);
    let segments = format!("{}{SEGMENTS}", face.bucket());
    ensure(face, &segments).await?;
    let mut headers = metadata::described(&face.parts.headers);
    headers.extend(tagging::asked(&face.parts.headers)?);
    headers.extend(lock::asked(face, &face.parts.headers).await?);
    match headers.insert(CONTENT_TYPE, OF_UPLOADS).filter(|kind| !kind.is_empty()) {
        Some(kind) => {
            headers.insert(HAS_TYPE, HeaderValue::from_static("yes"));
            headers.insert(TYPE, kind);
        }
        None => {
            headers.insert(HAS_TYPE, HeaderValue::from_static("no"));
        }
    }
    headers.extend(sealing.kept()?);
    if let Some(scheme) = scheme {
        set(&mut headers, SCHEME, &scheme.text());
        // For who lists uploads.
        set(&mut headers, LISTED_ETAG, &format!("{MD5_OF_NOTHING}; s3_checksum={}", scheme.text()));
    }
    let request = face.request(Method::PUT, headers.clone());
    let upload = Put::new(face.name(&segments, format!("{key}/{id}")), headers, Ok(Some(0)), body::empty());
    let done = put(face.call(&request), upload).await;
    done.map_err(|error| face.container_fault(&segments, error))?;
    let mut xml = Xml::new("InitiateMultipartUploadResult");
    xml.text("Bucket", face.bucket()).text("Key", key).text("UploadId", &id);
    let mut response = document(xml);
    sealing.show(response.headers_mut());
    if let Some(scheme) = scheme {
        scheme.show(response.headers_mut());
    }
    Ok(response)
}

/// An id that nobody guesses. Those of one key are in the order of their times.
fn new_id(face: &Face<'_>) -> String {
    let mut random = [0; 16];
    // Without randomness the id is unique all the same: the clock never repeats.
    let _ = getrandom::fill(&mut random);
    let mut id = format!("u{:016x}", face.proxy.clock.next().ticks());
    for byte in random {
        // Writing into a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Makes the container for parts, in the policy and with the lists of the bucket's.
async fn ensure(face: &Face<'_>, segments: &str) -> Result<(), Fault> {
    let client = &face.proxy.client;
    let unavailable = |error: apus_base::client::NoAnswer| face.fault(error.into());
    if client.container_info(&face.account, segments).await.map_err(unavailable)?.found().is_some() {
        return Ok(());
    }
    let info = client.container_info(&face.account, face.bucket()).await.map_err(unavailable)?;
    let info = info.found().cloned().ok_or_else(|| Fault::no_such_bucket(face.bucket()))?;
    let mut headers = HeaderMap::new();
    for (name, list) in [("x-container-read", &info.read_acl), ("x-container-write", &info.write_acl)] {
        if let Some(list) = list {
            set(&mut headers, HeaderName::from_static(name), list);
        }
    }
    let policy = client.cluster().policies.get(info.policy).map(|policy| policy.name.clone());
    let name = ContainerName { account: &face.account, container: segments };
    let request = face.request(Method::PUT, headers.clone());
    match container::create(face.call(&request), name, &headers, policy.as_deref()).await {
        Ok(_) => Ok(()),
        Err(Error::Refused(http::StatusCode::CONFLICT, _)) => Ok(()),
        Err(error) => Err(face.container_fault(segments, error)),
    }
}
