//! GET and HEAD: the best answer that the replicas and handoffs of a partition give.
//!
//! The rules are Swift's (`GetOrHeadHandler` in `proxy/controllers/base.py`): the first node that has the thing speaks. What
//! the others said before counts if nobody has it: a 404 of a primary counts, but one primary that never heard of the
//! object is not believed (a rebalance may have just moved it), a 404 or 5xx of a handoff counts only if it has a tombstone,
//! and a tombstone outranks an older object wherever it is found.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::nodes::{Node, NodeIter};
use super::resume::{self, Piece};
use super::route::{Route, collect, with_policy};
use super::{Answer, ClusterClient, NoAnswer, Target};
use crate::body::{self, Body, BodyError};
use crate::quorum::{Tally, quorum_size};
use crate::timestamp::Timestamp;
use crate::wire::header::{BACKEND_DATA_TIMESTAMP, BACKEND_TIMESTAMP, MULTIPART_BOUNDARY, TIMESTAMP};

impl ClusterClient {
    /// Asks the replicas, then the handoffs, until one has what is asked for; otherwise gives the answer that most of them
    /// agree on, a 404 say.
    ///
    /// `headers` go to the nodes as they are. The body of an object is streamed and goes on at another replica if a node
    /// breaks off or stalls; if none is left it ends in an error, so that the client's connection has to be cut: it is
    /// never silently short. With `newest` all nodes are asked and the newest version is given (and not resumed).
    ///
    /// # Errors
    /// When the nodes give neither a good answer nor agree on a bad one.
    pub async fn read(
        &self,
        method: Method,
        target: &Target<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
        newest: bool,
    ) -> Result<Response<Body>, NoAnswer> {
        let route = Route::new(&self.inner, method, target)?.with_query(query);
        let mut headers = with_policy(headers, target);
        if headers.get(http::header::RANGE).is_some_and(|range| range.as_bytes().contains(&b',')) {
            // Chosen here, so that a second replica can send the very same bytes.
            let boundary = format!("{:016x}{:016x}", self.inner.random.next(), self.inner.random.next());
            headers.extend(
                HeaderValue::try_from(boundary).map(|boundary| (HeaderName::from_static(MULTIPART_BOUNDARY), boundary)),
            );
        }
        let mut search = Search::new(Arc::new(route), target, headers, newest);
        let source = search.find().await;
        let heard = Heard(search.heard);
        let mut response = match source {
            Some(source) => respond(search, source),
            None => search.verdict()?,
        };
        response.extensions_mut().insert(heard);
        Ok(response)
    }
}

/// How many primaries answered a read of the newest version: an extension of the response. Where a quorum of them did,
/// no write that was acknowledged was overlooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard(pub usize);

/// A node that has what is asked for.
pub(super) struct Source {
    pub(super) node: Node,
    pub(super) head: Parts,
    pub(super) body: Body,
    timestamp: Timestamp,
}

/// One read on its way through the nodes.
pub(super) struct Search {
    pub(super) route: Arc<Route>,
    pub(super) headers: HeaderMap,
    /// What a node must have so that a broken body can go on there.
    pub(super) wanted: Option<Piece>,
    nodes: NodeIter,
    newest: bool,
    concurrency: usize,
    limit: Duration,
    is_object: bool,
    unbelieved: usize,
    newest_tombstone: Timestamp,
    answers: Vec<Answer>,
    sources: Vec<Source>,
    heard: usize,
}

impl Search {
    fn new(route: Arc<Route>, target: &Target<'_>, headers: HeaderMap, newest: bool) -> Self {
        let config = &route.inner.config;
        let (replicas, is_object) = (route.replicas(), target.is_object());
        let recoverable = config.recoverable_node_timeout.filter(|_| is_object && !newest);
        let concurrent = newest || config.concurrent_gets;
        Self {
            nodes: route.nodes(target),
            newest,
            concurrency: if concurrent { replicas.max(1) } else { 1 },
            limit: recoverable.unwrap_or(config.node_timeout),
            is_object,
            unbelieved: config.rebalance_missing_suppression_count.min(replicas.saturating_sub(1)),
            newest_tombstone: Timestamp::ZERO,
            answers: Vec::new(),
            sources: Vec::new(),
            heard: 0,
            wanted: None,
            headers,
            route,
        }
    }

    /// Asks nodes that were not asked before, until one has it (or, for the newest, all were asked).
    pub(super) async fn find(&mut self) -> Option<Source> {
        let mut asked = FuturesUnordered::new();
        while let Some(node) = self.nodes.next() {
            let (route, headers, limit) = (Arc::clone(&self.route), self.headers.clone(), self.limit);
            asked.push(async move {
                let response = route.ask(&node, headers, limit).await;
                (node, response)
            });
            if let Some((node, response)) = self.first(&mut asked).await {
                self.hear(node, response).await;
            }
            if self.is_satisfied() {
                break;
            }
        }
        while !self.is_satisfied()
            && let Some((node, response)) = asked.next().await
        {
            self.hear(node, response).await;
        }
        self.best_source()
    }

    fn is_satisfied(&self) -> bool {
        !self.newest && !self.sources.is_empty()
    }

    /// The next answer; `None` if it is time to ask one more node before there is any.
    async fn first<T>(&mut self, asked: &mut FuturesUnordered<impl Future<Output = T>>) -> Option<T> {
        if asked.len() >= self.concurrency {
            return asked.next().await;
        }
        let pause = if self.newest { Duration::ZERO } else { self.route.inner.config.concurrency_timeout };
        tokio::time::timeout(pause, asked.next()).await.ok().flatten()
    }

    async fn hear(&mut self, node: Node, response: Option<Response<Body>>) {
        let Some(response) = response else { return };
        self.heard += usize::from(!node.is_handoff && !response.status().is_server_error());
        match self.judge(node.is_handoff, response.status(), response.headers()) {
            Verdict::Has(timestamp) => {
                let (head, body) = response.into_parts();
                if self.wanted.as_ref().is_some_and(|wanted| !wanted.goes_on_in(&head)) {
                    return;
                }
                if timestamp >= self.newest_tombstone {
                    self.sources.push(Source { node, head, body, timestamp });
                }
            }
            Verdict::NotSynced => self.answers.push(Answer::of(StatusCode::NOT_FOUND)),
            Verdict::Counts => {
                self.route.check(&node, response.status());
                if self.is_object && response.status() == StatusCode::NOT_FOUND {
                    self.newest_tombstone = self.newest_tombstone.max(stamp(response.headers(), BACKEND_TIMESTAMP));
                }
                self.answers.push(collect(response).await);
            }
            Verdict::Ignored => {
                self.route.check(&node, response.status());
            }
        }
    }

    /// What one node's answer means.
    fn judge(&mut self, is_handoff: bool, status: StatusCode, headers: &HeaderMap) -> Verdict {
        let has_trace = stamp(headers, BACKEND_TIMESTAMP) > Timestamp::ZERO;
        if is_good(status, self.is_object) {
            let never_put =
                headers.contains_key("x-put-timestamp") && stamp(headers, "x-put-timestamp") == Timestamp::ZERO;
            return if never_put { Verdict::NotSynced } else { Verdict::Has(version(headers)) };
        }
        let is_missing = status == StatusCode::NOT_FOUND;
        if is_handoff && !has_trace && (is_missing || status.is_server_error()) {
            return Verdict::Ignored;
        }
        if is_missing && !has_trace && self.unbelieved > 0 {
            self.unbelieved -= 1;
            return Verdict::Ignored;
        }
        Verdict::Counts
    }

    fn best_source(&mut self) -> Option<Source> {
        let newest_tombstone = self.newest_tombstone;
        let alive = self.sources.drain(..).filter(|source| source.timestamp >= newest_tombstone);
        // Of the same data, the one with the latest POST.
        alive.max_by_key(|source| (source.timestamp, stamp(&source.head.headers, BACKEND_TIMESTAMP)))
    }

    /// What the nodes agree on when none has it.
    fn verdict(mut self) -> Result<Response<Body>, NoAnswer> {
        let mut tally = Tally::with_quorum(self.answers.len(), quorum_size(self.answers.len()));
        self.answers.iter().for_each(|answer| tally.push(answer.status.as_u16()));
        match tally.best() {
            Some(best) => Ok(self.answers.swap_remove(best).into_response()),
            None => Err(NoAnswer { statuses: tally.into_statuses() }),
        }
    }
}

/// What one node's answer means for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It has what is asked for, in this version.
    Has(Timestamp),
    /// It has an empty shell that was made by replication and not filled yet: as good as missing.
    NotSynced,
    /// Its answer counts if nobody has it.
    Counts,
    /// It knows nothing.
    Ignored,
}

fn is_good(status: StatusCode, is_object: bool) -> bool {
    status.is_success() || status.is_redirection() || (is_object && status == StatusCode::RANGE_NOT_SATISFIABLE)
}

/// The version that an answer has: of an object's data, if a later POST changed its metadata.
fn version(headers: &HeaderMap) -> Timestamp {
    let names = [BACKEND_DATA_TIMESTAMP, BACKEND_TIMESTAMP, "x-put-timestamp", TIMESTAMP];
    names.into_iter().find(|name| headers.contains_key(*name)).map_or(Timestamp::ZERO, |name| stamp(headers, name))
}

/// A timestamp in a header; what is missing or malformed is older than everything.
fn stamp(headers: &HeaderMap, name: &str) -> Timestamp {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn respond(search: Search, source: Source) -> Response<Body> {
    let Source { node, head, body, .. } = source;
    let piece = Piece::of(&head).filter(|_| search.is_object && !search.newest && search.route.method == Method::GET);
    let body = match piece {
        Some(piece) => resume::body(search, piece, node, body),
        None => watched(search.route, node, body),
    };
    Response::from_parts(head, body)
}

/// A node's body whose errors are the cluster's fault, not the client's.
fn watched(route: Arc<Route>, node: Node, body: Body) -> Body {
    let blame = move |error: BodyError| {
        route.failed(&node, &error);
        BodyError::Source(Box::new(error))
    };
    body.map_err(blame).boxed_unsync()
}

impl Answer {
    pub(super) fn of(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: bytes::Bytes::new() }
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(body::full(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
