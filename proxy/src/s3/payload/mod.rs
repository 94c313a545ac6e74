//! The body of a request: how its headers say that it comes, and the body that it is, checked as it goes by.
//!
//! What is checked is checked at its end, so nothing that reads such a body may keep what it read before it has seen the end:
//! a PUT stores nothing then. Nothing is held back; a body that is found wrong fails with the [`Fault`] as the source of its
//! error.

pub(super) mod checked;
pub mod checksum;
mod chunked;

use apus_base::body::{self, Body, BodyError};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use super::asked::Query;
use super::auth::v4::Chain;
use super::auth::{Claim, header};
use super::checksums::Kept;
use super::code::Code;
use super::fault::Fault;
use crate::constraints::BadLength;
use apus_base::hex::hex;
use checked::{Checked, Expected};
use checksum::{Algorithm, Checksum};
use chunked::{Chunked, Trailers};

const SHA256: &str = "x-amz-content-sha256";
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The longest body that is read although it is refused: some documents of clients that know no limits.
const MAX_DRAINED_BYTES: u64 = 128 * 1024 * 1024;

/// How a body in pieces is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// Not at all; checksums come behind it.
    Unsigned,
    /// Each piece.
    Signed,
    /// Each piece, and what comes behind it.
    SignedWithTrailers,
    /// In a way that we do not know.
    Unknown,
}

impl Pieces {
    fn of(value: &str) -> Option<Self> {
        Some(match value {
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Self::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Self::Signed,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Self::SignedWithTrailers,
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                Self::Unknown
            }
            _ => return None,
        })
    }
}

/// How a body comes.
#[derive(Clone, Debug)]
pub struct Plan {
    pieces: Option<Pieces>,
    /// The hash of all of it, in hexadecimal digits.
    sha256: Option<String>,
    checksum: Option<Checksum>,
    /// How many bytes it has once it is decoded.
    length: Result<Option<u64>, BadLength>,
    /// It comes in pieces, but no signature says how they begin.
    unchained: bool,
}

/// A body that is checked as it goes by.
pub struct Payload {
    /// The bytes.
    pub body: Body,
    /// How many they are; `None` if only their end tells.
    pub length: Result<Option<u64>, BadLength>,
    /// Their checksum, if one is promised.
    pub checksum: Option<Promise>,
}

/// A checksum that comes before or behind a body.
#[derive(Clone, Debug)]
pub struct Promise {
    checksum: Checksum,
    trailers: Option<Trailers>,
}

impl Promise {
    /// Its value in base64; behind a body, once that has ended.
    fn value(&self) -> Option<String> {
        self.checksum.value.clone().or_else(|| self.trailers.as_ref()?.get(self.checksum.header()))
    }

    /// How it is computed.
    pub fn algorithm(&self) -> Algorithm {
        self.checksum.algorithm
    }

    /// What is kept of it; behind a body, once that has ended.
    pub fn kept(&self) -> Option<Kept> {
        Some(Kept { algorithm: self.algorithm(), value: self.value()? })
    }
}

impl Plan {
    /// Reads what the headers of a request promise of its body.
    ///
    /// # Errors
    /// When they make no sense, or not together.
    pub fn of(claim: &Claim, method: &Method, query: &Query, headers: &HeaderMap) -> Result<Self, Fault> {
        let has_body = matches!(*method, Method::PUT | Method::POST);
        let of_upload = *method == Method::POST && query.has("uploadId");
        let checksum = if has_body { Checksum::promised(headers, of_upload)? } else { None };
        let value = header(headers, SHA256);
        let pieces = Pieces::of(value).filter(|_| has_body);
        let trailing = checksum.as_ref().is_some_and(Checksum::is_trailing);
        if trailing && pieces.is_none() {
            return Err(Fault::new(Code::MalformedTrailer));
        }
        let unchained = pieces.is_some() && (claim.is_in_query() || matches!(claim, Claim::V2(_) | Claim::Nobody));
        let whole = has_body && !value.is_empty() && value != UNSIGNED && pieces.is_none();
        let sha256 = whole.then(|| value.to_owned());
        let length = match pieces {
            Some(_) => Ok(Some(decoded_length(headers)?)),
            None => crate::constraints::message_length(headers),
        };
        let sha256 = sha256.filter(|_| matches!(length, Ok(Some(_))));
        // Of what completes an upload, a checksum is that of the whole object.
        let is_of_body = *method == Method::PUT || query.has("delete");
        let checksum = checksum.filter(|checksum| is_of_body || checksum.is_trailing());
        Ok(Self { pieces, sha256, checksum, length, unchained })
    }

    /// The body that was promised; `chain` is what checks its pieces. Takes the encoding out of the headers.
    ///
    /// # Errors
    /// When it has no bytes and is not what they promise.
    pub async fn apply(self, headers: &mut HeaderMap, chain: Option<Chain>, body: Body) -> Result<Payload, Fault> {
        let Self { pieces, sha256, checksum, length, unchained } = self;
        if unchained {
            return Err(mismatch(header(headers, SHA256), &hash_of(body).await?));
        }
        let mut expected = Vec::new();
        expected.extend(sha256.map(Expected::sha256));
        let (body, trailers) = match pieces {
            None => (body, None),
            Some(Pieces::Unknown) => return Err(unknown(header(headers, SHA256))),
            Some(pieces) => {
                clean_encoding(headers);
                headers.remove(CONTENT_LENGTH);
                headers.remove(TRANSFER_ENCODING);
                let total = length.ok().flatten().unwrap_or_default();
                let chain = chain.filter(|_| pieces != Pieces::Unsigned);
                let trailing = checksum.as_ref().filter(|checksum| checksum.is_trailing()).map(Checksum::header);
                let chunked = Chunked::new(body, total, chain, trailing, pieces == Pieces::SignedWithTrailers);
                let trailers = chunked.trailers();
                (chunked.boxed_unsync(), Some(trailers))
            }
        };
        expected.extend(checksum.as_ref().map(|checksum| Expected::checksum(checksum, trailers.clone())));
        let body = if expected.is_empty() { body } else { Checked::new(body, expected).boxed_unsync() };
        let body = match length {
            // Nobody may read a body of no bytes.
            Ok(Some(0)) => body::full(read(body, 0).await?),
            _ => body,
        };
        Ok(Payload { body, length, checksum: checksum.map(|checksum| Promise { checksum, trailers }) })
    }
}

/// The rules for the hash of the body that a request's headers hold, whatever is done with the body.
///
/// # Errors
/// When it is missing, or none, or not possible for such a request.
pub fn check_sha256(claim: &Claim, headers: &HeaderMap) -> Result<(), Fault> {
    let value = header(headers, SHA256);
    let required = matches!(claim, Claim::V4(_)) && !claim.is_in_query();
    if value.is_empty() {
        let sentence = "Missing required header for this request: x-amz-content-sha256";
        return if required { Err(Fault::saying(Code::InvalidRequest, sentence)) } else { Ok(()) };
    }
    if value == UNSIGNED {
        return Ok(());
    }
    if let Some(pieces) = Pieces::of(value) {
        let length = decoded_length(headers)?;
        if !required {
            let sent = header(headers, CONTENT_LENGTH.as_str()).parse::<u64>().unwrap_or_default();
            return if length < sent { Err(sizes(length, sent)) } else { Ok(()) };
        }
        return if pieces == Pieces::Unknown { Err(unknown(value)) } else { Ok(()) };
    }
    let is_hash = value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if required && !is_hash {
        return Err(Fault::argument(
            SHA256,
            value,
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
             STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        ));
    }
    Ok(())
}

/// A body in pieces needs a signature to begin with, which only headers of version 4 give; for S3 it is one with another hash.
async fn hash_of(mut body: Body) -> Result<String, Fault> {
    let mut hash = Sha256::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            hash.update(&data);
        }
    }
    Ok(hex(&hash.finalize()))
}

fn unknown(value: &str) -> Fault {
    Fault::not_implemented(format!("Don't know how to validate {value} streams"))
}

/// The body has other bytes than its hash says.
pub(super) fn mismatch(expected: &str, computed: &str) -> Fault {
    let fault = Fault::new(Code::Sha256Mismatch).with("ClientComputedContentSHA256", expected);
    fault.with("S3ComputedContentSHA256", computed)
}

/// The body has another length than was said.
fn sizes(expected: u64, provided: u64) -> Fault {
    let fault = Fault::new(Code::IncompleteBody).with("NumberBytesExpected", expected.to_string());
    fault.with("NumberBytesProvided", provided.to_string())
}

fn decoded_length(headers: &HeaderMap) -> Result<u64, Fault> {
    let text = header(headers, DECODED_LENGTH);
    let length: i128 = text.trim().parse().map_err(|_| Fault::new(Code::MissingContentLength))?;
    u64::try_from(length).map_err(|_| Fault::argument(DECODED_LENGTH, text, Code::InvalidArgument.message()))
}

/// What is stored has no pieces any more.
fn clean_encoding(headers: &mut HeaderMap) {
    let Some(encoding) = headers.remove(CONTENT_ENCODING) else {
        return;
    };
    let text = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
    let kept: Vec<&str> = text.split(',').map(str::trim).filter(|e| !e.is_empty() && *e != "aws-chunked").collect();
    if let Some(Ok(kept)) = (!kept.is_empty()).then(|| HeaderValue::from_str(&kept.join(", "))) {
        headers.insert(CONTENT_ENCODING, kept);
    }
}

/// A small body, whole: most requests that are no PUT of an object.
///
/// # Errors
/// When it is longer than `most`, broke off or is not what was promised.
pub async fn read(body: Body, most: usize) -> Result<Bytes, Fault> {
    body::read_to_end(body, most).await.map_err(|error| match error {
        BodyError::TooLong(_) => Fault::new(Code::MalformedXml),
        error => broken(error),
    })
}

/// Reads what nobody wants, if it is not too much: most clients look for an answer only when all they have is sent.
pub async fn drain(payload: Payload) {
    if matches!(payload.length, Ok(Some(length)) if length > MAX_DRAINED_BYTES) {
        return;
    }
    let mut body = payload.body;
    while let Some(Ok(_)) = body.frame().await {}
}

/// Why a body broke off.
pub fn broken(error: BodyError) -> Fault {
    match error {
        BodyError::Source(source) => match source.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(source) => {
                tracing::warn!(%source, "the body of a request cannot be read");
                Fault::new(Code::InternalError)
            }
        },
        BodyError::Stalled(_) | BodyError::Disconnected(_) => Fault::new(Code::RequestTimeout),
        BodyError::TooLong(_) => Fault::new(Code::EntityTooLarge),
    }
}

pub(super) fn failed(fault: Fault) -> BodyError {
    BodyError::Source(Box::new(fault))
}

#[cfg(test)]
mod tests;
