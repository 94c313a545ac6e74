//! A fake container server keeps the batches it is sent, or refuses them.

use std::fs;
use std::sync::{Arc, Mutex};

use apus_base::body::{self, Body};
use apus_base::metrics::Metrics;
use apus_base::serve::{Limits, Service};
use apus_base::timestamp::Timestamp;
use apus_base::wire::{RowUpdate, UpdateAnswer, UpdateBatch};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Node;
use crate::store::pending::Pending;

/// A container server that takes every row, or answers as told.
pub(super) struct FakeContainer {
    pub(super) rows: Mutex<Vec<(String, RowUpdate)>>,
    status: u16,
}

impl Service for FakeContainer {
    async fn call(&self, request: Request<Body>, _peer: std::net::SocketAddr) -> Response<Body> {
        assert_eq!(request.method().as_str(), "UPDATE");
        let device = request.uri().path().to_owned();
        let bytes = body::read_to_end(request.into_body(), usize::MAX).await.unwrap();
        let batch: UpdateBatch = serde_json::from_slice(&bytes).unwrap();
        let statuses = vec![self.status; batch.rows.len()];
        self.rows.lock().unwrap().extend(batch.rows.into_iter().map(|row| (device.clone(), row)));
        Response::new(body::full(serde_json::to_vec(&UpdateAnswer { statuses }).unwrap()))
    }
}

pub(super) async fn fake_container(status: u16) -> (Arc<FakeContainer>, String, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fake = Arc::new(FakeContainer { rows: Mutex::default(), status });
    let stop = CancellationToken::new();
    let serving =
        apus_base::serve::serve(listener, Arc::clone(&fake), Metrics::new("fake"), Limits::default(), stop.clone());
    tokio::spawn(serving);
    (fake, address, stop.drop_guard())
}

#[tokio::test]
async fn container_servers_are_told_each_write() {
    let (node, (fake, address, _stop)) = (Node::default().await, fake_container(201).await);
    let hosts = format!("{address}, {address}");
    let told = [("x-container-host", hosts.as_str()), ("x-container-device", "c1,c 2"), ("x-container-partition", "9")];
    let with = |more: &[(&'static str, &'static str)]| [&told[..], more].concat();
    node.put("100", b"hello", &with(&[("x-backend-container-update-override-size", "77")])).await;
    node.send("POST", &with(&[("x-timestamp", "101"), ("content-type", "a/b")]), "").await;
    node.send("DELETE", &with(&[("x-timestamp", "102")]), "").await;

    // An older one tells nothing; the same once more does, whom it was to tell may be another this time.
    node.send("DELETE", &with(&[("x-timestamp", "101.5")]), "").await;
    assert_eq!(fake.rows.lock().unwrap().len(), 6);
    for more in [("x-timestamp", "102"), ("x-if-delete-at", "50")] {
        let answered = node.send("DELETE", &with(&[("x-timestamp", "102"), more]), "").await;
        assert_eq!(answered.status, if more.1 == "50" { 204 } else { 404 });
        let again = fake.rows.lock().unwrap().split_off(6);
        assert!(again.len() == 2 && again.iter().all(|(_, update)| update.row.deleted), "{again:?}");
    }

    let rows = fake.rows.lock().unwrap().clone();
    assert_eq!(rows.len(), 6);
    let of = |device: &str| rows.iter().filter(|(d, _)| d == device).map(|(_, u)| u.clone()).collect::<Vec<_>>();
    assert_eq!(of("/c1"), of("/c%202"));
    let [put, post, delete] = &of("/c1")[..] else { panic!("three rows") };
    assert_eq!((put.partition, put.account.as_str(), put.row.name.as_str(), put.row.size), (9, "a", "o", 77));
    assert_eq!(put.row.etag, "5d41402abc4b2a76b9719d911017c592");
    let times = post.row.timestamps;
    let secs = Timestamp::from_secs;
    assert_eq!((times.data, times.content_type, times.meta), (secs(100), secs(101), secs(101)));
    assert_eq!((post.row.content_type.as_str(), post.row.size), ("a/b", 5));
    assert!(delete.row.deleted && delete.row.timestamps.data == secs(102));
    assert!(!node.files().iter().any(|f| f.starts_with("async_pending")));
}

#[tokio::test]
async fn an_update_that_nobody_takes_is_kept() {
    let node = Node::default().await;
    let (_, refusing, _stop) = fake_container(507).await;
    let (_, without, _stop2) = fake_container(404).await;
    // Bound and never accepted from: it answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    for (timestamp, host, kept) in [("1", &without, 1), ("2", &refusing, 2), ("3", &silent, 3)] {
        let told = [("x-container-host", host.as_str()), ("x-container-device", "c1"), ("x-container-partition", "9")];
        assert_eq!(node.put(timestamp, b"x", &told).await.status, 201);
        let pending: Vec<_> = node.files().into_iter().filter(|f| f.starts_with("async_pending/")).collect();
        assert_eq!(pending.len(), kept);
        if let Some(path) = pending.last() {
            let kept: Pending = serde_json::from_slice(&fs::read(node.device().join(path)).unwrap()).unwrap();
            assert_eq!(
                (kept.version, kept.update.row.timestamps.data.to_string()),
                (1, format!("000000000{timestamp}.00000"))
            );
        }
    }
}

#[tokio::test]
async fn the_queue_of_the_expirer_follows_each_write() {
    let (node, (fake, address, _stop)) = (Node::default().await, fake_container(201).await);
    let queue = [("x-delete-at-host", address.as_str()), ("x-delete-at-device", "c1"), ("x-delete-at-partition", "4")];
    let with = |more: &[(&'static str, &'static str)]| [&queue[..], more].concat();
    node.put("100", b"hello", &with(&[("x-delete-at", "9999")])).await;
    node.send("POST", &with(&[("x-timestamp", "101"), ("x-delete-at", "8888")]), "").await;
    // What replication brings is in the queue already; a server without the headers leaves it to the others.
    node.put("102", b"hello", &with(&[("x-delete-at", "7777"), ("x-backend-replication", "true")])).await;
    node.put("103", b"hello", &[("x-delete-at", "6666"), ("x-backend-clean-expiring-object-queue", "f")]).await;

    let rows: Vec<_> = fake.rows.lock().unwrap().iter().map(|(_, update)| update.clone()).collect();
    let [put, post] = &rows[..] else { panic!("two rows: {rows:?}") };
    assert_eq!(
        (put.partition, put.account.as_str(), put.row.name.as_str()),
        (4, ".expiring_objects", "0000009999-a/c/o")
    );
    assert_eq!((put.row.content_type.as_str(), put.row.size), ("text/plain;swift_expirer_bytes=5", 0));
    assert_eq!((post.row.name.as_str(), post.row.timestamps.data), ("0000008888-a/c/o", Timestamp::from_secs(101)));
    assert_eq!(post.row.timestamps.content_type, Timestamp::from_secs(100));

    let removed = |node: &Node| -> Vec<String> {
        let files = node.files().into_iter().filter(|f| f.starts_with("async_pending/"));
        let kept = files.map(|f| serde_json::from_slice::<Pending>(&fs::read(node.device().join(f)).unwrap()).unwrap());
        kept.filter(|kept| kept.update.row.deleted).map(|kept| kept.update.row.name).collect()
    };
    assert_eq!(removed(&node), ["0000009999-a/c/o"]);
    node.send("DELETE", &[("x-timestamp", "104")], "").await;
    let mut names = removed(&node);
    names.sort();
    assert_eq!(names, ["0000006666-a/c/o", "0000009999-a/c/o"]);
}
