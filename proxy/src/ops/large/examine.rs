//! A look at the segments that a static large object is to have.

use std::collections::HashMap;
use std::sync::Arc;

use apus_base::timestamp::Timestamp;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, Method};

use super::error::LargeError;
use super::is_static;
use super::manifest::{Asked, AskedObject, Manifest, ObjectSegment, Segment, SegmentRange, name_of};
use super::put::{Flaw, Problem, Rules};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::get::{Read, get};

/// Most segments that are looked at together, whatever is configured: Swift's limit.
const MAX_CONCURRENCY: usize = 1000;

/// What is known of a segment.
struct Seen {
    length: u64,
    etag: String,
    content_type: String,
    last_modified: String,
    is_slo: bool,
    checksum: Option<String>,
}

/// Looks at all segments, at each object once.
pub(super) async fn look_at(call: Call<'_>, account: &str, asked: &[Asked], rules: &Rules) -> Result<Manifest, Error> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut paths: Vec<&str> = Vec::new();
    for object in asked.iter().filter_map(object) {
        places.entry(&object.path).or_insert_with(|| {
            paths.push(&object.path);
            paths.len() - 1
        });
    }
    let together = rules.together.clamp(1, MAX_CONCURRENCY);
    let (mut waiting, mut looking) = (paths.into_iter(), FuturesOrdered::new());
    let mut seen: Vec<Result<Seen, Arc<Error>>> = Vec::new();
    loop {
        while looking.len() < together
            && let Some(path) = waiting.next()
        {
            looking.push_back(look(call, account, path, rules.checksum_in.as_ref()));
        }
        match looking.next().await {
            Some(one) => seen.push(one.map_err(Arc::new)),
            None => break,
        }
    }
    let (mut segments, mut problems) = (Vec::with_capacity(asked.len()), Vec::new());
    for (index, wanted) in asked.iter().enumerate() {
        let object = match wanted {
            Asked::Data(data) => {
                segments.push(Segment::Data { data: data.clone() });
                continue;
            }
            Asked::Object(object) => object,
        };
        let mut add = |why| problems.push(Problem { path: object.path.clone(), why });
        match &seen[places[object.path.as_str()]] {
            Ok(seen) => {
                let (segment, flaws) = judge(object, seen, if index + 1 == asked.len() { 0 } else { rules.min_bytes });
                flaws.into_iter().for_each(add);
                segments.push(Segment::Object(segment));
            }
            Err(error) => add(Flaw::Unreadable(Arc::clone(error))),
        }
    }
    if problems.is_empty() { Ok(Manifest(segments)) } else { Err(LargeError::Problems(problems).into()) }
}

fn object(asked: &Asked) -> Option<&AskedObject> {
    match asked {
        Asked::Object(object) => Some(object),
        Asked::Data(_) => None,
    }
}

async fn look(call: Call<'_>, account: &str, path: &str, checksum_in: Option<&HeaderName>) -> Result<Seen, Error> {
    let name = name_of(account, path).filter(|name| !path.contains('\0') && !name.object.is_empty());
    let name = name.ok_or(Error::Refused(http::StatusCode::PRECONDITION_FAILED, String::new()))?;
    let read = Read::asked(name, Method::HEAD, &HeaderMap::new(), false);
    let response = get(call, read).await?;
    let headers = response.headers();
    let text =
        |name: &HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // Only a dynamic large object with more than a page of segments has no length; nobody can hold it to one.
    let length = text(&CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let length = length.ok_or(Error::Refused(http::StatusCode::CONFLICT, String::new()))?;
    let modified = text(&LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(&date).ok());
    let secs = modified.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs());
    let kind = text(&CONTENT_TYPE).unwrap_or_default();
    Ok(Seen {
        length,
        etag: text(&ETAG).unwrap_or_default().trim_matches('"').to_owned(),
        content_type: kind.split(';').next().unwrap_or_default().to_owned(),
        last_modified: Timestamp::from_secs(secs).isoformat(),
        is_slo: is_static(headers),
        checksum: checksum_in.and_then(text).filter(|checksum| !checksum.is_empty()),
    })
}

/// A segment as it will be stored, and what is wrong with it. It must have at least so many bytes.
fn judge(asked: &AskedObject, seen: &Seen, min_bytes: u64) -> (ObjectSegment, Vec<Flaw>) {
    let mut flaws = Vec::new();
    let part = match asked.range.map(|range| range.within(seen.length)) {
        None => Some(0..seen.length),
        Some(None) => {
            flaws.push(Flaw::Range);
            None
        }
        Some(part) => part,
    };
    if part.as_ref().is_some_and(|part| part.end - part.start < min_bytes) {
        flaws.push(Flaw::TooSmall);
    }
    if asked.size.is_some_and(|size| u64::try_from(size).ok() != Some(seen.length)) {
        flaws.push(Flaw::Size);
    }
    if asked.etag.as_deref().is_some_and(|etag| etag != seen.etag) {
        flaws.push(Flaw::Etag);
    }
    let part = part.filter(|part| !part.is_empty() && *part != (0..seen.length));
    let segment = ObjectSegment {
        name: format!("/{}", asked.path.trim_start_matches('/')),
        bytes: seen.length,
        hash: seen.etag.clone(),
        content_type: seen.content_type.clone(),
        last_modified: seen.last_modified.clone(),
        range: part.map(|part| SegmentRange { first: part.start, last: part.end - 1 }),
        sub_slo: seen.is_slo,
        checksum: seen.checksum.clone(),
    };
    (segment, flaws)
}
