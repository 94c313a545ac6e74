//! What is remembered of objects that were read, and that no change of one goes unseen.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use apus_base::body;
use bytes::Bytes;
use xattr::FileExt as _;

use super::{Answer, Node};
use crate::config::Config;

/// A method, headers, and the status of the answer.
type Asked = (&'static str, &'static [(&'static str, &'static str)], u16);

/// One object of a node.
struct Stored<'a> {
    node: &'a Node,
    name: &'static str,
}

impl<'a> Stored<'a> {
    async fn put(node: &'a Node, name: &'static str) -> Self {
        let stored = Self { node, name };
        let headers = [
            ("x-timestamp", "100"),
            ("content-type", "text/plain"),
            ("x-object-meta-color", "blue"),
            ("x-delete-at", "9999999998"),
        ];
        assert_eq!(stored.send("PUT", &headers, "hello").await.status, 201);
        stored
    }

    async fn send(&self, method: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let path = format!("/d1/7/a/c/{}", self.name);
        self.node.try_send(method, &path, headers, body::full(body)).await.unwrap()
    }

    /// How many reads were answered from memory while this one was.
    async fn read(&self, method: &str, headers: &[(&str, &str)]) -> (Answer, u64) {
        let before = self.node.hot_reads();
        let answer = self.send(method, headers, "").await;
        (answer, self.node.hot_reads() - before)
    }

    /// Reads until the answer comes from memory, which it does some seconds after the last change.
    async fn is_hot(&self) {
        while self.read("GET", &[]).await.1 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its `.data` file.
    fn file(&self) -> PathBuf {
        let mut files = self.node.files().into_iter().map(|file| self.node.device().join(file));
        files.find(|file| is_named(file, self.name)).unwrap()
    }
}

fn is_named(file: &PathBuf, name: &str) -> bool {
    let metadata = File::open(file).unwrap().get_xattr("user.swift.metadata").unwrap().unwrap_or_default();
    let wanted = format!("/a/c/{name}");
    metadata.windows(wanted.len()).any(|found| found == wanted.as_bytes())
}

impl Node {
    fn hot_reads(&self) -> u64 {
        let metrics = self.metrics.render();
        let line = metrics.lines().find_map(|line| line.strip_prefix("apus_object_hot_reads_total "));
        line.unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn what_has_rested_is_answered_from_memory_in_the_same_words() {
    let asked: [Asked; 8] = [
        ("GET", &[], 200),
        ("HEAD", &[], 200),
        ("GET", &[("range", "bytes=1-2")], 206),
        ("GET", &[("range", "bytes=-2")], 206),
        ("GET", &[("range", "bytes=9-")], 416),
        ("GET", &[("if-none-match", "5d41402abc4b2a76b9719d911017c592")], 304),
        ("GET", &[("if-match", "other")], 412),
        ("HEAD", &[("range", "bytes=1-2")], 200),
    ];
    // At once, and in chunks.
    for chunk_size in [Config::default().chunk_size, 2] {
        let node = Node::start(Config { chunk_size, ..Config::default() }).await;
        let stored = Stored::put(&node, "o").await;
        let mut cold = Vec::new();
        for (method, headers, status) in asked {
            let answer = stored.send(method, headers, "").await;
            assert_eq!(answer.status, status);
            cold.push(answer);
        }
        stored.is_hot().await;
        for ((method, headers, _), cold) in asked.into_iter().zip(cold) {
            let (hot, from_memory) = stored.read(method, headers).await;
            assert_eq!(from_memory, 1, "{method} {headers:?}");
            assert_eq!((hot.status, hot.headers, hot.body), (cold.status, cold.headers, cold.body));
        }
        // Several short ranges are read as before.
        let (many, from_memory) = stored.read("GET", &[("range", "bytes=0-0,2-2")]).await;
        assert_eq!((many.status, from_memory), (206, 0));
    }
}

#[tokio::test]
async fn every_change_is_seen() {
    let node = Node::default().await;
    let mut all = Vec::new();
    for name in ["posted", "replaced", "deleted", "expiring", "moved", "scribbled", "flipped"] {
        all.push(Stored::put(&node, name).await);
    }
    for stored in &all {
        stored.is_hot().await;
    }
    let [posted, replaced, deleted, expiring, moved, scribbled, flipped] = all.try_into().ok().unwrap();

    // By requests.
    posted.send("POST", &[("x-timestamp", "101"), ("x-object-meta-color", "green")], "").await;
    assert_eq!(posted.send("GET", &[], "").await.header("x-object-meta-color"), "green");
    replaced.send("PUT", &[("x-timestamp", "101"), ("content-type", "text/plain")], "HELLO").await;
    assert_eq!(replaced.send("GET", &[], "").await.body, "HELLO");
    deleted.send("DELETE", &[("x-timestamp", "101")], "").await;
    assert_eq!(deleted.send("GET", &[], "").await.status, 404);
    // By time.
    let late = ("x-timestamp", "9999999999");
    assert_eq!(expiring.send("GET", &[late], "").await.status, 404);
    assert_eq!(expiring.send("GET", &[late, ("x-backend-open-expired", "true")], "").await.status, 200);
    // By others: a pass in another process, an operator, a disk.
    fs::rename(moved.file().parent().unwrap(), node.device().join("elsewhere")).unwrap();
    assert_eq!(moved.send("GET", &[], "").await.status, 404);
    let file = File::open(scribbled.file()).unwrap();
    file.set_xattr("user.swift.metadata", b"scribble").unwrap();
    assert_eq!(scribbled.send("HEAD", &[], "").await.status, 404);
    let file = File::options().write(true).open(flipped.file()).unwrap();
    file.write_all_at(b"J", 0).unwrap();
    assert_eq!(flipped.send("GET", &[], "").await.status, 404);

    // What a POST said is remembered as well, and what comes after it seen.
    posted.is_hot().await;
    assert_eq!(posted.read("HEAD", &[]).await.0.header("x-object-meta-color"), "green");
    posted.send("POST", &[("x-timestamp", "102"), ("x-object-meta-color", "red")], "").await;
    assert_eq!(posted.send("GET", &[], "").await.header("x-object-meta-color"), "red");
}
