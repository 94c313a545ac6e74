//! FENCE: what is here of an object, on stable storage, and with a timestamp the promise that nothing older gets in.
//!
//! The answer has the headers of a HEAD, also of an object that has expired: 200 if there is one, else 404; in
//! `X-Backend-Timestamp` the newest of all that is here, `X-Backend-Fence` the fence that stands now, and `X-Backend-Promised`
//! whether it is the one asked for. That it is not is no error: the proxy learns from the answer what is in its way.
//!
//! A device whose copy is in quarantine answers 503: it cannot tell what there was.

use std::sync::Arc;

use apus_base::ballot::is_timely;
use apus_base::body::Body;
use apus_base::clock;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header;
use http::header::{HeaderMap, HeaderName};
use http::{Request, Response, StatusCode};

use super::Server;
use super::refusal::Refusal;
use super::respond::{empty, insert, object_headers};
use super::target::{Target, timestamp};
use crate::store::fence::{self, Attended};
use crate::store::{Found, Location, StoreError, quarantine};

/// Answers a FENCE.
pub(super) async fn fence(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, _body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let asked = head.headers.contains_key(header::TIMESTAMP);
    let ballot = if asked { Some(ballot(&head.headers)?) } else { None };
    let queue = target.location.device.queue().clone();
    queue.run(move || attend(&server, &target.location, ballot)).await?
}

/// Answers a RELEASE.
pub(super) async fn release(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, _body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let ballot = timestamp(&head.headers)?;
    let queue = target.location.device.queue().clone();
    queue.run(move || fence::release(&target.location, ballot)).await?;
    Ok(empty(StatusCode::NO_CONTENT, HeaderMap::new()))
}

/// The ballot of a request, if this server's clock agrees.
pub(super) fn ballot(headers: &HeaderMap) -> Result<Timestamp, Refusal> {
    let ballot = timestamp(headers)?;
    let now = clock::now();
    if is_timely(ballot, now) {
        return Ok(ballot);
    }
    tracing::warn!(%ballot, %now, "a conditional write is not of this time; do the clocks of the cluster agree?");
    Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, format!("The ballot {ballot} is too far from {now} here")))
}

/// Promises and looks. Blocking.
fn attend(server: &Server, location: &Location, ballot: Option<Timestamp>) -> Result<Response<Body>, Refusal> {
    let attended = fence::attend(location, ballot, || look(server, location))?;
    let Attended { fence, promised, above_another, found } = attended;
    let (status, mut headers) = match found {
        Found::Object(object) => (StatusCode::OK, object_headers(&server.config, &object)),
        Found::Deleted(newest) | Found::Expired(newest, _) => (StatusCode::NOT_FOUND, stamped(newest)),
        Found::Nothing { .. } => (StatusCode::NOT_FOUND, HeaderMap::new()),
        Found::Collision => return Err(Refusal::Collision),
    };
    insert(&mut headers, HeaderName::from_static(header::FENCE), fence.internal().as_bytes());
    let promise: &[u8] = match (promised, above_another) {
        (true, true) => b"above",
        (true, false) => b"true",
        (false, _) => b"false",
    };
    insert(&mut headers, HeaderName::from_static(header::PROMISED), promise);
    Ok(empty(status, headers))
}

fn stamped(newest: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(&mut headers, HeaderName::from_static(header::BACKEND_TIMESTAMP), newest.internal().as_bytes());
    headers
}

fn look(server: &Server, location: &Location) -> Result<Found, Refusal> {
    let found = server.open(location, clock::now(), true)?;
    if let Found::Nothing { quarantined } = found {
        let awaits = quarantine::awaits_repair(location).map_err(StoreError::while_doing("look into the quarantine"));
        if quarantined || awaits? {
            let text = "The object's copy here is in quarantine and not yet repaired".to_owned();
            return Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, text));
        }
    }
    Ok(found)
}
