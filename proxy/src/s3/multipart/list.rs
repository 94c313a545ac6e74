//! ListMultipartUploads.

use std::collections::BTreeSet;

use apus_base::timestamp::Timestamp;
use http::{HeaderMap, Method};

use super::check_bucket;
use super::scheme::Scheme;
use crate::ops::container::{self, ContainerName};
use crate::ops::listing::Listing;
use crate::ops::rows::Entry;
use crate::s3::fault::Fault;
use crate::s3::listing::is_escaped;
use crate::s3::service::owner;
use crate::s3::translate::SEGMENTS;
use crate::s3::xml::Xml;
use crate::s3::{Answered, Face, document, metadata, quoted};

/// Most uploads of one listing.
const MAX_UPLOADS: u64 = 1000;
/// Rows that are looked at in one turn, most of which may be parts.
const PAGE: u64 = 1000;
/// Comes behind every digit: a marker with it passes over the parts of an upload.
const BEHIND_DIGITS: char = ':';

/// An upload as the listing of the segments has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) modified: String,
    scheme: Option<Scheme>,
}

impl Row {
    /// The upload that a name is of; `None` if it is a part.
    pub(super) fn of(name: &str, modified: &str) -> Option<Self> {
        let (key, id) = name.rsplit_once('/')?;
        let is_part = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        let (key, id, modified) = (key.to_owned(), id.to_owned(), modified.to_owned());
        (!is_part).then_some(Self { key, id, modified, scheme: None })
    }
}

/// Where the next turn begins, after a row of that name.
pub(super) fn after(name: &str) -> String {
    match Row::of(name, "") {
        Some(_) => name.to_owned(),
        None => name.rsplit_once('/').map_or_else(String::new, |(upload, _)| format!("{upload}/{BEHIND_DIGITS}")),
    }
}

pub(super) async fn answer(face: &Face<'_>) -> Answered {
    let query = &face.asked.query;
    check_bucket(face).await?;
    let is_escaped = is_escaped(face)?;
    let key_marker = query.text("key-marker")?.unwrap_or_default();
    let id_marker = query.text("upload-id-marker")?.unwrap_or_default();
    let (prefix, delimiter) = (query.text("prefix")?, query.text("delimiter")?);
    let most = query.number("max-uploads", MAX_UPLOADS, MAX_UPLOADS)?;
    let marker = match (key_marker.as_str(), id_marker.as_str()) {
        ("", _) => String::new(),
        (key, "") => format!("{key}/~"),
        (key, id) => format!("{key}/{id}"),
    };
    let (prefix_text, delimiter_text) =
        (prefix.as_deref().unwrap_or_default(), delimiter.as_deref().unwrap_or_default());
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let (mut uploads, mut common) = (Vec::new(), BTreeSet::new());
    let mut marker = marker;
    while uploads.len() < most {
        let rows = rows(face, marker, prefix_text).await?;
        let Some(last) = rows.last() else { break };
        marker = after(last.name());
        for row in &rows {
            let Entry::Object(row) = row else { continue };
            let Some(upload) = Row::of(&row.name, &row.last_modified) else { continue };
            match cut(&upload.key, prefix_text, delimiter_text) {
                Some(prefix) => drop(common.insert(prefix.to_owned())),
                None => {
                    let scheme = row.s3_checksum.as_deref().and_then(Scheme::parse);
                    uploads.push(Row { scheme, ..upload });
                }
            }
        }
    }
    let is_truncated = uploads.len() >= most;
    uploads.truncate(most);
    let last = uploads.last().filter(|_| uploads.len() > 1);
    let mut xml = Xml::new("ListMultipartUploadsResult");
    xml.text("Bucket", face.bucket()).text("KeyMarker", &key_marker).text("UploadIdMarker", &id_marker);
    xml.text("NextKeyMarker", last.map_or("", |last| &last.key));
    xml.text("NextUploadIdMarker", last.map_or("", |last| &last.id));
    for (name, text) in [("Delimiter", &delimiter), ("Prefix", &prefix)] {
        if let Some(text) = text {
            xml.text(name, text);
        }
    }
    xml.text("MaxUploads", &most.to_string());
    if is_escaped {
        xml.text("EncodingType", "url");
    }
    xml.text("IsTruncated", if is_truncated { "true" } else { "false" });
    for upload in &uploads {
        let modified = Timestamp::from_isoformat(&upload.modified).unwrap_or_default();
        xml.open("Upload").text("Key", &quoted(&upload.key, is_escaped)).text("UploadId", &upload.id);
        owner(&mut xml, "Initiator", &face.user);
        owner(&mut xml, "Owner", &face.user);
        xml.text("StorageClass", "STANDARD").text("Initiated", &metadata::xml_time(modified));
        if let Some(scheme) = upload.scheme {
            scheme.write(&mut xml);
        }
        xml.close();
    }
    for prefix in &common {
        xml.open("CommonPrefixes").text("Prefix", &quoted(prefix, is_escaped)).close();
    }
    Ok(document(xml))
}

/// What a key is rolled up to, if it is.
fn cut<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key.get(prefix.len()..)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

pub(super) async fn rows(face: &Face<'_>, marker: String, prefix: &str) -> Result<Vec<Entry>, Fault> {
    let container = format!("{}{SEGMENTS}", face.bucket());
    let name = ContainerName { account: &face.account, container: &container };
    let listing = Listing { limit: PAGE, marker, prefix: prefix.to_owned(), ..Listing::default() };
    let request = face.request(Method::GET, HeaderMap::new());
    match container::list(face.call(&request), name, &listing).await {
        // Nothing was ever uploaded in parts.
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        rows => rows.map_err(|error| face.container_fault(&container, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_from_uploads_and_passed_over() {
        assert_eq!(Row::of("a/b/u1", "").map(|row| (row.key, row.id)), Some(("a/b".into(), "u1".into())));
        assert_eq!((Row::of("a/u1/12", ""), Row::of("a", "")), (None, None));
        assert_eq!((after("a/u1").as_str(), after("a/u1/12").as_str()), ("a/u1", "a/u1/:"));
    }

    #[test]
    fn keys_are_rolled_up() {
        assert_eq!(cut("a/b/c", "", "/"), Some("a/"));
        assert_eq!(cut("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!((cut("a", "", "/"), cut("a/b", "", ""), cut("é", "x", "/")), (None, None, None));
    }
}
