//! UploadPart and UploadPartCopy.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

use super::Upload;
use crate::ops::lock::of_upload;
use crate::ops::put::{Put, put};
use crate::s3::auth::header;
use crate::s3::code::Code;
use crate::s3::copy::{Plan, range, result};
use crate::s3::fault::Fault;
use crate::s3::payload::Payload;
use crate::s3::{Answered, Face, condition, metadata, object};

const PART_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(in crate::s3) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    let parts = of_upload(face.parts);
    let face = &face.on(&parts);
    face.key()?;
    if condition::of_put(&face.parts.headers)?.is_some() {
        return Err(Fault::not_implemented("A part of an upload has no conditions; the whole has."));
    }
    if !face.asked.query.has("uploadId") {
        return Err(Fault::argument("ResourceType", "partNumber", "Unexpected query string parameter"));
    }
    super::check_bucket(face).await?;
    let number = face.part_number(None, true)?.map_or(0, std::num::NonZeroU32::get);
    let upload = Upload::of(face).await?;
    if !upload.is_open {
        return Err(Fault::new(Code::NoSuchUpload).with("UploadId", &upload.id));
    }
    let name = face.name(&upload.container, format!("{}/{number}", upload.name));
    if let Some(plan) = Plan::of(face)? {
        let source = plan.check(face).await?;
        let length = header(&source, CONTENT_LENGTH.as_str()).parse().unwrap_or_default();
        let range = range(face, length)?;
        // Of what is copied only the bytes matter.
        let mut request = HeaderMap::from_iter([(CONTENT_TYPE, PART_TYPE)]);
        request.insert("x-fresh-metadata", HeaderValue::from_static("true"));
        metadata::forget_checksum(&mut request);
        let (stored, source_version) = plan.run(face, name, request, &range, None).await?;
        let mut response = result("CopyPartResult", &stored);
        if let Some(version) = source_version {
            response.headers_mut().insert("x-amz-copy-source-version-id", version);
        }
        return Ok(response);
    }
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, PART_TYPE)]);
    headers.extend(metadata::promised_md5(&face.parts.headers)?);
    let request = face.request(Method::PUT, headers.clone());
    let checksum = payload.checksum.clone();
    let behind = metadata::checksum_behind(checksum.as_ref());
    let stored =
        put(face.call(&request), Put { behind, ..Put::new(name, headers, payload.length, payload.body) }).await;
    let stored = stored.map_err(|error| face.container_fault(&upload.container, error))?;
    let mut response = object::answered(&stored);
    response.headers_mut().remove("x-amz-version-id");
    metadata::answer_checksum(response.headers_mut(), checksum.as_ref());
    Ok(response)
}
