//! What a container's listing says of an object. Pure.
//!
//! The hash of a row may have parameters behind it: `md5; symlink_target=c/o; slo_etag=md5`. They tell of links and
//! large objects what their rows show in fields of their own.

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};

use super::BadListing;
use crate::ops::symlink;
use crate::swift::response::QUOTED;

/// A row's text has this before its hash. No name can hold it: quotes in names are escaped.
const BEFORE_HASH: &[u8] = b"\"hash\":\"";
static HASH_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BEFORE_HASH));

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    /// Names rolled up.
    Subdir {
        /// What they begin with.
        subdir: String,
    },
    /// An object.
    Object(Box<Object>),
}

/// An object's row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) hash: String,
    pub(crate) bytes: u64,
    pub(crate) content_type: String,
    pub(crate) last_modified: String,
    /// Of a link: the path of its target;
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) symlink_path: Option<String>,
    /// of a static one, the target's ETag
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) symlink_etag: Option<String>,
    /// and its length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) symlink_bytes: Option<u64>,
    /// Of a static large object: its ETag, in quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slo_etag: Option<String>,
    /// Of one that was uploaded in parts through S3: the ETag that it has there, in quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) s3_etag: Option<String>,
    /// and how its checksum was computed: `CRC32-COMPOSITE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) s3_checksum: Option<String>,
    /// Whether it is a link to a version of the object itself, which clients need not know but Swift tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_symlink: Option<bool>,
    /// In a listing of versions: which one,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_id: Option<String>,
    /// and whether it is the one that a plain GET gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_latest: Option<bool>,
}

impl Entry {
    /// Reads a row.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn read(text: &[u8]) -> Result<Self, BadListing> {
        serde_json::from_slice(text).map_err(|_| BadListing::Row)
    }

    /// What it is listed by.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Subdir { subdir } => subdir,
            Self::Object(object) => &object.name,
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), BadListing> {
        serde_json::to_writer(out, self).map_err(|_| BadListing::Row)
    }
}

impl Object {
    /// Moves what stands behind the hash to where clients look for it. `account` is the one that is listed.
    pub(crate) fn shape(&mut self, account: &str) {
        let mut hash = Hash::parse(&self.hash);
        let own = || utf8_percent_encode(account, QUOTED).to_string();
        let target_account = hash.take("symlink_target_account").unwrap_or_else(own);
        let path = |target: String| format!("{}/{target_account}/{target}", symlink::ROOT);
        self.symlink_path = hash.take("symlink_target").map(path);
        self.symlink_etag = hash.take("symlink_target_etag");
        self.symlink_bytes = hash.take("symlink_target_bytes").and_then(|bytes| bytes.parse().ok());
        self.slo_etag = hash.take("slo_etag").map(|etag| format!("\"{etag}\""));
        self.s3_etag = hash.take("s3_etag").map(|etag| format!("\"{etag}\""));
        self.s3_checksum = hash.take("s3_checksum");
        self.hash = hash.to_string();
    }
}

/// Whether there is something behind the hash of the row with this text. A row in an unusual form may have something.
pub(crate) fn shaped(text: &[u8]) -> bool {
    if text.starts_with(b"{\"subdir\"") {
        return false;
    }
    let Some(at) = HASH_FINDER.find(text) else { return true };
    let hash = &text[at + BEFORE_HASH.len()..];
    memchr::memchr2(b'"', b';', hash).is_some_and(|end| hash[end] == b';')
}

/// A hash and the parameters behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hash {
    /// The hash.
    pub(crate) value: String,
    parameters: Vec<(String, String)>,
}

impl Hash {
    /// Reads `value; name=value; name=value`. What is no parameter is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut pieces = text.split(';').map(str::trim);
        let value = pieces.next().unwrap_or_default().to_owned();
        let parameter = |piece: &str| {
            let (name, value) = piece.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        Self { value, parameters: pieces.filter_map(parameter).collect() }
    }

    /// The last parameter of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Removes all parameters of that name and gives the last one's value.
    fn take(&mut self, name: &str) -> Option<String> {
        let value = self.get(name).map(str::to_owned);
        self.parameters.retain(|(n, _)| n != name);
        value
    }

    /// Without the parameters whose names begin so.
    pub(crate) fn without(mut self, prefix: &str) -> Self {
        self.parameters.retain(|(name, _)| !name.starts_with(prefix));
        self
    }

    /// Adds a parameter.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.parameters.push((name.to_owned(), value.to_owned()));
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)?;
        self.parameters.iter().try_for_each(|(name, value)| write!(f, "; {name}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn row(hash: &str) -> String {
        json!({ "name": "\"hash\":\"x;", "hash": hash, "bytes": 1, "content_type": "a;b=c", "last_modified": "now" })
            .to_string()
    }

    fn shape(hash: &str) -> serde_json::Value {
        let Entry::Object(mut object) = Entry::read(row(hash).as_bytes()).unwrap() else { unreachable!() };
        object.shape("a b");
        serde_json::to_value(object).unwrap()
    }

    #[test]
    fn what_is_behind_the_hash_gets_fields() {
        let plain = shape("m");
        assert_eq!(plain.as_object().unwrap().len(), 5);
        let link = shape("m; symlink_target=c/o%20p");
        assert_eq!((&link["hash"], &link["symlink_path"]), (&json!("m"), &json!("/v1/a%20b/c/o%20p")));
        let all = "m; x=y; slo_etag=s; symlink_target=c/o; symlink_target_account=z; symlink_target_etag=e; symlink_target_bytes=7";
        let all = shape(all);
        assert_eq!((&all["hash"], &all["symlink_path"]), (&json!("m; x=y"), &json!("/v1/z/c/o")));
        assert_eq!(
            (&all["symlink_etag"], &all["symlink_bytes"], &all["slo_etag"]),
            (&json!("e"), &json!(7), &json!("\"s\""))
        );
    }

    #[test]
    fn rows_with_something_behind_their_hash_are_seen_without_reading_them() {
        assert!(!shaped(row("m").as_bytes()));
        assert!(shaped(row("m; a=b").as_bytes()));
        assert!(!shaped(br#"{"subdir":"; \"hash\":\";"}"#));
        assert!(shaped(br#"{"name": "a", "hash": "m"}"#));
    }

    proptest! {
        #[test]
        fn any_hash_is_read_and_stays(text in "[a-z=; \"]{0,30}|\\PC{0,20}") {
            let hash = Hash::parse(&text);
            prop_assert_eq!(Hash::parse(&hash.to_string()), hash);
        }
    }
}
