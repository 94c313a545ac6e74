//! GetObjectAttributes: what there is to know about an object, without the object.

use std::collections::HashSet;

use http::header::{CONTENT_LENGTH, LAST_MODIFIED};
use http::{HeaderMap, Method};

use super::auth::header;
use super::checksums::Kept;
use super::code::Code;
use super::fault::Fault;
use super::xml::Xml;
use super::{Answered, Face, document, metadata, object};
use crate::ops::large::manifest::Segment;
use crate::ops::large::{UPLOAD_ID, is_static, segments};

const ATTRIBUTES: &str = "x-amz-object-attributes";
const MAX_PARTS: &str = "x-amz-max-parts";
const MARKER: &str = "x-amz-part-number-marker";
/// Most parts of one answer, and as many as there are if nobody says how many: AWS's number.
const MOST_PARTS: u64 = 1000;

/// Something that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Attribute {
    ETag,
    Checksum,
    ObjectParts,
    StorageClass,
    ObjectSize,
}

impl Attribute {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "ETag" => Self::ETag,
            "Checksum" => Self::Checksum,
            "ObjectParts" => Self::ObjectParts,
            "StorageClass" => Self::StorageClass,
            "ObjectSize" => Self::ObjectSize,
            _ => return None,
        })
    }
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    attributes: HashSet<Attribute>,
    page: Page,
}

/// Which parts a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    after: u64,
    most: u64,
}

impl Wanted {
    fn of(request: &HeaderMap) -> Result<Self, Fault> {
        let mut attributes = HashSet::new();
        for list in request.get_all(ATTRIBUTES) {
            let list = String::from_utf8_lossy(list.as_bytes()).into_owned();
            for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let refuse = || Fault::argument(ATTRIBUTES, name, "Invalid attribute name specified.");
                attributes.insert(Attribute::of_name(name).ok_or_else(refuse)?);
            }
        }
        if attributes.is_empty() {
            let sentence = "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty";
            return Err(Fault::saying(Code::InvalidRequest, sentence));
        }
        let number = |name: &str, without: u64| match header(request, name).trim() {
            "" => Ok(without),
            text => {
                text.parse().map_err(|_| Fault::argument(name, text, "Provided number is not an integer or too large"))
            }
        };
        let page = Page { after: number(MARKER, 0)?, most: number(MAX_PARTS, MOST_PARTS)?.min(MOST_PARTS) };
        Ok(Self { attributes, page })
    }
}

pub(super) async fn answer(face: &Face<'_>) -> Answered {
    face.key()?;
    if face.parts.method != Method::GET {
        return Err(face.no_method("OBJECT_ATTRIBUTES"));
    }
    let wanted = Wanted::of(&face.parts.headers)?;
    let described = object::describe(face).await?;
    let wants = |attribute| wanted.attributes.contains(&attribute);
    let mut xml = Xml::new("GetObjectAttributesResponse");
    if let Some(etag) = metadata::etag(&described).filter(|_| wants(Attribute::ETag)) {
        xml.text("ETag", &etag);
    }
    if wants(Attribute::Checksum) {
        checksum(&mut xml, &described);
    }
    if wants(Attribute::ObjectParts) && is_static(&described) {
        parts(&mut xml, &numbered(face, &described).await?, wanted.page);
    }
    if wants(Attribute::StorageClass) {
        xml.text("StorageClass", "STANDARD");
    }
    if wants(Attribute::ObjectSize) {
        xml.text("ObjectSize", header(&described, CONTENT_LENGTH.as_str()));
    }
    let mut response = document(xml);
    let shown = metadata::shown(&described);
    response.headers_mut().extend(shown.get(LAST_MODIFIED).map(|moment| (LAST_MODIFIED, moment.clone())));
    metadata::show_version(&described, response.headers_mut());
    Ok(response)
}

fn checksum(xml: &mut Xml, described: &HeaderMap) {
    if let Some(kept) = Kept::of(described) {
        xml.open("Checksum");
        kept.write(xml);
        xml.close();
    }
}

/// A part: its number, its length, and its checksum, where the upload was told of one.
type Part = (u64, u64, Option<Kept>);

/// The parts of an object, by their numbers. Those of an upload have the numbers that they were uploaded
/// with; those of a large object of Swift's clients their places.
async fn numbered(face: &Face<'_>, described: &HeaderMap) -> Result<Vec<Part>, Fault> {
    let (name, version) = (face.object()?, face.version()?);
    let request = face.request(Method::GET, HeaderMap::new());
    let found = match segments(face.call(&request), name, version).await {
        Ok(found) => found,
        Err(error) => return Err(face.object_fault(face.bucket(), face.key()?, version, error).await),
    };
    let is_upload = described.contains_key(&UPLOAD_ID);
    Ok((1..)
        .zip(&found)
        .map(|(place, segment)| {
            (number(segment).filter(|_| is_upload).unwrap_or(place), segment.length(), kept(segment))
        })
        .collect())
}

fn number(segment: &Segment) -> Option<u64> {
    match segment {
        Segment::Object(object) => object.name.rsplit('/').next()?.parse().ok(),
        Segment::Data { .. } => None,
    }
}

fn kept(segment: &Segment) -> Option<Kept> {
    match segment {
        Segment::Object(object) => object.checksum.as_deref().and_then(Kept::parse),
        Segment::Data { .. } => None,
    }
}

fn parts(xml: &mut Xml, all: &[Part], page: Page) {
    let most = usize::try_from(page.most).unwrap_or(usize::MAX);
    let behind: Vec<&Part> = all.iter().filter(|(number, ..)| *number > page.after).collect();
    let shown = &behind[..behind.len().min(most)];
    xml.open("ObjectParts").text("PartsCount", &all.len().to_string());
    xml.text("PartNumberMarker", &page.after.to_string());
    if let Some((last, ..)) = shown.last() {
        xml.text("NextPartNumberMarker", &last.to_string());
    }
    xml.text("MaxParts", &page.most.to_string());
    xml.text("IsTruncated", if shown.len() < behind.len() { "true" } else { "false" });
    for (number, bytes, kept) in shown {
        xml.open("Part").text("PartNumber", &number.to_string()).text("Size", &bytes.to_string());
        if let Some(kept) = kept {
            xml.text(kept.algorithm.element(), &kept.value);
        }
        xml.close();
    }
    xml.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml::Node;
    use http::HeaderName;
    use proptest::prelude::*;

    fn wanted(pairs: &[(&'static str, &str)]) -> Result<Wanted, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        Wanted::of(&headers).map_err(|fault| fault.code)
    }

    #[test]
    fn what_is_asked_for_comes_in_one_header_or_several() {
        let both = [Attribute::ETag, Attribute::ObjectSize].into();
        let page = Page { after: 0, most: 1000 };
        for pairs in [&[(ATTRIBUTES, "ETag, ObjectSize")][..], &[(ATTRIBUTES, "ETag"), (ATTRIBUTES, "ObjectSize")]] {
            assert_eq!(wanted(pairs), Ok(Wanted { attributes: HashSet::clone(&both), page }));
        }
        let paged = wanted(&[(ATTRIBUTES, "ObjectParts"), (MAX_PARTS, "5000"), (MARKER, "7")]).unwrap();
        assert_eq!(paged.page, Page { after: 7, most: 1000 });
        assert_eq!(wanted(&[]), Err(Code::InvalidRequest));
        assert_eq!(wanted(&[(ATTRIBUTES, "Etag")]), Err(Code::InvalidArgument));
        assert_eq!(wanted(&[(ATTRIBUTES, "ETag"), (MAX_PARTS, "-1")]), Err(Code::InvalidArgument));
    }

    proptest! {
        #[test]
        fn page_after_page_shows_each_part_once(numbers in proptest::collection::btree_set(1..200u64, 0..40), most in 1..50u64) {
            let all: Vec<Part> = numbers.iter().map(|number| (*number, number * 10, None)).collect();
            let (mut after, mut seen) = (0, Vec::new());
            loop {
                let mut xml = Xml::bare("R");
                parts(&mut xml, &all, Page { after, most });
                let root = Node::parse(xml.end().as_bytes(), "R").unwrap();
                let found = root.child("ObjectParts").unwrap().unwrap();
                prop_assert_eq!(found.required("PartsCount").unwrap(), all.len().to_string());
                let number = |part: &Node| part.required("PartNumber").unwrap().parse::<u64>().unwrap();
                seen.extend(found.all("Part").map(number));
                if found.required("IsTruncated").unwrap() == "false" {
                    break;
                }
                after = found.required("NextPartNumberMarker").unwrap().parse().unwrap();
            }
            prop_assert_eq!(seen, numbers.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_headers_are_read_or_refused(list in "[ -~]{0,30}|(ETag|ObjectParts|,| ){0,5}", number in "[0-9-]{0,25}") {
            let _ = wanted(&[(ATTRIBUTES, &list), (MAX_PARTS, &number), (MARKER, &number)]);
        }
    }
}
