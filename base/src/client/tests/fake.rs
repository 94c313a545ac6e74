//! A cluster of six nodes with verbs: three primaries and three handoffs for every name that the tests use.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use md5::{Digest as _, Md5};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::body::{self, Body, BodyError};
use crate::client::{ClientConfig, ClusterClient, ObjectPath, Rings, Target};
use crate::cluster::Cluster;
use crate::hash_path::HashPath;
use crate::metrics::Metrics;
use crate::near::Near;
use crate::policy::{Policies, PolicyIndex};
use crate::ring::{Device, IdWidth, Ring, Table};
use crate::serve::{Limits, Service, serve};
use crate::wire::{UpdateAnswer, UpdateBatch};

/// What a node does with every request.
#[derive(Clone)]
pub(super) enum Verb {
    /// Answers this.
    Says(u16, Vec<(&'static str, &'static str)>),
    /// Never answers.
    Hangs,
    /// Answers this, once it is let.
    Waits(Arc<Notify>, u16),
    /// Has an object, and gives it as asked for, whole or in ranges.
    Has(Stored),
    /// Takes a PUT's body and answers 201.
    Takes,
    /// Takes a PUT's body and answers 201 with another ETag.
    Damages,
    /// Takes a batch of rows and answers this for each.
    TakesRows(u16),
    /// Takes so many bytes of a PUT's body and breaks the connection.
    TakesOnly(usize),
    /// Takes one chunk of a PUT's body and then no more.
    Clogs,
}

/// An object on a node.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) data: Bytes,
    pub(super) timestamp: &'static str,
    pub(super) fault: Fault,
}

/// What goes wrong with a body, after so many bytes of it.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    None,
    Breaks(usize),
    Stalls(usize),
    /// It just ends, although `Content-Length` says more.
    Lies(usize),
    /// So many bytes come, the first of them wrong, and then it breaks, as when a disk's damage is found at the end.
    Rots(usize),
}

/// A request as a node saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) node: usize,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// What came of the body, and whether it came whole.
    pub(super) body: Result<Bytes, Bytes>,
    pub(super) trailers: HeaderMap,
}

struct FakeNode {
    number: usize,
    verb: Arc<Mutex<Verb>>,
    log: Arc<watch::Sender<Vec<Seen>>>,
}

/// Six nodes and a client of them. The nodes end with it.
pub(super) struct Fake {
    pub(super) client: ClusterClient,
    pub(super) metrics: Metrics,
    pub(super) object: String,
    pub(super) config: ClientConfig,
    verbs: Vec<Arc<Mutex<Verb>>>,
    log: Arc<watch::Sender<Vec<Seen>>>,
    shutdown: CancellationToken,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Verb {
    pub(super) fn has(data: &'static str, timestamp: &'static str) -> Self {
        Self::with_fault(data, timestamp, Fault::None)
    }

    pub(super) fn with_fault(data: &'static str, timestamp: &'static str, fault: Fault) -> Self {
        Self::Has(Stored { data: Bytes::from_static(data.as_bytes()), timestamp, fault })
    }
}

/// Waits that no test waits for, unless it says so itself.
pub(super) fn patient() -> ClientConfig {
    ClientConfig {
        conn_timeout: Duration::from_secs(20),
        node_timeout: Duration::from_secs(20),
        post_quorum_timeout: Duration::from_secs(20),
        sorting_method: crate::client::SortingMethod::Affinity,
        read_affinity: "r1z0=0, r1z1=1, r1z2=2".parse().unwrap(),
        ..ClientConfig::default()
    }
}

impl Fake {
    /// Nodes with these verbs; those that are missing answer 404. Reads ask them in this order.
    pub(super) async fn start(verbs: Vec<Verb>) -> Self {
        Self::with(verbs, patient()).await
    }

    pub(super) async fn with(mut verbs: Vec<Verb>, config: ClientConfig) -> Self {
        verbs.resize(6, Verb::Says(404, vec![]));
        let verbs: Vec<_> = verbs.into_iter().map(|verb| Arc::new(Mutex::new(verb))).collect();
        let (log, shutdown) = (Arc::new(watch::Sender::new(Vec::new())), CancellationToken::new());
        let mut devices = Vec::new();
        for (number, verb) in verbs.iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            devices.push(Some(device(number, listener.local_addr().unwrap())));
            let node = FakeNode { number, verb: Arc::clone(verb), log: Arc::clone(&log) };
            let metrics = Metrics::new("fake");
            tokio::spawn(serve(listener, Arc::new(node), metrics, Limits::default(), shutdown.clone()));
        }
        let metrics = Metrics::new("test");
        let (client, object) = client_of(devices, config.clone(), &metrics);
        Self { client, metrics, object, config, verbs, log, shutdown }
    }

    /// A second client of the same nodes.
    pub(super) fn another_client(&self) -> ClusterClient {
        let (rings, metrics) = (self.client.rings(), Metrics::new("other"));
        ClusterClient::new(self.config.clone(), Arc::clone(self.client.cluster()), (*rings).clone(), &metrics)
    }

    pub(super) fn path(&self) -> ObjectPath<'_> {
        ObjectPath { policy: PolicyIndex(0), account: "a", container: "c", object: &self.object }
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target::Object(self.path())
    }

    pub(super) fn set(&self, node: usize, verb: Verb) {
        *self.verbs[node].lock().unwrap() = verb;
    }

    /// Everything that the nodes have seen so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.log.borrow().clone()
    }

    /// Which nodes were asked so far, in order.
    pub(super) fn asked(&self) -> Vec<usize> {
        self.seen().iter().map(|seen| seen.node).collect()
    }

    /// Waits until the nodes have seen so many requests (a PUT counts when its body ended).
    pub(super) async fn wait_seen(&self, count: usize) -> Vec<Seen> {
        self.log.subscribe().wait_for(|seen| seen.len() >= count).await.unwrap().clone()
    }

    pub(super) fn counts(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|found| found == line)
    }
}

fn device(number: usize, address: SocketAddr) -> Device {
    let id = u32::try_from(number).unwrap();
    Device {
        device: format!("d{number}"),
        id,
        ip: address.ip().to_string(),
        meta: String::new(),
        port: address.port(),
        region: 1,
        replication_ip: address.ip().to_string(),
        replication_port: address.port(),
        weight: 1.0,
        zone: id,
    }
}

/// A ring of two partitions: the first three nodes hold the one that the tests use, the others the other one.
fn client_of(devices: Vec<Option<Device>>, config: ClientConfig, metrics: &Metrics) -> (ClusterClient, String) {
    let table = Table::new(1, IdWidth::TwoBytes, [0, 3, 1, 4, 2, 5].into_iter()).unwrap();
    let ring = Ring::new(devices, table).unwrap();
    // A salt that puts the account and the container on that partition, and then an object that is there as well.
    let lands = |hash: crate::hash_path::PathHash| ring.partition(&hash.0) == 0;
    let salts = (0..).map(|i| HashPath::new("", format!("salt{i}")));
    let mut good = salts.filter(|salt| lands(salt.account("a")) && lands(salt.container("a", "c")));
    let hash_path = good.next().unwrap();
    let mut names = (0..).map(|i| format!("o{i}")).filter(|name| lands(hash_path.object("a", "c", name)));
    let object = names.next().unwrap();
    let ring = Arc::new(ring);
    let rings = Rings {
        account: Arc::clone(&ring),
        container: Arc::clone(&ring),
        objects: [(PolicyIndex(0), ring)].into_iter().collect(),
    };
    let cluster =
        Arc::new(Cluster { hash_path, policies: Policies::default(), backend_tls: None, near: Near::default() });
    (ClusterClient::new(config, cluster, rings, metrics), object)
}

impl Service for FakeNode {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let verb = self.verb.lock().unwrap().clone();
        let (head, mut body) = request.into_parts();
        let mut seen = Seen {
            node: self.number,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: head.headers,
            body: Ok(Bytes::new()),
            trailers: HeaderMap::new(),
        };
        match verb {
            Verb::Says(status, headers) => self.log(seen, answer(status, &headers, "said")),
            Verb::Hangs => {
                self.log(seen, ());
                std::future::pending().await
            }
            Verb::Waits(gate, status) => {
                gate.notified().await;
                self.log(seen, answer(status, &[], ""))
            }
            Verb::Has(stored) => {
                let response = stored.give(&seen.headers);
                self.log(seen, response)
            }
            Verb::Takes => {
                take(&mut body, &mut seen, usize::MAX).await;
                let whole = seen.body.is_ok();
                let etag = hex(seen.body.as_ref().unwrap_or_else(|part| part));
                let response = answer(if whole { 201 } else { 499 }, &[("etag", &etag)], "");
                self.log(seen, response)
            }
            Verb::Damages => {
                take(&mut body, &mut seen, usize::MAX).await;
                self.log(seen, answer(201, &[("etag", "0")], ""))
            }
            Verb::TakesRows(status) => {
                take(&mut body, &mut seen, usize::MAX).await;
                let batch: UpdateBatch = serde_json::from_slice(seen.body.as_ref().unwrap()).unwrap();
                let said = serde_json::to_string(&UpdateAnswer { statuses: vec![status; batch.rows.len()] }).unwrap();
                self.log(seen, Response::new(body::full(said)))
            }
            Verb::TakesOnly(bytes) => {
                take(&mut body, &mut seen, bytes).await;
                self.log(seen, ());
                drop(body);
                broken_off()
            }
            Verb::Clogs => {
                let _ = body.frame().await;
                self.log(seen, ());
                std::future::pending().await
            }
        }
    }
}

impl FakeNode {
    fn log<T>(&self, seen: Seen, then: T) -> T {
        self.log.send_modify(|log| log.push(seen));
        then
    }
}

/// A response whose body fails before its first byte, so that the connection is cut.
fn broken_off() -> Response<Body> {
    let failing = stream::iter([Err(BodyError::Source("broken off".into()))]);
    Response::new(StreamBody::new(failing).boxed_unsync())
}

async fn take(body: &mut Body, seen: &mut Seen, limit: usize) {
    let mut came = bytes::BytesMut::new();
    let mut whole = true;
    while came.len() < limit {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => came.extend_from_slice(&data),
                Err(frame) => seen.trailers = frame.into_trailers().unwrap_or_default(),
            },
            Some(Err(_)) => {
                whole = false;
                break;
            }
            None => break,
        }
    }
    let came = came.freeze();
    seen.body = if whole && limit == usize::MAX { Ok(came) } else { Err(came) };
}

pub(super) fn answer(status: u16, headers: &[(&str, &str)], text: &str) -> Response<Body> {
    let mut response = Response::new(body::full(text.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    response
}

pub(super) fn hex(data: &[u8]) -> String {
    Md5::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Stored {
    fn give(&self, asked: &HeaderMap) -> Response<Body> {
        let total = self.data.len();
        let range = asked.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        let etag = hex(&self.data);
        let common =
            [("etag", etag.as_str()), ("x-backend-timestamp", self.timestamp), ("x-timestamp", self.timestamp)];
        let (mut response, data) = match range {
            None => (answer(200, &common, ""), self.data.clone()),
            Some(ranges) if ranges.contains(',') => {
                let boundary = asked["x-backend-multipart-boundary"].to_str().unwrap();
                let kind = format!("multipart/byteranges;boundary={boundary}");
                let mut response = answer(206, &common, "");
                response.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
                (response, self.multipart(ranges, boundary))
            }
            Some(range) => {
                let (start, end) = bounds(range, total);
                let range = format!("bytes {start}-{end}/{total}");
                let mut response = answer(206, &common, "");
                response.headers_mut().insert(header::CONTENT_RANGE, range.parse().unwrap());
                (response, self.data.slice(start..=end))
            }
        };
        response.headers_mut().insert(header::CONTENT_LENGTH, data.len().into());
        *response.body_mut() = self.fault.body(data);
        response
    }

    fn multipart(&self, ranges: &str, boundary: &str) -> Bytes {
        let part = |range: &str| {
            let (start, end) = bounds(range, self.data.len());
            let text = std::str::from_utf8(&self.data[start..=end]).unwrap();
            format!("--{boundary}\r\nContent-Range: bytes {start}-{end}/{}\r\n\r\n{text}\r\n", self.data.len())
        };
        let parts: String = ranges.split(',').map(part).collect();
        format!("{parts}--{boundary}--").into()
    }
}

fn bounds(range: &str, total: usize) -> (usize, usize) {
    let (start, end) = range.split_once('-').unwrap();
    (start.parse().unwrap(), end.parse().unwrap_or(total - 1))
}

impl Fault {
    fn body(self, data: Bytes) -> Body {
        let (sent, then): (Bytes, Body) = match self {
            Self::None => return body::full(data),
            Self::Lies(after) => return StreamBody::new(frames(data.slice(..after))).boxed_unsync(),
            Self::Rots(after) => {
                let rotten = [&[data[0] ^ 1], &data[1..after]].concat();
                return Self::Breaks(after).body(rotten.into());
            }
            Self::Breaks(after) => {
                let broken = stream::iter([Err(BodyError::Source("broken".into()))]);
                (data.slice(..after), StreamBody::new(broken).boxed_unsync())
            }
            Self::Stalls(after) => (data.slice(..after), StreamBody::new(stream::pending()).boxed_unsync()),
        };
        use futures_util::StreamExt as _;
        StreamBody::new(frames(sent).chain(then.into_data_stream().map(|chunk| chunk.map(Frame::data)))).boxed_unsync()
    }
}

/// The bytes as one frame, and a moment for them to be sent before the stream goes on.
fn frames(data: Bytes) -> impl stream::Stream<Item = Result<Frame<Bytes>, BodyError>> + Send {
    stream::unfold(Some(data), |data| async move {
        match data {
            Some(data) => Some((Ok(Frame::data(data)), None)),
            None => {
                for _ in 0..64 {
                    tokio::task::yield_now().await;
                }
                None
            }
        }
    })
}
