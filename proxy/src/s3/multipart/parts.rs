//! ListParts.

use apus_base::timestamp::Timestamp;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::scheme::Scheme;
use super::{TOGETHER, Upload, head};
use crate::ops::rows::Object;
use crate::s3::checksums::Kept;
use crate::s3::fault::Fault;
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
    let scheme = Scheme::of(&upload.headers);
    let kept = if scheme.is_some() { checksums(face, &upload, &parts).await? } else { Vec::new() };
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
    if let Some(scheme) = scheme {
        scheme.write(&mut xml);
    }
    let mut kept = kept.into_iter();
    for (number, part) in &parts {
        let modified = Timestamp::from_isoformat(&part.last_modified).unwrap_or_default();
        xml.open("Part").text("PartNumber", &number.to_string()).text("LastModified", &metadata::xml_time(modified));
        xml.text("ETag", &format!("\"{}\"", part.hash)).text("Size", &part.bytes.to_string());
        if let Some(kept) = kept.next().flatten() {
            xml.text(kept.algorithm.element(), &kept.value);
        }
        xml.close();
    }
    Ok(document(xml))
}

/// The checksums of parts, which the listing of their container does not know.
async fn checksums(face: &Face<'_>, upload: &Upload, parts: &[(u32, Object)]) -> Result<Vec<Option<Kept>>, Fault> {
    let looks: Vec<_> = parts.iter().map(|(_, part)| look(face, upload, part).boxed()).collect();
    stream::iter(looks).buffered(TOGETHER).try_collect().await
}

async fn look(face: &Face<'_>, upload: &Upload, part: &Object) -> Result<Option<Kept>, Fault> {
    match head(face, face.name(&upload.container, part.name.as_str())).await {
        Ok(headers) => Ok(Kept::of(&headers)),
        // It was replaced or removed meanwhile.
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(face.fault(error)),
    }
}
