//! One event for every request, when its last byte has gone (or it broke): target `apus::access`, with the fields of
//! Swift's access log.
//!
//! A status of 499 means that the client went away, whatever was answered; 500 that a body failed on our side.

mod anonymize;

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context as Poller, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{ETAG, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode_str;

use apus_base::body::{Body, BodyError};
use apus_base::clock;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};

use super::catch_errors::promised_length;
use crate::Proxy;
use crate::auth::Identity;
use crate::constraints::delete_at;
use crate::context::Context;
use crate::pipeline::{Answer, Next};

pub use anonymize::{Config, Field, Method as AnonymizationMethod};

/// What a step notes for the log, in the extensions of its response: Swift's `log_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInfo(pub &'static str);

/// Parameters of a query that prove something, of which the log shows only the beginning.
const SENSITIVE: [&str; 4] = ["temp_url_sig", "swiftinfo_sig", "signature", "x-amz-signature"];

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    if !tracing::enabled!(target: "apus::access", tracing::Level::INFO) {
        return next.run(request);
    }
    let (parts, body) = request.into_parts();
    let received = Arc::new(Received::default());
    let mut entry = Entry::begin(&parts, Arc::clone(&received), &proxy.config);
    let body = Incoming { inner: body, received }.boxed_unsync();
    Box::pin(async move {
        let response = next.run(Request::from_parts(parts, body)).await;
        entry.answered(&response);
        response.map(|inner| Outgoing { inner, entry }.boxed_unsync())
    })
}

/// What came of a request's body.
#[derive(Default)]
struct Received {
    bytes: AtomicU64,
    broke: AtomicBool,
}

/// How a response's body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Whole,
    Failed,
}

/// The line of one request; it is written when the entry is dropped.
struct Entry {
    method: Method,
    path: String,
    protocol: http::Version,
    client_ip: String,
    remote_addr: String,
    referer: String,
    user_agent: String,
    token: String,
    client_etag: String,
    headers: String,
    notes: Vec<String>,
    trans_id: String,
    config: Arc<crate::Config>,
    begun: Timestamp,
    clock: Instant,
    received: Arc<Received>,
    status: Option<StatusCode>,
    first_byte: f64,
    expected: Option<u64>,
    sent: u64,
    end: End,
    policy: Option<PolicyIndex>,
    user: Option<Arc<Identity>>,
}

impl Entry {
    fn begin(parts: &Parts, received: Arc<Received>, all: &Arc<crate::Config>) -> Self {
        let (reveal, config) = (all.reveal_sensitive_prefix, &all.access_log);
        let text = |name: &str, field| config.shown(field, header(&parts.headers, name).unwrap_or_else(|| "-".into()));
        let context = parts.extensions.get::<Context>();
        let remote_addr = context.map_or_else(|| "-".into(), |context| context.peer.ip().to_string());
        let token = header(&parts.headers, "x-auth-token").or_else(|| header(&parts.headers, "x-storage-token"));
        Self {
            method: parts.method.clone(),
            path: config.shown(Field::Path, obscured_path(&parts.uri, reveal)),
            protocol: parts.version,
            client_ip: config.shown(Field::ClientIp, client_ip(&parts.headers).unwrap_or_else(|| remote_addr.clone())),
            remote_addr: config.shown(Field::RemoteAddr, remote_addr),
            referer: text(REFERER.as_str(), Field::Referer),
            user_agent: text(USER_AGENT.as_str(), Field::UserAgent),
            token: token.map_or_else(|| "-".into(), |token| capped(&token, reveal)),
            client_etag: text(ETAG.as_str(), Field::ClientEtag),
            headers: config.shown(Field::Headers, config.headers(&parts.headers, reveal)),
            notes: expiry(parts).into_iter().collect(),
            config: Arc::clone(all),
            trans_id: context.map_or_else(String::new, |context| context.trans_id.clone()),
            begun: clock::now(),
            clock: Instant::now(),
            received,
            status: None,
            first_byte: 0.0,
            expected: None,
            sent: 0,
            end: End::Open,
            policy: None,
            user: None,
        }
    }

    fn answered(&mut self, response: &Response<Body>) {
        self.status = Some(response.status());
        self.first_byte = self.clock.elapsed().as_secs_f64();
        self.policy = response.extensions().get().copied();
        self.user = response.extensions().get().cloned();
        self.notes.extend(response.extensions().get::<LogInfo>().map(|note| note.0.to_owned()));
        let body = response.body();
        self.expected = promised_length(response.status(), response.headers()).or_else(|| body.size_hint().exact());
        let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless || self.method == Method::HEAD || body.is_end_stream() {
            self.end = End::Whole;
        }
    }

    fn sent(&mut self, bytes: usize, is_end: bool) {
        self.sent += bytes as u64;
        if is_end || self.expected.is_some_and(|expected| self.sent >= expected) {
            self.end = End::Whole;
        }
    }

    /// What the log shows, and what the wire showed (0 when nothing).
    fn statuses(&self) -> (u16, u16) {
        let wire = self.status.map_or(0, |status| status.as_u16());
        let logged = match (self.status, self.end) {
            _ if self.received.broke.load(Ordering::Relaxed) => 499,
            (None, _) | (Some(_), End::Open) => 499,
            (Some(_), End::Failed) => 500,
            (Some(_), End::Whole) => wire,
        };
        (logged, wire)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (status, wire_status) = self.statuses();
        let ended = clock::now();
        let user = self.user.as_ref().map(|user| self.config.access_log.shown(Field::User, user.user.clone()));
        let notes = if self.notes.is_empty() { "-".to_owned() } else { self.notes.join(",") };
        tracing::info!(
            target: "apus::access",
            client_ip = %self.client_ip,
            remote_addr = %self.remote_addr,
            datetime = %datetime(ended),
            method = %self.method,
            path = %self.path,
            protocol = ?self.protocol,
            status,
            referer = %self.referer,
            user_agent = %self.user_agent,
            token = %self.token,
            bytes_recvd = self.received.bytes.load(Ordering::Relaxed),
            bytes_sent = self.sent,
            client_etag = %self.client_etag,
            trans_id = %self.trans_id,
            request_time = format_args!("{:.4}", self.clock.elapsed().as_secs_f64()),
            source = "-",
            log_info = %notes,
            headers = %self.headers,
            pid = std::process::id(),
            start = format_args!("{}", self.begun.normal()),
            end = format_args!("{}", ended.normal()),
            policy_index = self.policy.map(|policy| policy.0),
            user,
            ttfb = format_args!("{:.4}", self.first_byte),
            wire_status,
        );
    }
}

/// When an object shall expire, which is worth knowing when it is gone.
fn expiry(parts: &Parts) -> Option<String> {
    let writes = matches!(parts.method.as_str(), "PUT" | "POST" | "COPY");
    let expiry = delete_at(&parts.headers, clock::now()).ok().flatten();
    expiry.filter(|_| writes).map(|at| format!("x-delete-at:{at}"))
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Whom the proxies in front of us say that they ask for.
fn client_ip(headers: &HeaderMap) -> Option<String> {
    let forwarded = || header(headers, "x-forwarded-for")?.split(',').next().map(|first| first.trim().to_owned());
    header(headers, "x-cluster-client-ip").or_else(forwarded).filter(|ip| !ip.is_empty())
}

/// The beginning of something secret.
fn capped(value: &str, reveal: usize) -> String {
    match value.char_indices().nth(reveal) {
        Some((at, _)) => format!("{}...", &value[..at]),
        None => value.to_owned(),
    }
}

fn obscured_path(uri: &Uri, reveal: usize) -> String {
    let Some(query) = uri.query() else {
        return uri.path().to_owned();
    };
    let mut path = format!("{}?", uri.path());
    for (i, pair) in query.split('&').enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let and = if i == 0 { "" } else { "&" };
        // However the name is escaped, its value is as secret.
        let plain = percent_decode_str(name).decode_utf8_lossy();
        // Writing into a String cannot fail.
        let _ = if SENSITIVE.iter().any(|sensitive| plain.eq_ignore_ascii_case(sensitive)) {
            write!(path, "{and}{name}={}", capped(value, reveal))
        } else {
            write!(path, "{and}{pair}")
        };
    }
    path
}

/// `21/Nov/2026/03/17/50`, in UTC.
fn datetime(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let secs = i64::try_from(at.ticks() / TICKS_PER_SECOND).unwrap_or_default();
    let at = time::OffsetDateTime::from_unix_timestamp(secs).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let month = MONTHS[usize::from(u8::from(at.month())) - 1];
    let (hour, minute, second) = at.to_hms();
    format!("{:02}/{month}/{:04}/{hour:02}/{minute:02}/{second:02}", at.day(), at.year())
}

/// A request's body, counted.
struct Incoming {
    inner: Body,
    received: Arc<Received>,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                self.received.bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
            Some(Err(BodyError::Disconnected(_))) => self.received.broke.store(true, Ordering::Relaxed),
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body, counted; the entry is written when it is dropped.
struct Outgoing {
    inner: Body,
    entry: Entry,
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                let is_end = self.inner.is_end_stream();
                self.entry.sent(len, is_end);
            }
            Some(Err(_)) => self.entry.end = End::Failed,
            None => self.entry.sent(0, true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
