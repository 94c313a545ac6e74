//! Who asks, by the signature of the request: version 4 in headers or in the query, version 2 likewise.
//!
//! A claim is read first, which checks its form and its time; the signature is compared once the user's key is known. What
//! is signed is only what the claim says, so that whoever trusts another header of the request has to see that it is
//! among them: version 4 refuses requests with `x-amz-*` headers that are not.

pub(super) mod date;
pub mod v2;
pub mod v4;

use apus_base::timestamp::Timestamp;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::asked::{Asked, Query};
use super::code::Code;
use super::config::Config;
use super::fault::Fault;

/// What a request says of its sender.
#[derive(Clone, Debug)]
pub enum Claim {
    /// In version 2.
    V2(v2::Claim),
    /// In version 4.
    V4(v4::Claim),
    /// Nothing: whoever it is may do what everybody may.
    Nobody,
}

impl Claim {
    /// Reads a request's claim.
    ///
    /// # Errors
    /// When it has no form, or not the right time.
    pub fn of(parts: &Parts, query: &Query, config: &Config, now: Timestamp) -> Result<Self, Fault> {
        if query.has("X-Amz-Credential") || header(&parts.headers, AUTHORIZATION.as_str()).starts_with(v4::ALGORITHM) {
            v4::Claim::of(parts, query, config, now).map(Self::V4)
        } else {
            v2::Claim::of(parts, query, config, now).map(Self::V2)
        }
    }

    /// The access key: `account:user`.
    pub fn access_key(&self) -> &str {
        match self {
            Self::V2(claim) => &claim.access_key,
            Self::V4(claim) => &claim.access_key,
            Self::Nobody => "",
        }
    }

    /// Whether the signature is in the query.
    pub fn is_in_query(&self) -> bool {
        match self {
            Self::V2(claim) => claim.in_query,
            Self::V4(claim) => claim.in_query,
            Self::Nobody => false,
        }
    }

    /// Checks the signature against a user's key. Of version 4, gives what checks the pieces of a body.
    ///
    /// # Errors
    /// When it is another's.
    pub fn check(&self, parts: &Parts, asked: &Asked, secret: &str) -> Result<Option<v4::Chain>, Fault> {
        match self {
            Self::V2(claim) => claim.check(parts, asked, secret).map(|()| None),
            Self::V4(claim) => claim.check(parts, asked, secret).map(Some),
            Self::Nobody => Ok(None),
        }
    }
}

/// Whether a request is signed in S3's way, and so is for this face.
pub fn is_signed(parts: &Parts) -> bool {
    let authorization = header(&parts.headers, AUTHORIZATION.as_str());
    let by_header = authorization.starts_with("AWS ") || authorization.starts_with(v4::ALGORITHM);
    by_header || {
        let query = Query::parse(parts.uri.query());
        query.has("AWSAccessKeyId") || query.has("X-Amz-Credential")
    }
}

/// The answer to a signature that is not right, with what a developer needs to find out why.
fn mismatch(access_key: &str, signature: &str, string_to_sign: &str) -> Fault {
    let fault = Fault::new(Code::SignatureDoesNotMatch).with("AWSAccessKeyId", access_key);
    let fault = fault.with("StringToSign", string_to_sign).with("SignatureProvided", signature);
    fault.with("StringToSignBytes", spelled(string_to_sign))
}

/// The bytes of a text, which shows what looks alike in it.
fn spelled(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// A header's text; empty if it has none.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or_default()
}

/// All values of each header in the order of their names, joined as signatures have them.
fn joined(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.trim_matches(|c| c <= ' ').to_owned()
    });
    values.collect::<Vec<_>>().join(",")
}
