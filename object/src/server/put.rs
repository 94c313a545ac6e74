//! PUT: a new version.
//!
//! All that can be known before the body (a newer version, an unwanted one, a full disk) is answered before the first byte
//! of it is asked for, so a client that waits for `100 Continue` never sends it in vain. One that is short and on its way anyway is
//! awaited first, and then all is one piece of work on the device's queue. A body that comes for a conditional write
//! is held instead of shown ([`hold`]), whatever is there: that is asked when it is committed.

use std::sync::Arc;

use apus_base::body::Body;
use apus_base::conditional::{Conditions, unquoted};
use apus_base::fs::{DiskQueue, QueueError};
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};

use super::Server;
use super::check;
use super::expiry::{Due, Expiry, delete_at};
use super::footers;
use super::hold;
use super::refusal::Refusal;
use super::respond::{empty, insert, put_metadata};
use super::target::{Target, text, timestamp};
use super::update::{self, Overrides};
use super::upload::{BodyLimits, Digest, Tail, Upload, receive, receive_short};
use crate::store::metadata::{CONTENT_LENGTH, CONTENT_TYPE, CRC, ETAG, TIMESTAMP};
use crate::store::{Committed, Found, Location, Metadata, Staged, fence, known, read};

/// A PUT whose headers are read.
pub(super) struct Put {
    pub(super) target: Target,
    timestamp: Timestamp,
    length: Option<u64>,
    pub(super) headers: HeaderMap,
    /// Under which token it is held, if it is not to be shown yet.
    hold: Option<String>,
}

/// A body that is whole and checked, and what is stored with it.
pub(super) struct Ready {
    pub(super) staged: Staged,
    pub(super) metadata: Metadata,
    /// The headers, with what came behind the body.
    pub(super) described: HeaderMap,
    before: Option<u64>,
}

/// A version that is visible.
struct Shown {
    metadata: Metadata,
    described: HeaderMap,
    before: Option<u64>,
}

/// Answers a PUT.
pub(super) async fn put(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let timestamp = timestamp(&head.headers)?;
    let length = check::creation(&head.headers, &target.object, server.config.max_file_size)?;
    check::put_delete_at(&head.headers, timestamp)?;
    let hold = hold::token(&head.headers)?;
    let put = Arc::new(Put { target, timestamp, length, headers: head.headers, hold });

    let limits = BodyLimits { chunk_size: server.config.chunk_size.max(1), max_file_size: server.config.max_file_size };
    let (begun, tail) = match put.comes_at_once(limits.chunk_size) {
        true => (None, receive_short(body, limits).await?),
        false => {
            let queue = put.target.location.device.queue().clone();
            let (worker, admitted) = (Arc::clone(&server), Arc::clone(&put));
            let Begun { upload, before } = queue.run(move || admit_early(&worker, &admitted)).await??;
            let (upload, tail) = receive(body, upload, &queue, limits).await?;
            (Some(Begun { upload, before }), tail)
        }
    };
    // From here on the request runs to its end also when the proxy goes away: a version without its row in the listing
    // would be worse than an answer that nobody reads.
    update::to_the_end(async move { store(&server, &put, begun, tail).await }).await
}

impl Put {
    /// Whether the body is short, and nobody waits to be asked for it.
    fn comes_at_once(&self, short: usize) -> bool {
        self.length.is_some_and(|length| length <= short as u64) && !self.headers.contains_key(header::EXPECT)
    }
}

/// A PUT that may write.
struct Begun {
    upload: Upload,
    /// When the object expires that was there before.
    before: Option<u64>,
}

/// Looks at what is there and when it expires, and makes the file. Blocking.
fn admit(server: &Server, put: &Put) -> Result<Begun, Refusal> {
    let before = if put.hold.is_some() { None } else { admit_shown(server, put)? };
    let staged = Staged::create(&put.target.location, put.length, server.config.fallocate_reserve)?;
    Ok(Begun { upload: Upload { staged, digest: Digest::announced(&put.headers) }, before })
}

/// As [`admit`], before the body has come. Whoever is refused by a fence may come again with a newer timestamp: better before
/// the body than after. Blocking.
fn admit_early(server: &Server, put: &Put) -> Result<Begun, Refusal> {
    let begun = admit(server, put)?;
    if put.hold.is_none() {
        fence::enter(&put.target.location, put.timestamp)?;
    }
    Ok(begun)
}

fn admit_shown(server: &Server, put: &Put) -> Result<Option<u64>, Refusal> {
    let location = &put.target.location;
    let mut before = None;
    let newest = match server.open(location, put.timestamp, false)? {
        Found::Object(object) => {
            if Conditions::from_headers(&put.headers).forbid_overwriting(object.etag()) {
                return Err(Refusal::precondition("there is an object already"));
            }
            before = known::delete_at(&object.metadata);
            object.data_timestamp
        }
        Found::Deleted(timestamp) | Found::Expired(timestamp, _) => timestamp,
        Found::Nothing { .. } => Timestamp::ZERO,
        Found::Collision => return Err(Refusal::Collision),
    };
    if newest >= put.timestamp {
        return Err(Refusal::Conflict(newest));
    }
    Ok(before)
}

/// Has the device do it; what is begun is not refused any more.
async fn run<T, F>(queue: &DiskQueue, is_begun: bool, work: F) -> Result<T, QueueError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if is_begun { queue.go_on(work).await } else { queue.run(work).await }
}

async fn store(
    server: &Arc<Server>,
    put: &Arc<Put>,
    begun: Option<Begun>,
    tail: Tail,
) -> Result<Response<Body>, Refusal> {
    let queue = put.target.location.device.queue();
    let (worker, finishing) = (Arc::clone(server), Arc::clone(put));
    let described = footers::merged(&put.headers, &tail.trailers)?;
    let is_begun = begun.is_some();
    let finished = move || finish(&worker, &finishing, begun, &tail, described);
    if let Some(token) = put.hold.clone() {
        let ready = run(queue, is_begun, finished).await??;
        return hold::hold(server, token, Arc::clone(put), ready).await;
    }
    let committing = Arc::clone(put);
    let committed = move || commit(&committing, finished()?);
    let Shown { metadata, described, before } = run(queue, is_begun, committed).await??;
    let size = metadata.content_length().unwrap_or(0);
    let after = delete_at(&put.headers).map(|at| Due { at, size, data: put.timestamp });
    let row = row(&put.target, put.timestamp, &described, &metadata);
    update::tell(server, &put.target, &put.headers, row, Expiry { before, after }).await?;
    let mut headers = HeaderMap::new();
    insert(&mut headers, header::ETAG, metadata.get(ETAG).unwrap_or_default());
    Ok(empty(StatusCode::CREATED, headers))
}

/// Writes the tail, or all there is, and checks the whole. Blocking.
fn finish(
    server: &Server,
    put: &Put,
    begun: Option<Begun>,
    tail: &Tail,
    described: HeaderMap,
) -> Result<Ready, Refusal> {
    let Begun { mut upload, before } = begun.map_or_else(|| admit(server, put), Ok)?;
    upload.write(&tail.chunks)?;
    let length = upload.staged.length();
    server.counters.bytes_in.inc_by(length);
    if put.length.is_some_and(|expected| expected != length) {
        return Err(Refusal::incomplete("the body is not as long as announced"));
    }
    let (etag, crc) = upload.digest.finish(&put.headers, &tail.trailers)?;
    let claimed = text(&put.headers, "etag").map(|e| unquoted(e.trim())).filter(|e| !e.is_empty());
    if claimed.is_some_and(|claimed| !claimed.eq_ignore_ascii_case(&etag)) {
        return Err(Refusal::Plain(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the body's MD5 is not the request's ETag".into(),
        ));
    }
    let mut metadata = metadata(server, put, &described, length, &etag);
    if let Some(crc) = crc {
        metadata.set(CRC, format!("{crc:08x}-{etag}"));
    }
    Ok(Ready { staged: upload.staged, metadata, described, before })
}

/// Makes the version visible. Blocking.
fn commit(put: &Put, ready: Ready) -> Result<Shown, Refusal> {
    let location = &put.target.location;
    if Conditions::from_headers(&put.headers).creates_only() {
        forbid_overtaken(location)?;
    }
    let Ready { staged, metadata, described, before } = ready;
    match staged.commit(location, metadata.clone())? {
        Committed::Done => Ok(Shown { metadata, described, before }),
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

/// The row of a version.
pub(super) fn row(target: &Target, written: Timestamp, described: &HeaderMap, metadata: &Metadata) -> ObjectRow {
    let row = ObjectRow {
        name: target.object.clone(),
        timestamps: RowTimestamps::same(written),
        size: metadata.content_length().unwrap_or(0),
        content_type: metadata.text(CONTENT_TYPE).unwrap_or("").to_owned(),
        etag: metadata.text(ETAG).unwrap_or("").to_owned(),
        deleted: false,
        policy: target.location.policy,
    };
    let headers = described.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Overrides::find(headers).apply(row)
}
