//! What CompleteMultipartUpload says of the checksums and the length of the whole, held against what its parts are. Pure.

use http::HeaderMap;

use super::scheme::Scheme;
use crate::ops::large::manifest::{Manifest, Segment};
use crate::s3::auth::header;
use crate::s3::checksums::{COMPOSITE, FULL_OBJECT, KIND, Kept};
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::payload::checksum::{Checksum, without_count};

const SIZE: &str = "x-amz-mp-object-size";

/// What the headers of a request demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demands {
    checksum: Option<Kept>,
    kind: Option<String>,
    size: Option<u64>,
}

fn refuse(sentence: String) -> Fault {
    Fault::saying(Code::InvalidRequest, sentence)
}

/// Parts as they are: their checksums, which are all there or of no use, and their lengths.
pub(super) type Seen = Option<Vec<(Kept, u64)>>;

/// Holds the checksums that a list of parts has, by their numbers, against those that the parts have.
///
/// # Errors
/// When a part has another one, or the list lacks one that it has to have.
pub(super) fn check_parts(
    scheme: Option<Scheme>,
    listed: &[(u32, Option<&Kept>)],
    manifest: &Manifest,
    upload: &str,
) -> Result<Seen, Fault> {
    let mut seen = Some(Vec::with_capacity(listed.len()));
    for ((number, asked), segment) in listed.iter().zip(&manifest.0) {
        let Segment::Object(object) = segment else { continue };
        let kept = object.checksum.as_deref().and_then(Kept::parse);
        match (asked, scheme.filter(|scheme| scheme.kind() == COMPOSITE)) {
            (Some(asked), _) if kept.as_ref() != Some(*asked) => {
                let fault = Fault::new(Code::InvalidPart).with("UploadId", upload);
                return Err(fault.with("PartNumber", number.to_string()).with("ETag", &object.hash));
            }
            (None, Some(scheme)) => {
                let name = scheme.algorithm.name().to_ascii_lowercase();
                return Err(refuse(format!(
                    "The upload was created using a {name} checksum. The complete request must include the checksum for each \
                     part. It was missing for part {number} in the request."
                )));
            }
            _ => {}
        }
        seen = seen.zip(kept).map(|(mut seen, kept)| {
            seen.push((kept, object.bytes));
            seen
        });
    }
    Ok(seen)
}

impl Demands {
    /// Reads them.
    ///
    /// # Errors
    /// When one makes no sense.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let checksum = Checksum::promised(headers, true)?;
        let checksum = checksum.and_then(|sum| Some(Kept { algorithm: sum.algorithm, value: sum.value? }));
        let some = |name| Some(header(headers, name)).filter(|text| !text.is_empty());
        let kind = some(KIND).map(str::to_ascii_uppercase);
        if kind.as_deref().is_some_and(|kind| kind != COMPOSITE && kind != FULL_OBJECT) {
            return Err(refuse(format!("Value for {KIND} header is invalid.")));
        }
        let size =
            some(SIZE).map(|text| text.trim().parse().map_err(|_| Fault::argument(SIZE, text, "It is no length")));
        Ok(Self { checksum, kind, size: size.transpose()? })
    }

    /// Holds them against an upload of this many bytes. Gives the checksum of the whole, and how it was computed.
    ///
    /// # Errors
    /// When they do not meet.
    pub(super) fn check(
        &self,
        scheme: Option<Scheme>,
        seen: &Seen,
        length: u64,
    ) -> Result<Option<(Scheme, Kept)>, Fault> {
        if let Some(size) = self.size.filter(|size| *size != length) {
            let sentence = "header value does not match what was computed";
            return Err(refuse(format!("The provided '{SIZE}' {sentence}: {size} and not {length}.")));
        }
        if let (Some(kind), Some(scheme)) = (self.kind.as_deref(), scheme)
            && kind != scheme.kind()
        {
            let is = scheme.kind();
            return Err(refuse(format!(
                "The upload was created using the {is} checksum mode. The complete request must use the same checksum mode."
            )));
        }
        let Some(scheme) = scheme else { return Ok(self.unannounced(seen)) };
        let whole = seen.as_ref().and_then(|seen| Some((scheme, scheme.whole(seen)?)));
        let Some(asked) = &self.checksum else { return Ok(whole) };
        let name = asked.algorithm.name().to_ascii_lowercase();
        match &whole {
            Some((_, kept)) if kept.algorithm == asked.algorithm => {
                let sentence = format!("The {name} you specified did not match the calculated checksum.");
                if is_said(asked, kept) { Ok(whole) } else { Err(Fault::saying(Code::BadDigest, sentence)) }
            }
            other => {
                let is = other.as_ref().map_or("null", |(_, kept)| kept.algorithm.name()).to_ascii_lowercase();
                Err(refuse(format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {is}, actual checksum Type: {name}"
                )))
            }
        }
    }

    /// The checksum of an upload that was not told of any, but whose parts and whole have one: it is kept if it is right. If it is
    /// not, it is ignored, as AWS does and tests of Swift want.
    fn unannounced(&self, seen: &Seen) -> Option<(Scheme, Kept)> {
        let asked = self.checksum.as_ref()?;
        let default = if asked.is_composite() { COMPOSITE } else { FULL_OBJECT };
        let kind = self.kind.as_deref().unwrap_or(default);
        let scheme = Scheme::parse(&format!("{}-{kind}", asked.algorithm.name()));
        let scheme = scheme.filter(|scheme| scheme.is_possible())?;
        scheme.whole(seen.as_ref()?).filter(|kept| is_said(asked, kept)).map(|kept| (scheme, kept))
    }
}

/// Whether a checksum is the one that was said, perhaps without the number of parts.
fn is_said(asked: &Kept, kept: &Kept) -> bool {
    asked.value == kept.value || asked.value == without_count(&kept.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::large::manifest::ObjectSegment;
    use http::{HeaderName, HeaderValue};

    /// Two parts, `1234` and `56789`.
    const PARTS: [(&str, u64); 2] = [("CRC32 m+Pgow==", 4), ("CRC32 Ex2gcA==", 5)];

    fn manifest() -> Manifest {
        let segment = |(checksum, bytes): (&str, u64)| {
            Segment::Object(ObjectSegment {
                name: "/c/o".into(),
                bytes,
                hash: String::new(),
                content_type: String::new(),
                last_modified: String::new(),
                range: None,
                sub_slo: false,
                checksum: Some(checksum.to_owned()),
            })
        };
        Manifest(PARTS.into_iter().map(segment).collect())
    }

    fn demands(pairs: &[(&'static str, &'static str)]) -> Result<Demands, Fault> {
        Demands::of(&pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect())
    }

    fn outcome(scheme: &str, pairs: &[(&'static str, &'static str)]) -> Result<Option<String>, Code> {
        let kept: Vec<_> = PARTS.iter().map(|(text, _)| Kept::parse(text).unwrap()).collect();
        let listed = [(1, Some(&kept[0])), (2, Some(&kept[1]))];
        let scheme = Scheme::parse(scheme);
        let seen = check_parts(scheme, &listed, &manifest(), "u").unwrap();
        let whole = demands(pairs).and_then(|demands| demands.check(scheme, &seen, 9));
        whole.map(|whole| whole.map(|(_, kept)| kept.value)).map_err(|fault| fault.code)
    }

    #[test]
    fn the_whole_is_what_was_said_of_it() {
        assert_eq!(outcome("CRC32-FULL_OBJECT", &[]), Ok(Some("y/Q5Jg==".into())));
        assert_eq!(outcome("CRC32-FULL_OBJECT", &[("x-amz-checksum-crc32", "y/Q5Jg==")]), Ok(Some("y/Q5Jg==".into())));
        assert_eq!(outcome("CRC32-FULL_OBJECT", &[("x-amz-checksum-crc32", "AAAAAA==")]), Err(Code::BadDigest));
        assert_eq!(outcome("CRC32-FULL_OBJECT", &[("x-amz-checksum-crc32", "AA==")]), Err(Code::InvalidRequest));
        assert_eq!(outcome("CRC32-FULL_OBJECT", &[("x-amz-checksum-type", "COMPOSITE")]), Err(Code::InvalidRequest));
        assert_eq!(outcome("CRC32-FULL_OBJECT", &[("x-amz-checksum-crc32c", "AAAAAA==")]), Err(Code::InvalidRequest));
        let composite = outcome("CRC32-COMPOSITE", &[]).unwrap().unwrap();
        assert!(composite.ends_with("-2"));
        let said: &'static str = composite.leak();
        assert!(outcome("CRC32-COMPOSITE", &[("x-amz-checksum-crc32", said)]).is_ok());
        assert!(outcome("CRC32-COMPOSITE", &[("x-amz-checksum-crc32", without_count(said))]).is_ok());
        // An upload that nobody told of it may still be checked at its end.
        assert_eq!(outcome("", &[]), Ok(None));
        assert_eq!(outcome("", &[("x-amz-checksum-crc32", "y/Q5Jg==")]), Ok(Some("y/Q5Jg==".into())));
        assert_eq!(outcome("", &[("x-amz-checksum-crc32", "AAAAAA==")]), Ok(None));
        assert_eq!(outcome("", &[("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")]), Ok(None));
        assert_eq!(outcome("", &[("x-amz-mp-object-size", "9")]), Ok(None));
        assert_eq!(outcome("", &[("x-amz-mp-object-size", "8")]), Err(Code::InvalidRequest));
        assert_eq!(outcome("", &[("x-amz-mp-object-size", "x")]), Err(Code::InvalidArgument));
    }

    #[test]
    fn lists_of_parts_have_the_checksums_that_they_have_to_have() {
        let right = PARTS.map(|(text, _)| Kept::parse(text).unwrap());
        let check = |scheme: &str, listed: [Option<&Kept>; 2]| {
            let listed = [(1, listed[0]), (2, listed[1])];
            check_parts(Scheme::parse(scheme), &listed, &manifest(), "u").map(|seen| seen.is_some()).map_err(|f| f.code)
        };
        assert_eq!(check("CRC32-COMPOSITE", [Some(&right[0]), Some(&right[1])]), Ok(true));
        assert_eq!(check("CRC32-COMPOSITE", [Some(&right[0]), None]), Err(Code::InvalidRequest));
        assert_eq!(check("CRC32-FULL_OBJECT", [None, None]), Ok(true));
        assert_eq!(check("", [Some(&right[1]), None]), Err(Code::InvalidPart));
    }
}
