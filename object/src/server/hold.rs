//! Bodies that are held: whole, checked, and shown to nobody until a COMMIT names their version. See
//! [`ballot`](apus_base::ballot).
//!
//! A held body is a file without a name, with its metadata in memory. So there is nothing to clean up: it is gone when the
//! process is, and a COMMIT that comes too late is told so. A COMMIT that a fence refuses leaves it held, for the next one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apus_base::ballot::HOLD_LIFE;
use apus_base::body::Body;
use apus_base::crash;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::{self, HOLD};
use http::header::{ETAG as ETAG_HEADER, HeaderMap, HeaderName};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::Server;
use super::delete;
use super::expiry::{Due, Expiry, delete_at};
use super::fence::ballot;
use super::put::{Put, Ready, row};
use super::refusal::Refusal;
use super::respond::{empty, insert};
use super::target::{Target, text};
use super::update;
use crate::store::metadata::{ETAG, TIMESTAMP};
use crate::store::{Committed, Found, StoreError, fence, known, read};

/// Bodies held at once, each an open file. One is held for as long as a few messages take, so this is a flood.
const MAX_HELD: usize = 1024;
/// The longest token: a proxy's are 32 characters.
const MAX_TOKEN_BYTES: usize = 64;
/// From this size on a body is flushed when it is held, so that its commit has little left to flush. Below it that would be one
/// flush more.
const FLUSH_FROM_BYTES: u64 = 1024 * 1024;
/// How often bodies that were given up are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What a server holds. A proxy gives all replicas one token, and several may be on devices of this server.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<Key, Hold>>>);

/// The device, and the token.
type Key = (String, String);

struct Hold {
    put: Arc<Put>,
    ready: Ready,
    since: Instant,
}

impl Hold {
    fn device(&self) -> String {
        self.put.target.location.device.name().to_owned()
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, token: String, hold: Hold) -> Result<(), Refusal> {
        let key = (hold.device(), token);
        let mut held = self.lock();
        if held.len() >= MAX_HELD || held.contains_key(&key) {
            return Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, "Too much is held already".into()));
        }
        held.insert(key, hold);
        Ok(())
    }

    /// Keeps on holding what was taken.
    fn put_back(&self, token: String, hold: Hold) {
        self.lock().insert((hold.device(), token), hold);
    }

    /// Takes what is held for an object under a token.
    fn take(&self, token: &str, target: &Target) -> Option<Hold> {
        let asked = &target.location;
        let key = (asked.device.name().to_owned(), token.to_owned());
        let mut held = self.lock();
        let is_its = |hold: &Hold| {
            let location = &hold.put.target.location;
            (location.hash, location.policy) == (asked.hash, asked.policy)
        };
        held.get(&key).is_some_and(is_its).then(|| held.remove(&key)).flatten()
    }

    /// Lets go of what nobody commits, for as long as it runs.
    pub(super) async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            self.lock().retain(|_, hold| hold.since.elapsed() < HOLD_LIFE);
        }
    }
}

/// The token under which a request has a body held.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(token) = text(headers, HOLD) else { return Ok(None) };
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::bad_request("Invalid X-Backend-Hold header"));
    }
    Ok(Some(token.to_owned()))
}

/// Holds a body that has come whole.
pub(super) async fn hold(
    server: &Arc<Server>,
    token: String,
    put: Arc<Put>,
    mut ready: Ready,
) -> Result<Response<Body>, Refusal> {
    let location = put.target.location.clone();
    let queue = location.device.queue().clone();
    let flushed = queue.go_on(move || {
        let large = ready.staged.length() >= FLUSH_FROM_BYTES;
        if large { ready.staged.flush(&location).map(|()| ready) } else { Ok(ready) }
    });
    let ready = flushed.await??;
    let etag = ready.metadata.get(ETAG).unwrap_or_default().to_vec();
    server.held.keep(token, Hold { put, ready, since: Instant::now() })?;
    crash::point(crate::store::HELD);
    let mut headers = HeaderMap::new();
    insert(&mut headers, ETAG_HEADER, &etag);
    Ok(empty(StatusCode::CREATED, headers))
}

/// Answers a COMMIT: 201 if the ballot's version, or its tombstone, is on stable storage now.
pub(super) async fn commit(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, _body) = request.into_parts();
    let target = Target::parse(&server, &head.uri, &head.headers)?;
    let ballot = ballot(&head.headers)?;
    let Some(token) = token(&head.headers)? else {
        return update::to_the_end(delete::commit(server, target, ballot, head.headers)).await;
    };
    let Some(hold) = server.held.take(&token, &target) else { return is_committed(&target, ballot).await };
    update::to_the_end(async move { show(&server, token, hold, ballot, &head.headers).await }).await
}

/// Whoever asks twice is told twice: no two versions have the same ballot.
async fn is_committed(target: &Target, ballot: Timestamp) -> Result<Response<Body>, Refusal> {
    let location = target.location.clone();
    let looked = move || fence::attend(&location, None, || read::list(&location));
    let version = target.location.device.queue().run(looked).await??.found.newest();
    if version == ballot {
        return Ok(empty(StatusCode::CREATED, HeaderMap::new()));
    }
    Err(Refusal::Plain(StatusCode::NOT_FOUND, "Nothing is held under that token".into()))
}

async fn show(
    server: &Arc<Server>,
    token: String,
    hold: Hold,
    ballot: Timestamp,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let queue = hold.put.target.location.device.queue().clone();
    let worker = Arc::clone(server);
    let (put, shown) = queue.run(move || name(&worker, token, hold, ballot)).await??;
    update::tell(server, &put.target, headers, shown.row, shown.expiry).await?;
    let mut headers = HeaderMap::new();
    insert(&mut headers, HeaderName::from_static(header::BACKEND_TIMESTAMP), ballot.internal().as_bytes());
    Ok(empty(StatusCode::CREATED, headers))
}

/// What the listings have to be told.
struct Shown {
    row: apus_base::wire::ObjectRow,
    expiry: Expiry,
}

/// Names the version, unless a fence forbids it. Blocking.
fn name(server: &Server, token: String, hold: Hold, ballot: Timestamp) -> Result<(Arc<Put>, Shown), Refusal> {
    let location = hold.put.target.location.clone();
    let entry = match fence::enter_ballot(&location, ballot) {
        Err(refused @ StoreError::Fenced(_)) => {
            server.held.put_back(token, hold);
            return Err(refused.into());
        }
        entered => entered?,
    };
    let Hold { put, ready: Ready { staged, mut metadata, described, .. }, .. } = hold;
    let before = match server.open(&location, ballot, true)? {
        Found::Object(object) => known::delete_at(&object.metadata),
        _ => None,
    };
    metadata.set(TIMESTAMP, ballot.internal());
    if let Committed::Exists = staged.commit_entered(&location, metadata.clone(), entry)? {
        return Err(Refusal::Conflict(ballot));
    }
    fence::clear(&location, ballot);
    let size = metadata.content_length().unwrap_or(0);
    let after = delete_at(&put.headers).map(|at| Due { at, size, data: ballot });
    let row = row(&put.target, ballot, &described, &metadata);
    Ok((put, Shown { row, expiry: Expiry { before, after } }))
}
