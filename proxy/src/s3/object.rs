//! Objects: reading, storing and deleting one.

use std::num::NonZeroU32;

use apus_base::body::{self, Body};
use apus_base::range::{Ranges, content_range, resolve};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::BACKEND_DATA_TIMESTAMP;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::auth::{date, header};
use super::checksums::{self, Kept};
use super::code::Code;
use super::encryption::{self, Sealing};
use super::fault::Fault;
use super::lifecycle::{self, Current};
use super::listing::version_id;
use super::metadata::set;
use super::payload::Payload;
use super::tagging::Tags;
use super::{Answered, Face, condition, copy, delete, empty, lock, metadata, public_access, tagging};
use crate::ops::get::{Read, get};
use crate::ops::large::{PART_CHECKSUM, PARTS_COUNT, S3_ETAG, View, is_static};
use crate::ops::put::{Put, Stored, put};
use crate::ops::versions::Version;

/// Where object servers find the ETag that conditions mean.
const ETAG_IS_AT: HeaderName = HeaderName::from_static("x-backend-etag-is-at");
/// What an object is that says nothing of itself.
const UNTYPED: HeaderValue = HeaderValue::from_static("binary/octet-stream");
/// Headers of an answer that a request may choose.
const CHOSEN: [&str; 6] =
    ["content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding"];

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    match face.parts.method {
        Method::GET | Method::HEAD => read(face).await,
        Method::PUT if face.parts.headers.contains_key(copy::SOURCE) => copy::answer(face).await,
        Method::PUT => store(face, payload).await,
        Method::DELETE => delete::answer(face).await,
        Method::POST => Err(Fault::new(Code::NotImplemented)),
        _ => Err(face.no_method("OBJECT")),
    }
}

impl Face<'_> {
    /// The version that the request is about.
    pub(super) fn version(&self) -> Result<Option<Version>, Fault> {
        let id = self.asked.query.get("versionId");
        id.map(|id| version_id(&id).map_err(|fault| Fault::argument("versionId", &id, fault.message))).transpose()
    }

    /// The number of the part that the request is about, of an object with so many.
    pub(super) fn part_number(&self, count: Option<u32>, check_most: bool) -> Result<Option<NonZeroU32>, Fault> {
        let Some(text) = self.asked.query.get("partNumber") else { return Ok(None) };
        if self.parts.headers.contains_key(RANGE) {
            let sentence = "Cannot specify both Range header and partNumber query parameter";
            return Err(Fault::saying(Code::InvalidRequest, sentence));
        }
        let limit = self.config().max_upload_part_num;
        let most = limit.max(count.unwrap_or(limit));
        let refuse = || {
            let sentence = format!("Part number must be an integer between 1 and {most}, inclusive");
            Fault::argument("partNumber", &text, sentence)
        };
        let number: NonZeroU32 = text.trim().parse().map_err(|_| refuse())?;
        if check_most && number.get() > most {
            return Err(refuse());
        }
        if check_most && number.get() > count.unwrap_or(limit) {
            return Err(Fault::new(Code::InvalidPartNumber));
        }
        Ok(Some(number))
    }
}

/// The headers of an object, as operations know them.
pub(super) async fn describe(face: &Face<'_>) -> Result<HeaderMap, Fault> {
    let parts = face.request(Method::HEAD, HeaderMap::new());
    let version = face.version()?;
    let read = Read { version, ..Read::asked(face.object()?, Method::HEAD, &HeaderMap::new(), false) };
    match get(face.call(&parts), read).await {
        Ok(response) => Ok(response.headers().clone()),
        Err(error) => Err(face.object_fault(face.bucket(), face.key()?, version, error).await),
    }
}

/// The conditions and the range of a request. ETags of objects that were uploaded in parts are looked for where those have
/// theirs; one that is shown as `…-N` is known without that end.
pub(super) fn conditions(request: &HeaderMap) -> HeaderMap {
    let mut headers = request.clone();
    for name in [IF_MATCH, IF_NONE_MATCH] {
        let Some(value) = headers.get(&name) else { continue };
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let bare = text.split(',').filter_map(|tag| tag.trim().trim_matches('"').strip_suffix("-N"));
        let more: String = bare.map(|tag| format!(", {tag}")).collect();
        set(&mut headers, name, &format!("{text}{more}"));
        headers.insert(ETAG_IS_AT, HeaderValue::from_name(S3_ETAG));
    }
    for name in [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
        // Clients of S3 write dates in the forms of mail too.
        if let Some(moment) = date::any(header(&headers, name.as_str())).and_then(|secs| u64::try_from(secs).ok()) {
            set(&mut headers, name, &Timestamp::from_secs(moment).http_date());
        }
    }
    headers
}

async fn read(face: &Face<'_>) -> Answered {
    let (name, key, version) = (face.object()?, face.key()?, face.version()?);
    let number = face.part_number(None, false)?;
    let request = conditions(&face.parts.headers);
    let parts = face.request(face.parts.method.clone(), HeaderMap::new());
    let mut read = Read { version, ..Read::asked(name, face.parts.method.clone(), &request, false) };
    if let Some(at) = request.get(ETAG_IS_AT) {
        read.headers.insert(ETAG_IS_AT, at.clone());
    }
    if number.is_some() {
        read.view = View::Part(number);
    }
    let response = match get(face.call(&parts), read).await {
        Ok(response) => response,
        Err(error) => return Err(face.object_fault(face.bucket(), key, version, error).await),
    };
    let (mut head, contents) = response.into_parts();
    let mut headers = metadata::shown(&head.headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match head.status {
        StatusCode::PRECONDITION_FAILED => return Err(Fault::new(Code::PreconditionFailed)),
        StatusCode::RANGE_NOT_SATISFIABLE => return Err(out_of_range(face, &head.headers)),
        StatusCode::NOT_MODIFIED => {
            headers.remove(CONTENT_LENGTH);
            let mut response = empty(StatusCode::NOT_MODIFIED);
            response.headers_mut().extend(headers);
            return Ok(response);
        }
        _ => {}
    }
    if version.is_none() {
        let (tags, bytes) = (&Tags::of_object(&head.headers), whole_length(&head.headers));
        lifecycle::show(face, &Current { key, bytes, tags, written: written(&head.headers) }, &mut headers).await;
    }
    encryption::check_read(face, &head.headers, &mut headers)?;
    if header(&face.parts.headers, "x-amz-checksum-mode") == "ENABLED" {
        show_checksum(head.status, &head.headers, &mut headers);
    }
    if !is_static(&head.headers) && face.part_number(Some(1), true)?.is_some() {
        head.status = StatusCode::PARTIAL_CONTENT;
        let length = header(&headers, CONTENT_LENGTH.as_str()).parse::<u64>().unwrap_or_default();
        set(&mut headers, CONTENT_RANGE, &format!("bytes 0-{}/{length}", length.saturating_sub(1)));
    }
    for name in CHOSEN {
        if let Some(value) = face.asked.query.get(&format!("response-{name}")) {
            set(&mut headers, HeaderName::from_static(name), &value);
        }
    }
    if face.parts.method == Method::HEAD && head.status == StatusCode::OK {
        head.status = cut(&mut headers, &face.parts.headers)?;
    }
    let contents = if face.parts.method == Method::HEAD { body::empty() } else { contents };
    let mut response = Response::new(contents);
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// How long an object is of which an answer may have a part.
fn whole_length(headers: &HeaderMap) -> u64 {
    let whole = header(headers, CONTENT_RANGE.as_str()).rsplit_once('/').map(|(_, whole)| whole);
    whole.unwrap_or_else(|| header(headers, CONTENT_LENGTH.as_str())).parse().unwrap_or_default()
}

fn written(headers: &HeaderMap) -> Timestamp {
    header(headers, BACKEND_DATA_TIMESTAMP).parse().unwrap_or_default()
}

/// Shows the checksum of what is read: of an object, or of one of its parts.
fn show_checksum(status: StatusCode, stored: &HeaderMap, shown: &mut HeaderMap) {
    let whole = Kept::of(stored);
    match Kept::parse(header(stored, PART_CHECKSUM.as_str())) {
        Some(part) => {
            part.show(shown);
            if whole.is_some_and(|whole| whole.is_composite()) {
                shown.insert(checksums::KIND, HeaderValue::from_static(checksums::COMPOSITE));
            }
        }
        None => {
            if let Some(whole) = whole.filter(|_| status == StatusCode::OK) {
                whole.show(shown);
            }
        }
    }
}

/// The head of the answer to a range of an object, as a GET would have it.
fn cut(headers: &mut HeaderMap, request: &HeaderMap) -> Result<StatusCode, Fault> {
    let Some(range) = request.get(RANGE).and_then(|range| range.to_str().ok()) else { return Ok(StatusCode::OK) };
    let length = header(headers, CONTENT_LENGTH.as_str()).parse::<u64>().unwrap_or_default();
    match resolve(Some(range), length) {
        Ranges::Unsatisfiable => Err(Fault::new(Code::InvalidRange)),
        Ranges::One(range) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
            set(headers, CONTENT_RANGE, &content_range(&range, length));
            Ok(StatusCode::PARTIAL_CONTENT)
        }
        Ranges::Whole | Ranges::Many(_) => Ok(StatusCode::OK),
    }
}

fn out_of_range(face: &Face<'_>, headers: &HeaderMap) -> Fault {
    let count = header(headers, PARTS_COUNT.as_str()).parse().ok();
    face.part_number(count, true).err().unwrap_or_else(|| Fault::new(Code::InvalidRange))
}

/// # Errors
/// When a key is longer than keys may be.
pub(super) fn check_key(face: &Face<'_>) -> Result<(), Fault> {
    let most = face.proxy.config.constraints.max_object_name_length;
    if face.key()?.len() > most { Err(Fault::new(Code::KeyTooLong)) } else { Ok(()) }
}

async fn store(face: &Face<'_>, payload: Payload) -> Answered {
    check_key(face)?;
    if let Some(lists) = super::acl::canned(face)? {
        public_access::check_lists(face, &lists).await?;
    }
    let request = &face.parts.headers;
    let mut headers = metadata::stored(request)?;
    headers.extend(tagging::asked(request)?);
    headers.extend(lock::asked_with_body(face).await?);
    if header(&headers, CONTENT_TYPE.as_str()).is_empty() {
        headers.insert(CONTENT_TYPE, UNTYPED);
    }
    let condition = condition::of_put(request)?;
    let sealing = Sealing::of(face, request).await?;
    let parts = face.request(Method::PUT, headers.clone());
    let checksum = payload.checksum.clone();
    let behind = checksum.clone().map(|promise| checksums::behind(move || promise.kept()));
    let new = Put::new(face.object()?, headers, payload.length, payload.body);
    let new = Put { behind, condition: condition.clone(), seal: sealing.seal.clone(), ..new };
    let stored = put(face.call(&parts), new).await;
    let stored = stored.map_err(|error| face.write_fault(error, condition.as_ref()))?;
    let mut response = answered(&stored);
    let current =
        Current { key: face.key()?, bytes: stored.length, tags: &Tags::of_request(request)?, written: stored.written };
    lifecycle::show(face, &current, response.headers_mut()).await;
    sealing.show(response.headers_mut());
    if let Some(kept) = checksum.and_then(|promise| promise.kept()) {
        kept.show(response.headers_mut());
    }
    Ok(response)
}

/// The answer to a stored object.
pub(super) fn answered(stored: &Stored) -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    if let Some(etag) = &stored.etag {
        set(response.headers_mut(), ETAG, &format!("\"{}\"", etag.trim_matches('"')));
        set(response.headers_mut(), LAST_MODIFIED, &stored.written.http_date());
    }
    if let Some(version) = stored.version {
        set(response.headers_mut(), HeaderName::from_static("x-amz-version-id"), &version.to_string());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_know_both_kinds_of_etags() {
        let request = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static("\"abc-N\", \"def-2\""))]);
        let headers = conditions(&request);
        assert_eq!(headers[IF_MATCH], "\"abc-N\", \"def-2\", abc");
        assert_eq!(headers[ETAG_IS_AT], "x-object-sysmeta-s3api-etag");
    }

    #[test]
    fn a_head_tells_of_a_range() {
        let head = |range: &'static str| {
            let mut headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(10))]);
            let status = cut(&mut headers, &HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]));
            (status.map_err(|fault| fault.code), header(&headers, "content-length").to_owned())
        };
        assert_eq!(head("bytes=2-4"), (Ok(StatusCode::PARTIAL_CONTENT), "3".into()));
        assert_eq!(head("bytes=20-"), (Err(Code::InvalidRange), "10".into()));
        assert_eq!(head("x"), (Ok(StatusCode::OK), "10".into()));
    }
}
