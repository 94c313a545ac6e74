//! ListParts.

use apus_base::timestamp::Timestamp;

use super::Upload;
use crate::s3::listing::is_escaped;
use crate::s3::service::owner;
use crate::s3::xml::Xml;
use crate::s3::{Answered, Face, document, metadata, quoted};

/// Parts that are listed if the request does not say how many.
const DEFAULT_PARTS: u64 = 1000;

pub(super) async fn answer(face: &Face<'_>) -> Answered {
    let key = face.key()?;
    super::check_bucket(face).await?;
    let query = &face.asked.query;
    let is_escaped = is_escaped(face)?;
    let upload = Upload::of(face).await?;
    let most = query.number("max-parts", DEFAULT_PARTS, face.config().max_parts_listing)?;
    let marker = query.number("part-number-marker", 0, u64::MAX)?;
    let mut parts = upload.parts(face).await?;
    parts.retain(|(number, _)| u64::from(*number) > marker);
    let most_here = usize::try_from(most).unwrap_or(usize::MAX);
    let is_truncated = parts.len() > most_here;
    parts.truncate(most_here);
    let last = parts.last().map_or(0, |(number, _)| *number);
    let mut xml = Xml::new("ListPartsResult");
    xml.text("Bucket", face.bucket()).text("Key", &quoted(key, is_escaped)).text("UploadId", &upload.id);
    owner(&mut xml, "Initiator", &face.user);
    owner(&mut xml, "Owner", &face.user);
    xml.text("StorageClass", "STANDARD");
    xml.text("PartNumberMarker", &marker.to_string()).text("NextPartNumberMarker", &last.to_string());
    xml.text("MaxParts", &most.to_string());
    if is_escaped {
        xml.text("EncodingType", "url");
    }
    xml.text("IsTruncated", if is_truncated { "true" } else { "false" });
    for (number, part) in &parts {
        let modified = Timestamp::from_isoformat(&part.last_modified).unwrap_or_default();
        xml.open("Part").text("PartNumber", &number.to_string()).text("LastModified", &metadata::xml_time(modified));
        xml.text("ETag", &format!("\"{}\"", part.hash)).text("Size", &part.bytes.to_string()).close();
    }
    Ok(document(xml))
}
