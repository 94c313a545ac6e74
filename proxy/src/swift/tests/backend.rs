//! A storage server of all three kinds that keeps everything in memory, and a proxy in front of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use apus_base::body::{self, Body};
use apus_base::client::{ClusterClient, Rings};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::conditional::{Conditions, Current, Verdict};
use apus_base::metrics::Metrics;
use apus_base::policy::{Policy, PolicyIndex};
use apus_base::range::{self, Ranges};
use apus_base::ring::{Device, IdWidth, Ring, Table};
use apus_base::serve::{Limits, Service};
use apus_base::wire::BackendPath;
use apus_base::wire::{UpdateAnswer, UpdateBatch};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::{Config, Proxy};

/// What it keeps of an account, a container or an object: headers and bytes.
pub(super) type Kept = (HeaderMap, Vec<u8>);

/// What it keeps, by names.
#[derive(Default)]
pub(super) struct Backend {
    pub(super) kept: Mutex<BTreeMap<Vec<String>, Kept>>,
    /// The batches of rows that it was sent.
    pub(super) rows: Mutex<Vec<UpdateBatch>>,
    /// What cannot be written now.
    pub(super) broken: Mutex<Vec<Vec<String>>>,
}

impl Backend {
    /// The headers that a resource has.
    pub(super) fn headers(&self, names: &[&str]) -> Option<HeaderMap> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.kept.lock().unwrap().get(&names).map(|(headers, _)| headers.clone())
    }

    fn update(&self, bytes: &[u8]) -> Response<Body> {
        let batch: UpdateBatch = serde_json::from_slice(bytes).unwrap();
        let statuses = vec![201; batch.rows.len()];
        self.rows.lock().unwrap().push(batch);
        Response::new(body::full(serde_json::to_vec(&UpdateAnswer { statuses }).unwrap()))
    }

    fn answer(&self, method: &Method, names: Vec<String>, headers: HeaderMap, body: Vec<u8>) -> Response<Body> {
        let mut kept = self.kept.lock().unwrap();
        let (exists, is_object) = (kept.contains_key(&names), names.len() == 3);
        let below = kept.keys().any(|other| other.len() > names.len() && other.starts_with(&names));
        let status = match method.as_str() {
            "PUT" | "POST" | "DELETE" if self.broken.lock().unwrap().contains(&names) => 503,
            "FENCE" => return attended(kept.get(&names)),
            "COMMIT" => {
                let held =
                    headers.get("x-backend-hold").map(|token| vec!["held".into(), token.to_str().unwrap().into()]);
                match held.map(|held| kept.remove(&held).unwrap()) {
                    Some(held) => drop(kept.insert(names, held)),
                    None => drop(kept.remove(&names)),
                }
                201
            }
            "POST" if is_object && exists => {
                let (old, _) = kept.entry(names).or_default();
                let replaced: Vec<_> =
                    old.keys().filter(|name| name.as_str().starts_with("x-object-meta-")).cloned().collect();
                replaced.iter().for_each(|name| drop(old.remove(name)));
                old.extend(headers.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.clone(), v.clone())));
                return posted(old);
            }
            "PUT" if is_object => {
                let etag = HeaderValue::from_str(&format!("{:x}", Md5Hex(&body))).unwrap();
                let headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
                let mut headers: HeaderMap = headers.collect();
                headers.insert("etag", etag.clone());
                let held =
                    headers.get("x-backend-hold").map(|token| vec!["held".into(), token.to_str().unwrap().into()]);
                kept.insert(held.unwrap_or(names), (headers, body));
                return Response::builder().status(201).header("etag", etag).body(body::empty()).unwrap();
            }
            "PUT" | "POST" if exists || method == Method::PUT => {
                let (old, _) = kept.entry(names).or_default();
                for (name, value) in &headers {
                    old.insert(name.clone(), value.clone());
                }
                match (method.as_str(), exists, is_object) {
                    ("PUT", true, _) | ("POST", _, true) => 202,
                    ("PUT", ..) => 201,
                    _ => 204,
                }
            }
            "DELETE" if exists && below => 409,
            "DELETE" if exists => {
                kept.remove(&names);
                204
            }
            "GET" | "HEAD" if exists => return read(method, &kept[&names], is_object, &headers),
            _ => 404,
        };
        Response::builder().status(status).body(body::empty()).unwrap()
    }
}

fn read(method: &Method, (headers, bytes): &Kept, is_object: bool, asked: &HeaderMap) -> Response<Body> {
    let kept = |name: &str| name.starts_with("x-") || ["content-type", "content-encoding", "etag"].contains(&name);
    let mut status = if is_object || method == Method::GET { 200 } else { 204 };
    let mut bytes = if is_object { bytes.clone() } else { b"[]".to_vec() };
    let mut response = Response::builder();
    let names = |name: &str| asked.get(name).map_or("", |names| names.to_str().unwrap()).split(',').collect::<Vec<_>>();
    let etag = names("x-backend-etag-is-at").into_iter().find_map(|name| headers.get(name)).or(headers.get("etag"));
    let etag = etag.map_or("", |etag| etag.to_str().unwrap());
    if is_object && Conditions::from_headers(asked).check(Current { etag, last_modified_secs: 1 }) != Verdict::Proceed {
        (status, bytes) = (304, Vec::new());
    }
    let ignores = names("x-backend-ignore-range-if-metadata-present").iter().any(|name| headers.contains_key(*name));
    let range = asked.get("range").filter(|_| !ignores && is_object).and_then(|range| range.to_str().ok());
    if let Ranges::One(range) = range::resolve(range, bytes.len() as u64) {
        response = response.header("content-range", range::content_range(&range, bytes.len() as u64));
        let at = |n| usize::try_from(n).unwrap();
        (status, bytes) = (206, bytes[at(range.start)..at(range.end)].to_vec());
    }
    for (name, value) in headers.iter().filter(|(name, value)| kept(name.as_str()) && !value.is_empty()) {
        response = response.header(name, value);
    }
    if !is_object {
        response = response.header("content-type", "application/json; charset=utf-8");
    }
    let response = response.status(status).header("last-modified", "Thu, 01 Jan 1970 00:00:01 GMT");
    let response = response.header("content-length", bytes.len()).header("x-put-timestamp", "1");
    response.body(if method == Method::HEAD { body::empty() } else { body::full(bytes) }).unwrap()
}

/// The answer to a FENCE: it promises whatever is asked.
fn attended(kept: Option<&Kept>) -> Response<Body> {
    let mut response = Response::builder().status(if kept.is_some() { 200 } else { 404 });
    let shown = |name: &str| name.starts_with("x-object-") || name == "etag";
    for (name, value) in kept.iter().flat_map(|(headers, _)| headers).filter(|(name, _)| shown(name.as_str())) {
        response = response.header(name, value);
    }
    let stamp = if kept.is_some() { "0000000001.00000" } else { "0000000000.00000" };
    let response = response.header("x-backend-timestamp", stamp).header("x-backend-fence", "0000000000.00000");
    response.header("x-backend-promised", "true").body(body::empty()).unwrap()
}

/// The answer to a POST, which tells the object's system metadata.
fn posted(headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::builder().status(202);
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-object-sysmeta-")) {
        response = response.header(name, value);
    }
    response.body(body::empty()).unwrap()
}

struct Md5Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Md5Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use md5::Digest as _;
        md5::Md5::digest(self.0).iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Service for Backend {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if parts.method.as_str() == "UPDATE" {
            return self.update(&body::read_to_end(body, 1 << 20).await.unwrap());
        }
        let Ok(path) = BackendPath::parse(parts.uri.path()) else {
            return apus_base::serve::plain(http::StatusCode::BAD_REQUEST, "Bad path");
        };
        let names: Vec<String> = [Some(path.account), path.container, path.object].into_iter().flatten().collect();
        if let Some(listing) = self.listing(&parts, &names) {
            return listing;
        }
        match body.collect().await {
            Ok(whole) => {
                // What is known of an object only behind its body.
                let footers = whole.trailers().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
                let mut headers = parts.headers;
                headers.extend(footers.filter(|(name, _)| name.as_str().starts_with("x-object-")));
                self.answer(&parts.method, names, headers, whole.to_bytes().to_vec())
            }
            Err(_) => apus_base::serve::plain(http::StatusCode::BAD_REQUEST, "Body"),
        }
    }
}

/// A proxy, and the backend it stores in.
pub(super) struct Rig {
    pub(super) proxy: Proxy,
    pub(super) backend: Arc<Backend>,
    _serving: AbortOnDropHandle<()>,
}

/// A proxy of that configuration (JSON) and the policies `gold`, `silver` and, deprecated, `lead`.
pub(super) async fn rig(mut config: serde_json::Value) -> Rig {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let backend = Arc::new(Backend::default());
    let (service, metrics) = (Arc::clone(&backend), Metrics::new("fake"));
    let serving = apus_base::serve::serve(listener, service, metrics, Limits::default(), CancellationToken::new());
    let serving = AbortOnDropHandle::new(tokio::spawn(serving));
    config["token_secret"] = serde_json::Value::from("0123456789abcdef".repeat(4));
    let config: Config = serde_json::from_value(config).unwrap();
    let ring = Arc::new(ring(port));
    let objects = (0..3).map(|index| (PolicyIndex(index), Arc::clone(&ring))).collect();
    let rings = Rings { account: Arc::clone(&ring), container: ring, objects };
    let client = ClusterClient::new(config.client.clone(), Arc::new(cluster()), rings, &Metrics::new("proxy"));
    let proxy = Proxy::new(config, client, Arc::default()).unwrap();
    Rig { proxy, backend, _serving: serving }
}

fn cluster() -> Cluster {
    let policy = |index, name: &str| Policy {
        index: PolicyIndex(index),
        name: name.into(),
        aliases: Vec::new(),
        default: index == 0,
        deprecated: name == "lead",
    };
    let policies = vec![policy(0, "gold"), policy(1, "silver"), policy(2, "lead")];
    let config = ClusterConfig { hash_path_suffix: "salt".into(), policies, ..ClusterConfig::default() };
    config.try_into().unwrap()
}

fn ring(port: u16) -> Ring {
    let device = Device {
        device: "d1".into(),
        id: 0,
        ip: "127.0.0.1".into(),
        meta: String::new(),
        port,
        region: 1,
        replication_ip: "127.0.0.1".into(),
        replication_port: port,
        weight: 1.0,
        zone: 1,
    };
    let table = Table::new(1, IdWidth::TwoBytes, [0, 0].into_iter()).unwrap();
    Ring::new(vec![Some(device)], table).unwrap()
}
