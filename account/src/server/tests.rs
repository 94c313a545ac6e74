use std::sync::Arc;
use std::time::Duration;

use apus_base::client::pool::{Pool, Timeouts};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::db::Databases;
use apus_base::fs::{Devices, Reserve};
use apus_base::metrics::Metrics;
use apus_base::policy::Policy;
use apus_base::serve::Limits;
use apus_base::timestamp::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::Config;

/// An account server.
struct Node {
    root: tempfile::TempDir,
    address: SocketAddr,
    pool: Pool,
    _stop: DropGuard,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }

    fn rows(&self) -> Vec<Value> {
        serde_json::from_slice(&self.body).unwrap()
    }
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
        let shutdown = CancellationToken::new();
        let devices = Arc::new(Devices::new(root.path(), 2));
        let shared = Shared {
            cluster: Arc::new(cluster()),
            databases: Arc::new(Databases::new(devices, Reserve::Bytes(0))),
            metrics: Metrics::new("account"),
            recon: None,
            limits: Limits::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve(Config::default(), shared, listener, shutdown.clone()));
        let pool = Pool::new(Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(5) }, &cluster());
        Self { root, address, pool, _stop: shutdown.drop_guard() }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = self.pool.send(request.body(body::empty()).unwrap()).await.unwrap().into_parts();
        let body = body::read_to_end(body, 1 << 24).await.unwrap().to_vec();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn at(&self, secs: u64, method: &str, headers: &[(&str, &str)]) -> Answer {
        let timestamp = Timestamp::from_secs(secs).internal();
        self.send(method, "/d1/0/a", &[&[("x-timestamp", timestamp.as_str())], headers].concat()).await
    }

    /// A container's row: its name, policy, PUT, DELETE, when it was counted, objects and bytes.
    async fn row(&self, name: &str, policy: &str, [put, delete, at, objects, bytes]: [u64; 5]) -> u16 {
        let time = |secs| Timestamp::from_secs(secs).internal();
        let (put, delete, at) = (time(put), time(delete), time(at));
        let (objects, bytes) = (objects.to_string(), bytes.to_string());
        let headers = [
            ("x-put-timestamp", put.as_str()),
            ("x-delete-timestamp", &delete),
            ("x-timestamp", &at),
            ("x-object-count", &objects),
            ("x-bytes-used", &bytes),
            ("x-backend-storage-policy-index", policy),
        ];
        self.send("PUT", &format!("/d1/0/a/{name}"), &headers).await.status
    }
}

#[tokio::test]
async fn the_life_of_an_account() {
    let node = Node::start().await;
    assert_eq!(node.at(1, "DELETE", &[]).await.status, 404);
    assert_eq!(node.at(1, "POST", &[("x-account-meta-a", "1")]).await.status, 404);
    assert_eq!(node.at(1, "PUT", &[("x-account-meta-a", "1")]).await.status, 201);
    assert_eq!(node.at(2, "PUT", &[]).await.status, 202);
    assert_eq!(node.at(3, "POST", &[("x-account-meta-b", "2"), ("x-account-sysmeta-c", "3")]).await.status, 204);
    // An older write does not undo a newer one.
    assert_eq!(node.at(2, "POST", &[("x-account-meta-b", "old")]).await.status, 204);
    let head = node.send("HEAD", "/d1/0/a", &[]).await;
    let metadata = ["x-account-meta-a", "x-account-meta-b", "x-account-sysmeta-c"].map(|name| head.header(name));
    assert_eq!((head.status, metadata), (204, ["1", "2", "3"]));
    assert_eq!((head.header("x-timestamp"), head.header("x-put-timestamp")), ("0000000001.00000", "0000000002.00000"));

    let deleted = node.at(4, "DELETE", &[]).await;
    assert_eq!((deleted.status, deleted.header("x-account-status")), (204, "Deleted"));
    for (method, status) in [("GET", 404), ("HEAD", 404), ("POST", 404), ("DELETE", 404), ("PUT", 403)] {
        let answer = node.at(5, method, &[]).await;
        assert_eq!((answer.status, answer.header("x-account-status")), (status, "Deleted"), "{method}");
    }
    assert_eq!(node.at(5, "PUT", &[]).await.body, b"Recently deleted");
    assert_eq!(node.row("c", "0", [5, 0, 5, 1, 1]).await, 404);
}

#[tokio::test]
async fn containers_are_listed_and_counted_by_policy() {
    let node = Node::start().await;
    assert_eq!(node.row("c", "0", [1, 0, 1, 2, 10]).await, 404);
    node.at(1, "PUT", &[]).await;
    assert_eq!(node.row("c", "0", [1, 0, 1, 2, 10]).await, 201);
    assert_eq!(node.row("d%2Fx", "1", [1, 0, 1, 2, 10]).await, 400);
    assert_eq!(node.row("e", "1", [2, 0, 2, 3, 20]).await, 201);
    assert_eq!(node.row("gone", "0", [1, 2, 2, 0, 0]).await, 204);
    assert_eq!(node.row("odd", "7", [3, 0, 3, 0, 0]).await, 201);

    let listed = node.send("GET", "/d1/0/a?format=json", &[]).await;
    let counts = ["x-account-container-count", "x-account-object-count", "x-account-bytes-used"];
    assert_eq!((listed.status, counts.map(|name| listed.header(name))), (200, ["3", "5", "30"]));
    assert_eq!(listed.header("x-account-storage-policy-silver-object-count"), "3");
    assert_eq!(listed.header("x-account-storage-policy-gold-container-count"), "1");
    let row = |name, count, bytes, last_modified| json!({"name": name, "count": count, "bytes": bytes, "last_modified": last_modified});
    let mut expected = vec![
        row("c", 2, 10, "1970-01-01T00:00:01.000000"),
        row("e", 3, 20, "1970-01-01T00:00:02.000000"),
        row("odd", 0, 0, "1970-01-01T00:00:03.000000"),
    ];
    expected[0]["storage_policy"] = json!("gold");
    expected[1]["storage_policy"] = json!("silver");
    assert_eq!(listed.rows(), expected);
    assert_eq!(node.send("GET", "/d1/0/a?prefix=e&delimiter=d", &[]).await.rows(), [expected[1].clone()]);
    assert_eq!(node.send("GET", "/d1/0/a?delimiter=d", &[]).await.rows()[2], json!({"subdir": "od"}));
    assert_eq!(node.send("GET", "/d1/0/a?reverse=1&limit=1", &[]).await.rows(), [expected[2].clone()]);
}

#[tokio::test]
async fn late_and_repeated_reports_change_nothing() {
    let node = Node::start().await;
    node.at(1, "PUT", &[]).await;
    let counts = || async {
        let head = node.send("HEAD", "/d1/0/a", &[]).await;
        ["x-account-container-count", "x-account-object-count", "x-account-bytes-used"]
            .map(|n| head.header(n).to_owned())
    };
    assert_eq!(node.row("c", "0", [1, 0, 5, 4, 40]).await, 201);
    assert_eq!(node.row("c", "0", [1, 0, 4, 9, 90]).await, 201);
    assert_eq!(node.row("c", "0", [1, 0, 5, 4, 40]).await, 201);
    assert_eq!(counts().await, ["1", "4", "40"]);
    assert_eq!(node.row("c", "0", [1, 6, 6, 0, 0]).await, 204);
    assert_eq!(counts().await, ["0", "0", "0"]);
    assert_eq!(node.row("c", "1", [7, 6, 7, 1, 1]).await, 201);
    assert_eq!(counts().await, ["1", "1", "1"]);
    let head = node.send("HEAD", "/d1/0/a", &[]).await;
    assert_eq!(head.header("x-account-storage-policy-gold-container-count"), "0");
}

#[tokio::test]
async fn accounts_of_the_clusters_own_are_made_by_their_rows() {
    let node = Node::start().await;
    let counted =
        [("x-put-timestamp", "1"), ("x-delete-timestamp", "0"), ("x-object-count", "1"), ("x-bytes-used", "1")];
    assert_eq!(node.send("PUT", "/d1/0/.expiring_objects/86400", &counted).await.status, 201);
    assert_eq!(node.send("GET", "/d1/0/.expiring_objects", &[]).await.rows()[0]["name"], "86400");
    let even_deleted = [&counted[..], &[("x-account-override-deleted", "yes")]].concat();
    assert_eq!(node.send("PUT", "/d1/0/none/c", &even_deleted).await.status, 404);
}

#[tokio::test]
async fn the_reaper_finds_deleted_accounts_and_what_they_still_hold() {
    let node = Node::start().await;
    let waiting = |marker: String| {
        let node = &node;
        async move {
            let answer = node.send("GET", &format!("/d1?marker={marker}"), &[]).await;
            serde_json::from_slice::<apus_base::wire::DeletedAccounts>(&answer.body).unwrap()
        }
    };
    node.at(1, "PUT", &[]).await;
    assert_eq!(node.row("c", "0", [1, 0, 5, 4, 40]).await, 201);
    assert!(waiting(String::new()).await.accounts.is_empty());

    node.at(9, "DELETE", &[]).await;
    let found = waiting(String::new()).await;
    let [account] = &found.accounts[..] else { panic!("one account: {found:?}") };
    assert_eq!((account.account.as_str(), account.containers, found.marker), ("a", 1, None));
    assert_eq!(account.deleted_at, Timestamp::from_secs(9));
    assert!(waiting(cluster().hash_path.account("a").hex()).await.accounts.is_empty());
    assert_eq!(node.send("GET", "/d1?marker=nonsense", &[]).await.status, 400);

    assert_eq!(node.send("GET", "/d1/0/a", &[]).await.status, 404);
    let even_deleted = [("x-backend-override-deleted", "true")];
    assert_eq!(node.send("GET", "/d1/0/a", &even_deleted).await.rows()[0]["name"], "c");
    assert_eq!(node.send("GET", "/d1/0/none", &even_deleted).await.status, 404);
    let gone = [
        ("x-put-timestamp", "1"),
        ("x-delete-timestamp", "10"),
        ("x-object-count", "0"),
        ("x-bytes-used", "0"),
        ("x-account-override-deleted", "yes"),
    ];
    assert_eq!(node.send("PUT", "/d1/0/a/c", &gone).await.status, 204);
    assert!(waiting(String::new()).await.accounts.is_empty());
}

#[tokio::test]
async fn bad_requests_are_told_so() {
    let node = Node::start().await;
    node.at(1, "PUT", &[]).await;
    type Case<'a> = (u16, &'a str, &'a str, &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 9] = [
        (400, "PUT", "/d1/0/a", &[]),
        (400, "DELETE", "/d1/0/a", &[("x-timestamp", "-1")]),
        (400, "PUT", "/d1/0/a/c", &[("x-timestamp", "2")]),
        (400, "PUT", "/d1/0/a/c/o", &[("x-timestamp", "2")]),
        (412, "GET", "/d1/0/%ff", &[]),
        (412, "GET", "/d1/0/a?limit=10001", &[]),
        (400, "GET", "/d1/0/a?prefix=%ff", &[]),
        (405, "DELETE", "/d1/0/a/c", &[("x-timestamp", "2")]),
        (507, "HEAD", "/d2/0/a", &[]),
    ];
    for (status, method, path, headers) in cases {
        assert_eq!(node.send(method, path, headers).await.status, status, "{method} {path}");
    }
    assert!(!node.root.path().join("d2").exists());
}
