//! Storing the manifest of a static large object, after a look at each of its segments.

use std::collections::HashMap;
use std::sync::Arc;

use apus_base::timestamp::Timestamp;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::answer::set;
use super::error::LargeError;
use super::manifest::{
    Asked, AskedObject, Manifest, ObjectSegment, Segment, SegmentRange, md5_hex, name_of, parse_raw,
};
use super::{LISTED_ETAG, SLO_ETAG, SLO_SIZE, STATIC, SloConfig, is_static};
use crate::constraints::{check_content_type, is_true};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::condition::Condition;
use crate::ops::crypto::Seal;
use crate::ops::get::{Read, get};
use crate::ops::headers::content_type;
use crate::ops::put::{Put, Stored, put_with};
use crate::ops::resource::{ObjectName, Resource};

/// Most segments that are looked at together, whatever is configured: Swift's limit.
const MAX_CONCURRENCY: usize = 1000;

/// A static large object to store.
pub struct PutSlo {
    /// Where.
    pub name: ObjectName,
    /// As those of any object, but an `ETag` is that of the large object.
    pub headers: HeaderMap,
    /// Its segments, in order.
    pub segments: Vec<Asked>,
    /// What must be at its name.
    pub condition: Option<Condition>,
    /// The rules that it keeps to.
    pub rules: Rules,
}

/// What a large object keeps to, and what it is to whoever made it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Most segments that are objects.
    pub max_segments: usize,
    /// The smallest segment but the last, in bytes.
    pub min_bytes: u64,
    /// Segments that are looked at together.
    pub together: usize,
    /// Headers of the cluster's own that are kept with it.
    pub own: HeaderMap,
    /// What else its row in the listing says, as parameters of its hash.
    pub listed: Vec<(&'static str, String)>,
    /// How its manifest is encrypted.
    pub seal: Seal,
    /// Where segments have checksums, which the manifest has then, too.
    pub checksum_in: Option<HeaderName>,
}

impl Rules {
    /// Those of large objects that clients of Swift make.
    pub fn of(config: &SloConfig) -> Self {
        let (max_segments, together) = (config.max_manifest_segments, config.concurrency);
        Self {
            max_segments,
            min_bytes: 1,
            together,
            own: HeaderMap::new(),
            listed: Vec::new(),
            seal: Seal::default(),
            checksum_in: None,
        }
    }
}

/// A segment that cannot be used.
#[derive(Debug)]
pub struct Problem {
    /// As the client named it.
    pub path: String,
    /// Why.
    pub why: Flaw,
}

/// Why a segment cannot be used.
#[derive(Debug)]
pub enum Flaw {
    /// It cannot be read.
    Unreadable(Arc<Error>),
    /// It has no such range.
    Range,
    /// It is smaller than it may be, and not the last.
    TooSmall,
    /// It has another length.
    Size,
    /// It has another ETag.
    Etag,
}

/// What is known of a segment.
struct Seen {
    length: u64,
    etag: String,
    content_type: String,
    last_modified: String,
    is_slo: bool,
    checksum: Option<String>,
}

/// Stores a static large object. Its ETag comes in quotes.
///
/// # Errors
/// `LargeError::Problems` with all segments that cannot be used; `TooManySegments`; `Etag`; or as
/// [`put`](crate::ops::put::put). Then nothing is stored.
pub async fn put(call: Call<'_>, slo: PutSlo) -> Result<Stored, Error> {
    let manifest = examine(call, &slo).await?;
    put_examined(call, slo, &manifest).await
}

/// Looks at the segments of a static large object, and gives its manifest.
///
/// # Errors
/// As [`put`].
pub async fn examine(call: Call<'_>, slo: &PutSlo) -> Result<Manifest, Error> {
    let rules = &slo.rules;
    if slo.segments.iter().filter(|asked| matches!(asked, Asked::Object(_))).count() > rules.max_segments {
        return Err(LargeError::TooManySegments(rules.max_segments).into());
    }
    call.authorize(&Method::PUT, &Resource::Object(slo.name.clone())).await?;
    let kind = content_type(&slo.headers, &slo.name.object, is_true(&slo.headers, "x-detect-content-type"));
    check_content_type(&kind)?;
    seen(call, &slo.name.account, &slo.segments, rules).await
}

/// Stores a static large object whose segments were looked at.
///
/// # Errors
/// As [`put`].
pub async fn put_examined(call: Call<'_>, slo: PutSlo, manifest: &Manifest) -> Result<Stored, Error> {
    let config = &call.proxy.config.slo;
    let kind = content_type(&slo.headers, &slo.name.object, is_true(&slo.headers, "x-detect-content-type"));
    let etag = manifest.etag();
    let promised = slo.headers.get(ETAG).map(|etag| String::from_utf8_lossy(etag.as_bytes()).into_owned());
    let promised = promised.as_deref().map(apus_base::conditional::unquoted).filter(|etag| !etag.is_empty());
    if promised.is_some_and(|promised| promised != etag) {
        return Err(LargeError::Etag.into());
    }
    let json = manifest.to_json()?;
    let most = Manifest::max_bytes(config.max_manifest_size);
    if json.len() > most {
        return Err(LargeError::ManifestTooLong(most).into());
    }
    let seal = slo.rules.seal.clone();
    let (own, md5) = (own_headers(&kind, manifest, &json, &etag, slo.rules), md5_hex(&json));
    let mut headers = slo.headers;
    set(&mut headers, ETAG, md5);
    let body = apus_base::body::full(Bytes::from(json.clone()));
    let put = Put::new(slo.name, headers, Ok(Some(json.len() as u64)), body);
    let put = Put { condition: slo.condition, seal, ..put };
    let stored = put_with(call, put, own).await?;
    Ok(Stored { etag: stored.etag.map(|_| format!("\"{etag}\"")), ..stored })
}

/// Stores the copy of a manifest whose body is in the raw form. Its segments are looked at again: they are those of the
/// destination's account.
///
/// # Errors
/// As [`put`].
pub async fn put_copied(call: Call<'_>, copy: Put) -> Result<Stored, Error> {
    let most = Manifest::max_bytes(call.proxy.config.slo.max_manifest_size);
    let raw = apus_base::body::read_to_end(copy.body, most).await?;
    let rules = Rules::of(&call.proxy.config.slo);
    let (name, headers, condition) = (copy.name, copy.headers, copy.condition);
    put(call, PutSlo { name, headers, segments: parse_raw(&raw)?, condition, rules }).await
}

/// What the cluster keeps beside a manifest: the ETag and the length of what it stands for, for reads and for listings.
fn own_headers(kind: &HeaderValue, manifest: &Manifest, json: &[u8], etag: &str, rules: Rules) -> HeaderMap {
    let mut own = rules.own;
    own.insert(STATIC, HeaderValue::from_static("True"));
    set(&mut own, SLO_ETAG, etag.to_owned());
    own.insert(SLO_SIZE, HeaderValue::from(manifest.length()));
    let listed: String = rules.listed.iter().map(|(name, value)| format!("; {name}={value}")).collect();
    set(&mut own, LISTED_ETAG, format!("{}{listed}; slo_etag={etag}", md5_hex(json)));
    let sized = [kind.as_bytes(), format!(";swift_bytes={}", manifest.length()).as_bytes()].concat();
    if let Ok(sized) = HeaderValue::from_bytes(&sized) {
        own.insert(CONTENT_TYPE, sized);
    }
    own
}

/// Looks at all segments, at each object once.
async fn seen(call: Call<'_>, account: &str, asked: &[Asked], rules: &Rules) -> Result<Manifest, Error> {
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
