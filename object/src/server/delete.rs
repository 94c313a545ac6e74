//! DELETE: a tombstone, also where there is nothing, so that older copies elsewhere lose against it.

use std::sync::Arc;

use apus_base::body::Body;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, header};
use http::header::{HeaderMap, HeaderName};
use http::{Request, Response, StatusCode};

use super::Server;
use super::expiry::Expiry;
use super::refusal::Refusal;
use super::respond::{empty, insert};
use super::target::{Target, text, timestamp};
use super::update;
use crate::store::metadata::CONTENT_TYPE;
use crate::store::{Found, Metadata, fence, known, write};

/// A DELETE whose headers are read.
struct Delete {
    target: Target,
    timestamp: Timestamp,
    /// The expirer's condition: delete only what expires then.
    if_delete_at: Option<Timestamp>,
    headers: HeaderMap,
}

/// Answers a DELETE.
pub(super) async fn delete(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, _body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let timestamp = timestamp(&head.headers)?;
    let invalid = |_| Refusal::bad_request("Bad X-If-Delete-At header value");
    let if_delete_at =
        text(&head.headers, header::IF_DELETE_AT).map(|v| v.trim().parse()).transpose().map_err(invalid)?;
    let delete = Arc::new(Delete { target, timestamp, if_delete_at, headers: head.headers });
    update::to_the_end(async move { store(&server, &delete).await }).await
}

async fn store(server: &Arc<Server>, delete: &Arc<Delete>) -> Result<Response<Body>, Refusal> {
    let queue = delete.target.location.device.queue();
    let (worker, written) = (Arc::clone(server), Arc::clone(delete));
    let before = queue.run(move || write(&worker, &written)).await??;
    if before.newest < delete.timestamp || before.is_repeated {
        let expiry = Expiry { before: before.delete_at, after: None };
        update::tell(server, &delete.target, &delete.headers, row(delete), expiry).await?;
    }
    let mut headers = HeaderMap::new();
    let newest = before.newest.max(delete.timestamp).internal();
    insert(&mut headers, HeaderName::from_static(header::BACKEND_TIMESTAMP), newest.as_bytes());
    insert(&mut headers, HeaderName::from_static("x-backend-content-type"), &before.content_type);
    if before.newest > delete.timestamp && before.newest.is_ballot() {
        for name in [header::FENCE, header::BACKEND_DATA_TIMESTAMP] {
            insert(&mut headers, HeaderName::from_static(name), newest.as_bytes());
        }
    }
    Ok(empty(before.status, headers))
}

/// The tombstone of a ballot: 201 if it is there now, 409 if something newer is.
pub(super) async fn commit(
    server: Arc<Server>,
    target: Target,
    ballot: Timestamp,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let location = target.location.clone();
    let delete = Arc::new(Delete { target, timestamp: ballot, if_delete_at: None, headers });
    let answered = store(&server, &delete).await?;
    let newest = text(answered.headers(), header::BACKEND_TIMESTAMP).and_then(|newest| newest.parse().ok());
    if newest != Some(ballot) {
        return Err(Refusal::Conflict(newest.unwrap_or_default()));
    }
    location.device.queue().clone().go_on(move || fence::clear(&location, ballot)).await?;
    Ok(empty(StatusCode::CREATED, answered.headers().clone()))
}

/// What was there, and what to answer.
struct Before {
    newest: Timestamp,
    content_type: Vec<u8>,
    /// When it was to expire.
    delete_at: Option<u64>,
    status: StatusCode,
    /// Whether this very tombstone was there. Who sent it may have died before all containers were told; and who tells which is
    /// dealt anew, so it is told once more.
    is_repeated: bool,
}

/// Looks, and writes the tombstone unless something newer is there. Blocking.
fn write(server: &Server, delete: &Delete) -> Result<Before, Refusal> {
    let location = &delete.target.location;
    let mut is_repeated = false;
    let (newest, metadata, mut status) = match server.open(location, delete.timestamp, false)? {
        Found::Object(object) => {
            let older = object.data_timestamp < delete.timestamp;
            let status = if older { StatusCode::NO_CONTENT } else { StatusCode::CONFLICT };
            (object.data_timestamp, Arc::clone(&object.metadata), status)
        }
        Found::Expired(timestamp, metadata) => (timestamp, metadata, StatusCode::NOT_FOUND),
        Found::Deleted(timestamp) => {
            is_repeated = timestamp == delete.timestamp;
            (timestamp, Arc::default(), StatusCode::NOT_FOUND)
        }
        Found::Nothing { .. } => (Timestamp::ZERO, Arc::default(), StatusCode::NOT_FOUND),
        Found::Collision => return Err(Refusal::Collision),
    };
    if let Some(condition) = delete.if_delete_at {
        if !is_repeated {
            check_condition(condition, newest, &metadata, delete.timestamp)?;
        }
        status = StatusCode::NO_CONTENT;
    }
    if newest < delete.timestamp {
        write::write_tombstone(location, delete.timestamp)?;
    }
    let content_type = metadata.get(CONTENT_TYPE).unwrap_or_default().to_vec();
    Ok(Before { newest, content_type, delete_at: known::delete_at(&metadata), status, is_repeated })
}

fn check_condition(
    condition: Timestamp,
    newest: Timestamp,
    metadata: &Metadata,
    now: Timestamp,
) -> Result<(), Refusal> {
    if newest == Timestamp::ZERO {
        return Err(Refusal::NotFound(None));
    }
    if newest >= now {
        return Err(Refusal::Plain(StatusCode::CONFLICT, format!("there is a version of {newest} here")));
    }
    let delete_at = known::delete_at(metadata).map_or(Timestamp::ZERO, Timestamp::from_secs);
    if delete_at == condition {
        Ok(())
    } else {
        Err(Refusal::precondition("X-If-Delete-At and X-Delete-At do not match"))
    }
}

fn row(delete: &Delete) -> ObjectRow {
    ObjectRow {
        name: delete.target.object.clone(),
        timestamps: RowTimestamps::same(delete.timestamp),
        size: 0,
        content_type: String::new(),
        etag: String::new(),
        deleted: true,
        policy: delete.target.location.policy,
    }
}
