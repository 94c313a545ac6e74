use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use apus_base::client::pool::{Pool, Timeouts};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::db::Databases;
use apus_base::fs::{Devices, Reserve};
use apus_base::metrics::Metrics;
use apus_base::policy::{Policy, PolicyIndex};
use apus_base::ring::{Device, IdWidth, Ring, Table};
use apus_base::serve::Limits;
use arc_swap::ArcSwap;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::Config;

/// An account server that remembers what it is told and answers as it is set to.
#[derive(Default)]
struct FakeAccount {
    told: Mutex<Vec<(String, HeaderMap)>>,
    answer: Mutex<Option<StatusCode>>,
}

impl Service for FakeAccount {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push((path, headers));
        request::status(self.answer.lock().unwrap().unwrap_or(StatusCode::CREATED))
    }
}

impl FakeAccount {
    fn answer(&self, status: StatusCode) {
        *self.answer.lock().unwrap() = Some(status);
    }

    /// What it was told since it was last asked: path, objects, bytes.
    fn told(&self) -> Vec<(String, String, String)> {
        let number = |headers: &HeaderMap, name| headers.get(name).unwrap().to_str().unwrap().to_owned();
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        told.into_iter().map(|(p, h)| (p, number(&h, "x-object-count"), number(&h, "x-bytes-used"))).collect()
    }
}

/// A container server with a fake account server beside it.
struct Node {
    root: tempfile::TempDir,
    address: SocketAddr,
    account: Arc<FakeAccount>,
    account_address: SocketAddr,
    reporter: Arc<Reporter>,
    pool: Pool,
    shared: Shared,
    _stop: tokio_util::sync::DropGuard,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| std::str::from_utf8(value.as_bytes()).unwrap())
    }

    fn names(&self) -> Vec<String> {
        let rows: Vec<Value> = serde_json::from_slice(&self.body).unwrap();
        let name = |row: &Value| row.get("name").or(row.get("subdir")).unwrap().as_str().unwrap().to_owned();
        rows.iter().map(name).collect()
    }
}

async fn listen(service: Arc<impl Service>, shutdown: CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { patience: Duration::from_secs(5), ..Limits::default() };
    tokio::spawn(apus_base::serve::serve(listener, service, Metrics::new("test"), limits, shutdown));
    address
}

fn ring(account: SocketAddr) -> Ring {
    let device = Device {
        device: "d1".into(),
        id: 0,
        ip: account.ip().to_string(),
        meta: String::new(),
        port: account.port(),
        region: 1,
        replication_ip: account.ip().to_string(),
        replication_port: account.port(),
        weight: 1.0,
        zone: 1,
    };
    Ring::new(vec![Some(device)], Table::new(0, IdWidth::TwoBytes, [0].into_iter()).unwrap()).unwrap()
}

fn cluster() -> Cluster {
    let policy = |index, name: &str, default| Policy {
        index: PolicyIndex(index),
        name: name.into(),
        aliases: vec![],
        default,
        deprecated: false,
    };
    let policies = vec![policy(0, "gold", true), policy(1, "silver", false)];
    ClusterConfig { hash_path_suffix: "test".into(), policies, ..ClusterConfig::default() }.try_into().unwrap()
}

impl Node {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        Self::over(root).await
    }

    async fn over(root: tempfile::TempDir) -> Self {
        let shutdown = CancellationToken::new();
        let account = Arc::new(FakeAccount::default());
        let account_address = listen(Arc::clone(&account), shutdown.clone()).await;
        let pool =
            Pool::new(Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(5) }, &cluster());
        let devices = Arc::new(Devices::new(root.path(), 2));
        let shared = Shared {
            cluster: Arc::new(cluster()),
            databases: Arc::new(Databases::new(devices, Reserve::Bytes(0))),
            pool: pool.clone(),
            account_ring: Arc::new(ArcSwap::from_pointee(ring(account_address))),
            changes: Arc::default(),
            metrics: Metrics::new("container"),
            recon: None,
            limits: Limits::default(),
        };
        // The reporter's passes are made by hand.
        let reporter = Arc::new(Reporter::new(&Config::default(), &shared));
        let server = Arc::new(ContainerServer::new(shared.clone(), Arc::clone(&reporter)));
        let address = listen(server, shutdown.clone()).await;
        let _stop = shutdown.drop_guard();
        Self { root, address, account, account_address, reporter, pool, shared, _stop }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let response = self.pool.send(request.body(apus_base::body::full(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = apus_base::body::read_to_end(body, 1 << 24).await.unwrap().to_vec();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn at(&self, secs: u64, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let timestamp = Timestamp::from_secs(secs).internal();
        let headers = [&[("x-timestamp", timestamp.as_str())], headers].concat();
        self.send(method, path, &headers, vec![]).await
    }

    async fn row(&self, secs: u64, name: &str, size: u64) -> u16 {
        let size = size.to_string();
        let headers = [("x-size", size.as_str()), ("x-content-type", "text/plain"), ("x-etag", "e")];
        self.at(secs, "PUT", &format!("/d1/0/a/c/{name}"), &headers).await.status
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], vec![]).await
    }
}

#[tokio::test]
async fn the_life_of_a_container() {
    let node = Node::start().await;
    let head = node.send("HEAD", "/d1/0/a/c", &[], vec![]).await;
    assert_eq!((head.status, head.header("x-backend-put-timestamp")), (404, "0000000000.00000"));

    let created = node.at(1, "PUT", "/d1/0/a/c", &[("x-container-meta-color", "é")]).await;
    assert_eq!((created.status, created.header("x-backend-storage-policy-index")), (201, "0"));
    assert_eq!(node.at(2, "PUT", "/d1/0/a/c", &[("x-container-read", ".r:*")]).await.status, 202);
    let head = node.send("HEAD", "/d1/0/a/c", &[], vec![]).await;
    assert_eq!(
        (head.status, head.header("x-container-meta-color"), head.header("x-container-read")),
        (204, "é", ".r:*")
    );
    assert_eq!((head.header("x-timestamp"), head.header("x-put-timestamp")), ("0000000001.00000", "0000000002.00000"));
    assert_eq!(
        (head.header("x-container-object-count"), head.header("last-modified")),
        ("0", "Thu, 01 Jan 1970 00:00:02 GMT")
    );

    assert_eq!(node.row(3, "o", 5).await, 201);
    assert_eq!(node.at(4, "DELETE", "/d1/0/a/c", &[]).await.status, 409);
    assert_eq!(node.at(4, "DELETE", "/d1/0/a/c/o", &[]).await.status, 204);
    assert_eq!(node.at(5, "DELETE", "/d1/0/a/c", &[]).await.status, 204);
    assert_eq!(node.at(6, "DELETE", "/d1/0/a/c", &[]).await.status, 404);
    let gone = node.get("/d1/0/a/c").await;
    assert_eq!((gone.status, gone.header("x-backend-delete-timestamp")), (404, "0000000006.00000"));
    assert_eq!((gone.header("x-container-object-count"), gone.header("x-container-meta-color")), ("-", "-"));

    // Created anew, its old metadata does not come back.
    assert_eq!(node.at(5, "PUT", "/d1/0/a/c", &[]).await.status, 409);
    assert_eq!(node.at(7, "PUT", "/d1/0/a/c", &[("x-backend-storage-policy-index", "1")]).await.status, 201);
    let head = node.send("HEAD", "/d1/0/a/c", &[], vec![]).await;
    assert_eq!((head.header("x-container-meta-color"), head.header("x-backend-storage-policy-index")), ("-", "1"));
    assert_eq!(head.header("x-backend-status-changed-at"), "0000000007.00000");
}

#[tokio::test]
async fn policies() {
    let node = Node::start().await;
    let with = |policy| [("x-backend-storage-policy-index", policy)];
    assert_eq!(node.at(1, "PUT", "/d1/0/a/c", &with("7")).await.status, 400);
    assert_eq!(node.at(1, "PUT", "/d1/0/a/c", &[("x-backend-storage-policy-default", "1")]).await.status, 201);
    let conflict = node.at(2, "PUT", "/d1/0/a/c", &with("0")).await;
    assert_eq!((conflict.status, conflict.header("x-backend-storage-policy-index")), (409, "1"));
    assert_eq!(node.at(2, "PUT", "/d1/0/a/c", &with("1")).await.status, 202);
    assert_eq!(node.at(2, "PUT", "/d1/0/a/c", &[]).await.status, 202);
}

#[tokio::test]
async fn a_listing_and_its_parameters() {
    let node = Node::start().await;
    node.at(1, "PUT", "/d1/0/a/c", &[]).await;
    for name in ["a", "d/1", "d/2", "%C3%A9"] {
        assert_eq!(node.row(2, name, 3).await, 201);
    }
    let slo = [
        ("x-size", "9"),
        ("x-content-type", "t/x; charset=u;swift_bytes=99"),
        ("x-etag", "m"),
        ("x-meta-timestamp", "5"),
    ];
    assert_eq!(node.at(3, "PUT", "/d1/0/a/c/slo", &slo).await.status, 201);

    let all = node.get("/d1/0/a/c?format=json").await;
    assert_eq!((all.status, all.header("content-type")), (200, "application/json; charset=utf-8"));
    assert_eq!((all.header("x-container-object-count"), all.header("x-container-bytes-used")), ("5", "21"));
    assert_eq!(all.names(), ["a", "d/1", "d/2", "slo", "é"]);
    let rows: Vec<Value> = serde_json::from_slice(&all.body).unwrap();
    assert_eq!(
        rows[3],
        json!({"name": "slo", "hash": "m", "bytes": 99, "content_type": "t/x;charset=u",
        "last_modified": "1970-01-01T00:00:05.000000"})
    );

    assert_eq!(node.get("/d1/0/a/c?delimiter=/&limit=2").await.names(), ["a", "d/"]);
    let is_plain = async |path: &str| node.get(path).await.header("x-backend-plain-rows") == "yes";
    assert!(is_plain("/d1/0/a/c").await && is_plain("/d1/0/a/c?delimiter=/").await);
    let link = [("x-size", "9"), ("x-content-type", "t"), ("x-etag", "m; symlink_target=c/o")];
    assert_eq!(node.at(3, "PUT", "/d1/0/a/c/slo2", &link).await.status, 201);
    assert!(!is_plain("/d1/0/a/c").await && is_plain("/d1/0/a/c?end_marker=slo2").await);
    assert_eq!(node.at(4, "DELETE", "/d1/0/a/c/slo2", &[]).await.status, 204);
    assert_eq!(node.get("/d1/0/a/c?marker=d/1&end_marker=%C3%A9").await.names(), ["d/2", "slo"]);
    assert_eq!(node.get("/d1/0/a/c?prefix=d/&reverse=true").await.names(), ["d/2", "d/1"]);
    assert_eq!(node.get("/d1/0/a/c?path=d").await.names(), ["d/1", "d/2"]);
    let other_policy = node.send("GET", "/d1/0/a/c", &[("x-backend-storage-policy-index", "1")], vec![]).await;
    assert_eq!((other_policy.status, other_policy.body.as_slice()), (200, b"[]".as_slice()));
}

#[tokio::test]
async fn bad_requests_are_told_so_and_change_nothing() {
    let node = Node::start().await;
    node.at(1, "PUT", "/d1/0/a/c", &[]).await;
    let long = "v".repeat(4096);
    type Case<'a> = (u16, &'a str, &'a str, &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 14] = [
        (400, "PUT", "/d1/0/a/c", &[("x-timestamp", "soon")]),
        (400, "POST", "/d1/0/a/c", &[]),
        (400, "PUT", "/d1/0/a/c", &[("x-timestamp", "2"), ("x-container-meta-a", &long)]),
        (400, "PUT", "/d1/0/a/c", &[("x-timestamp", "2"), ("x-account-partition", "1"), ("x-account-host", "a,b")]),
        (400, "PUT", "/d1/0/a/c/o", &[("x-timestamp", "2")]),
        (
            400,
            "PUT",
            "/d1/0/a/c/o",
            &[("x-timestamp", "2"), ("x-size", "-1"), ("x-content-type", "t"), ("x-etag", "e")],
        ),
        (400, "PUT", "/d1/0/a", &[("x-timestamp", "2")]),
        (400, "PUT", "/d1/x/a/c", &[("x-timestamp", "2")]),
        (412, "PUT", "/d1/0/a/%ff", &[("x-timestamp", "2")]),
        (412, "GET", "/d1/0/a/c?limit=10001", &[]),
        (400, "GET", "/d1/0/a/c?marker=%ff", &[]),
        (405, "PATCH", "/d1/0/a/c", &[]),
        (405, "GET", "/d1/0/a/c/o", &[]),
        (507, "PUT", "/d2/0/a/c", &[("x-timestamp", "2")]),
    ];
    for (status, method, path, headers) in cases {
        assert_eq!(node.send(method, path, headers, vec![]).await.status, status, "{method} {path} {headers:?}");
    }
    let head = node.send("HEAD", "/d1/0/a/c", &[], vec![]).await;
    assert_eq!((head.header("x-put-timestamp"), head.header("x-container-object-count")), ("0000000001.00000", "0"));
    assert!(!node.root.path().join("d2").exists());
}

#[tokio::test]
async fn rows_need_a_container_but_in_accounts_of_the_clusters_own() {
    let node = Node::start().await;
    assert_eq!(node.row(1, "o", 1).await, 404);
    let row = [("x-size", "0"), ("x-content-type", "t"), ("x-etag", "e")];
    assert_eq!(node.at(1, "PUT", "/d1/0/.expiring_objects/86400/1-a/c/o", &row).await.status, 201);
    assert_eq!(node.get("/d1/0/.expiring_objects/86400").await.names(), ["1-a/c/o"]);
    assert_eq!(node.at(1, "PUT", "/d1/0/.shards_a/c/o", &row).await.status, 404);
    let forced = [&row[..], &[("x-backend-auto-create", "true")]].concat();
    assert_eq!(node.at(1, "PUT", "/d1/0/.shards_a/c/o", &forced).await.status, 201);
}

#[tokio::test]
async fn a_batch_is_answered_row_by_row() {
    let node = Node::start().await;
    node.at(1, "PUT", "/d1/0/a/c", &[]).await;
    let row = |container: &str, name: &str, deleted: bool, policy: u32| {
        json!({"partition": 0, "account": "a", "container": container, "name": name, "timestamps": "0000000002.00000+1",
            "size": 4, "content_type": "t", "etag": "e", "deleted": deleted, "policy": policy})
    };
    let rows = [
        row("c", "x", false, 0),
        row("none", "x", false, 0),
        row("c", "y", true, 0),
        row("c", "z", false, 9),
        row("c", "", false, 0),
        row("c", "w", false, 1),
    ];
    let batch = serde_json::to_vec(&json!({"rows": rows})).unwrap();
    for _twice in 0..2 {
        let answer = node.send("UPDATE", "/d1", &[], batch.clone()).await;
        assert_eq!(answer.status, 200);
        let statuses: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(statuses, json!({"statuses": [201, 404, 204, 400, 400, 201]}));
    }
    let listed = node.get("/d1/0/a/c").await;
    assert_eq!((listed.names(), listed.header("x-container-bytes-used")), (vec!["x".to_owned()], "4"));

    for bad in [&b"{"[..], b"{\"rows\": [{}]}", b"\xff", b"[]"] {
        assert_eq!(node.send("UPDATE", "/d1", &[], bad.to_vec()).await.status, 400);
    }
    assert_eq!(node.send("UPDATE", "/d1", &[], vec![b' '; row::MAX_BATCH_BYTES + 1]).await.status, 413);
    assert_eq!(node.send("UPDATE", "/d1/0/a", &[], batch.clone()).await.status, 400);
    assert_eq!(node.send("UPDATE", "/d2", &[], batch).await.status, 507);
}

#[tokio::test]
async fn account_servers_are_told_before_the_answer_and_again_by_the_reporter() {
    let node = Node::start().await;
    let host = node.account_address.to_string();
    let account = [("x-account-host", host.as_str()), ("x-account-device", "d9"), ("x-account-partition", "3")];
    assert_eq!(node.at(1, "PUT", "/d1/0/a/c", &account).await.status, 201);
    assert_eq!(node.account.told(), [("/d9/3/a/c".into(), "0".into(), "0".into())]);

    node.row(2, "o", 5).await;
    node.row(2, "p", 5).await;
    node.reporter.step().await;
    assert_eq!(node.account.told(), [("/d1/0/a/c".into(), "2".into(), "10".into())]);
    node.reporter.step().await;
    assert_eq!(node.account.told(), []);

    // A row that changes nothing is no news.
    node.row(2, "o", 5).await;
    node.reporter.step().await;
    assert_eq!(node.account.told(), []);
}

#[tokio::test]
async fn no_such_account_is_404_and_a_down_one_is_none_of_the_clients_concern() {
    let node = Node::start().await;
    let host = node.account_address.to_string();
    let account = [("x-account-host", host.as_str()), ("x-account-device", "d9"), ("x-account-partition", "3")];
    node.account.answer(StatusCode::NOT_FOUND);
    assert_eq!(node.at(1, "PUT", "/d1/0/a/c", &account).await.status, 404);
    node.account.answer(StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(node.at(2, "PUT", "/d1/0/a/c", &account).await.status, 202);
}

#[tokio::test]
async fn what_was_not_reported_is_after_a_restart() {
    let node = Node::start().await;
    node.account.answer(StatusCode::SERVICE_UNAVAILABLE);
    node.at(1, "PUT", "/d1/0/a/c", &[]).await;
    node.row(2, "o", 5).await;
    node.reporter.step().await;
    assert_eq!(node.account.told().len(), 1);
    node.shared.databases.close().await;

    let node = Node::over(node.root).await;
    node.shared.databases.existing().iter().for_each(|device| node.reporter.changed(device));
    node.reporter.step().await;
    assert_eq!(node.account.told(), [("/d1/0/a/c".into(), "1".into(), "5".into())]);
}

#[tokio::test]
async fn a_device_that_goes_away_is_507_and_a_new_folder_is_used() {
    let node = Node::start().await;
    node.at(1, "PUT", "/d1/0/a/c", &[]).await;
    std::fs::rename(node.root.path().join("d1"), node.root.path().join("away")).unwrap();
    assert_eq!(node.row(2, "o", 5).await, 507);
    assert_eq!(node.get("/d1/0/a/c").await.status, 507);
    std::fs::create_dir(node.root.path().join("d1")).unwrap();
    assert_eq!(node.get("/d1/0/a/c").await.status, 404);
    assert_eq!(node.at(3, "PUT", "/d1/0/a/c", &[]).await.status, 201);
}

#[tokio::test]
async fn names_of_the_proxys_own_are_hidden() {
    let node = Node::start().await;
    node.at(1, "PUT", "/d1/0/a/%00c", &[]).await;
    let row = [("x-size", "0"), ("x-content-type", "t"), ("x-etag", "e")];
    assert_eq!(node.at(1, "PUT", "/d1/0/a/%00c/%00o", &row).await.status, 201);
    assert_eq!(node.get("/d1/0/a/%00c").await.names(), Vec::<String>::new());
    let all = node.send("GET", "/d1/0/a/%00c", &[("x-backend-allow-reserved-names", "true")], vec![]).await;
    assert_eq!(all.names(), ["\0o"]);
}
