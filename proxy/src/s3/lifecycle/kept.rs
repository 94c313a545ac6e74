//! How a lifecycle is kept with its bucket: as JSON, which a thousand rules make too long for system metadata, so that a long one
//! is deflated.

use std::io::{Read as _, Write as _};

use apus_base::client::ContainerInfo;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use super::rule::Rules;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::setting::Setting;

/// The document.
pub(super) const LIFECYCLE: Setting = Setting("lifecycle");
/// JSON up to this long is kept so that people can read it.
const MAX_PLAIN_BYTES: usize = 4000;
/// The longest JSON that is inflated: what the longest body can become.
const MAX_JSON_BYTES: u64 = 4 * 1024 * 1024;

/// What is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kept {
    /// As it is.
    Plain(Rules),
    /// Deflated, in base 64.
    Deflated(String),
}

impl Kept {
    pub(super) fn of(rules: Rules) -> Result<Self, Fault> {
        let json = serde_json::to_vec(&rules).map_err(|_| Fault::new(Code::InternalError))?;
        if json.len() <= MAX_PLAIN_BYTES {
            return Ok(Self::Plain(rules));
        }
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
        let deflated = deflate.write_all(&json).and_then(|()| deflate.finish());
        deflated.map(|bytes| Self::Deflated(BASE64_STANDARD.encode(bytes))).map_err(|_| Fault::new(Code::InternalError))
    }

    pub(super) fn rules(self) -> Option<Rules> {
        match self {
            Self::Plain(rules) => Some(rules),
            Self::Deflated(text) => inflated(&text),
        }
    }
}

fn inflated(text: &str) -> Option<Rules> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let mut json = Vec::new();
    DeflateDecoder::new(bytes.as_slice()).take(MAX_JSON_BYTES).read_to_end(&mut json).ok()?;
    let read = serde_json::from_slice(&json);
    read.inspect_err(|error| tracing::error!(%error, "a lifecycle cannot be read")).ok()
}

/// The lifecycle of a bucket, if it has one.
pub(super) fn of(info: &ContainerInfo) -> Option<Rules> {
    LIFECYCLE.of::<Kept>(info)?.rules()
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Expiration, Filter, Rule};
    use super::*;

    fn rules(count: usize, prefix: &str) -> Rules {
        let rule = |n: usize| {
            let filter = Filter { prefix: Some(format!("{prefix}{n}/")), ..Filter::default() };
            let expiration = Some(Expiration::Days(u32::try_from(n).unwrap() + 1));
            Rule { id: format!("rule {n}"), enabled: true, filter, expiration, ..Rule::default() }
        };
        Rules { rules: (0..count).map(rule).collect(), smallest: None }
    }

    #[test]
    fn a_thousand_rules_fit_and_come_back() {
        for (count, is_plain) in [(1, true), (1000, false)] {
            let rules = rules(count, "some/longer/folder/of/a/tenant-☃/");
            let kept = Kept::of(rules.clone()).unwrap();
            assert_eq!(matches!(kept, Kept::Plain(_)), is_plain);
            let info = ContainerInfo::from_headers(&LIFECYCLE.headers(Some(&kept)).unwrap());
            assert_eq!(of(&info), Some(rules));
        }
        assert_eq!(of(&ContainerInfo::default()), None);
    }

    #[test]
    fn what_is_damaged_counts_as_none() {
        for text in ["!", "AAAA", &BASE64_STANDARD.encode(b"no deflate")] {
            assert_eq!(Kept::Deflated(text.to_owned()).rules(), None);
        }
    }
}
