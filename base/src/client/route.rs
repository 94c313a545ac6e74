//! From a target to its nodes: the ring and partition of one request, and the requests to single nodes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::nodes::{Node, NodeIter};
use super::order::SortingMethod;
use super::pool::NodeError;
use super::{Answer, Inner, NoAnswer, Target};
use crate::body::{self, Body};
use crate::ring::Ring;
use crate::wire::{TOO_MANY_BACKEND_REQUESTS, backend_path, header::POLICY_INDEX, update_path};

/// The most of a short answer's text that is kept. Errors are a line; listings are streamed and do not come this way.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Where one request goes and what it says there, whichever node is asked.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) inner: Arc<Inner>,
    pub(super) ring: Arc<Ring>,
    pub(super) partition: u32,
    pub(super) method: Method,
    /// For logs and metrics.
    pub(super) server: &'static str,
    names: Vec<String>,
    query: Option<String>,
    /// What is sent, if it is short enough to be at hand.
    payload: Bytes,
    /// Whether it is about the listings of the whole device, instead of the target itself.
    to_device: bool,
}

impl Route {
    /// # Errors
    /// When the policy of an object has no ring here.
    pub(super) fn new(inner: &Arc<Inner>, method: Method, target: &Target<'_>) -> Result<Self, NoAnswer> {
        let rings = inner.rings.load();
        let Some(ring) = target.ring(&rings) else {
            tracing::error!(?target, "there is no ring for this storage policy");
            return Err(NoAnswer { statuses: Vec::new() });
        };
        Ok(Self {
            inner: Arc::clone(inner),
            partition: ring.partition(&target.hash(&inner.cluster.hash_path).0),
            ring,
            method,
            server: target.server(),
            names: target.names().into_iter().map(str::to_owned).collect(),
            query: None,
            payload: Bytes::new(),
            to_device: false,
        })
    }

    /// The same way for a batch of rows, which goes to a device and not to a name.
    pub(super) fn with_rows(self, rows: Bytes) -> Self {
        Self { payload: rows, to_device: true, ..self }
    }

    /// The same way with something to send.
    pub(super) fn with_payload(self, payload: Bytes) -> Self {
        Self { payload, ..self }
    }

    pub(super) fn with_query(self, query: Option<&str>) -> Self {
        Self { query: query.map(str::to_owned), ..self }
    }

    /// How many replicas the partition has.
    pub(super) fn replicas(&self) -> usize {
        self.ring.primaries(self.partition).count()
    }

    /// How many handoffs get an object's DELETE besides the primaries.
    pub(super) fn near_handoffs(&self) -> usize {
        self.inner.near_handoffs(&self.ring.primaries(self.partition).collect::<Vec<_>>())
    }

    pub(super) fn nodes(&self, target: &Target<'_>) -> NodeIter {
        NodeIter::new(&self.inner, Arc::clone(&self.ring), self.partition, target)
    }

    /// The request to one node.
    pub(super) fn request(&self, node: &Node, headers: HeaderMap, body: Body) -> Result<Request<Body>, NodeError> {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        let path = match self.to_device {
            true => update_path(&node.device),
            false => backend_path(&node.device, self.partition, &names),
        };
        let (mark, query) = if self.query.is_some() { ("?", self.query.as_deref()) } else { ("", None) };
        let uri = format!("http://{}{path}{mark}{}", node.authority, query.unwrap_or_default());
        let mut request = Request::new(body);
        *request.uri_mut() = uri.try_into().map_err(|_| NodeError::Address(node.authority.clone()))?;
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Asks one node and waits for the head of its answer. A node that does not give one has an error on its account.
    pub(super) async fn ask(&self, node: &Node, headers: HeaderMap, limit: Duration) -> Option<Response<Body>> {
        let started = Instant::now();
        let answered = match self.request(node, headers, body::full(self.payload.clone())) {
            Ok(request) => self.inner.pool.send_within(request, limit).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(response) => {
                self.inner.measured(node, started.elapsed());
                Some(response)
            }
            Err(error) => {
                self.failed(node, &error);
                None
            }
        }
    }

    /// Notes a node's failure to answer.
    pub(super) fn failed(&self, node: &Node, error: &dyn std::error::Error) {
        tracing::warn!(node = node.name, method = %self.method, server = self.server, error = %Chain(error), "a node failed");
        self.inner.stats.node_error(self.server);
        self.inner.limiter.increment(&node.name);
    }

    /// Notes a node's server errors; `true` if there is none.
    pub(super) fn check(&self, node: &Node, status: StatusCode) -> bool {
        if !status.is_server_error() {
            return true;
        }
        if status == TOO_MANY_BACKEND_REQUESTS {
            // It is busy, not broken: another node is asked, and this one again at once.
            self.inner.stats.busy(self.server);
            return false;
        }
        tracing::warn!(node = node.name, method = %self.method, server = self.server, %status, "a node answered an error");
        self.inner.stats.node_error(self.server);
        if status == StatusCode::INSUFFICIENT_STORAGE {
            self.inner.limiter.limit(&node.name);
        } else {
            self.inner.limiter.increment(&node.name);
        }
        false
    }
}

impl Inner {
    /// Remembers how fast a node was, if anybody wants to know.
    pub(super) fn measured(&self, node: &Node, took: Duration) {
        if self.config.sorting_method == SortingMethod::Timing {
            self.timings.set(&node.ip, took);
        }
    }
}

/// An error and its causes in one line.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Takes a short answer whole. A body that breaks off is left out: the status has said what counts.
pub(super) async fn collect(response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body::read_to_end(body, MAX_ANSWER_BYTES).await.unwrap_or_else(|_| Bytes::new());
    Answer { status: head.status, headers: head.headers, body }
}

/// The caller's headers with what the target itself says.
pub(super) fn with_policy(headers: &HeaderMap, target: &Target<'_>) -> HeaderMap {
    let mut headers = headers.clone();
    if let Target::Object(object) = target {
        headers.insert(POLICY_INDEX, HeaderValue::from(object.policy.0));
    }
    headers
}
