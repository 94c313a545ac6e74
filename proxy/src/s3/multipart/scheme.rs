//! How the checksums of an upload are computed: by which algorithm, and whether that of the whole is one of all its bytes or of
//! its parts' checksums. Pure.
//!
//! AWS's rules: CRC-64/NVME is of all bytes only, SHA-1 and SHA-256 of the parts' only, and the two CRC-32s of either. What is of
//! all bytes is made of the parts' CRCs and lengths, without reading the parts again.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use crc_fast::{CrcAlgorithm, checksum_combine};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::s3::auth::header;
use crate::s3::checksums::{COMPOSITE, FULL_OBJECT, KIND, Kept};
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::payload::checked::Measure;
use crate::s3::payload::checksum::{Algorithm, Hasher};
use crate::s3::xml::Xml;

const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
/// Where an upload has it.
pub(super) const SCHEME: HeaderName = HeaderName::from_static("x-object-sysmeta-s3api-checksum-scheme");

/// How they are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::s3) struct Scheme {
    /// Those of the parts, and that of the whole.
    pub(in crate::s3) algorithm: Algorithm,
    /// Whether that of the whole is one of the parts'.
    pub(super) is_composite: bool,
}

/// The algorithm that a request names.
///
/// # Errors
/// When there is none of that name.
pub(in crate::s3) fn asked_algorithm(headers: &HeaderMap) -> Result<Option<Algorithm>, Fault> {
    let name = header(headers, ALGORITHM.as_str());
    if name.is_empty() {
        return Ok(None);
    }
    let unknown = "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, \
        CRC64NVME, SHA1, SHA256]";
    Algorithm::named(name).map(Some).ok_or_else(|| Fault::saying(Code::InvalidRequest, unknown))
}

impl Scheme {
    /// The one that a new upload is to have.
    ///
    /// # Errors
    /// When there is no such algorithm or type, or not together.
    pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let kind = header(headers, KIND);
        let refuse = |sentence: String| Err(Fault::saying(Code::InvalidRequest, sentence));
        let Some(algorithm) = asked_algorithm(headers)? else {
            return match kind {
                "" => Ok(None),
                _ => refuse(format!("The {KIND} header can only be used with the {ALGORITHM} header.")),
            };
        };
        let is_composite = match kind.to_ascii_uppercase().as_str() {
            "" => algorithm != Algorithm::Crc64Nvme,
            COMPOSITE => true,
            FULL_OBJECT => false,
            _ => return refuse(format!("Value for {KIND} header is invalid.")),
        };
        let scheme = Self { algorithm, is_composite };
        let name = algorithm.name().to_ascii_lowercase();
        let unfit =
            || format!("The {} checksum type cannot be used with the {name} checksum algorithm.", scheme.kind());
        if scheme.is_possible() { Ok(Some(scheme)) } else { refuse(unfit()) }
    }

    /// Whether the algorithm has such a type.
    pub(super) fn is_possible(self) -> bool {
        match self.algorithm {
            Algorithm::Crc32 | Algorithm::Crc32c => true,
            Algorithm::Crc64Nvme => !self.is_composite,
            Algorithm::Sha1 | Algorithm::Sha256 => self.is_composite,
        }
    }

    /// That of an upload.
    pub(super) fn of(upload: &HeaderMap) -> Option<Self> {
        Self::parse(header(upload, SCHEME.as_str()))
    }

    /// Whether a part fits that was sent with a checksum of an algorithm, or with none. Gives what computes the checksum that
    /// it was not sent with.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn check_part(self, sent: Option<Algorithm>) -> Result<Option<Measure>, Fault> {
        match sent {
            Some(sent) if sent == self.algorithm => Ok(None),
            None if !self.is_composite => Ok(Some(Measure::new(self.algorithm))),
            sent => {
                let (expected, actual) = (self.algorithm.name(), sent.map_or("null", Algorithm::name));
                let sentence = format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                    expected.to_ascii_lowercase(),
                    actual.to_ascii_lowercase()
                );
                Err(Fault::saying(Code::InvalidRequest, sentence))
            }
        }
    }

    /// Reads `CRC32-COMPOSITE`.
    pub(in crate::s3) fn parse(text: &str) -> Option<Self> {
        let (name, kind) = text.split_once('-')?;
        Some(Self { algorithm: Algorithm::named(name)?, is_composite: kind == COMPOSITE })
    }

    /// `CRC32-COMPOSITE`
    pub(super) fn text(self) -> String {
        format!("{}-{}", self.algorithm.name(), self.kind())
    }

    /// As requests and answers call what the whole has.
    pub(super) fn kind(self) -> &'static str {
        if self.is_composite { COMPOSITE } else { FULL_OBJECT }
    }

    /// Shows it in the head of an answer.
    pub(super) fn show(self, headers: &mut HeaderMap) {
        headers.insert(ALGORITHM, HeaderValue::from_static(self.algorithm.name()));
        headers.insert(KIND, HeaderValue::from_static(self.kind()));
    }

    /// Shows it in a document.
    pub(in crate::s3) fn write(self, xml: &mut Xml) {
        xml.text("ChecksumAlgorithm", self.algorithm.name()).text("ChecksumType", self.kind());
    }

    /// The checksum of the whole, of its parts' checksums and lengths; `None` if they are none of this algorithm.
    pub(super) fn whole(self, parts: &[(Kept, u64)]) -> Option<Kept> {
        let mut values = Vec::with_capacity(parts.len());
        for (kept, length) in parts {
            let value = self.algorithm.decode(&kept.value).filter(|_| kept.algorithm == self.algorithm)?;
            values.push((value, *length));
        }
        let value = match self.crc().filter(|_| !self.is_composite) {
            Some(crc) => combined(crc, &values),
            None => self.composite(&values),
        };
        Some(Kept { algorithm: self.algorithm, value })
    }

    fn composite(self, parts: &[(Vec<u8>, u64)]) -> String {
        let mut hasher = Hasher::new(self.algorithm);
        parts.iter().for_each(|(value, _)| hasher.update(value));
        format!("{}-{}", BASE64_STANDARD.encode(hasher.finish()), parts.len())
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self.algorithm {
            Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 | Algorithm::Sha256 => None,
        }
    }
}

fn combined(crc: CrcAlgorithm, parts: &[(Vec<u8>, u64)]) -> String {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let width = parts.first().map_or(0, |(value, _)| value.len());
    let whole = parts
        .iter()
        .map(|(value, length)| (number(value), *length))
        .reduce(|(whole, before), (value, length)| (checksum_combine(crc, whole, value, length), before + length));
    let bytes = whole.map_or(0, |(whole, _)| whole).to_be_bytes();
    BASE64_STANDARD.encode(&bytes[bytes.len() - width..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(algorithm: &'static str, kind: &'static str) -> Result<Option<String>, Code> {
        let pairs = [("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)];
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let headers = pairs.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        Scheme::asked(&headers).map(|scheme| scheme.map(Scheme::text)).map_err(|fault| fault.code)
    }

    #[test]
    fn types_go_with_algorithms() {
        assert_eq!(asked("", ""), Ok(None));
        for (algorithm, kind, scheme) in [
            ("CRC32", "", "CRC32-COMPOSITE"),
            ("CRC32C", "FULL_OBJECT", "CRC32C-FULL_OBJECT"),
            ("CRC64NVME", "", "CRC64NVME-FULL_OBJECT"),
            ("SHA1", "", "SHA1-COMPOSITE"),
            ("SHA256", "COMPOSITE", "SHA256-COMPOSITE"),
        ] {
            assert_eq!(asked(algorithm, kind), Ok(Some(scheme.to_owned())));
            assert_eq!(Scheme::parse(scheme).unwrap().text(), scheme);
        }
        for (algorithm, kind) in
            [("CRC64NVME", "COMPOSITE"), ("SHA1", "FULL_OBJECT"), ("MD4", ""), ("CRC32", "HALF"), ("", "COMPOSITE")]
        {
            assert_eq!(asked(algorithm, kind), Err(Code::InvalidRequest), "{algorithm} {kind}");
        }
    }

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Kept {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        Kept { algorithm, value: BASE64_STANDARD.encode(hasher.finish()) }
    }

    #[test]
    fn a_composite_one_is_of_the_parts_values() {
        let part = of(Algorithm::Sha256, &[b'A'; 1024]);
        assert_eq!(part.value, "arcu6553sHVAiX4MjW0j7I7vD4w6R+Gz9Ok0Q9lTa+0=");
        let scheme = Scheme::parse("SHA256-COMPOSITE").unwrap();
        let whole = scheme.whole(&[(part.clone(), 1024)]).unwrap();
        assert_eq!(whole.value, "Ok6Cs5b96ux6+MWQkJO7UBT5sKPBeXBLwvj/hK89smg=-1");
        assert!(whole.is_composite());
        // Nothing is made of others' checksums.
        assert_eq!(Scheme::parse("SHA1-COMPOSITE").unwrap().whole(&[(part, 1024)]), None);
    }

    proptest! {
        #[test]
        fn the_crc_of_the_whole_is_made_of_those_of_its_parts(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        ) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let scheme = Scheme { algorithm, is_composite: false };
                let known: Vec<_> = parts.iter().map(|part| (of(algorithm, part), part.len() as u64)).collect();
                prop_assert_eq!(scheme.whole(&known).unwrap(), of(algorithm, &parts.concat()));
            }
        }
    }
}
