//! A body whose bytes are hashed as they go by, and that fails at its end unless they are the right ones.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use apus_base::body::{Body, BodyError};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::checksum::{Algorithm, Checksum, Hasher};
use super::chunked::Trailers;
use super::{failed, mismatch};
use crate::s3::checksums::Kept;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use apus_base::hex::hex;

/// What the bytes have to be.
pub(super) struct Expected {
    hasher: Hasher,
    value: Value,
}

/// Where what is expected stands.
enum Value {
    /// The hash that is signed, in hexadecimal digits.
    Sha256(String),
    /// In a header.
    Header(Checksum),
    /// Behind the bytes.
    Trailer(Algorithm, Trailers),
    /// Nowhere: somebody wants to know.
    Unknown(Arc<OnceLock<String>>),
}

/// The checksum of a body that nobody promised one of.
#[derive(Clone, Debug)]
pub(in crate::s3) struct Measure {
    algorithm: Algorithm,
    value: Arc<OnceLock<String>>,
}

impl Measure {
    pub(in crate::s3) fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, value: Arc::default() }
    }

    /// The body, of which it is to be the checksum.
    pub(in crate::s3) fn of(&self, body: Body) -> Body {
        let value = Value::Unknown(Arc::clone(&self.value));
        Checked::new(body, vec![Expected { hasher: Hasher::new(self.algorithm), value }]).boxed_unsync()
    }

    /// It, once the body has ended.
    pub(in crate::s3) fn kept(&self) -> Option<Kept> {
        Some(Kept { algorithm: self.algorithm, value: self.value.get()?.clone() })
    }
}

impl Expected {
    pub(super) fn sha256(value: String) -> Self {
        Self { hasher: Hasher::new(Algorithm::Sha256), value: Value::Sha256(value) }
    }

    pub(super) fn checksum(checksum: &Checksum, trailers: Option<Trailers>) -> Self {
        let value = match trailers.filter(|_| checksum.is_trailing()) {
            Some(trailers) => Value::Trailer(checksum.algorithm, trailers),
            None => Value::Header(checksum.clone()),
        };
        Self { hasher: Hasher::new(checksum.algorithm), value }
    }

    fn check(self) -> Result<(), Fault> {
        let computed = self.hasher.finish();
        let (algorithm, expected) = match self.value {
            Value::Sha256(expected) if expected.eq_ignore_ascii_case(&hex(&computed)) => return Ok(()),
            Value::Sha256(expected) => return Err(mismatch(&expected, &hex(&computed))),
            Value::Unknown(place) => {
                let _ = place.set(BASE64_STANDARD.encode(&computed));
                return Ok(());
            }
            Value::Header(checksum) => {
                let value = checksum.value.as_deref().and_then(|value| checksum.algorithm.decode(value));
                (checksum.algorithm, value.unwrap_or_default())
            }
            Value::Trailer(algorithm, trailers) => {
                let sentence = || format!("Value for {} trailing header is invalid.", algorithm.header());
                let value = trailers.get(algorithm.header()).and_then(|value| algorithm.decode(&value));
                (algorithm, value.ok_or_else(|| Fault::saying(Code::InvalidRequest, sentence()))?)
            }
        };
        let sentence = || format!("The {} you specified did not match the calculated checksum.", algorithm.name());
        if computed == expected { Ok(()) } else { Err(Fault::saying(Code::BadDigest, sentence())) }
    }
}

/// The body.
pub(super) struct Checked {
    inner: Body,
    expected: Vec<Expected>,
}

impl Checked {
    pub(super) fn new(inner: Body, expected: Vec<Expected>) -> Self {
        Self { inner, expected }
    }
}

impl http_body::Body for Checked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.expected.iter_mut().for_each(|expected| expected.hasher.update(data));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let wrong = std::mem::take(&mut this.expected).into_iter().find_map(|expected| expected.check().err());
                Poll::Ready(wrong.map(|fault| Err(failed(fault))))
            }
        }
    }
}
