//! Lists of a bucket's objects: ListObjects, ListObjectsV2 and ListObjectVersions.

use apus_base::timestamp::Timestamp;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderMap, Method};

use super::code::Code;
use super::fault::Fault;
use super::multipart::Scheme;
use super::service::owner;
use super::xml::Xml;
use super::{Answered, Face, document, metadata, quoted};
use crate::constraints::is_yes;
use crate::ops::container;
use crate::ops::listing::Listing;
use crate::ops::rows::{Entry, Object, collect};
use crate::ops::versions::{DELETE_MARKER, Version, Versions, list};

/// Which of the three it is, with what only it has.
enum Form {
    V1,
    V2 { token: Option<String>, start_after: Option<String>, fetch_owner: bool },
    Versions { marker: Option<String> },
}

/// What is listed.
struct Asked {
    form: Form,
    /// As the request says it; the listing may have less.
    max_keys: u64,
    most: usize,
    is_escaped: bool,
    /// The marker that the request gives, of whatever name.
    marker: Option<String>,
    prefix: Option<String>,
    delimiter: Option<String>,
}

pub(super) async fn answer(face: &Face<'_>) -> Answered {
    let asked = Asked::of(face)?;
    let mut rows = asked.rows(face).await?;
    let is_truncated = asked.most > 0 && rows.len() > asked.most;
    rows.truncate(asked.most);
    let mut xml = asked.head(face, rows.last().filter(|_| is_truncated), rows.len());
    for row in &rows {
        asked.row(face, &mut xml, row);
    }
    Ok(document(xml))
}

impl Asked {
    fn of(face: &Face<'_>) -> Result<Self, Fault> {
        let query = &face.asked.query;
        let config = face.config();
        let max_keys = query.number("max-keys", config.max_bucket_listing, u64::MAX)?;
        let most = usize::try_from(max_keys.min(config.max_bucket_listing)).unwrap_or(usize::MAX);
        let is_escaped = is_escaped(face)?;
        let (prefix, delimiter) = (query.text("prefix")?, query.text("delimiter")?);
        let list_type = query.get("list-type").unwrap_or_else(|| "1".into());
        let (form, marker) = if query.has("versions") {
            versions(face)?
        } else {
            match list_type.trim().parse::<i64>() {
                Ok(2) => v2(face)?,
                Ok(_) => (Form::V1, query.text("marker")?),
                Err(_) => {
                    let sentence = "Argument list-type must be an integer";
                    return Err(Fault::argument("list-type", &list_type, sentence));
                }
            }
        };
        Ok(Self { form, max_keys, most, is_escaped, marker, prefix, delimiter })
    }

    /// One row more than is shown tells whether there are more.
    async fn rows(&self, face: &Face<'_>) -> Result<Vec<Entry>, Fault> {
        let listing = Listing {
            limit: self.most as u64 + 1,
            marker: self.marker.clone().unwrap_or_default(),
            prefix: self.prefix.clone().unwrap_or_default(),
            delimiter: self.delimiter.clone().unwrap_or_default(),
            ..Listing::default()
        };
        let parts = face.request(Method::GET, HeaderMap::new());
        let (call, name) = (face.call(&parts), face.container());
        let rows = match &self.form {
            Form::Versions { marker } => {
                let has_marker = self.marker.is_some();
                let most = self.most + 1;
                let versions = Versions { listing, has_marker, marker: marker.clone() };
                match list(call, name, &versions, false).await {
                    Ok(listed) => collect(listed.into_body(), most, Entry::read).await,
                    Err(error) => Err(error),
                }
            }
            Form::V1 | Form::V2 { .. } => container::list(call, name, &listing).await,
        };
        rows.map_err(|error| face.bucket_fault(error))
    }

    fn show(&self, name: &str) -> String {
        quoted(name, self.is_escaped)
    }

    /// What stands before the rows; `last` is the last of them if there are more.
    fn head(&self, face: &Face<'_>, last: Option<&Entry>, count: usize) -> Xml {
        let root = if matches!(self.form, Form::Versions { .. }) { "ListVersionsResult" } else { "ListBucketResult" };
        let mut xml = Xml::new(root);
        let optional = |text: &Option<String>| text.as_deref().map(|text| self.show(text)).unwrap_or_default();
        xml.text("Name", face.bucket()).text("Prefix", &optional(&self.prefix));
        match &self.form {
            Form::V1 => {
                xml.text("Marker", &optional(&self.marker));
                if let Some(last) = last.filter(|_| self.delimiter.is_some()) {
                    xml.text("NextMarker", &self.show(last.name()));
                }
            }
            Form::V2 { token, start_after, .. } => {
                if let Some(last) = last {
                    xml.text("NextContinuationToken", &BASE64_STANDARD.encode(last.name()));
                }
                if let Some(token) = token {
                    xml.text("ContinuationToken", token);
                }
                if let Some(start_after) = start_after {
                    xml.text("StartAfter", &self.show(start_after));
                }
                xml.text("KeyCount", &count.to_string());
            }
            Form::Versions { marker } => {
                xml.text("KeyMarker", &optional(&self.marker));
                xml.text("VersionIdMarker", marker.as_deref().unwrap_or_default());
                if let Some(last) = last {
                    xml.text("NextKeyMarker", &self.show(last.name()));
                    xml.text("NextVersionIdMarker", version_of(last));
                }
            }
        }
        xml.text("MaxKeys", &self.max_keys.to_string());
        // Swift shows an empty one of versions only.
        let is_shown = |delimiter: &&str| !delimiter.is_empty() || matches!(self.form, Form::Versions { .. });
        if let Some(delimiter) = self.delimiter.as_deref().filter(is_shown) {
            xml.text("Delimiter", &self.show(delimiter));
        }
        if self.is_escaped {
            xml.text("EncodingType", "url");
        }
        xml.text("IsTruncated", if last.is_some() { "true" } else { "false" });
        xml
    }

    fn row(&self, face: &Face<'_>, xml: &mut Xml, row: &Entry) {
        match row {
            Entry::Subdir { subdir } => {
                xml.open("CommonPrefixes").text("Prefix", &self.show(subdir)).close();
            }
            Entry::Object(object) => self.object(face, xml, object),
        }
    }

    fn object(&self, face: &Face<'_>, xml: &mut Xml, object: &Object) {
        let is_version = matches!(self.form, Form::Versions { .. });
        let is_marker = is_version && object.content_type == DELETE_MARKER;
        xml.open(if is_marker {
            "DeleteMarker"
        } else if is_version {
            "Version"
        } else {
            "Contents"
        });
        xml.text("Key", &self.show(&object.name));
        if is_version {
            xml.text("VersionId", object.version_id.as_deref().unwrap_or("null"));
            xml.text("IsLatest", if object.is_latest.unwrap_or(true) { "true" } else { "false" });
        }
        let modified = Timestamp::from_isoformat(&object.last_modified).unwrap_or_default();
        xml.text("LastModified", &metadata::xml_time(modified));
        if !is_marker {
            xml.text("ETag", &etag(object)).text("Size", &object.bytes.to_string());
            if let Some(scheme) = object.s3_checksum.as_deref().and_then(Scheme::parse) {
                scheme.write(xml);
            }
        }
        if !matches!(self.form, Form::V2 { fetch_owner: false, .. }) {
            owner(xml, "Owner", &face.user);
        }
        if !is_marker {
            xml.text("StorageClass", "STANDARD");
        }
        xml.close();
    }
}

fn version_of(row: &Entry) -> &str {
    match row {
        Entry::Object(object) => object.version_id.as_deref().unwrap_or("null"),
        Entry::Subdir { .. } => "null",
    }
}

/// The ETag of a row, in quotes. Of a large object that S3 did not make, clients must not take it for an MD5.
fn etag(object: &Object) -> String {
    let of_slo = || object.slo_etag.as_ref().map(|etag| format!("\"{}-N\"", etag.trim_matches('"')));
    let own = || format!("\"{}\"", object.hash.trim_matches('"'));
    object.s3_etag.clone().or_else(of_slo).unwrap_or_else(own)
}

/// Whether names are shown with escapes.
///
/// # Errors
/// When another form is asked for.
pub(super) fn is_escaped(face: &Face<'_>) -> Result<bool, Fault> {
    match face.asked.query.get("encoding-type") {
        None => Ok(false),
        Some(url) if url == "url" => Ok(true),
        Some(other) => Err(Fault::argument("encoding-type", &other, "Invalid Encoding Method specified in Request")),
    }
}

fn v2(face: &Face<'_>) -> Result<(Form, Option<String>), Fault> {
    let query = &face.asked.query;
    let (start_after, token) = (query.text("start-after")?, query.get("continuation-token"));
    let marker = match &token {
        None => start_after.clone(),
        Some(token) => {
            let decoded = BASE64_STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let sentence = "The continuation token provided is incorrect";
            Some(decoded.ok_or_else(|| Fault::argument("continuation-token", &quoted(token, true), sentence))?)
        }
    };
    let fetch_owner = query.get("fetch-owner").is_some_and(|fetch| is_yes(&fetch));
    Ok((Form::V2 { token, start_after, fetch_owner }, marker))
}

fn versions(face: &Face<'_>) -> Result<(Form, Option<String>), Fault> {
    let query = &face.asked.query;
    let (marker, version) = (query.text("key-marker")?, query.text("version-id-marker")?);
    if let Some(version) = &version {
        if marker.is_none() {
            let sentence = "A version-id marker cannot be specified without a key marker.";
            return Err(Fault::argument("version-id-marker", version, sentence));
        }
        version_id(version)
            .map_err(|_| Fault::argument("version-id-marker", version, "Invalid version id specified"))?;
    }
    Ok((Form::Versions { marker: version }, marker))
}

/// A version by its id.
///
/// # Errors
/// When there can be none of that id.
pub(super) fn version_id(text: &str) -> Result<Version, Fault> {
    text.parse().map_err(|_| Fault::saying(Code::InvalidArgument, "Invalid version id specified"))
}
