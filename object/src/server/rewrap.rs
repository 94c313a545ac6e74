//! REWRAP: the keys of an encrypted object, wrapped anew under another root secret by a pass that knows both.
//!
//! The object is not another one afterwards: its timestamps and its body stay. So the request says of which version it has
//! read the items that it brings (`X-Backend-Data-Timestamp`, `X-Backend-Timestamp`, and the MD5 of the bytes in `If-Match`),
//! and if there is another by now, or an item that was not there, it is refused with 409: a client's write always wins.
//! The same request twice does the same.
//!
//! The row in the listing has an encrypted item as well. It goes out as after a POST, but with the request's time as offset
//! of the data's timestamp, so that it replaces the row of the same version wherever that is, and gives way to any other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use apus_base::body::Body;
use apus_base::conditional::unquoted;
use apus_base::crypto::header::{LISTED_ETAG, SYSTEM_PREFIX, TRANSIENT_PREFIX};
use apus_base::hash_path::PathHash;
use apus_base::timestamp::Timestamp;
use apus_base::wire::{ObjectRow, header};
use http::{HeaderMap, Request, Response, StatusCode};

use super::Server;
use super::expiry::Expiry;
use super::post::row;
use super::refusal::Refusal;
use super::respond::empty;
use super::target::{Target, text, timestamp};
use super::update;
use crate::store::metadata::title_cased;
use crate::store::{Found, Metadata, Object, rewrap as store};

/// The objects whose metadata are being rewritten, each by one request only.
#[derive(Clone, Default)]
pub(super) struct Rewrapping(Arc<Mutex<HashSet<(String, PathHash)>>>);

/// One object's place among them.
struct Place {
    all: Rewrapping,
    object: (String, PathHash),
}

impl Rewrapping {
    fn enter(&self, target: &Target) -> Option<Place> {
        let object = (target.location.device.name().to_owned(), target.location.hash);
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(object.clone());
        is_new.then(|| Place { all: self.clone(), object })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.object);
    }
}

/// A REWRAP whose headers are read.
struct Rewrap {
    target: Target,
    /// When it was asked for.
    timestamp: Timestamp,
    headers: HeaderMap,
}

/// Answers a REWRAP.
pub(super) async fn rewrap(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, _body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let timestamp = timestamp(&head.headers)?;
    let rewrap = Arc::new(Rewrap { target, timestamp, headers: head.headers });
    update::to_the_end(async move {
        let busy = || Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, "The object is being rewrapped".into());
        let place = server.rewrapping.enter(&rewrap.target).ok_or_else(busy)?;
        let queue = rewrap.target.location.device.queue();
        let (worker, rewritten) = (Arc::clone(&server), Arc::clone(&rewrap));
        let row = queue.run(move || rewrite(&worker, &rewritten)).await??;
        drop(place);
        if let Some(row) = row {
            // When it expires does not change.
            update::tell(&server, &rewrap.target, &rewrap.headers, row, Expiry::default()).await?;
        }
        Ok(empty(StatusCode::ACCEPTED, HeaderMap::new()))
    })
    .await
}

/// Rewrites, and gives the row if it is still this version's. Blocking.
fn rewrite(server: &Server, rewrap: &Rewrap) -> Result<Option<ObjectRow>, Refusal> {
    let reserve = server.config.fallocate_reserve;
    let location = &rewrap.target.location;
    let object = open(server, rewrap)?;
    check_version(rewrap, &object)?;
    let (data, meta) = rewritten(rewrap, &object)?;
    if object.rewrapping || data != *object.data_metadata {
        store::data(location, &object, data, reserve)?;
    }
    if let Some(meta) = meta.filter(|meta| object.meta_metadata.as_ref() != Some(meta)) {
        store::meta(location, meta, reserve)?;
    }
    let object = open(server, rewrap)?;
    // What is newer by now has told the listing itself.
    let is_same = check_version(rewrap, &object).is_ok();
    Ok(is_same.then(|| newer_row(rewrap, &object)))
}

fn open(server: &Server, rewrap: &Rewrap) -> Result<Object, Refusal> {
    match server.open(&rewrap.target.location, rewrap.timestamp, true)? {
        Found::Object(object) => Ok(*object),
        Found::Collision => Err(Refusal::Collision),
        Found::Nothing { .. } | Found::Deleted(_) | Found::Expired(..) => Err(Refusal::NotFound(None)),
    }
}

/// Whether it is still the version that was read.
fn check_version(rewrap: &Rewrap, object: &Object) -> Result<(), Refusal> {
    let asked = |name: &str| -> Result<Timestamp, Refusal> {
        let missing = || Refusal::bad_request(format!("Missing or invalid {name} header"));
        text(&rewrap.headers, name).and_then(|text| text.trim().parse().ok()).ok_or_else(missing)
    };
    let (data, newest) = (asked(header::BACKEND_DATA_TIMESTAMP)?, asked(header::BACKEND_TIMESTAMP)?);
    let etag = text(&rewrap.headers, "if-match").map(|etag| unquoted(etag.trim()));
    let etag = etag.ok_or_else(|| Refusal::bad_request("Missing If-Match header"))?;
    if (data, newest, etag) == (object.data_timestamp, object.timestamp(), object.etag()) {
        Ok(())
    } else {
        Err(Refusal::Conflict(object.timestamp()))
    }
}

/// The metadata of the data and of the last POST with the request's items in place of their own.
fn rewritten(rewrap: &Rewrap, object: &Object) -> Result<(Metadata, Option<Metadata>), Refusal> {
    let (mut data, mut meta) = (Metadata::clone(&object.data_metadata), object.meta_metadata.clone());
    if meta.is_some() {
        // A POST has replaced it, and nobody sees it any more.
        let hidden = |(key, _): &(&[u8], &[u8])| key.to_ascii_lowercase().starts_with(TRANSIENT_PREFIX.as_bytes());
        data = data.iter().filter(|item| !hidden(item)).map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    }
    for (name, value) in &rewrap.headers {
        let name = name.as_str();
        let items = if name.starts_with(SYSTEM_PREFIX) || name == LISTED_ETAG {
            &mut data
        } else if name.starts_with(TRANSIENT_PREFIX) {
            meta.as_mut().unwrap_or(&mut data)
        } else {
            continue;
        };
        if !has(items, name) {
            return Err(Refusal::Conflict(object.timestamp()));
        }
        items.set(title_cased(name), value.as_bytes());
    }
    Ok((data, meta))
}

fn has(metadata: &Metadata, name: &str) -> bool {
    metadata.get(&title_cased(name)).is_some()
}

fn newer_row(rewrap: &Rewrap, object: &Object) -> ObjectRow {
    let mut row = row(&rewrap.target, object, object.meta_metadata.as_ref().unwrap_or(&object.data_metadata));
    let data = row.timestamps.data;
    // Times have passed since it was written, so this is also more than the offset of any earlier rewrap.
    row.timestamps.data = data.with_offset(rewrap.timestamp.ticks().max(data.offset().saturating_add(1)));
    row
}
