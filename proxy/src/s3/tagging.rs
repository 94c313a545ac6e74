//! Tags of buckets and objects.
//!
//! Those of an object are one item of its metadata, which a PUT writes together with the data:
//!
//! ```text
//! X-Object-Transient-Sysmeta-S3api-Tags: color=blue&size=x%26y
//! ```
//!
//! Copies bring it along. Changing it makes no new version and changes neither ETag nor `Last-Modified`. A POST through the
//! Swift face replaces all metadata, and tags with it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::metadata::show_version;
use super::payload::Payload;
use super::setting::Setting;
use super::xml::{Node, Xml};
use super::{Answered, Face, document, empty, object, parse};
use crate::ops::annotate::annotate;
use crate::ops::notification::{self, Kind};
use crate::ops::versions::VERSION_ID;
use crate::swift::listing::parameters;

/// Where they are kept.
pub(super) const TAGS: HeaderName = HeaderName::from_static("x-object-transient-sysmeta-s3api-tags");
/// How many there are, in answers.
pub(super) const COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");
const HEADER: &str = "x-amz-tagging";
const DIRECTIVE: &str = "x-amz-tagging-directive";
const OF_BUCKET: Setting = Setting("tagging");

const MAX_OF_OBJECT: usize = 10;
const MAX_OF_BUCKET: usize = 50;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;
/// The longest form in which tags are kept: that of a header. Only tags in scripts of three bytes a letter come near.
const MAX_KEPT_BYTES: usize = 8000;
/// The longest body: fifty tags of the longest keys and values, every letter of them escaped.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Tags, each key once, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tags(Vec<(String, String)>);

impl Tags {
    /// Reads the header of an upload.
    fn of_header(text: &str) -> Result<Self, Fault> {
        let sentence = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters \
            without tag name duplicates.";
        let refuse = || Fault::argument(HEADER, text, sentence);
        let mut tags = Vec::new();
        for (key, value) in parameters(text) {
            if key.contains(char::REPLACEMENT_CHARACTER) {
                return Err(refuse());
            }
            tags.push((key, String::from_utf8(value).map_err(|_| refuse())?));
        }
        Self::checked(tags, MAX_OF_OBJECT)
    }

    /// Reads a document.
    fn of_document(document: &Node, most: usize) -> Result<Self, Fault> {
        document.only(&["TagSet"])?;
        let set = document.child("TagSet")?.ok_or(Fault::new(Code::MalformedXml))?;
        set.only(&["Tag"])?;
        let read = |tag: &Node| {
            tag.only(&["Key", "Value"])?;
            Ok((tag.required("Key")?.to_owned(), tag.required("Value")?.to_owned()))
        };
        let tags: Result<Vec<_>, Fault> = set.children.iter().map(read).collect();
        Self::checked(tags?, most)
    }

    /// # Errors
    /// When they are more than `most`, or are none that AWS allows.
    pub(super) fn checked(tags: Vec<(String, String)>, most: usize) -> Result<Self, Fault> {
        let refuse = |sentence: String| Err(Fault::saying(Code::InvalidTag, sentence));
        if tags.len() > most {
            let whose = if most == MAX_OF_OBJECT { "Object" } else { "Bucket" };
            return refuse(format!("{whose} tags cannot be greater than {most}"));
        }
        for (at, (key, value)) in tags.iter().enumerate() {
            if key.is_empty() || key.chars().count() > MAX_KEY_CHARS || !key.chars().all(is_allowed) {
                return refuse("The TagKey you have provided is invalid".into());
            }
            if value.chars().count() > MAX_VALUE_CHARS || !value.chars().all(is_allowed) {
                return refuse("The TagValue you have provided is invalid".into());
            }
            if key.to_ascii_lowercase().starts_with("aws:") {
                return refuse("System tags cannot be added/updated by requester".into());
            }
            if tags[..at].iter().any(|(other, _)| other == key) {
                return refuse("Cannot provide multiple Tags with the same key".into());
            }
        }
        Ok(Self(tags))
    }

    /// Those that an object has.
    pub(super) fn of_object(headers: &HeaderMap) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = header(headers, TAGS.as_str()).split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
    }

    /// Those that an upload asks for.
    ///
    /// # Errors
    /// When they make no sense.
    pub(super) fn of_request(request: &HeaderMap) -> Result<Self, Fault> {
        let text = request.get(HEADER).map(|text| String::from_utf8_lossy(text.as_bytes()));
        text.map_or(Ok(Self::default()), |text| Self::of_header(&text))
    }

    /// Those of a test.
    #[cfg(test)]
    pub(super) fn of_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    /// Their keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// Whether there is that tag.
    pub(super) fn has(&self, key: &str, value: &str) -> bool {
        self.0.iter().any(|(own, of_own)| own == key && of_own == value)
    }

    /// The value of a key, as conditions of policies look for it.
    pub(super) fn get_ignoring_case(&self, key: &str) -> Option<String> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.clone())
    }

    /// As they are kept with an object; empty for none.
    fn kept(&self) -> Result<HeaderValue, Fault> {
        let pairs: Vec<String> =
            self.0.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
        let text = pairs.join("&");
        let fits = Some(text).filter(|text| text.len() <= MAX_KEPT_BYTES);
        fits.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok())
            .ok_or(Fault::saying(Code::InvalidTag, "The tags are too long together"))
    }

    fn xml(&self) -> Xml {
        let mut xml = Xml::new("Tagging");
        xml.open("TagSet");
        for (key, value) in &self.0 {
            xml.open("Tag").text("Key", key).text("Value", value).close();
        }
        xml
    }
}

/// What AWS allows: letters, numbers, spaces, and a few signs.
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "+-=._:/@".contains(c) || is_mark(c)
}

/// What is put on a letter of scripts that do not write all of it in one.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{dff}' | '\u{e31}'..='\u{e4e}')
}

/// Without what parts tags from each other, and what a header cannot hold.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | '&' | '=' | '+' | ' ' => out.push_str(&format!("%{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// How many tags an object has, if it has any.
pub(super) fn count(headers: &HeaderMap) -> Option<usize> {
    Some(Tags::of_object(headers).0.len()).filter(|count| *count > 0)
}

/// # Errors
/// When the tags of an upload, or what a copy does with those of its source, make no sense.
pub(super) fn check(request: &HeaderMap) -> Result<(), Fault> {
    asked(request)?;
    let directive = header(request, DIRECTIVE);
    if request.contains_key(DIRECTIVE) && !matches!(directive, "COPY" | "REPLACE") {
        return Err(Fault::argument(DIRECTIVE, directive, "Unknown tagging directive."));
    }
    Ok(())
}

/// What an upload stores for its tags.
///
/// # Errors
/// When they make no sense.
pub(super) fn asked(request: &HeaderMap) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    if request.contains_key(HEADER) {
        headers.insert(TAGS, Tags::of_request(request)?.kept()?);
    }
    Ok(headers)
}

/// The tags of a copy: its source's, or its own.
///
/// # Errors
/// When its own make no sense.
pub(super) fn copied(request: &HeaderMap, source: &HeaderMap) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    let of_source = || source.get(TAGS).cloned().unwrap_or(HeaderValue::from_static(""));
    headers
        .insert(TAGS, if header(request, DIRECTIVE) == "REPLACE" { HeaderValue::from_static("") } else { of_source() });
    if header(request, DIRECTIVE) == "REPLACE" {
        headers.extend(asked(request)?);
    }
    Ok(headers)
}

/// `?tagging`
pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    match (&face.parts.method, face.asked.key.is_some()) {
        (&Method::GET, true) => show_of_object(face).await,
        (&Method::PUT, true) => {
            let tags = read(face, payload, MAX_OF_OBJECT).await?;
            change(face, tags.kept()?, StatusCode::OK).await
        }
        (&Method::DELETE, true) => change(face, HeaderValue::from_static(""), StatusCode::NO_CONTENT).await,
        (&Method::GET, false) => {
            let tags: Option<Tags> = face.setting(OF_BUCKET).await?;
            let tags = tags.ok_or_else(|| Fault::new(Code::NoSuchTagSet).with("BucketName", face.bucket()))?;
            Ok(document(tags.xml()))
        }
        (&Method::PUT, false) => {
            let tags = read(face, payload, MAX_OF_BUCKET).await?;
            face.set(OF_BUCKET, Some(&tags)).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (&Method::DELETE, false) => {
            face.set::<Tags>(OF_BUCKET, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("TAGGING")),
    }
}

async fn read(face: &Face<'_>, payload: Payload, most: usize) -> Result<Tags, Fault> {
    let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
    Tags::of_document(&parse(&text, "Tagging")?, most)
}

async fn show_of_object(face: &Face<'_>) -> Answered {
    let headers = object::describe(face).await?;
    let mut response = document(Tags::of_object(&headers).xml());
    show_version(&headers, response.headers_mut());
    Ok(response)
}

async fn change(face: &Face<'_>, kept: HeaderValue, status: StatusCode) -> Answered {
    let (name, version) = (face.object()?, face.version()?);
    let parts = face.request(Method::POST, HeaderMap::new());
    let set = |_: &HeaderMap, headers: &mut HeaderMap| {
        headers.insert(TAGS, kept);
        Ok(())
    };
    let headers = match annotate(face.call(&parts), &name, version, set).await {
        Ok(headers) => headers,
        Err(error) => return Err(face.object_fault(face.bucket(), face.key()?, version, error).await),
    };
    let kind = if face.parts.method == Method::DELETE { Kind::Untagged } else { Kind::Tagged };
    let version = header(&headers, VERSION_ID.as_str()).parse().ok();
    let told = notification::tell(face.call(&parts), &name, kind, version).await;
    told.map_err(|error| face.bucket_fault(error))?;
    let mut response = empty(status);
    show_version(&headers, response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(tags: &[(&str, &str)]) -> Tags {
        Tags::of_pairs(tags)
    }

    fn document_of(text: &str) -> Result<Tags, Code> {
        let text = format!("<Tagging><TagSet>{text}</TagSet></Tagging>");
        Tags::of_document(&Node::parse(text.as_bytes(), "Tagging").unwrap(), 2).map_err(|fault| fault.code)
    }

    fn tag(key: &str, value: &str) -> String {
        format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
    }

    #[test]
    fn limits() {
        assert_eq!(document_of(&(tag("a", "") + &tag("b", "é"))), Ok(tags(&[("a", ""), ("b", "é")])));
        assert_eq!(document_of(""), Ok(Tags::default()));
        let long = |n| "k".repeat(n);
        assert!(document_of(&tag(&long(128), &long(256))).is_ok());
        for bad in [
            tag(&long(129), "v"),
            tag("k", &long(257)),
            tag("", "v"),
            tag("aws:k", "v"),
            tag("k", "&lt;"),
            tag("k", "1") + &tag("k", "2"),
            tag("a", "") + &tag("b", "") + &tag("c", ""),
        ] {
            assert_eq!(document_of(&bad), Err(Code::InvalidTag), "{bad}");
        }
        assert_eq!(document_of("<Tag><Key>k</Key></Tag>"), Err(Code::MalformedXml));
        assert_eq!(document_of("<Other/>"), Err(Code::MalformedXml));
    }

    #[test]
    fn headers_of_uploads() {
        assert_eq!(
            Tags::of_header("foo=bar+x&bar&a%2Fb=%C3%A9"),
            Ok(tags(&[("foo", "bar x"), ("bar", ""), ("a/b", "é")]))
        );
        assert_eq!(Tags::of_header(""), Ok(Tags::default()));
        assert_eq!(Tags::of_header("a=%ff").unwrap_err().code, Code::InvalidArgument);
        assert_eq!(Tags::of_header("a=1&a=2").unwrap_err().code, Code::InvalidTag);
    }

    #[test]
    fn copies_take_the_tags_of_their_source_or_their_own() {
        let source = HeaderMap::from_iter([(TAGS, HeaderValue::from_static("a=1"))]);
        let request = |directive: &'static str| {
            HeaderMap::from_iter([
                (HeaderName::from_static(HEADER), HeaderValue::from_static("b=2")),
                (HeaderName::from_static(DIRECTIVE), HeaderValue::from_static(directive)),
            ])
        };
        assert_eq!(copied(&request("COPY"), &source).unwrap()[TAGS], "a=1");
        assert_eq!(copied(&request("REPLACE"), &source).unwrap()[TAGS], "b=2");
        assert_eq!(copied(&HeaderMap::new(), &HeaderMap::new()).unwrap()[TAGS], "");
        assert_eq!(check(&request("MOVE")).unwrap_err().code, Code::InvalidArgument);
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back(pairs in proptest::collection::btree_map("[a-c+=/@ é]{1,5}", "[a-c+=._:/ 語]{0,6}", 0..10)) {
            let tags = Tags(pairs.into_iter().collect());
            let headers = HeaderMap::from_iter([(TAGS, tags.kept().unwrap())]);
            prop_assert_eq!(count(&headers), Some(tags.0.len()).filter(|count| *count > 0));
            prop_assert_eq!(Tags::of_object(&headers), tags);
        }

        #[test]
        fn any_header_is_read_or_refused(text in "[a-c%=&+0-9]{0,30}|\\PC{0,20}") {
            let _ = Tags::of_header(&text);
        }
    }
}
