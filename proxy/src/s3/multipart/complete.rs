//! CompleteMultipartUpload: the parts that the client names, in their order, become a static large object.

use std::collections::HashSet;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method};
use md5::{Digest as _, Md5};
use percent_encoding::utf8_percent_encode;

use super::create::{HAS_TYPE, TYPE};
use super::scheme::Scheme;
use super::whole::{Demands, check_parts};
use super::{TOGETHER, Upload, check_bucket};
use crate::error::Error;
use crate::ops::crypto::LOCK;
use crate::ops::large::LargeError;
use crate::ops::large::manifest::{Asked, AskedObject, Manifest};
use crate::ops::large::put::{Flaw, Problem, PutSlo, Rules, examine, put_examined};
use crate::ops::large::{S3_CHECKSUM, S3_ETAG, UPLOAD_ID};
use crate::ops::notification::Made;
use crate::s3::auth::header;
use crate::s3::checksums::Kept;
use crate::s3::code::Code;
use crate::s3::encryption::Sealing;
use crate::s3::fault::Fault;
use crate::s3::metadata::set;
use crate::s3::payload::Payload;
use crate::s3::payload::checksum::Algorithm;
use crate::s3::xml::{Node, Xml};
use crate::s3::{Answered, Face, condition, document, metadata, object, parse};
use crate::swift::response::QUOTED;
use apus_base::hex::hex;

/// The longest list of parts: ten thousand with checksums are a fifth of it.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// A part that the client names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    number: u32,
    etag: String,
    /// The checksum that it has to have.
    checksum: Option<Kept>,
}

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    check_bucket(face).await?;
    let condition = condition::of_put(&face.parts.headers)?;
    let demands = Demands::of(&face.parts.headers)?;
    let upload = Upload::of(face).await?;
    let text = face.xml(payload, MAX_BODY_BYTES).await?;
    let text = text.ok_or(Fault::saying(Code::InvalidRequest, "You must specify at least one part"))?;
    let parts = read(&parse(&text, "CompleteMultipartUpload")?, &upload.id)?;
    let etag = etag(&parts);
    match header(&upload.headers, S3_ETAG.as_str()) {
        // It was completed so already.
        done if done == etag => return Ok(document(result(face, &etag, Kept::of(&upload.headers).as_ref()))),
        "" => {}
        _ => return Err(Fault::new(Code::NoSuchUpload).with("UploadId", &upload.id)),
    }
    let mut large = PutSlo { condition: condition.clone(), ..large(face, &upload, &parts, &etag)? };
    let request = face.request(Method::PUT, large.headers.clone());
    let refuse = |error| match error {
        Error::Large(LargeError::Problems(problems)) => refused(face, &upload, &problems),
        error => face.write_fault(error, condition.as_ref()),
    };
    upload.close(face, true).await?;
    let examined = examine(face.call(&request), &large).await.map_err(&refuse);
    let (manifest, whole) = match examined.and_then(|manifest| check(&upload, &parts, &demands, manifest)) {
        Ok(checked) => checked,
        Err(fault) => {
            upload.close(face, false).await?;
            return Err(fault);
        }
    };
    if let Some((scheme, kept)) = &whole {
        set(&mut large.rules.own, S3_CHECKSUM, &kept.text());
        large.rules.listed.push(("s3_checksum", scheme.text()));
    }
    let stored = put_examined(face.call(&request), large, &manifest).await;
    if stored.as_ref().is_err_and(|error| !matches!(error, Error::Unavailable)) {
        upload.close(face, false).await?;
    }
    let stored = stored.map_err(&refuse)?;
    let whole = whole.map(|(_, kept)| kept);
    remove_rest(face, &upload, &parts).await;
    let mut response = document(result(face, &etag, whole.as_ref()));
    Sealing::of_upload(face, &upload.headers).show(response.headers_mut());
    if let Some(version) = object::answered(&stored).headers().get("x-amz-version-id") {
        response.headers_mut().insert("x-amz-version-id", version.clone());
    }
    Ok(response)
}

/// Looks at the checksums of the parts, and gives that of the whole.
fn check(
    upload: &Upload,
    parts: &[Part],
    demands: &Demands,
    manifest: Manifest,
) -> Result<(Manifest, Option<(Scheme, Kept)>), Fault> {
    let checksums: Vec<_> = parts.iter().map(|part| (part.number, part.checksum.as_ref())).collect();
    let scheme = Scheme::of(&upload.headers);
    let seen = check_parts(scheme, &checksums, &manifest, &upload.id)?;
    let whole = demands.check(scheme, &seen, manifest.length())?;
    Ok((manifest, whole))
}

/// The list of parts.
fn read(document: &Node, upload: &str) -> Result<Vec<Part>, Fault> {
    document.only(&["Part"])?;
    let mut parts: Vec<Part> = Vec::with_capacity(document.children.len());
    for part in &document.children {
        let checksum = |name: &str| Algorithm::ALL.into_iter().find(|algorithm| algorithm.element() == name);
        if part
            .children
            .iter()
            .any(|child| !matches!(child.name.as_str(), "PartNumber" | "ETag") && checksum(&child.name).is_none())
        {
            return Err(Fault::new(Code::MalformedXml));
        }
        let checksum = part
            .children
            .iter()
            .find_map(|child| Some(Kept { algorithm: checksum(&child.name)?, value: child.text.trim().to_owned() }));
        let number: i64 = part.required("PartNumber")?.trim().parse().map_err(|_| Fault::new(Code::MalformedXml))?;
        let etag = part.required("ETag")?.trim().trim_matches('"').to_owned();
        let before = parts.last().map_or(0, |part| i64::from(part.number));
        if number <= before {
            return Err(Fault::new(Code::InvalidPartOrder).with("UploadId", upload));
        }
        let is_md5 = etag.len() == 32 && etag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u32::try_from(number).ok().filter(|_| is_md5);
        parts.push(Part { number: number.ok_or_else(|| no_part(upload, part))?, etag, checksum });
    }
    if parts.is_empty() { Err(Fault::new(Code::MalformedXml)) } else { Ok(parts) }
}

fn no_part(upload: &str, part: &Node) -> Fault {
    let text = |name| part.required(name).unwrap_or_default().to_owned();
    let fault = Fault::new(Code::InvalidPart).with("UploadId", upload);
    fault.with("PartNumber", text("PartNumber")).with("ETag", text("ETag").trim_matches('"'))
}

/// The ETag of the whole: the MD5 of the MD5s of its parts, and how many they are.
fn etag(parts: &[Part]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        let digit =
            |at: usize| u8::from_str_radix(part.etag.get(at..at + 2).unwrap_or_default(), 16).unwrap_or_default();
        let bytes: [u8; 16] = std::array::from_fn(|at| digit(2 * at));
        md5.update(bytes);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

fn large(face: &Face<'_>, upload: &Upload, parts: &[Part], etag: &str) -> Result<PutSlo, Fault> {
    let mut headers = metadata::kept(&upload.headers);
    headers.remove(CONTENT_TYPE);
    let kind = match header(&upload.headers, HAS_TYPE.as_str()) {
        "yes" => upload.headers.get(TYPE),
        "no" => None,
        _ => upload.headers.get(CONTENT_TYPE),
    };
    headers.insert(CONTENT_TYPE, kind.cloned().unwrap_or(HeaderValue::from_static("binary/octet-stream")));
    let mut own = crate::ops::headers::pick(&upload.headers, |name| *name == LOCK);
    set(&mut own, UPLOAD_ID, &upload.id);
    set(&mut own, S3_ETAG, etag);
    let rules = Rules {
        max_segments: usize::try_from(face.config().max_upload_part_num).unwrap_or(usize::MAX),
        min_bytes: face.config().min_segment_size,
        together: TOGETHER,
        own,
        listed: vec![("s3_etag", etag.to_owned())],
        seal: Sealing::of_upload(face, &upload.headers).seal,
        checksum_in: Some(S3_CHECKSUM),
    };
    let asked = |part: &Part| {
        let path = format!("/{}/{}/{}", upload.container, upload.name, part.number);
        Asked::Object(AskedObject { path, etag: Some(part.etag.clone()), size: None, range: None })
    };
    Ok(PutSlo {
        name: face.object()?,
        headers,
        segments: parts.iter().map(asked).collect(),
        condition: None,
        rules,
        made: Made::Completed,
    })
}

fn refused(face: &Face<'_>, upload: &Upload, problems: &[Problem]) -> Fault {
    let is_missing = |problem: &&Problem| match &problem.why {
        Flaw::Unreadable(error) => error.is_not_found(),
        Flaw::Etag => true,
        Flaw::Range | Flaw::TooSmall | Flaw::Size => false,
    };
    if problems.iter().any(|problem| is_missing(&problem)) {
        return Fault::new(Code::InvalidPart).with("UploadId", &upload.id);
    }
    if problems.iter().any(|problem| matches!(problem.why, Flaw::TooSmall)) {
        return Fault::new(Code::EntityTooSmall);
    }
    tracing::warn!(bucket = face.bucket(), upload = upload.id, "the parts of an upload cannot be looked at");
    Fault::new(Code::ServiceUnavailable)
}

/// Removes the upload, and the parts that are not part of the whole. What is left if this fails goes with the bucket.
async fn remove_rest(face: &Face<'_>, upload: &Upload, parts: &[Part]) {
    let used: HashSet<u32> = parts.iter().map(|part| part.number).collect();
    let mut done = upload.remove(face, &upload.name).await;
    match upload.parts(face).await {
        Ok(all) => {
            for (_, part) in all.iter().filter(|(number, _)| !used.contains(number)) {
                done = done.and(upload.remove(face, &part.name).await);
            }
        }
        Err(fault) => done = Err(fault),
    }
    if let Err(fault) = done {
        tracing::warn!(bucket = face.bucket(), upload = upload.id, %fault, "a completed upload is not cleaned up");
    }
}

fn result(face: &Face<'_>, etag: &str, checksum: Option<&Kept>) -> Xml {
    let mut xml = Xml::new("CompleteMultipartUploadResult");
    let scheme = if face.parts.extensions.get::<apus_base::serve::Secure>().is_some() { "https" } else { "http" };
    let host = header(&face.parts.headers, HOST.as_str());
    let path = utf8_percent_encode(&face.asked.path, QUOTED);
    xml.text("Location", &format!("{scheme}://{host}{path}")).text("Bucket", face.bucket());
    xml.text("Key", face.asked.key.as_deref().unwrap_or_default()).text("ETag", &format!("\"{etag}\""));
    if let Some(checksum) = checksum {
        checksum.write(&mut xml);
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_parts(parts: &str) -> Result<Vec<Part>, Code> {
        let text = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        read(&Node::parse(text.as_bytes(), "CompleteMultipartUpload").unwrap(), "u").map_err(|fault| fault.code)
    }

    fn part(number: &str, etag: &str) -> String {
        format!("<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>")
    }

    #[test]
    fn parts_come_in_order_and_have_md5s() {
        let md5 = "&quot;5d41402abc4b2a76b9719d911017c592&quot;";
        let two = part("1", md5) + &part("7", md5);
        assert_eq!(read_parts(&two).unwrap()[1].number, 7);
        assert_eq!(read_parts(&(part("2", md5) + &part("2", md5))), Err(Code::InvalidPartOrder));
        assert_eq!(read_parts(&part("0", md5)), Err(Code::InvalidPartOrder));
        assert_eq!(read_parts(&part("1", "x")), Err(Code::InvalidPart));
        assert_eq!(read_parts(&part("x", md5)), Err(Code::MalformedXml));
        assert_eq!(read_parts(""), Err(Code::MalformedXml));
        assert_eq!(read_parts("<Part><PartNumber>1</PartNumber></Part>"), Err(Code::MalformedXml));
    }

    #[test]
    fn the_etag_is_that_of_aws() {
        // Two parts, "hello" and "world".
        let part = |number, etag: &str| Part { number, etag: etag.into(), checksum: None };
        let parts = [part(1, "5d41402abc4b2a76b9719d911017c592"), part(2, "7d793037a0760186574b0282f2f435e7")];
        let mut md5 = Md5::new();
        md5.update(Md5::digest(b"hello"));
        md5.update(Md5::digest(b"world"));
        assert_eq!(etag(&parts), format!("{}-2", hex(&md5.finalize())));
    }
}
