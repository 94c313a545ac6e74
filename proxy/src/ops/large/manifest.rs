//! The manifest of a static large object: its segments in order, as they were when it was stored.
//!
//! What is stored is JSON, the same that Swift stores, with its keys in the same order. Clients have a form of their own
//! for the same thing, in which they send manifests and which `format=raw` gives back.

use std::fmt::Write as _;
use std::ops::Range;

use apus_base::hash_path::PathHash;
use apus_base::range::Spec;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::LargeError;
use crate::json::to_python;
use crate::ops::resource::ObjectName;

/// The most that a stored manifest grows from what a client sent: each segment has its MD5, type and date added.
const GROWTH: usize = 4;

/// A segment as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segment {
    /// Bytes that stand in the manifest itself.
    Data {
        /// The bytes.
        #[serde(with = "as_base64")]
        data: Bytes,
    },
    /// An object, or a part of one.
    Object(ObjectSegment),
}

/// A segment that is an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSegment {
    /// `/container/object`, in the manifest's own account.
    pub name: String,
    /// The length of the whole object.
    pub bytes: u64,
    /// Its MD5, or what stands for it if it is a large object.
    pub hash: String,
    /// Its content type.
    pub content_type: String,
    /// When it was last changed, as listings write it.
    pub last_modified: String,
    /// The part of it that is meant, if not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<SegmentRange>,
    /// Whether it is a static large object itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sub_slo: bool,
    /// A checksum of it, as whoever made it keeps it. Ours alone.
    #[serde(rename = "s3_checksum", default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// A part of an object, written `first-last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl SegmentRange {
    fn parse(text: &str) -> Option<Self> {
        match Spec::parse(text)? {
            Spec::FromTo(first, last) if last < u64::MAX => Some(Self { first, last }),
            _ => None,
        }
    }
}

impl std::fmt::Display for SegmentRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Serialize for SegmentRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SegmentRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a range is first-last"))
    }
}

impl Segment {
    /// How many bytes it adds to the large object.
    pub fn length(&self) -> u64 {
        match self {
            Self::Data { data } => data.len() as u64,
            Self::Object(object) => object.part().end - object.part().start,
        }
    }

    /// What it adds to the large object's ETag.
    fn write_etag(&self, to: &mut String) {
        // Writing into a String cannot fail.
        let _ = match self {
            Self::Data { data } => write!(to, "{}", md5_hex(data)),
            Self::Object(ObjectSegment { hash, range: Some(range), .. }) => write!(to, "{hash}:{range};"),
            Self::Object(ObjectSegment { hash, .. }) => write!(to, "{hash}"),
        };
    }
}

impl ObjectSegment {
    /// The bytes of the object that are meant.
    pub fn part(&self) -> Range<u64> {
        self.range.map_or(0..self.bytes, |range| range.first..range.last + 1)
    }

    /// Its full name.
    pub fn name_in(&self, account: &str) -> Option<ObjectName> {
        name_of(account, &self.name)
    }
}

/// The object that a path in a manifest names.
pub fn name_of(account: &str, path: &str) -> Option<ObjectName> {
    let (container, object) = path.trim_start_matches('/').split_once('/')?;
    let named = !container.is_empty() && !object.is_empty();
    named.then(|| ObjectName { account: account.into(), container: container.into(), object: object.into() })
}

/// A stored manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub Vec<Segment>);

impl Manifest {
    /// The longest stored manifest, for a longest one that clients may send.
    pub fn max_bytes(sent: usize) -> usize {
        sent.max(super::SloConfig::default().max_manifest_size).saturating_mul(GROWTH)
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// When it is no manifest.
    pub fn parse(json: &[u8]) -> Result<Self, LargeError> {
        let manifest: Self = serde_json::from_slice(json).map_err(|error| {
            tracing::error!(%error, "a stored manifest cannot be read");
            LargeError::Unreadable
        })?;
        // A length that 64 bits cannot say was never stored by anybody.
        let whole = manifest.0.iter().try_fold(0_u64, |sum, segment| sum.checked_add(segment.length()));
        if whole.is_some() { Ok(manifest) } else { Err(LargeError::Unreadable) }
    }

    /// What is stored.
    ///
    /// # Errors
    /// Never: a manifest has no maps.
    pub fn to_json(&self) -> Result<Vec<u8>, LargeError> {
        to_python(self).map_err(|_| LargeError::Unreadable)
    }

    /// The form in which a client would send it.
    ///
    /// # Errors
    /// Never, as [`Manifest::to_json`].
    pub fn to_raw(&self) -> Result<Vec<u8>, LargeError> {
        let raw: Vec<Raw> = self.0.iter().map(Raw::from).collect();
        to_python(&raw).map_err(|_| LargeError::Unreadable)
    }

    /// The length of the large object.
    pub fn length(&self) -> u64 {
        self.0.iter().map(Segment::length).sum()
    }

    /// The ETag of the large object: the MD5 of its segments' MD5s.
    pub fn etag(&self) -> String {
        let mut etags = String::new();
        self.0.iter().for_each(|segment| segment.write_etag(&mut etags));
        md5_hex(etags.as_bytes())
    }
}

/// An MD5 in hexadecimal digits.
pub(super) fn md5_hex(bytes: &[u8]) -> String {
    PathHash(Md5::digest(bytes).into()).hex()
}

/// A segment as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Bytes of its own.
    Data(Bytes),
    /// An object.
    Object(AskedObject),
}

/// An object as a client asks for it as a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedObject {
    /// `container/object`, with or without slashes in front.
    pub path: String,
    /// What its ETag has to be.
    pub etag: Option<String>,
    /// How long it has to be.
    pub size: Option<i64>,
    /// The part of it that is meant.
    pub range: Option<Spec>,
}

/// The raw form, keys in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Raw {
    Data {
        #[serde(with = "as_base64")]
        data: Bytes,
    },
    Object {
        etag: String,
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<SegmentRange>,
        size_bytes: u64,
    },
}

impl From<&Segment> for Raw {
    fn from(segment: &Segment) -> Self {
        match segment {
            Segment::Data { data } => Self::Data { data: data.clone() },
            Segment::Object(object) => Self::Object {
                etag: object.hash.clone(),
                path: object.name.clone(),
                range: object.range,
                size_bytes: object.bytes,
            },
        }
    }
}

impl From<Raw> for Asked {
    fn from(raw: Raw) -> Self {
        match raw {
            Raw::Data { data } => Self::Data(data),
            Raw::Object { etag, path, range, size_bytes } => Self::Object(AskedObject {
                path,
                etag: Some(etag),
                size: i64::try_from(size_bytes).ok(),
                range: range.map(|range| Spec::FromTo(range.first, range.last)),
            }),
        }
    }
}

/// Reads the raw form that [`Manifest::to_raw`] wrote.
///
/// # Errors
/// When it is something else.
pub fn parse_raw(json: &[u8]) -> Result<Vec<Asked>, LargeError> {
    let raw: Vec<Raw> = serde_json::from_slice(json).map_err(|_| LargeError::Unreadable)?;
    Ok(raw.into_iter().map(Asked::from).collect())
}

/// Bytes as base64.
mod as_base64 {
    use base64::Engine as _;

    use super::{BASE64_STANDARD, Bytes, Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(name: &str, bytes: u64, range: Option<(u64, u64)>) -> Segment {
        Segment::Object(ObjectSegment {
            name: name.to_owned(),
            bytes,
            hash: "abc".into(),
            content_type: "text/plain".into(),
            last_modified: "2024-04-05T19:34:39.000000".into(),
            range: range.map(|(first, last)| SegmentRange { first, last }),
            sub_slo: range.is_some(),
            checksum: None,
        })
    }

    fn manifest() -> Manifest {
        let data = Segment::Data { data: Bytes::from_static(b"hi") };
        Manifest(vec![object("/c/é", 10, None), data, object("/c/b", 10, Some((2, 4)))])
    }

    #[test]
    fn what_is_stored_is_swifts_to_the_byte() {
        let stored = String::from_utf8(manifest().to_json().unwrap()).unwrap();
        let first = r#"{"name": "/c/\u00e9", "bytes": 10, "hash": "abc", "content_type": "text/plain", "last_modified": "2024-04-05T19:34:39.000000"}"#;
        let last = r#"{"name": "/c/b", "bytes": 10, "hash": "abc", "content_type": "text/plain", "last_modified": "2024-04-05T19:34:39.000000", "range": "2-4", "sub_slo": true}"#;
        assert_eq!(stored, format!("[{first}, {{\"data\": \"aGk=\"}}, {last}]"));
        assert_eq!(Manifest::parse(stored.as_bytes()).unwrap(), manifest());
        assert_eq!(manifest().length(), 10 + 2 + 3);
        assert_eq!(manifest().etag(), md5_hex(format!("abc{}abc:2-4;", md5_hex(b"hi")).as_bytes()));
    }

    #[test]
    fn the_raw_form_is_what_a_client_would_send() {
        let raw = manifest().to_raw().unwrap();
        let expected = r#"[{"etag": "abc", "path": "/c/\u00e9", "size_bytes": 10}, {"data": "aGk="}, {"etag": "abc", "path": "/c/b", "range": "2-4", "size_bytes": 10}]"#;
        assert_eq!(String::from_utf8_lossy(&raw), expected);
        let asked = parse_raw(&raw).unwrap();
        let Asked::Object(last) = &asked[2] else { panic!("{asked:?}") };
        assert_eq!((last.path.as_str(), last.range), ("/c/b", Some(Spec::FromTo(2, 4))));
    }

    #[test]
    fn nonsense_is_no_manifest() {
        for json in ["", "{}", "[1]", "[{}]", r#"[{"data": "!"}]"#, r#"[{"name": "/c/o", "bytes": -1}]"#] {
            assert!(Manifest::parse(json.as_bytes()).is_err(), "{json}");
        }
        let huge = Manifest(vec![object("/c/o", u64::MAX, None), object("/c/o", 1, None)]);
        assert!(Manifest::parse(&huge.to_json().unwrap()).is_err());
    }

    #[test]
    fn names() {
        let name = |path| name_of("a", path).map(|name| format!("{} {}", name.container, name.object));
        assert_eq!(name("/c/o/p").as_deref(), Some("c o/p"));
        assert_eq!(name("c//o").as_deref(), Some("c /o"));
        assert_eq!(name("//c/o").as_deref(), Some("c o"));
        for bad in ["", "/", "c", "/c/"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_json_is_read_or_refused(json in "[\\[\\]{}\",:0-9a-z/-]{0,60}|\\PC{0,30}") {
            let _ = (Manifest::parse(json.as_bytes()), parse_raw(json.as_bytes()));
        }

        #[test]
        fn a_manifest_comes_back(names in prop::collection::vec("\\PC{1,9}", 0..5), first in 0..5_u64, length in 1..5_u64) {
            let segments = names.iter().map(|name| object(&format!("/c/{name}"), 10, Some((first, first + length - 1))));
            let manifest = Manifest(segments.collect());
            prop_assert_eq!(manifest.length(), names.len() as u64 * length);
            prop_assert_eq!(Manifest::parse(&manifest.to_json().unwrap()).unwrap(), manifest);
        }
    }
}
