//! The headers of an object in both vocabularies: S3's in requests and answers, Swift's in operations.

use std::borrow::Cow;
use std::fmt::Write as _;

use apus_base::object_lock::WRITTEN;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::BACKEND_DATA_TIMESTAMP;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::lock;
use super::tagging::{COUNT, TAGS, count};
use crate::ops::crypto::{CIPHER, LOCK};
use crate::ops::large::{PARTS_COUNT, S3_ETAG, is_static};
use crate::ops::versions::VERSION_ID;
use apus_base::hex::hex;

/// User metadata, in S3's words.
pub(super) const META: &str = "x-amz-meta-";
/// User metadata, in Swift's.
const SWIFT_META: &str = "x-object-meta-";
const DELETE_AT: &str = "x-delete-at";
/// Where a website sends who asks for the object.
pub(super) const REDIRECT: &str = "x-amz-website-redirect-location";
const REDIRECT_STORED: HeaderName = HeaderName::from_static("x-object-sysmeta-s3api-website-redirect-location");

/// Headers that both vocabularies have.
const DESCRIBING: [HeaderName; 6] = [
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    EXPIRES,
    HeaderName::from_static("x-robots-tag"),
];
/// More of them, in answers only.
const ANSWERED: [HeaderName; 6] = [ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_TYPE, CONTENT_RANGE, ETAG, LAST_MODIFIED];

/// What a request stores with an object, in Swift's words; its content type and its MD5 too.
///
/// # Errors
/// When `Content-MD5` is none.
pub(super) fn stored(request: &HeaderMap) -> Result<HeaderMap, Fault> {
    let redirect = header(request, REDIRECT);
    if !redirect.is_empty() && !["/", "http://", "https://"].iter().any(|start| redirect.starts_with(start)) {
        return Err(Fault::new(Code::InvalidRedirectLocation));
    }
    let mut headers = described(request);
    headers.extend(promised_md5(request)?);
    Ok(headers)
}

/// The MD5 that a request promises, as operations know it.
///
/// # Errors
/// When `Content-MD5` is none.
pub(super) fn promised_md5(request: &HeaderMap) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    if let Some(md5) = content_md5(request)? {
        set(&mut headers, ETAG, &hex(&md5));
    }
    Ok(headers)
}

/// What an upload in parts hands on to the object that comes of it.
pub(super) fn kept(upload: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        DESCRIBING.contains(name)
            || [TAGS, WRITTEN, REDIRECT_STORED].contains(name)
            || name.as_str().starts_with(SWIFT_META)
    };
    crate::ops::headers::pick(upload, is_kept)
}

/// The same, without the MD5 of the body.
pub(super) fn described(request: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let is_kept = |name: &HeaderName| {
        DESCRIBING.contains(name) || *name == CONTENT_TYPE || matches!(name.as_str(), DELETE_AT | "x-delete-after")
    };
    for name in request.keys().filter(|name| is_kept(name)) {
        if let Some(value) = request.get(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Some(redirect) = request.get(REDIRECT) {
        headers.insert(REDIRECT_STORED, redirect.clone());
    }
    for name in request.keys() {
        let swift = name.as_str().strip_prefix(META).map(|item| format!("{SWIFT_META}{item}"));
        let Some(Ok(swift)) = swift.map(|swift| HeaderName::try_from(swift.as_str())) else { continue };
        let values: Vec<Cow<'_, [u8]>> = request.get_all(name).iter().map(meant).collect();
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b","[..])) {
            headers.insert(swift, value);
        }
    }
    headers
}

/// The MD5 that a request promises.
///
/// # Errors
/// When it is none.
pub(super) fn content_md5(request: &HeaderMap) -> Result<Option<Vec<u8>>, Fault> {
    let Some(value) = request.get("content-md5") else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let text = text.trim_matches(|c| c <= ' ');
    if text.is_empty() {
        return Ok(None);
    }
    let md5 = BASE64_STANDARD.decode(text).ok().filter(|md5| md5.len() == 16);
    md5.map(Some).ok_or_else(|| Fault::new(Code::InvalidDigest).with("ContentMd5", text))
}

/// The value of an item as both faces keep it: text in UTF-8. What is none is kept as it would be answered.
fn meant(value: &HeaderValue) -> Cow<'_, [u8]> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text.as_bytes()),
        Err(_) => Cow::Owned(as_mail(value)),
    }
}

/// Text that is not ASCII is answered as mail would have it, by AWS too.
fn as_mail(value: &HeaderValue) -> Vec<u8> {
    format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(value.as_bytes())).into_bytes()
}

/// The value of an item as it is answered.
fn answered(value: &HeaderValue) -> HeaderValue {
    let encoded = if value.to_str().is_ok() { None } else { HeaderValue::from_bytes(&as_mail(value)).ok() };
    encoded.unwrap_or_else(|| value.clone())
}

/// The headers of an answer about an object, from those of an operation.
pub(super) fn shown(answer: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in answer {
        if DESCRIBING.contains(name) || ANSWERED.contains(name) {
            headers.insert(name.clone(), value.clone());
        }
        let item = name.as_str().strip_prefix(SWIFT_META).map(|item| format!("{META}{item}"));
        if let Some(Ok(name)) = item.map(|item| HeaderName::try_from(item.as_str())) {
            headers.insert(name, answered(value));
        }
    }
    let mut rename = |from: &HeaderName, to: &'static str| {
        if let Some(value) = answer.get(from) {
            headers.insert(HeaderName::from_static(to), value.clone());
        }
    };
    rename(&PARTS_COUNT, "x-amz-mp-parts-count");
    rename(&REDIRECT_STORED, REDIRECT);
    if let Ok(moment) = header(answer, BACKEND_DATA_TIMESTAMP).parse::<Timestamp>() {
        // Tags are no part of an object, so that changing them does not change it.
        set(&mut headers, LAST_MODIFIED, &moment.http_date());
    }
    show_version(answer, &mut headers);
    lock::show(answer, &mut headers);
    if let Some(count) = count(answer) {
        headers.insert(COUNT, HeaderValue::from(count));
    }
    // A large object with a client's key may have its manifest under the root secret.
    if answer.contains_key(CIPHER) && !answer.contains_key(LOCK) {
        headers.insert("x-amz-server-side-encryption", HeaderValue::from_static("AES256"));
    }
    if let Some(secs) = header(answer, DELETE_AT).parse().ok().map(Timestamp::from_secs) {
        let rule = format!("expiry-date=\"{}\", rule-id=\"swift-object-expiration\"", secs.http_date());
        set(&mut headers, HeaderName::from_static("x-amz-expiration"), &rule);
    }
    if let Some(etag) = etag(answer) {
        set(&mut headers, ETAG, &format!("\"{etag}\""));
    }
    headers
}

/// The ETag of an object for S3, without quotes. One of a large object that S3 did not make has a dash too, by which clients
/// know that it is no MD5.
pub(super) fn etag(answer: &HeaderMap) -> Option<String> {
    let own = header(answer, S3_ETAG.as_str());
    let bare = header(answer, ETAG.as_str()).trim_matches('"');
    match (own.is_empty(), bare.is_empty()) {
        (false, _) => Some(own.to_owned()),
        (true, true) => None,
        (true, false) if is_static(answer) => Some(format!("{bare}-N")),
        (true, false) => Some(bare.to_owned()),
    }
}

/// Shows in an answer which version it is about.
pub(super) fn show_version(answer: &HeaderMap, headers: &mut HeaderMap) {
    if let Some(version) = answer.get(&VERSION_ID) {
        headers.insert("x-amz-version-id", version.clone());
    }
}

/// Writes a header whose value fits one; of others, nothing.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A moment as answers in XML write it.
pub(super) fn xml_time(moment: Timestamp) -> String {
    let mut text = Timestamp::from_secs(moment.secs_ceil()).isoformat();
    text.truncate("2026-01-02T03:04:05".len());
    // Writing into a String cannot fail.
    let _ = write!(text, ".000Z");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static [u8])]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_bytes(v).unwrap())).collect()
    }

    #[test]
    fn requests_in_swifts_words() {
        let request = headers(&[
            ("x-amz-meta-a_b", b"c"),
            ("x-amz-meta-snow", "☃".as_bytes()),
            ("content-md5", b"kAFQmDzST7DWlj99KOF/cg=="),
            ("content-type", b"a/b"),
            ("x-object-manifest", b"c/o"),
            ("x-amz-acl", b"private"),
        ]);
        let stored = stored(&request).unwrap();
        assert_eq!(stored.len(), 4);
        assert_eq!(
            (&stored["x-object-meta-a_b"], &stored["content-type"]),
            (&"c".parse().unwrap(), &"a/b".parse().unwrap())
        );
        assert_eq!(stored["x-object-meta-snow"].as_bytes(), "☃".as_bytes());
        assert_eq!(described(&headers(&[("x-amz-meta-odd", b"\xe9")]))["x-object-meta-odd"], "=?UTF-8?B?6Q==?=");
        assert_eq!(stored["etag"], "900150983cd24fb0d6963f7d28e17f72");
        for bad in [&b"x"[..], b"AAAA", b"!!!!"] {
            assert_eq!(
                content_md5(&headers(&[("content-md5", bad.to_vec().leak())])).unwrap_err().code,
                Code::InvalidDigest
            );
        }
    }

    #[test]
    fn answers_in_s3s() {
        let answer = headers(&[
            ("etag", b"\"abc\""),
            ("x-static-large-object", b"True"),
            ("x-object-meta-a", b"b"),
            ("x-object-sysmeta-x", b"y"),
            ("x-object-version-id", b"1"),
            ("x-timestamp", b"1"),
        ]);
        let shown_headers = shown(&answer);
        assert_eq!(shown_headers.len(), 3);
        assert_eq!(
            (&shown_headers["etag"], &shown_headers["x-amz-meta-a"]),
            (&"\"abc-N\"".parse().unwrap(), &"b".parse().unwrap())
        );
        assert_eq!(shown(&headers(&[("x-object-meta-snow", "☃".as_bytes())]))["x-amz-meta-snow"], "=?UTF-8?B?4piD?=");
        let own = headers(&[("etag", b"\"abc\""), ("x-object-sysmeta-s3api-etag", b"def-2")]);
        assert_eq!(etag(&own).as_deref(), Some("def-2"));
    }

    #[test]
    fn moments_are_rounded_up() {
        assert_eq!(xml_time("1712345678.12345".parse().unwrap()), "2024-04-05T19:34:39.000Z");
        assert_eq!(xml_time("1712345678.00000".parse().unwrap()), "2024-04-05T19:34:38.000Z");
    }
}
