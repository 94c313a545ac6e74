//! A proxy in front of a storage server that answers what it was told to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use apus_base::body::{self, Body};
use apus_base::client::{ClusterClient, Rings};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::metrics::Metrics;
use apus_base::ring::{Device, IdWidth, Ring, Table};
use apus_base::serve::{Limits, Service};
use apus_base::wire::BackendPath;
use apus_proxy::{Config, Proxy, pipeline};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What it answers about a resource: headers, and the body of a GET.
type Kept = (Vec<(&'static str, &'static str)>, &'static str);

/// The storage server. What it was told nothing about is missing; objects can be put into all containers.
#[derive(Default)]
pub(crate) struct Backend {
    kept: Mutex<BTreeMap<String, Kept>>,
    stored: Mutex<BTreeMap<String, Bytes>>,
    asked: Mutex<Vec<(Method, String, HeaderMap)>>,
}

impl Service for Backend {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = BackendPath::parse(parts.uri.path()).unwrap();
        let is_object = path.object.is_some();
        let names =
            [Some(path.account), path.container, path.object].into_iter().flatten().collect::<Vec<_>>().join("/");
        self.asked.lock().unwrap().push((parts.method.clone(), names.clone(), parts.headers));
        if parts.method == Method::PUT && is_object {
            return self.store(names, body).await;
        }
        let Some((headers, content)) = self.kept.lock().unwrap().get(&names).cloned() else {
            return Response::builder().status(404).body(body::empty()).unwrap();
        };
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let mut response = Response::builder().status(if is_read { 200 } else { 204 });
        for (name, value) in headers {
            response = response.header(name, value.as_bytes());
        }
        let content = if parts.method == Method::GET { body::full(content) } else { body::empty() };
        response.body(content).unwrap()
    }
}

impl Backend {
    /// Tells it of a resource.
    pub(crate) fn keep(&self, names: &str, headers: &[(&'static str, &'static str)], content: &'static str) {
        self.kept.lock().unwrap().insert(names.to_owned(), (headers.to_vec(), content));
    }

    async fn store(&self, names: String, body: Body) -> Response<Body> {
        let Ok(bytes) = body::read_to_end(body, 1 << 24).await else {
            return Response::builder().status(499).body(body::empty()).unwrap();
        };
        let etag: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        self.stored.lock().unwrap().insert(names, bytes);
        Response::builder().status(201).header("etag", etag).body(body::empty()).unwrap()
    }

    /// What was put there, whole.
    pub(crate) fn stored(&self, names: &str) -> Option<Bytes> {
        self.stored.lock().unwrap().get(names).cloned()
    }

    /// All that was put since this was last asked.
    pub(crate) fn take_stored(&self) -> BTreeMap<String, Bytes> {
        std::mem::take(&mut self.stored.lock().unwrap())
    }

    /// The headers of the last request of that method about that resource.
    pub(crate) fn asked(&self, method: &Method, names: &str) -> Option<HeaderMap> {
        let asked = self.asked.lock().unwrap();
        let found = asked.iter().rev().find(|(m, n, _)| m == method && n == names);
        found.map(|(_, _, headers)| headers.clone())
    }
}

/// A proxy with an account, `AUTH_test`, and the users `test:admin` (key `secret`, admin of `AUTH_test`) and `other:user` (key `key`).
pub(crate) struct Rig {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) backend: Arc<Backend>,
    serving: AbortOnDropHandle<()>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// With these fields of the configuration.
    pub(crate) async fn with(config: Value) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let backend = Arc::new(Backend::default());
        backend.keep("AUTH_test", &[("content-type", "application/json")], "[]");
        let (service, limits) = (Arc::clone(&backend), Limits::default());
        let serving =
            apus_base::serve::serve(listener, service, Metrics::new("fake"), limits, CancellationToken::new());
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self { proxy: Arc::new(proxy(config, port)), backend, serving }
    }

    /// From now on the storage server does not answer.
    pub(crate) fn lose_backend(&self) {
        self.serving.abort();
    }

    /// The request `line` (`METHOD /path`) with these headers.
    pub(crate) async fn ask(&self, line: &str, headers: &[(&str, &str)]) -> Seen {
        self.send(request(line, headers)).await
    }

    /// A request from 10.0.0.9.
    pub(crate) async fn send(&self, request: Request<Body>) -> Seen {
        Seen::read(pipeline::answer(&self.proxy, request, ([10, 0, 0, 9], 1234).into()).await).await
    }

    /// The token of a user.
    pub(crate) async fn token(&self, user: &str, key: &str) -> String {
        let seen = self.ask("GET /auth/v1.0", &[("x-auth-user", user), ("x-auth-key", key)]).await;
        assert_eq!(seen.status, StatusCode::OK);
        seen.header("x-auth-token").to_owned()
    }
}

pub(crate) fn request(line: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body::empty()).unwrap()
}

fn proxy(mut config: Value, port: u16) -> Proxy {
    let fields = config.as_object_mut().unwrap();
    fields.entry("token_secret").or_insert("0123456789abcdef".into());
    let users = [
        json!({ "account": "test", "user": "admin", "key": "secret", "groups": [".admin"] }),
        json!({ "account": "other", "user": "user", "key": "key" }),
    ];
    fields.entry("users").or_insert(json!(users));
    let config: Config = serde_json::from_value(config).unwrap();
    let ring = Arc::new(ring(port));
    let objects = [(Default::default(), Arc::clone(&ring))].into();
    let rings = Rings { account: Arc::clone(&ring), container: ring, objects };
    let cluster = ClusterConfig { hash_path_suffix: "salt".into(), ..ClusterConfig::default() };
    let cluster = Arc::new(Cluster::try_from(cluster).unwrap());
    let client = ClusterClient::new(config.client.clone(), cluster, rings, &Metrics::new("proxy"));
    Proxy::new(config, client, Arc::default()).unwrap()
}

fn ring(port: u16) -> Ring {
    let ip = || "127.0.0.1".to_owned();
    let device = Device {
        id: 0,
        region: 1,
        zone: 1,
        ip: ip(),
        port,
        replication_ip: ip(),
        replication_port: port,
        device: "d1".into(),
        weight: 1.0,
        meta: String::new(),
    };
    let table = Table::new(1, IdWidth::TwoBytes, [0, 0].into_iter()).unwrap();
    Ring::new(vec![Some(device)], table).unwrap()
}

/// What a client sees.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body::read_to_end(body, 1 << 20).await.unwrap();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// A header's value, or `-`.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }
}
