//! POST: new metadata, beside data that stays as it is.
//!
//! It replaces all that an earlier POST or the PUT set, but for what only a PUT sets. Content type and metadata have
//! timestamps of their own: of concurrent POSTs, the newest content type and the newest metadata both win.

use std::sync::Arc;

use apus_base::body::Body;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use http::header::{self, HeaderMap, HeaderName};
use http::{Request, Response, StatusCode};

use super::Server;
use super::check;
use super::expiry::{Due, Expiry, delete_at};
use super::refusal::Refusal;
use super::respond::{empty, insert, post_metadata, system_headers};
use super::target::{Target, opens_expired, text, timestamp};
use super::update::{self, Overrides};
use crate::store::metadata::{CONTENT_TYPE, CONTENT_TYPE_TIMESTAMP, TIMESTAMP};
use crate::store::{Committed, Found, Metadata, Object, known, write};

/// A POST whose headers are read.
struct Post {
    target: Target,
    timestamp: Timestamp,
    /// The new content type, if one is set, and when.
    content_type: Option<(Vec<u8>, Timestamp)>,
    headers: HeaderMap,
}

/// Answers a POST.
pub(super) async fn post(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, _body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let timestamp = timestamp(&head.headers)?;
    check::post_delete_at(&head.headers, timestamp)?;
    check::metadata(&head.headers)?;
    let content_type = content_type(&head.headers, timestamp)?;
    let post = Arc::new(Post { target, timestamp, content_type, headers: head.headers });
    update::to_the_end(async move { store(&server, &post).await }).await
}

fn content_type(headers: &HeaderMap, timestamp: Timestamp) -> Result<Option<(Vec<u8>, Timestamp)>, Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE).filter(|v| !v.is_empty()) else {
        return Ok(None);
    };
    let invalid = |_| Refusal::bad_request("Invalid Content-Type-Timestamp header");
    let set = text(headers, "content-type-timestamp").map(str::parse).transpose().map_err(invalid)?;
    Ok(Some((value.as_bytes().to_vec(), set.unwrap_or(timestamp))))
}

async fn store(server: &Arc<Server>, post: &Arc<Post>) -> Result<Response<Body>, Refusal> {
    let queue = post.target.location.device.queue();
    let (worker, written) = (Arc::clone(server), Arc::clone(post));
    let (row, expiry, mut headers) = queue.run(move || write(&worker, &written)).await??;
    insert(&mut headers, HeaderName::from_static("x-backend-content-type"), row.content_type.as_bytes());
    update::tell(server, &post.target, &post.headers, row, expiry).await?;
    Ok(empty(StatusCode::ACCEPTED, headers))
}

/// Merges and writes. Blocking.
fn write(server: &Server, post: &Post) -> Result<(ObjectRow, Expiry, HeaderMap), Refusal> {
    let location = &post.target.location;
    let object = match server.open(location, post.timestamp, opens_expired(&post.headers))? {
        Found::Object(object) => object,
        Found::Collision => return Err(Refusal::Collision),
        Found::Nothing { .. } | Found::Deleted(_) | Found::Expired(..) => return Err(Refusal::NotFound(None)),
    };
    let metadata = merge(server, post, &object)?;
    let row = row(&post.target, &object, &metadata);
    match write::write_meta(location, metadata, server.config.fallocate_reserve)? {
        Committed::Done => Ok((row, expiry(post, &object), system_headers(&object))),
        Committed::Exists => Err(Refusal::Conflict(post.timestamp)),
    }
}

/// What the POST changes about when the object expires: nothing, if only its content type is new.
fn expiry(post: &Post, object: &Object) -> Expiry {
    if post.timestamp <= object.timestamp() {
        return Expiry::default();
    }
    let due = |at| Due { at, size: object.length, data: object.data_timestamp };
    Expiry { before: known::delete_at(&object.metadata), after: delete_at(&post.headers).map(due) }
}

/// The metadata after this POST.
fn merge(server: &Server, post: &Post, object: &Object) -> Result<Metadata, Refusal> {
    let newer_type = post.content_type.as_ref().filter(|(_, set)| *set > object.content_type_timestamp());
    let mut metadata = if post.timestamp > object.timestamp() {
        let mut metadata = post_metadata(&server.config, &post.headers);
        metadata.set(TIMESTAMP, post.timestamp.internal());
        metadata
    } else if newer_type.is_some() {
        object.meta_metadata.clone().unwrap_or_else(|| keep(object))
    } else {
        return Err(Refusal::Conflict(object.timestamp()));
    };
    if let Some((content_type, set)) = newer_type {
        metadata.set(CONTENT_TYPE, content_type.clone());
        metadata.set(CONTENT_TYPE_TIMESTAMP, set.internal());
    } else if object.content_type_timestamp() != object.data_timestamp {
        metadata.set(CONTENT_TYPE, object.metadata.get(CONTENT_TYPE).unwrap_or_default());
        metadata.set(CONTENT_TYPE_TIMESTAMP, object.content_type_timestamp().internal());
    }
    Ok(metadata)
}

/// A `.meta` that changes nothing, for a content type that is newer than the data although its POST is not.
fn keep(object: &Object) -> Metadata {
    let mut metadata = Metadata::default();
    metadata.set(TIMESTAMP, object.timestamp().internal());
    metadata
}

/// The row of an object of which `metadata` is what the last POST set, or what the PUT did.
pub(super) fn row(target: &Target, object: &Object, metadata: &Metadata) -> ObjectRow {
    let set = metadata.timestamp(CONTENT_TYPE_TIMESTAMP);
    let stored = if set.is_some() { metadata } else { &object.metadata };
    let mut content_type = stored.text(CONTENT_TYPE).unwrap_or("").to_owned();
    // The length that a manifest adds up to travels in its content type and is the data's, whatever a POST says.
    if set.is_some()
        && let Some(bytes) = object.data_metadata.text(CONTENT_TYPE).and_then(swift_bytes)
    {
        content_type = format!("{content_type};swift_bytes={bytes}");
    }
    let row = ObjectRow {
        name: target.object.clone(),
        timestamps: RowTimestamps {
            data: object.data_timestamp,
            content_type: set.unwrap_or(object.data_timestamp),
            meta: metadata.timestamp(TIMESTAMP).unwrap_or(object.data_timestamp),
        },
        size: object.length,
        content_type,
        etag: object.etag().to_owned(),
        deleted: false,
        policy: target.location.policy,
    };
    let items = object.metadata.iter().filter_map(|(k, v)| Some((std::str::from_utf8(k).ok()?, v)));
    Overrides::find(items).apply(row)
}

/// The value of the parameter `swift_bytes` of a content type.
fn swift_bytes(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).filter_map(|p| p.trim().split_once('='));
    parameters.filter(|(name, _)| name.trim() == "swift_bytes").map(|(_, value)| value.trim()).last()
}
