//! What a bucket is told about itself (tags, policy, rules for browsers …): small documents in the system metadata of its
//! container, so that they are replicated, merged and cached with it.
//!
//! A header holds 8 KiB, and a policy may have 20, so a document is cut into pieces:
//!
//! ```text
//! X-Container-Sysmeta-S3api-Policy-0: 2:{"Version":"2012-10-17",…      how many pieces there are, and the first
//! X-Container-Sysmeta-S3api-Policy-1: …
//! ```
//!
//! All pieces are written by one request and so have one timestamp; what a longer document has left behind is not read.
//! Of two that are written at once, the later one wins, on each replica and as a whole.

use std::fmt::Write as _;

use apus_base::client::ContainerInfo;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest piece, in bytes; with its count it fits the longest header.
const PIECE_BYTES: usize = 8000;
/// The most pieces. A policy of 20 KiB, every byte of it escaped, has as many.
const MAX_PIECES: usize = 8;
/// What headers cannot hold, or would not keep as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// A document that a bucket may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting(pub &'static str);

/// Why a document is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document is too long")]
pub struct TooLong;

impl Setting {
    /// Reads it out of what is known of a container. One that cannot be read counts as none.
    pub fn of<T: DeserializeOwned>(self, info: &ContainerInfo) -> Option<T> {
        let piece = |at: usize| info.sysmeta.get(&format!("s3api-{}-{at}", self.0));
        let (count, first) = piece(0)?.split_once(':')?;
        let count: usize = count.parse().ok().filter(|count| (1..=MAX_PIECES).contains(count))?;
        let mut text = first.to_owned();
        for at in 1..count {
            text.push_str(piece(at)?);
        }
        let text = percent_decode_str(&text).decode_utf8().ok()?;
        let read = serde_json::from_str(&text);
        read.inspect_err(|error| tracing::error!(%error, setting = self.0, "a bucket's document cannot be read")).ok()
    }

    /// The headers that store it, or that take it away. The pieces that it does not need are taken away too.
    ///
    /// # Errors
    /// When it is too long.
    pub fn headers<T: Serialize>(self, document: Option<&T>) -> Result<HeaderMap, TooLong> {
        let text = document.map(serde_json::to_string).transpose().map_err(|_| TooLong)?;
        let text = text.map(|text| utf8_percent_encode(&text, ESCAPED).to_string()).unwrap_or_default();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(PIECE_BYTES).collect();
        if pieces.len() > MAX_PIECES {
            return Err(TooLong);
        }
        let mut headers = HeaderMap::new();
        for at in 0..MAX_PIECES {
            let mut value = String::new();
            if at == 0 && !pieces.is_empty() {
                // Writing into a String cannot fail.
                let _ = write!(value, "{}:", pieces.len());
            }
            value.push_str(&String::from_utf8_lossy(pieces.get(at).copied().unwrap_or_default()));
            let name = HeaderName::try_from(format!("x-container-sysmeta-s3api-{}-{at}", self.0));
            let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) else {
                return Err(TooLong);
            };
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info(headers: &HeaderMap) -> ContainerInfo {
        ContainerInfo::from_headers(headers)
    }

    #[test]
    fn a_shorter_document_hides_a_longer_one() {
        let setting = Setting("x");
        let mut stored = setting.headers(Some(&"a".repeat(3 * PIECE_BYTES))).unwrap();
        let short = setting.headers(Some(&"b")).unwrap();
        // Even where a replica has the first piece only of the newer one.
        stored.insert("x-container-sysmeta-s3api-x-0", short["x-container-sysmeta-s3api-x-0"].clone());
        assert_eq!(setting.of::<String>(&info(&stored)).as_deref(), Some("b"));
        stored.extend(setting.headers::<String>(None).unwrap());
        assert_eq!(setting.of::<String>(&info(&stored)), None);
        assert!(setting.headers(Some(&"a".repeat(MAX_PIECES * PIECE_BYTES))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,60}|[a-c%: \\x00-\\x7f]{0,20000}") {
            let setting = Setting("x");
            if let Ok(headers) = setting.headers(Some(&text)) {
                prop_assert!(headers.values().all(|value| value.len() <= 8192));
                prop_assert_eq!(setting.of::<String>(&info(&headers)), Some(text));
            }
        }
    }
}
