//! UploadPart and UploadPartCopy.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

use super::Upload;
use super::scheme::Scheme;
use crate::ops::copy::Terms;
use crate::ops::lock::of_upload;
use crate::ops::put::{Put, put};
use crate::ops::resource::ObjectName;
use crate::s3::auth::header;
use crate::s3::checksums::{self, Kept};
use crate::s3::code::Code;
use crate::s3::copy::{Plan, range, result};
use crate::s3::encryption::{self, Sealing};
use crate::s3::fault::Fault;
use crate::s3::payload::Payload;
use crate::s3::payload::checked::Measure;
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
    match Plan::of(face)? {
        Some(plan) => copy(face, &upload, name, plan).await,
        None => store(face, &upload, name, payload).await,
    }
}

async fn store(face: &Face<'_>, upload: &Upload, name: ObjectName, payload: Payload) -> Answered {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, PART_TYPE)]);
    headers.extend(metadata::promised_md5(&face.parts.headers)?);
    let sealing = Sealing::of_part(face, &upload.headers)?;
    let request = face.request(Method::PUT, headers.clone());
    let (mut body, promise) = (payload.body, payload.checksum);
    let measure = match Scheme::of(&upload.headers) {
        Some(scheme) => scheme.check_part(promise.as_ref().map(|promise| promise.algorithm()))?,
        None => None,
    };
    if let Some(measure) = &measure {
        body = measure.of(body);
    }
    let kept = move || promise.as_ref().and_then(|promise| promise.kept()).or_else(|| measure.as_ref()?.kept());
    let behind = Some(checksums::behind(kept.clone()));
    let new = Put { behind, seal: sealing.seal.clone(), ..Put::new(name, headers, payload.length, body) };
    let stored = put(face.call(&request), new).await;
    let stored = stored.map_err(|error| face.container_fault(&upload.container, error))?;
    let mut response = object::answered(&stored);
    response.headers_mut().remove("x-amz-version-id");
    sealing.show(response.headers_mut());
    if let Some(kept) = kept() {
        kept.show_value(response.headers_mut());
    }
    Ok(response)
}

async fn copy(face: &Face<'_>, upload: &Upload, name: ObjectName, plan: Plan) -> Answered {
    let source = plan.check(face).await?;
    encryption::check_source(face, &source)?;
    let sealing = Sealing::of_part(face, &upload.headers)?;
    let length = header(&source, CONTENT_LENGTH.as_str()).parse().unwrap_or_default();
    let range = range(face, length)?;
    // Of what is copied only the bytes matter.
    let mut request = HeaderMap::from_iter([(CONTENT_TYPE, PART_TYPE)]);
    request.insert("x-fresh-metadata", HeaderValue::from_static("true"));
    checksums::forget(&mut request);
    let measure = Scheme::of(&upload.headers).map(|scheme| Measure::new(scheme.algorithm));
    let terms = measure.as_ref().map_or_else(Terms::default, checksums::measured);
    let terms = Terms { seal: sealing.seal.clone(), ..terms };
    let (stored, source_version) = plan.run(face, name, request, &range, terms).await?;
    let kept: Option<Kept> = measure.and_then(|measure| measure.kept());
    let mut response = result("CopyPartResult", &stored, kept.as_ref(), false);
    sealing.show(response.headers_mut());
    if let Some(version) = source_version {
        response.headers_mut().insert("x-amz-copy-source-version-id", version);
    }
    Ok(response)
}
