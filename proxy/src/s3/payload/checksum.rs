//! The checksums that clients of S3 send with a body: in a header before it, or in a trailer behind it.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::s3::auth::header;
use crate::s3::code::Code;
use crate::s3::fault::Fault;

const PREFIX: &str = "x-amz-checksum-";
const TRAILER: &str = "x-amz-trailer";
const SDK_ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The CRC of gzip.
    Crc32,
    /// Castagnoli's, of iSCSI.
    Crc32c,
    /// Of NVM Express.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As S3 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that has a value of it.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The algorithm of a header with a value.
    pub fn of_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.header() == name)
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The element that has a value of it.
    pub fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The bytes of a value in base64; `None` if they are not its.
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(text).ok().filter(|bytes| bytes.len() == self.bytes())
    }
}

/// Computes a checksum.
pub(in crate::s3) enum Hasher {
    Crc32(crc32fast::Hasher),
    Crc(CrcAlgorithm, crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    pub(in crate::s3) fn new(algorithm: Algorithm) -> Self {
        let crc = |kind| Self::Crc(kind, crc_fast::Digest::new(kind));
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub(in crate::s3) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub(in crate::s3) fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(hasher) => hasher.finalize().to_be_bytes().to_vec(),
            Self::Crc(CrcAlgorithm::Crc64Nvme, digest) => digest.finalize().to_be_bytes().to_vec(),
            // The upper half of such a digest is empty.
            Self::Crc(_, digest) => digest.finalize().to_be_bytes()[4..].to_vec(),
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
        }
    }
}

/// A checksum that was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// How it is computed.
    pub algorithm: Algorithm,
    /// Its value in base64; absent where it comes behind the body.
    pub value: Option<String>,
}

impl Checksum {
    /// Reads what the headers of a request promise. Of what completes an upload, `of_upload`, a value may say of how many
    /// parts it is: `sOO8/Q==-3`.
    ///
    /// # Errors
    /// When they promise several, one that is not known, or a value that is none.
    pub fn promised(headers: &HeaderMap, of_upload: bool) -> Result<Option<Self>, Fault> {
        let before = in_headers(headers)?;
        let behind = in_trailers(headers)?;
        if before.is_some() && behind.is_some() {
            return Err(Fault::saying(Code::InvalidRequest, "Expecting a single x-amz-checksum- header"));
        }
        let checksum = match (before, behind) {
            (Some(algorithm), _) => {
                let value = header(headers, algorithm.header()).to_owned();
                let bare = if of_upload { without_count(&value) } else { &value };
                if algorithm.decode(bare).is_none() {
                    let sentence = format!("Value for {} header is invalid.", algorithm.header());
                    return Err(Fault::saying(Code::InvalidRequest, sentence));
                }
                Some(Self { algorithm, value: Some(value) })
            }
            (None, Some(algorithm)) => Some(Self { algorithm, value: None }),
            (None, None) => None,
        };
        check_named(headers, checksum.as_ref())?;
        Ok(checksum)
    }

    /// Whether its value comes behind the body.
    pub fn is_trailing(&self) -> bool {
        self.value.is_none()
    }

    /// The header or trailer that has its value.
    pub fn header(&self) -> &'static str {
        self.algorithm.header()
    }
}

/// A value without the number of parts that it is of.
pub fn without_count(value: &str) -> &str {
    let counted = value.rsplit_once('-').filter(|(_, count)| count.parse::<u32>().is_ok());
    counted.map_or(value, |(value, _)| value)
}

/// The request may say once more what it sends.
fn check_named(headers: &HeaderMap, checksum: Option<&Checksum>) -> Result<(), Fault> {
    let named = header(headers, SDK_ALGORITHM);
    let refuse = |sentence: &'static str| Err(Fault::saying(Code::InvalidRequest, sentence));
    match checksum {
        _ if named.is_empty() => Ok(()),
        None => refuse(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers \
             were found.",
        ),
        Some(checksum) if named.eq_ignore_ascii_case(checksum.algorithm.name()) => Ok(()),
        Some(_) => refuse("Value for x-amz-sdk-checksum-algorithm header is invalid."),
    }
}

fn several() -> Fault {
    let sentence = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
    Fault::saying(Code::InvalidRequest, sentence)
}

fn in_headers(headers: &HeaderMap) -> Result<Option<Algorithm>, Fault> {
    let is_value =
        |name: &&str| name.strip_prefix(PREFIX).is_some_and(|rest| !matches!(rest, "algorithm" | "type" | "mode"));
    let mut found = None;
    for name in headers.keys().map(http::HeaderName::as_str).filter(is_value) {
        let unknown = "The algorithm type you specified in x-amz-checksum- header is invalid.";
        let algorithm = Algorithm::of_header(name).ok_or_else(|| Fault::saying(Code::InvalidRequest, unknown))?;
        if found.replace(algorithm).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

fn in_trailers(headers: &HeaderMap) -> Result<Option<Algorithm>, Fault> {
    let text = header(headers, TRAILER).trim();
    if text.is_empty() {
        return Ok(None);
    }
    let mut found = None;
    for name in text.trim_end_matches(',').split(',') {
        let unknown = "The value specified in the x-amz-trailer header is not supported";
        let algorithm =
            Algorithm::of_header(name.trim()).ok_or_else(|| Fault::saying(Code::InvalidRequest, unknown))?;
        if found.replace(algorithm).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[test]
    fn values_are_those_of_the_standards() {
        // The check values of the catalogue of CRCs, and of FIPS 180 for "abc".
        let hex = |algorithm, bytes: &[u8]| {
            let mut hasher = Hasher::new(algorithm);
            bytes.chunks(2).for_each(|piece| hasher.update(piece));
            apus_base::hex::hex(&hasher.finish())
        };
        assert_eq!(hex(Algorithm::Crc32, b"123456789"), "cbf43926");
        assert_eq!(hex(Algorithm::Crc32c, b"123456789"), "e3069283");
        assert_eq!(hex(Algorithm::Crc64Nvme, b"123456789"), "ae8b14860a799888");
        assert_eq!(hex(Algorithm::Sha1, b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(hex(Algorithm::Sha256, b"abc").starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn one_promise_at_most() {
        let promised = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
            Checksum::promised(&headers, false)
                .map(|c| c.map(|c| (c.algorithm, c.is_trailing())))
                .map_err(|f| f.message)
        };
        assert_eq!(promised(&[]), Ok(None));
        assert_eq!(promised(&[("x-amz-checksum-crc32", "y/Q5Jg==")]), Ok(Some((Algorithm::Crc32, false))));
        assert_eq!(promised(&[("x-amz-trailer", "x-amz-checksum-sha1")]), Ok(Some((Algorithm::Sha1, true))));
        assert!(promised(&[("x-amz-checksum-crc32", "short")]).unwrap_err().starts_with("Value for"));
        assert!(promised(&[("x-amz-checksum-md4", "a")]).unwrap_err().starts_with("The algorithm type"));
        assert!(promised(&[("x-amz-trailer", "x-other")]).unwrap_err().contains("not supported"));
        assert!(promised(&[("x-amz-sdk-checksum-algorithm", "CRC32")]).unwrap_err().contains("no corresponding"));
        let both = [("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-trailer", "x-amz-checksum-sha1")];
        assert_eq!(promised(&both).unwrap_err(), "Expecting a single x-amz-checksum- header");
    }
}
