//! What is computed over the body of a PUT as it comes, and what it has to be.

use http::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest as _, Md5};

use super::put::PutError;
use crate::body::BodyError;
use crate::hex::hex;
use crate::wire::header::{BODY_CRC, BODY_ETAG};

/// MD5, CRC-32 and length of a body so far.
pub(super) struct Digests {
    md5: Md5,
    crc: crc32fast::Hasher,
    length: u64,
    max_length: u64,
}

/// MD5, CRC-32 and length of a body.
pub(super) struct Sums {
    pub(super) etag: String,
    pub(super) length: u64,
    crc: u32,
}

impl Digests {
    /// Of a body that has so many bytes at most.
    pub(super) fn new(max_length: u64) -> Self {
        Self { md5: Md5::new(), crc: crc32fast::Hasher::new(), length: 0, max_length }
    }

    /// # Errors
    /// `TooLong`.
    pub(super) fn update(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        self.length += chunk.len() as u64;
        if self.length > self.max_length {
            return Err(BodyError::TooLong(self.max_length));
        }
        self.md5.update(chunk);
        self.crc.update(chunk);
        Ok(())
    }

    /// # Errors
    /// When the body has not the length or the MD5 that were promised.
    pub(super) fn finish(self, promised: Option<u64>, expect_etag: Option<&str>) -> Result<Sums, PutError> {
        let came = self.length;
        if let Some(promised) = promised.filter(|promised| *promised != came) {
            return Err(BodyError::Disconnected(format!("{came} bytes came instead of {promised}").into()).into());
        }
        let etag = hex(&self.md5.finalize());
        if expect_etag.is_some_and(|expected| !expected.trim().trim_matches('"').eq_ignore_ascii_case(&etag)) {
            return Err(PutError::EtagMismatch { actual: etag });
        }
        Ok(Sums { etag, length: came, crc: self.crc.finalize() })
    }
}

impl Sums {
    /// What tells them to an object server, before the body or behind it.
    pub(super) fn headers(&self) -> HeaderMap {
        let pairs = [(BODY_ETAG, self.etag.clone()), (BODY_CRC, format!("{:08x}", self.crc))];
        // Hexadecimal digits are always a header's value.
        let values = pairs.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)));
        values.map(|(name, value)| (HeaderName::from_static(name), value)).collect()
    }
}
