//! The updater against container servers that are made up: one takes rows, one refuses, one is not there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use apus_base::body::{self, Body};
use apus_base::client::{ClientConfig, Rings};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::ring::{self, IdWidth, Ring, Table};
use apus_base::serve::{Limits, Service};
use apus_base::timestamp::RowTimestamps;
use apus_base::wire::{ObjectRow, RowUpdate, UpdateAnswer, UpdateBatch};
use apus_object::store::pending::{self, Pending};
use http::{Request, Response};
use tokio::net::TcpListener;

use super::*;

/// A container server that remembers rows and answers each with a status.
struct Fake {
    rows: Mutex<Vec<RowUpdate>>,
    requests: Mutex<usize>,
    status: Mutex<u16>,
}

impl Service for Fake {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let bytes = body::read_to_end(request.into_body(), usize::MAX).await.unwrap();
        let batch: UpdateBatch = serde_json::from_slice(&bytes).unwrap();
        let statuses = vec![*self.status.lock().unwrap(); batch.rows.len()];
        *self.requests.lock().unwrap() += 1;
        self.rows.lock().unwrap().extend(batch.rows);
        Response::new(body::full(serde_json::to_vec(&UpdateAnswer { statuses }).unwrap()))
    }
}

impl Fake {
    async fn start(status: u16, stop: &CancellationToken) -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Arc::new(Self { rows: Mutex::default(), requests: Mutex::default(), status: Mutex::new(status) });
        let (serving, metrics) = (Arc::clone(&fake), Metrics::new("fake"));
        tokio::spawn(apus_base::serve::serve(listener, serving, metrics, Limits::default(), stop.clone()));
        (fake, address)
    }

    /// The names told since the last time.
    fn told(&self) -> Vec<String> {
        let mut names: Vec<_> = self.rows.lock().unwrap().drain(..).map(|update| update.row.name).collect();
        names.sort();
        names
    }
}

/// A node with one device, and two container servers that have a replica each.
struct Node {
    root: tempfile::TempDir,
    devices: Arc<Devices>,
    updater: Updater,
    first: Arc<Fake>,
    second: Arc<Fake>,
    stop: CancellationToken,
}

fn ring(addresses: &[SocketAddr]) -> Arc<Ring> {
    let device = |(id, address): (usize, &SocketAddr)| {
        Some(ring::Device {
            device: "d1".into(),
            id: u32::try_from(id).unwrap(),
            ip: address.ip().to_string(),
            meta: String::new(),
            port: address.port(),
            region: 1,
            replication_ip: address.ip().to_string(),
            replication_port: address.port(),
            weight: 1.0,
            zone: u32::try_from(id).unwrap(),
        })
    };
    let replicas = (0..addresses.len()).map(|id| u32::try_from(id).unwrap());
    let table = Table::new(0, IdWidth::TwoBytes, replicas).unwrap();
    Arc::new(Ring::new(addresses.iter().enumerate().map(device).collect(), table).unwrap())
}

impl Node {
    async fn start() -> Self {
        let stop = CancellationToken::new();
        let ((first, a), (second, b)) = (Fake::start(201, &stop).await, Fake::start(201, &stop).await);
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("devices/d1")).unwrap();
        let devices = Arc::new(Devices::new(root.path().join("devices"), 2));
        let cluster = ClusterConfig { hash_path_suffix: "end".into(), ..ClusterConfig::default() };
        let cluster = Arc::new(Cluster::try_from(cluster).unwrap());
        let ring = ring(&[a, b]);
        let objects = BTreeMap::from([(PolicyIndex(0), Arc::clone(&ring))]);
        let rings = Rings { account: Arc::clone(&ring), container: ring, objects };
        let metrics = Metrics::new("test");
        let client = ClusterClient::new(ClientConfig::default(), cluster, rings, &metrics);
        let recon = ReconCache::new(root.path().join("recon"));
        let updater = Updater::new(Config::default(), Arc::clone(&devices), client, recon, &metrics);
        Self { root, devices, updater, first, second, stop }
    }

    fn keep(&self, name: &str, secs: u64) {
        let device = self.devices.get("d1").unwrap();
        let hash = self.updater.teller.client().cluster().hash_path.object("a", "c", name);
        let at = Timestamp::from_secs(secs);
        let row = ObjectRow {
            name: name.into(),
            timestamps: RowTimestamps::same(at),
            size: secs,
            content_type: "a/b".into(),
            etag: "e".into(),
            deleted: false,
            policy: PolicyIndex(0),
        };
        let update = RowUpdate { partition: 9, account: "a".into(), container: "c".into(), row };
        pending::write(&device, PolicyIndex(0), &hash, at, &Pending::new(update)).unwrap();
    }

    async fn pass(&self) -> apus_base::pass::Report {
        apus_base::pass::once(&self.updater, &Filter::default(), &self.stop, |_| {}).await
    }

    fn waiting(&self) -> usize {
        let device = self.root.path().join("devices/d1");
        let folders = kept::folders(&device).unwrap();
        folders.iter().map(|(_, folder)| kept::list(folder).unwrap().newest.len()).sum()
    }
}

#[tokio::test]
async fn many_rows_travel_together_and_only_the_newest_of_each_object() {
    let node = Node::start().await;
    for i in 0..300 {
        node.keep(&format!("{i:03}"), 1);
    }
    node.keep("000", 7);
    let report = node.pass().await;
    assert_eq!((report.failures(), report.counts["sent"], node.waiting()), (0, 300, 0));
    assert_eq!((*node.first.requests.lock().unwrap(), *node.second.requests.lock().unwrap()), (1, 1));
    let newest = node.first.rows.lock().unwrap().iter().find(|update| update.row.name == "000").cloned().unwrap();
    assert_eq!(
        (newest.row.size, newest.partition),
        (
            7,
            node.updater
                .teller
                .client()
                .rings()
                .container
                .partition(&node.updater.teller.client().cluster().hash_path.container("a", "c").0)
        )
    );
    assert_eq!((node.first.told().len(), node.second.told().len()), (300, 300));
}

#[tokio::test]
async fn who_has_a_row_is_not_told_again() {
    let node = Node::start().await;
    node.keep("o", 1);
    *node.second.status.lock().unwrap() = 404;
    assert_eq!((node.pass().await.failures(), node.waiting()), (1, 1));
    assert_eq!((node.first.told(), node.second.told()), (vec!["o".to_owned()], vec!["o".to_owned()]));
    *node.second.status.lock().unwrap() = 201;
    assert_eq!((node.pass().await.failures(), node.waiting()), (0, 0));
    assert_eq!((node.first.told(), node.second.told()), (vec![], vec!["o".to_owned()]));
    let recon = node.updater.recon.load("object");
    assert_eq!(
        (&recon["async_pending"], &recon["object_updater_stats"]["failures_oldest_timestamp"]),
        (&json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn a_server_in_trouble_is_left_alone_for_a_while() {
    let node = Node::start().await;
    node.keep("o", 1);
    *node.second.status.lock().unwrap() = 507;
    node.pass().await;
    node.keep("p", 1);
    node.pass().await;
    // The second pass told only the one that is well.
    assert_eq!((node.first.told(), node.second.told()), (vec!["o".into(), "p".into()], vec!["o".to_owned()]));
    assert_eq!(node.waiting(), 2);
    let recon = node.updater.recon.load("object");
    let oldest = &recon["object_updater_per_device"]["d1"]["failures_oldest_timestamp_account_containers"];
    assert_eq!(oldest["oldest_entries"], json!([{"timestamp": 1.0, "account": "a", "container": "c"}]));
}

#[tokio::test]
async fn an_update_for_a_container_that_never_comes_is_given_up_at_last() {
    let node = Node::start().await;
    node.keep("old", 1);
    node.keep("new", clock::now().secs());
    *node.first.status.lock().unwrap() = 404;
    *node.second.status.lock().unwrap() = 404;
    assert_eq!((node.pass().await.failures(), node.waiting()), (1, 1));
}
