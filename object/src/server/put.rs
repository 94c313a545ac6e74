//! PUT: a new version.
//!
//! All that can be known before the body (a newer version, an unwanted one, a full disk) is answered before the first byte
//! of it is asked for, so a client that waits for `100 Continue` never sends it in vain.

use std::sync::Arc;

use apus_base::body::Body;
use apus_base::conditional::{Conditions, unquoted};
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};

use super::Server;
use super::check;
use super::expiry::{Due, Expiry, delete_at};
use super::footers;
use super::refusal::Refusal;
use super::respond::{empty, insert, put_metadata};
use super::target::{Target, text, timestamp};
use super::update::{self, Overrides};
use super::upload::{BodyLimits, Digest, Tail, Upload, receive};
use crate::store::metadata::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, TIMESTAMP};
use crate::store::{Committed, Found, Location, Metadata, Staged, read};

/// A PUT whose headers are read.
struct Put {
    target: Target,
    timestamp: Timestamp,
    length: Option<u64>,
    headers: HeaderMap,
}

/// Answers a PUT.
pub(super) async fn put(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let timestamp = timestamp(&head.headers)?;
    let length = check::creation(&head.headers, &target.object, server.config.max_file_size)?;
    check::put_delete_at(&head.headers, timestamp)?;
    let put = Arc::new(Put { target, timestamp, length, headers: head.headers });

    let queue = put.target.location.device.queue().clone();
    let (worker, admitted) = (Arc::clone(&server), Arc::clone(&put));
    let (staged, before) = queue.run(move || admit(&worker, &admitted)).await??;
    let upload = Upload { staged, digest: Digest::announced(&put.headers) };
    let limits = BodyLimits { chunk_size: server.config.chunk_size.max(1), max_file_size: server.config.max_file_size };
    let (upload, tail) = receive(body, upload, &queue, limits).await?;
    // From here on the request runs to its end also when the proxy goes away: a version without its row in the listing
    // would be worse than an answer that nobody reads.
    update::to_the_end(async move { store(&server, &put, upload, tail, before).await }).await
}

/// Looks at what is there and when it expires, and makes the file. Blocking.
fn admit(server: &Server, put: &Put) -> Result<(Staged, Option<u64>), Refusal> {
    let location = &put.target.location;
    let mut before = None;
    let newest = match server.open(location, put.timestamp, false)? {
        Found::Object(object) => {
            if Conditions::from_headers(&put.headers).forbid_overwriting(object.etag()) {
                return Err(Refusal::precondition("there is an object already"));
            }
            before = read::delete_at(&object.metadata);
            object.data_timestamp
        }
        Found::Deleted(timestamp) | Found::Expired(timestamp, _) => timestamp,
        Found::Nothing { .. } => Timestamp::ZERO,
        Found::Collision => return Err(Refusal::Collision),
    };
    if newest >= put.timestamp {
        return Err(Refusal::Conflict(newest));
    }
    Ok((Staged::create(location, put.length, server.config.fallocate_reserve)?, before))
}

async fn store(
    server: &Arc<Server>,
    put: &Arc<Put>,
    upload: Upload,
    tail: Tail,
    before: Option<u64>,
) -> Result<Response<Body>, Refusal> {
    let queue = put.target.location.device.queue();
    let (worker, committed) = (Arc::clone(server), Arc::clone(put));
    let described = Arc::new(footers::merged(&put.headers, &tail.trailers)?);
    let stored = Arc::clone(&described);
    let metadata = queue.run(move || commit(&worker, &committed, upload, &tail, &stored)).await??;
    let size = metadata.content_length().unwrap_or(0);
    let after = delete_at(&put.headers).map(|at| Due { at, size, data: put.timestamp });
    let row = row(put, &described, &metadata);
    update::tell(server, &put.target, &put.headers, row, Expiry { before, after }).await?;
    let mut headers = HeaderMap::new();
    insert(&mut headers, header::ETAG, metadata.get(ETAG).unwrap_or_default());
    Ok(empty(StatusCode::CREATED, headers))
}

/// Writes the tail and makes the version visible. Blocking.
fn commit(
    server: &Server,
    put: &Put,
    mut upload: Upload,
    tail: &Tail,
    described: &HeaderMap,
) -> Result<Metadata, Refusal> {
    let location = &put.target.location;
    upload.write(&tail.chunks)?;
    let length = upload.staged.length();
    server.counters.bytes_in.inc_by(length);
    if put.length.is_some_and(|expected| expected != length) {
        return Err(Refusal::incomplete("the body is not as long as announced"));
    }
    let etag = upload.digest.etag(&tail.trailers)?;
    let claimed = text(&put.headers, "etag").map(|e| unquoted(e.trim())).filter(|e| !e.is_empty());
    if claimed.is_some_and(|claimed| !claimed.eq_ignore_ascii_case(&etag)) {
        return Err(Refusal::Plain(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the body's MD5 is not the request's ETag".into(),
        ));
    }
    if Conditions::from_headers(&put.headers).creates_only() {
        forbid_overtaken(location)?;
    }
    let metadata = metadata(server, put, described, length, &etag);
    match upload.staged.commit(location, metadata.clone())? {
        Committed::Done => Ok(metadata),
        Committed::Exists => Err(Refusal::Conflict(put.timestamp)),
    }
}

/// Two that create only may both have found nothing before their bodies arrived: the second one fails here.
fn forbid_overtaken(location: &Location) -> Result<(), Refusal> {
    let is_there = read::list(location)?.data.is_some();
    if is_there { Err(Refusal::precondition("there is an object by now")) } else { Ok(()) }
}

fn metadata(server: &Server, put: &Put, described: &HeaderMap, length: u64, etag: &str) -> Metadata {
    let mut metadata = put_metadata(&server.config, described);
    let content_type = put.headers.get(header::CONTENT_TYPE).map(|v| v.as_bytes().to_vec());
    metadata.set(CONTENT_TYPE, content_type.unwrap_or_default());
    metadata.set(TIMESTAMP, put.timestamp.internal());
    metadata.set(CONTENT_LENGTH, length.to_string());
    metadata.set(ETAG, etag);
    metadata
}

fn row(put: &Put, described: &HeaderMap, metadata: &Metadata) -> ObjectRow {
    let row = ObjectRow {
        name: put.target.object.clone(),
        timestamps: RowTimestamps::same(put.timestamp),
        size: metadata.content_length().unwrap_or(0),
        content_type: metadata.text(CONTENT_TYPE).unwrap_or("").to_owned(),
        etag: metadata.text(ETAG).unwrap_or("").to_owned(),
        deleted: false,
        policy: put.target.location.policy,
    };
    let headers = described.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Overrides::find(headers).apply(row)
}
