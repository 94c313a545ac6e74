//! Copies: an object, or a range of one as a part of an upload.

use apus_base::body::Body;
use apus_base::timestamp::Timestamp;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::checksums::{self, Kept};
use super::code::Code;
use super::encryption::{self, Sealing};
use super::fault::Fault;
use super::lifecycle::{self, Current};
use super::listing::version_id;
use super::payload::checked::Measure;
use super::policy::Need;
use super::xml::Xml;
use super::{Answered, Face, condition, document, lock, metadata, multipart, object, tagging};
use crate::ops::copy::{Copied, Terms, copy_if};
use crate::ops::crypto::{LOCK, Seal};
use crate::ops::get::{Read, get};
use crate::ops::put::Stored;
use crate::ops::resource::ObjectName;
use crate::ops::versions::Version;

/// Names what is copied.
pub(super) const SOURCE: &str = "x-amz-copy-source";
const RANGE_OF_SOURCE: &str = "x-amz-copy-source-range";
const VERSION_OF_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source-version-id");
const FRESH: HeaderName = HeaderName::from_static("x-fresh-metadata");
/// The conditions that a request puts on what is copied, and what they are called in a read.
const CONDITIONS: [(&str, HeaderName); 4] = [
    ("x-amz-copy-source-if-match", http::header::IF_MATCH),
    ("x-amz-copy-source-if-none-match", http::header::IF_NONE_MATCH),
    ("x-amz-copy-source-if-modified-since", http::header::IF_MODIFIED_SINCE),
    ("x-amz-copy-source-if-unmodified-since", http::header::IF_UNMODIFIED_SINCE),
];

/// What is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) key: String,
    /// The query behind it.
    query: Option<String>,
}

impl Source {
    /// Reads `/bucket/key?versionId=…`, percent-encoded.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query.to_owned())));
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/')?;
        let named = !bucket.is_empty() && !key.is_empty() && !path.contains('\0');
        named.then(|| Self { bucket: bucket.to_owned(), key: key.to_owned(), query })
    }

    fn version(&self) -> Result<Option<Version>, Fault> {
        let Some(query) = self.query.as_deref().filter(|query| !query.is_empty()) else { return Ok(None) };
        let refuse = || Fault::argument("X-Amz-Copy-Source", query, "Unsupported copy source parameter.");
        let id = query.strip_prefix("versionId=").filter(|id| !id.contains('&')).ok_or_else(refuse)?;
        version_id(id).map(Some)
    }
}

/// What a copy is made of.
pub(super) struct Plan {
    source: ObjectName,
    version: Option<Version>,
    /// The conditions and the range of the read.
    conditions: HeaderMap,
}

impl Plan {
    /// Reads what a request copies, if it does.
    pub(super) fn of(face: &Face<'_>) -> Result<Option<Self>, Fault> {
        let Some(text) = face.parts.headers.get(SOURCE) else { return Ok(None) };
        let text = String::from_utf8_lossy(text.as_bytes());
        // The rules for headers have seen that it can be read.
        let source = Source::parse(&text).ok_or(Fault::new(Code::InvalidArgument))?;
        let mut conditions = HeaderMap::new();
        for (name, read) in CONDITIONS {
            if let Some(value) = face.parts.headers.get(name) {
                conditions.insert(read, value.clone());
            }
        }
        let conditions = object::conditions(&conditions);
        let version = source.version()?;
        Ok(Some(Self { source: face.name(&source.bucket, source.key), version, conditions }))
    }

    /// Looks whether the source is there and meets the conditions. Gives its headers.
    pub(super) async fn check(&self, face: &Face<'_>) -> Result<HeaderMap, Fault> {
        let parts = face.request(Method::HEAD, HeaderMap::new());
        match get(face.call(&parts), self.read(Method::HEAD, &HeaderMap::new())).await {
            Ok(response) if response.status().is_success() => Ok(response.headers().clone()),
            Ok(response) => Err(unmet(&response)),
            Err(error) => {
                Err(face.object_fault(&self.source.container, &self.source.object, self.version, error).await)
            }
        }
    }

    fn read(&self, method: Method, range: &HeaderMap) -> Read {
        let mut read =
            Read { version: self.version, ..Read::asked(self.source.clone(), method, &self.conditions, false) };
        read.headers.extend(range.clone());
        if let Some(at) = self.conditions.get("x-backend-etag-is-at") {
            read.headers.insert("x-backend-etag-is-at", at.clone());
        }
        read
    }

    /// Copies. `request` is what the copy gets, in Swift's words.
    pub(super) async fn run(
        &self,
        face: &Face<'_>,
        to: ObjectName,
        mut request: HeaderMap,
        range: &HeaderMap,
        terms: Terms,
    ) -> Result<(Box<Stored>, Option<HeaderValue>), Fault> {
        request.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let parts = face.request(Method::PUT, request);
        let (container, key) = (to.container.clone(), to.object.clone());
        let condition = terms.condition.clone();
        match copy_if(face.call(&parts), self.read(Method::GET, range), to, terms).await {
            Ok(Copied::Stored { stored, source_version, .. }) => Ok((stored, source_version)),
            Ok(Copied::Unmet(response)) => Err(unmet(&response)),
            Err(error) => Err(condition::refused(error, condition.as_ref(), &key)
                .unwrap_or_else(|error| face.container_fault(&container, error))),
        }
    }
}

/// What a copy reads.
///
/// # Errors
/// When the version of it makes no sense.
pub(super) fn need(face: &Face<'_>) -> Result<Option<Need>, Fault> {
    let of = |plan: Plan| Need::get(&plan.source.container, &plan.source.object, plan.version.is_some());
    if face.parts.method == Method::PUT && face.asked.key.is_some() { Ok(Plan::of(face)?.map(of)) } else { Ok(None) }
}

fn unmet(response: &Response<Body>) -> Fault {
    Fault::new(match response.status() {
        StatusCode::RANGE_NOT_SATISFIABLE => Code::InvalidRange,
        _ => Code::PreconditionFailed,
    })
}

/// PUT of an object that is a copy.
pub(super) async fn answer(face: &Face<'_>) -> Answered {
    object::check_key(face)?;
    super::acl::canned(face)?;
    if let Some(range) = face.parts.headers.get(RANGE_OF_SOURCE) {
        let range = String::from_utf8_lossy(range.as_bytes());
        return Err(Fault::argument(RANGE_OF_SOURCE, &range, "Illegal copy header"));
    }
    let plan = Plan::of(face)?.ok_or(Fault::new(Code::InvalidArgument))?;
    let source = plan.check(face).await?;
    let (to, condition) = (face.object()?, condition::of_put(&face.parts.headers)?);
    encryption::check_source(face, &source)?;
    let sealing = Sealing::of(face, &face.parts.headers).await?;
    let replaces = super::auth::header(&face.parts.headers, "x-amz-metadata-directive") == "REPLACE";
    let reseals = sealing.seal != Seal::AsConfigured || source.contains_key(LOCK);
    if plan.source == to && !replaces && !reseals && plan.version.is_none() {
        let sentence = "This copy request is illegal because it is trying to copy an object to itself without changing the \
            object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(Fault::saying(Code::InvalidRequest, sentence));
    }
    let mut request = HeaderMap::new();
    if replaces {
        request = metadata::described(&face.parts.headers);
        request.insert(FRESH, HeaderValue::from_static("true"));
        if !request.contains_key(CONTENT_TYPE) {
            request.insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
        }
    }
    request.extend(tagging::copied(&face.parts.headers, &source)?);
    let tags = tagging::Tags::of_object(&request);
    request.extend(lock::asked(face, &face.parts.headers).await?);
    let measure = measure(face, &source)?;
    let terms = measure.as_ref().map_or_else(Terms::default, checksums::measured);
    let terms = Terms { condition, seal: sealing.seal.clone(), ..terms };
    let (stored, source_version) = plan.run(face, to, request, &HeaderMap::new(), terms).await?;
    let kept = measure.map_or_else(|| Kept::of(&source), |measure| measure.kept());
    let mut response = result("CopyObjectResult", &stored, kept.as_ref(), true);
    let current = Current { key: face.key()?, bytes: stored.length, tags: &tags, written: stored.written };
    lifecycle::show(face, &current, response.headers_mut()).await;
    sealing.show(response.headers_mut());
    let version = object::answered(&stored).headers().get("x-amz-version-id").cloned();
    if let Some(version) = version {
        response.headers_mut().insert("x-amz-version-id", version);
    }
    if let Some(version) = source_version {
        response.headers_mut().insert(VERSION_OF_SOURCE, version);
    }
    Ok(response)
}

/// What computes the checksum of a copy whose source has none that it can have: another algorithm is asked for, or that of the
/// source is one of its parts' checksums, and a copy has no parts.
fn measure(face: &Face<'_>, source: &HeaderMap) -> Result<Option<Measure>, Fault> {
    let kept = Kept::of(source);
    let asked = multipart::asked_algorithm(&face.parts.headers)?;
    let algorithm = asked.or(kept.as_ref().map(|kept| kept.algorithm));
    let is_usable = kept.is_some_and(|kept| !kept.is_composite() && asked.is_none_or(|asked| asked == kept.algorithm));
    Ok(algorithm.filter(|_| !is_usable).map(Measure::new))
}

/// The answer to a copy, with its checksum; `whole` is an object and no part.
pub(super) fn result(root: &'static str, stored: &Stored, kept: Option<&Kept>, whole: bool) -> Response<Body> {
    let mut xml = Xml::new(root);
    xml.text("LastModified", &metadata::xml_time(Timestamp::from_secs(stored.written.secs_ceil())));
    let etag = stored.etag.as_deref().unwrap_or_default().trim_matches('"');
    xml.text("ETag", &format!("\"{etag}\""));
    match kept {
        Some(kept) if whole => kept.write(&mut xml),
        Some(kept) => drop(xml.text(kept.algorithm.element(), &kept.value)),
        None => {}
    }
    document(xml)
}

/// The range of the source that a part is a copy of, as a read asks for it. `length` is the source's.
pub(super) fn range(face: &Face<'_>, length: u64) -> Result<HeaderMap, Fault> {
    let Some(value) = face.parts.headers.get(RANGE_OF_SOURCE) else { return Ok(HeaderMap::new()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let refuse = |sentence: String| Fault::argument("x-amz-source-range", &text, sentence);
    let specs = apus_base::range::parse(&text).filter(|specs| specs.len() == 1);
    let specs = specs.ok_or_else(|| {
        let sentence = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
            zero-based offsets of the first and last bytes to copy";
        refuse(sentence.to_owned())
    })?;
    if specs.iter().all(|spec| spec.within(length).is_none_or(|range| range.is_empty())) {
        return Err(refuse(format!("Range specified is not valid for source object of size: {length}")));
    }
    Ok(HeaderMap::from_iter([(RANGE, value.clone())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sources() {
        let source = Source::parse("/buck/a%20b/c%3Fd?versionId=null").unwrap();
        assert_eq!((source.bucket.as_str(), source.key.as_str()), ("buck", "a b/c?d"));
        assert_eq!(source.version(), Ok(Some(Version::Null)));
        assert!(Source::parse("b/k?x=y").unwrap().version().is_err());
        for none in ["", "b", "/b", "/b/", "//k", "%ff/k", "%00b/k"] {
            assert_eq!(Source::parse(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_source_is_read_or_refused(text in "[a-z/%?=&0-9]{0,30}|\\PC{0,20}") {
            let _ = Source::parse(&text).map(|source| source.version());
        }
    }
}
