//! Reading static large objects.

use std::time::Duration;

use apus_base::body::{self, Body};
use apus_base::range::{self, Ranges};
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::answer::{cut, set, unmet};
use super::error::LargeError;
use super::manifest::{Manifest, Segment, md5_hex};
use super::stream;
use super::walk::Walk;
use super::{
    ETAG_IS_AT, IGNORE_RANGE, PART_CHECKSUM, PARTS_COUNT, SLO_ETAG, SLO_SIZE, STATIC, View, append, dlo, is_static,
};
use crate::error::Error;
use crate::ops::crypto::unlock;
use crate::ops::get::{Read, get};
use crate::ops::resource::ObjectName;
use crate::ops::versions::Version;
use crate::ops::{Call, OwnedCall};

/// The MD5 of the manifest, as answers show it beside the large object's ETag.
const MANIFEST_ETAG: HeaderName = HeaderName::from_static("x-manifest-etag");
const MANIFEST_TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const NO_SUCH_PART: &str = "The requested part number is not satisfiable";

/// Reads an object; if it is a static large one, in the way that the view says.
pub(super) async fn read(call: Call<'_>, read: &Read) -> Result<Response<Body>, Error> {
    let mut below = read.clone();
    match read.view {
        View::Manifest => {}
        View::RawManifest => whole_manifest(&mut below),
        View::Contents | View::Part(_) => {
            append(&mut below.headers, ETAG_IS_AT, SLO_ETAG.as_str());
            append(&mut below.headers, IGNORE_RANGE, STATIC.as_str());
        }
    }
    let response = dlo::read(call, &below).await?;
    if !is_static(response.headers()) {
        return Ok(response);
    }
    if read.method == Method::GET && !read.view.is_of_manifest() {
        // Its segments would say the same, one by one and later.
        unlock(call, response.headers())?;
    }
    match read.view {
        View::Manifest => Ok(as_manifest(response)),
        View::RawManifest => as_raw_manifest(call, read, response).await,
        View::Contents => contents(call, read, None, response).await,
        View::Part(number) => {
            let number = number.ok_or(LargeError::PartNumber)?.get();
            if read.headers.contains_key(RANGE) {
                return Err(LargeError::PartRange.into());
            }
            contents(call, read, Some(number), response).await
        }
    }
}

/// Asks for all of a manifest, to convert it.
fn whole_manifest(read: &mut Read) {
    read.method = Method::GET;
    append(&mut read.headers, IGNORE_RANGE, STATIC.as_str());
}

fn as_manifest(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, MANIFEST_TYPE);
    response
}

/// The content type stays that of the large object, so that a copy of the manifest has it.
async fn as_raw_manifest(call: Call<'_>, read: &Read, response: Response<Body>) -> Result<Response<Body>, Error> {
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    let raw = parse(call, body).await?.to_raw()?;
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(raw.len()));
    set(&mut head.headers, ETAG, md5_hex(&raw));
    let body = if read.method == Method::HEAD { body::empty() } else { body::full(raw) };
    Ok(Response::from_parts(head, body))
}

async fn parse(call: Call<'_>, body: Body) -> Result<Manifest, Error> {
    let limit = Manifest::max_bytes(call.proxy.config.slo.max_manifest_size);
    let json = body::read_to_end(body, limit).await.map_err(|error| {
        tracing::warn!(%error, "a manifest did not come whole");
        Error::Unavailable
    })?;
    Ok(Manifest::parse(&json)?)
}

/// What a large object says of itself.
struct Attributes {
    etag: String,
    length: u64,
}

impl Attributes {
    /// From what was stored beside the manifest; manifests of very old clusters have nothing there.
    fn stored(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
        Some(Self { etag: text(SLO_ETAG)?.to_owned(), length: text(SLO_SIZE)?.parse().ok()? })
    }
}

/// Answers with what a large object stands for, or one part of it.
async fn contents(
    call: Call<'_>,
    read: &Read,
    part: Option<u32>,
    response: Response<Body>,
) -> Result<Response<Body>, Error> {
    let (mut head, body) = response.into_parts();
    let is_head = read.method == Method::HEAD;
    let is_known = Attributes::stored(&head.headers).is_some();
    let mut manifest = None;
    if is_unmet(&head) || (is_head && part.is_none()) {
        if !is_known {
            (head, manifest) = again(call, read).await?;
        }
    } else if head.status == StatusCode::OK && !is_head {
        manifest = Some(parse(call, body).await?);
    } else {
        (head, manifest) = again(call, read).await?;
    }
    let attributes = match (Attributes::stored(&head.headers), &manifest) {
        (Some(stored), _) => stored,
        (None, Some(manifest)) => {
            let counted = Attributes { etag: manifest.etag(), length: manifest.length() };
            // The storage servers could not decide on its ETag.
            head.status = unmet(&read.headers, &head.headers, &counted.etag).unwrap_or(head.status);
            counted
        }
        (None, None) => return Err(LargeError::Unreadable.into()),
    };
    describe(&mut head, &attributes);
    if is_unmet(&head) {
        head.headers.remove(CONTENT_LENGTH);
        return Ok(Response::from_parts(head, body::empty()));
    }
    match manifest {
        None => Ok(Response::from_parts(head, body::empty())),
        Some(manifest) => answer(call, read, part, head, attributes.length, manifest).await,
    }
}

/// Reads the manifest once more, whole and without conditions.
async fn again(call: Call<'_>, read: &Read) -> Result<(Parts, Option<Manifest>), Error> {
    let plain = Read { method: Method::GET, headers: HeaderMap::new(), ..read.clone() };
    let response = dlo::read(call, &plain).await?;
    if response.status() != StatusCode::OK || !is_static(response.headers()) {
        // It was overwritten between the two reads.
        return Err(Error::Unavailable);
    }
    let (head, body) = response.into_parts();
    Ok((head, Some(parse(call, body).await?)))
}

fn is_unmet(head: &Parts) -> bool {
    matches!(head.status, StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED)
}

fn describe(head: &mut Parts, attributes: &Attributes) {
    if let Some(etag) = head.headers.remove(ETAG) {
        head.headers.insert(MANIFEST_ETAG, etag);
    }
    set(&mut head.headers, ETAG, format!("\"{}\"", attributes.etag));
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(attributes.length));
    head.headers.remove(CONTENT_RANGE);
}

async fn answer(
    call: Call<'_>,
    read: &Read,
    part: Option<u32>,
    mut head: Parts,
    length: u64,
    manifest: Manifest,
) -> Result<Response<Body>, Error> {
    let is_head = read.method == Method::HEAD;
    if let Some(number) = part {
        head.headers.insert(PARTS_COUNT, HeaderValue::from(manifest.0.len()));
        if let Some(checksum) = checksum_of(&manifest, number) {
            set(&mut head.headers, PART_CHECKSUM, checksum);
        }
    }
    let ranges = match part.map(|number| range_of(&manifest, number)) {
        Some(Some(range)) => Ranges::One(range),
        Some(None) => return Ok(no_such_part(head, length, is_head)),
        None if is_head => Ranges::Whole,
        None => range::resolve(read.headers.get(RANGE).and_then(|range| range.to_str().ok()), length),
    };
    let (status, steps) = cut(&mut head.headers, ranges, length);
    head.status = status;
    if is_head || steps.is_empty() {
        return Ok(Response::from_parts(head, body::empty()));
    }
    let owned = call.owned();
    let walk = Walk::new(owned.clone(), read.name.account.to_string(), manifest, steps);
    let total = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let patience = Duration::from_secs(call.proxy.config.slo.max_get_time);
    let body = stream::start(owned, walk, total, patience).await?;
    Ok(Response::from_parts(head, body))
}

/// Where a part lies in the large object.
fn range_of(manifest: &Manifest, number: u32) -> Option<std::ops::Range<u64>> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    let length = manifest.0.get(index)?.length();
    let start: u64 = manifest.0[..index].iter().map(Segment::length).sum();
    Some(start..start + length)
}

fn checksum_of(manifest: &Manifest, number: u32) -> Option<String> {
    match manifest.0.get(usize::try_from(number).ok()?.checked_sub(1)?)? {
        Segment::Object(object) => object.checksum.clone(),
        Segment::Data { .. } => None,
    }
}

fn no_such_part(mut head: Parts, length: u64, is_head: bool) -> Response<Body> {
    let text = if is_head { "" } else { NO_SUCH_PART };
    head.status = StatusCode::RANGE_NOT_SATISFIABLE;
    set(&mut head.headers, CONTENT_RANGE, range::content_range_unsatisfiable(length));
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    Response::from_parts(head, body::full(text))
}

/// The manifest of a segment that is a large object.
pub(super) struct Fetched {
    /// The large object's ETag.
    pub(super) etag: String,
    /// Its manifest.
    pub(super) manifest: Manifest,
}

/// Fetches a manifest for the caller. In a box, because the manifest may belong to a segment of another.
pub(super) fn fetch(
    call: OwnedCall,
    name: ObjectName,
    version: Option<Version>,
) -> BoxFuture<'static, Result<Fetched, Error>> {
    Box::pin(async move {
        let mut headers = HeaderMap::new();
        // If it is none any more, its last byte is enough to see that.
        headers.insert(RANGE, HeaderValue::from_static("bytes=-1"));
        append(&mut headers, IGNORE_RANGE, STATIC.as_str());
        let read = Read::asked(name, Method::GET, &HeaderMap::new(), false);
        let read = Read { headers, view: View::Manifest, version, ..read };
        let response = get(call.call(), read).await?;
        if response.status() != StatusCode::OK || !is_static(response.headers()) {
            return Err(LargeError::NotAManifest.into());
        }
        let (head, body) = response.into_parts();
        let manifest = parse(call.call(), body).await?;
        let etag = Attributes::stored(&head.headers).map_or_else(|| manifest.etag(), |attributes| attributes.etag);
        Ok(Fetched { etag, manifest })
    })
}
