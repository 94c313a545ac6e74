//! Storing the manifest of a static large object, after a look at each of its segments.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::answer::set;
use super::error::LargeError;
use super::examine::look_at;
use super::manifest::{Asked, Manifest, md5_hex, parse_raw};
use super::{LISTED_ETAG, SLO_ETAG, SLO_SIZE, STATIC, SloConfig};
use crate::constraints::{check_content_type, is_true};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::condition::Condition;
use crate::ops::crypto::Seal;
use crate::ops::headers::content_type;
use crate::ops::notification::Made;
use crate::ops::put::{Put, Stored, put_with};
use crate::ops::resource::{ObjectName, Resource};

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
    /// How it came about, for who is told.
    pub made: Made,
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
    look_at(call, &slo.name.account, &slo.segments, rules).await
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
    let put = Put { condition: slo.condition, seal, made: slo.made, ..put };
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
    let Put { name, headers, condition, made, .. } = copy;
    put(call, PutSlo { name, headers, segments: parse_raw(&raw)?, condition, rules, made }).await
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
