//! GET and HEAD: conditions first, then ranges, then the bytes.
//!
//! Opening, deciding and reading a short body are one piece of work on the device's queue, so that a small GET waits once; or not at all, if
//! the object [is remembered](crate::store::hot).

use std::collections::VecDeque;
use std::sync::Arc;

use apus_base::body::{self, Body};
use apus_base::conditional::{Conditions, Current, Verdict};
use apus_base::hex::hex;
use apus_base::range::{self, Multipart, Ranges};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header as backend;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, Request, Response, StatusCode};

use super::Server;
use super::refusal::Refusal;
use super::respond::{empty, insert, object_headers};
use super::stream::{Piece, Source, SourceError};
use super::sum::Check;
use super::target::{Target, opens_expired, text, timestamp_or_now};
use crate::store::{Found, Known, Location, Object, StoreError};

/// Answers a GET or HEAD.
pub(super) async fn get(server: &Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (head, _no_body) = request.into_parts();
    let target = Target::parse(server, &head.uri, &head.headers)?;
    let asked =
        Asked { is_head: head.method == Method::HEAD, now: timestamp_or_now(&head.headers)?, headers: head.headers };
    let (mut response, rest) = match answer_hot(server, &target.location, &asked) {
        Some(answer) => answer,
        None => {
            let (queue, worker) = (target.location.device.queue().clone(), Arc::clone(server));
            queue.run(move || answer(&worker, &target.location, &asked)).await??
        }
    };
    if let Some(source) = rest {
        *response.body_mut() = source.into_body(server.counters.clone());
    }
    Ok(response)
}

/// A response, and the body that is too long to be in it.
type Answer = (Response<Body>, Option<Source>);

/// One request.
struct Asked {
    is_head: bool,
    now: Timestamp,
    headers: HeaderMap,
}

/// Opens, decides, and reads a short body. Blocking.
fn answer(server: &Server, location: &Location, asked: &Asked) -> Result<Answer, Refusal> {
    match server.open(location, asked.now, opens_expired(&asked.headers))? {
        Found::Object(object) => {
            server.hot.remember(location, &object.known);
            answer_object(server, location, asked, *object, |source| read_short(server, source))
        }
        Found::Nothing { .. } => Err(absent(asked, None)),
        Found::Deleted(timestamp) | Found::Expired(timestamp, _) => Err(absent(asked, Some(timestamp))),
        Found::Collision => Err(Refusal::Collision),
    }
}

fn absent(asked: &Asked, timestamp: Option<Timestamp>) -> Refusal {
    match Conditions::from_headers(&asked.headers).check_absent() {
        Verdict::Failed => Refusal::NothingMatches(timestamp),
        _ => Refusal::NotFound(timestamp),
    }
}

/// What to answer with, before anything is read.
#[derive(Debug)]
enum Plan {
    NotModified,
    Failed,
    Unsatisfiable,
    Head,
    Whole,
    One(std::ops::Range<u64>),
    Many(Multipart),
}

fn plan(asked: &Asked, object: &Known) -> Plan {
    let etag = conditional_etag(&asked.headers, object);
    let current = Current { etag: &etag, last_modified_secs: object.timestamp().secs_ceil() };
    match Conditions::from_headers(&asked.headers).check(current) {
        Verdict::NotModified => return Plan::NotModified,
        Verdict::Failed => return Plan::Failed,
        Verdict::Proceed if asked.is_head => return Plan::Head,
        Verdict::Proceed => {}
    }
    let header = text(&asked.headers, "range").filter(|_| !ignores_range(&asked.headers, object));
    match range::resolve(header, object.length) {
        Ranges::Whole => Plan::Whole,
        Ranges::Unsatisfiable => Plan::Unsatisfiable,
        Ranges::One(range) => Plan::One(range),
        Ranges::Many(ranges) => {
            let kind = object.metadata.text("Content-Type").unwrap_or("application/octet-stream").to_owned();
            Plan::Many(Multipart::new(boundary(&asked.headers), kind, object.length, ranges))
        }
    }
}

/// The ETag that conditions mean: the first of the names in `X-Backend-Etag-Is-At` that the object has, or its own.
fn conditional_etag(headers: &HeaderMap, object: &Known) -> String {
    let names = text(headers, "x-backend-etag-is-at").unwrap_or("").split(',').map(str::trim);
    let alternate = names.filter_map(|name| find(object, name)).next();
    alternate.map_or_else(|| object.etag().to_owned(), |v| String::from_utf8_lossy(v).into_owned())
}

/// Whether the object has one of the items for which its range is somebody else's business, such as a manifest's.
fn ignores_range(headers: &HeaderMap, object: &Known) -> bool {
    let names = text(headers, "x-backend-ignore-range-if-metadata-present").unwrap_or("");
    names.split(',').map(str::trim).any(|name| find(object, name).is_some())
}

fn find<'a>(object: &'a Known, name: &str) -> Option<&'a [u8]> {
    object.metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
}

/// The proxy's boundary, so that it can ask another replica for the rest of the same body; or a random one.
fn boundary(headers: &HeaderMap) -> String {
    const LONGEST: usize = 70;
    let given = text(headers, backend::MULTIPART_BOUNDARY);
    let usable =
        |b: &&str| (1..=LONGEST).contains(&b.len()) && b.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    if let Some(boundary) = given.filter(usable) {
        return boundary.to_owned();
    }
    let mut random = [0; 16];
    // Without randomness the boundary is merely the same each time.
    let _ = getrandom::fill(&mut random);
    hex(&random)
}

/// The head of an answer, and the body that is still to be read.
fn decide(server: &Server, asked: &Asked, object: &Known) -> (Response<Body>, VecDeque<Piece>) {
    let mut headers = object_headers(&server.config, object);
    let (status, length, pieces) = match plan(asked, object) {
        Plan::NotModified => (StatusCode::NOT_MODIFIED, 0, VecDeque::new()),
        Plan::Failed => (StatusCode::PRECONDITION_FAILED, 0, VecDeque::new()),
        Plan::Head => (StatusCode::OK, object.length, VecDeque::new()),
        Plan::Unsatisfiable => {
            insert(&mut headers, header::CONTENT_RANGE, range::content_range_unsatisfiable(object.length).as_bytes());
            (StatusCode::RANGE_NOT_SATISFIABLE, 0, VecDeque::new())
        }
        Plan::Whole => (StatusCode::OK, object.length, [Piece::File(0..object.length)].into()),
        Plan::One(range) => {
            insert(&mut headers, header::CONTENT_RANGE, range::content_range(&range, object.length).as_bytes());
            (StatusCode::PARTIAL_CONTENT, range.end - range.start, [Piece::File(range)].into())
        }
        Plan::Many(multipart) => {
            insert(&mut headers, header::CONTENT_TYPE, multipart.content_type().as_bytes());
            (StatusCode::PARTIAL_CONTENT, multipart.content_length(), pieces(&multipart))
        }
    };
    headers.insert(header::CONTENT_LENGTH, length.into());
    (empty(status, headers), pieces)
}

/// The answer about an object, whose body `read` reads if it is short.
fn answer_object<E>(
    server: &Server,
    location: &Location,
    asked: &Asked,
    object: Object,
    read: impl FnOnce(Source) -> Result<Bytes, E>,
) -> Result<Answer, E> {
    let (response, pieces) = decide(server, asked, &object);
    if pieces.is_empty() {
        return Ok((response, None));
    }
    let check = (response.status() == StatusCode::OK).then(|| Check::of(&object.data_metadata));
    let (version, chunk_size) = (object.data_timestamp, server.config.chunk_size.max(1));
    let source = Source { location: location.clone(), version, file: object.file, pieces, chunk_size, check };
    if source.is_long() {
        return Ok((response, Some(source)));
    }
    let bytes = read(source)?;
    server.counters.bytes_out.inc_by(bytes.len() as u64);
    Ok((response.map(|_| body::full(bytes)), None))
}

/// The answer about an object that is remembered, unless its body is short and not in memory. Does not wait for the disk.
fn answer_hot(server: &Server, location: &Location, asked: &Asked) -> Option<Answer> {
    let object = server.hot.open(location, asked.now)?;
    let answer = answer_object(server, location, asked, object, |source| source.whole_cached().ok_or(())).ok()?;
    server.counters.hot_reads.inc();
    Some(answer)
}

fn pieces(multipart: &Multipart) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    for range in multipart.ranges() {
        pieces.push_back(Piece::Text(multipart.part_head(range).into()));
        pieces.push_back(Piece::File(range.clone()));
        pieces.push_back(Piece::Text(Bytes::from_static(Multipart::PART_END.as_bytes())));
    }
    pieces.push_back(Piece::Text(multipart.end().into()));
    pieces
}

/// A short body is checked before anything is sent.
fn read_short(server: &Server, mut source: Source) -> Result<Bytes, Refusal> {
    source.read_whole().map_err(|error| match error {
        SourceError::Damaged(_) => {
            server.counters.quarantines.inc();
            Refusal::NotFound(None)
        }
        SourceError::Disk(error) => StoreError::while_doing("read an object")(error).into(),
    })
}
