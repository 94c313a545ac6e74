//! `POST /bucket?delete`: deleting up to a thousand keys, each as if it had been asked for alone. The versions of a key go one after
//! the other: together they would only get in each other's way.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use futures_util::stream;
use http::{HeaderMap, Method};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::listing::version_id;
use super::payload::Payload;
use super::payload::checksum::Algorithm;
use super::policy::{self, Need};
use super::xml::{Node, Xml};
use super::{Answered, Face, condition, delete, document, lock, parse};

/// The longest body, whatever is configured.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// A key, and perhaps a version, to delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Doomed {
    key: String,
    version: Option<String>,
    /// The ETag that it must have.
    etag: Option<String>,
}

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.parts.method != Method::POST {
        return Err(face.no_method("MULTI_OBJECT_DELETE"));
    }
    let most = face.config().max_multi_delete_objects;
    let longest = face.proxy.config.constraints.max_object_name_length;
    let bytes = most.saturating_mul(longest).saturating_mul(2).min(MAX_BODY_BYTES);
    let text = face.xml(payload, bytes).await?.ok_or(Fault::new(Code::MissingRequestBody))?;
    if !has_digest(&face.parts.headers) {
        let sentence = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
        return Err(Fault::saying(Code::InvalidRequest, sentence));
    }
    let document_read = parse(&text, "Delete")?;
    if document_read.all("Object").count() > most {
        return Err(Fault::new(Code::MalformedXml));
    }
    let (doomed, quiet) = read(&document_read)?;
    let mut xml = Xml::new("DeleteResult");
    match delete::check_bucket(face).await {
        // Whoever may not look into the bucket may delete in it all the same, or is refused for each key.
        Err(fault) if fault.code == Code::AccessDenied => {}
        checked => checked?,
    }
    let together = face.config().multi_delete_concurrency.max(1);
    let keys: Vec<Vec<Doomed>> = doomed.chunk_by(|one, next| one.key == next.key).map(<[_]>::to_vec).collect();
    let mut done = stream::iter(keys).map(|versions| in_turn(face, versions)).buffered(together);
    while let Some(faults) = done.next().await {
        for (doomed, fault) in faults {
            match fault {
                Some(fault) => refused(&mut xml, &doomed, &fault),
                None if quiet => {}
                None => deleted(&mut xml, &doomed),
            }
        }
    }
    Ok(document(xml))
}

/// Whether a request says by what its body can be checked.
pub(super) fn has_digest(headers: &HeaderMap) -> bool {
    Algorithm::ALL.iter().any(|algorithm| headers.contains_key(algorithm.header()))
        || !header(headers, "content-md5").is_empty()
        || !header(headers, "x-amz-trailer").is_empty()
}

fn read(document: &Node) -> Result<(Vec<Doomed>, bool), Fault> {
    document.only(&["Object", "Quiet"])?;
    let quiet = document.child("Quiet")?.is_some_and(|quiet| quiet.text.eq_ignore_ascii_case("true"));
    let mut seen = HashSet::new();
    let mut doomed = Vec::new();
    for object in document.all("Object") {
        object.only(&["Key", "VersionId", "ETag"])?;
        let key = object.required("Key")?.to_owned();
        if key.is_empty() {
            return Err(Fault::new(Code::UserKeyMustBeSpecified));
        }
        if key.contains('\0') {
            return Err(Fault::new(Code::MalformedXml));
        }
        let version = object.child("VersionId")?.map(|version| version.text.clone()).filter(|id| !id.is_empty());
        let etag = object.child("ETag")?.map(|etag| etag.text.clone()).filter(|etag| !etag.is_empty());
        let one = Doomed { key, version, etag };
        if seen.insert(one.clone()) {
            doomed.push(one);
        }
    }
    if doomed.is_empty() { Err(Fault::new(Code::MalformedXml)) } else { Ok((doomed, quiet)) }
}

/// What became of each.
async fn in_turn(face: &Face<'_>, versions: Vec<Doomed>) -> Vec<(Doomed, Option<Fault>)> {
    let mut faults = Vec::with_capacity(versions.len());
    for doomed in versions {
        let fault = one(face, &doomed).await.err();
        faults.push((doomed, fault.filter(|fault| !matches!(fault.code, Code::NoSuchKey | Code::NoSuchVersion))));
    }
    faults
}

async fn one(face: &Face<'_>, doomed: &Doomed) -> Result<(), Fault> {
    let version = doomed.version.as_deref().map(version_id).transpose()?;
    let name = face.name(face.bucket(), doomed.key.clone());
    face.guard_deletion(&name).await?;
    let condition = doomed.etag.as_deref().map(condition::etag).transpose()?.flatten();
    let condition = condition.as_ref();
    let need = Need::delete(face.bucket(), &doomed.key, version.is_some());
    let granted = policy::check(face, &[need]).await?;
    let done = match lock::with_bypass(face, Some(&doomed.key), granted).await? {
        Some(parts) => delete::one(&face.on(&parts), &name, version, condition).await,
        None => delete::one(face, &name, version, condition).await,
    };
    done.map(drop)
}

fn deleted(xml: &mut Xml, doomed: &Doomed) {
    xml.open("Deleted").text("Key", &doomed.key);
    if let Some(version) = &doomed.version {
        xml.text("VersionId", version);
    }
    xml.close();
}

fn refused(xml: &mut Xml, doomed: &Doomed, fault: &Fault) {
    xml.open("Error").text("Key", &doomed.key);
    if let Some(version) = &doomed.version {
        xml.text("VersionId", version);
    }
    xml.text("Code", fault.code.name()).text("Message", &fault.message).close();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doomed(text: &str) -> Result<(Vec<Doomed>, bool), Code> {
        read(&Node::parse(text.as_bytes(), "Delete").unwrap()).map_err(|fault| fault.code)
    }

    #[test]
    fn lists() {
        let (list, quiet) = doomed(
            "<Delete><Object><Key>a</Key></Object><Object><VersionId>1</VersionId><Key>a</Key></Object>\
             <Object><Key>a</Key></Object><Quiet>true</Quiet></Delete>",
        )
        .unwrap();
        assert!(quiet && list.len() == 2 && list[1].version.as_deref() == Some("1"));
        assert_eq!(doomed("<Delete/>"), Err(Code::MalformedXml));
        assert_eq!(doomed("<Delete><Object><Key/></Object></Delete>"), Err(Code::UserKeyMustBeSpecified));
        assert_eq!(doomed("<Delete><Object/></Delete>"), Err(Code::MalformedXml));
        assert_eq!(doomed("<Delete><Other/></Delete>"), Err(Code::MalformedXml));
    }
}
