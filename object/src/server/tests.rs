//! The server over a real socket.

mod conditional;
mod hot;
mod rewrap;
mod swift;
mod updates;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use apus_base::body::{self, Body};
use apus_base::client::pool::{NodeError, Pool, Timeouts};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::fs::{Devices, Reserve};
use apus_base::metrics::Metrics;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::Config;

/// An object server on one device `d1`.
struct Node {
    root: tempfile::TempDir,
    address: String,
    pool: Pool,
    metrics: Metrics,
    _stop: DropGuard,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Node {
    async fn start(config: Config) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d1")).unwrap();
        let devices = Arc::new(Devices::new(root.path(), 2));
        let cluster = ClusterConfig { hash_path_suffix: "end".into(), ..ClusterConfig::default() };
        let cluster = Arc::new(Cluster::try_from(cluster).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let metrics = Metrics::new("object");
        let pool = Pool::new(Timeouts::default(), &cluster);
        tokio::spawn(super::serve(config, devices, cluster, metrics.clone().into(), listener, stop.clone()));
        Self { root, address, pool, metrics, _stop: stop.drop_guard() }
    }

    async fn default() -> Self {
        Self::start(Config::default()).await
    }

    async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, NodeError> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.pool.send(request.body(body).unwrap()).await?;
        let (head, body) = response.into_parts();
        let body = body::read_to_end(body, usize::MAX).await.unwrap_or_else(|_| Bytes::from_static(b"(cut short)"));
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    async fn send(&self, method: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.try_send(method, "/d1/7/a/c/o", headers, body::full(body)).await.unwrap()
    }

    async fn put(&self, timestamp: &str, body: &'static [u8], more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("x-timestamp", timestamp), ("content-type", "text/plain")];
        headers.extend(more);
        self.send("PUT", &headers, body).await
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", headers, "").await
    }

    fn device(&self) -> PathBuf {
        self.root.path().join("d1")
    }

    /// All files of the device but the index's, by their paths below it.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &std::path::Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() { walk(&entry.path(), files) } else { files.push(entry.path()) }
            }
        }
        let mut files = Vec::new();
        walk(&self.device(), &mut files);
        let device = self.device();
        files.retain(|file| !file.file_name().unwrap().to_str().unwrap().starts_with('.'));
        let mut below: Vec<_> =
            files.iter().map(|f| f.strip_prefix(&device).unwrap().to_str().unwrap().to_owned()).collect();
        // What replication notes for itself is no file of an object, nor is the journal.
        below.retain(|file| !file.ends_with("/.changes") && !file.starts_with("journal/"));
        below.sort();
        below
    }
}

/// Chunks, and then trailers or the end.
fn chunked(chunks: Vec<Vec<u8>>, trailers: Option<&[(&str, &str)]>) -> Body {
    let mut frames: Vec<_> = chunks.into_iter().map(|c| Ok(Frame::data(Bytes::from(c)))).collect();
    if let Some(trailers) = trailers {
        let trailers: HeaderMap = trailers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        frames.push(Ok(Frame::trailers(trailers)));
    }
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

#[tokio::test]
async fn an_object_is_stored_read_and_deleted() {
    let node = Node::default().await;
    let put = node.put("100.00001", b"hello", &[("x-object-meta-color", "blue"), ("x-delete-at", "9999999999")]).await;
    assert_eq!((put.status, put.header("etag")), (201, "5d41402abc4b2a76b9719d911017c592"));

    let get = node.get(&[]).await;
    assert_eq!((get.status, &get.body[..]), (200, &b"hello"[..]));
    let expected = [
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("etag", "5d41402abc4b2a76b9719d911017c592"),
        ("last-modified", "Thu, 01 Jan 1970 00:01:41 GMT"),
        ("x-timestamp", "0000000100.00001"),
        ("x-backend-timestamp", "0000000100.00001"),
        ("x-backend-data-timestamp", "0000000100.00001"),
        ("x-backend-durable-timestamp", "0000000100.00001"),
        ("x-object-meta-color", "blue"),
        ("x-delete-at", "9999999999"),
    ];
    assert!(expected.iter().all(|(name, value)| get.header(name) == *value), "{:?}", get.headers);
    let head = node.send("HEAD", &[], "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "5", 0));

    let deleted = node.send("DELETE", &[("x-timestamp", "101")], "").await;
    assert_eq!((deleted.status, deleted.header("x-backend-content-type")), (204, "text/plain"));
    let gone = node.get(&[]).await;
    assert_eq!((gone.status, gone.header("x-backend-timestamp")), (404, "0000000101.00000"));
    assert_eq!(node.send("DELETE", &[("x-timestamp", "102")], "").await.status, 404);
    // Beside the tombstone there is what the updater has to take out of the queue of expiring objects.
    let files = node.files();
    let (kept, objects): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.starts_with("async_pending/"));
    assert!(objects.len() == 1 && objects[0].ends_with("/0000000102.00000.ts") && kept.len() == 1, "{files:?}");
}

#[tokio::test]
async fn older_writes_lose() {
    let node = Node::default().await;
    node.put("100", b"new", &[]).await;
    for timestamp in ["99", "100"] {
        let conflict = node.put(timestamp, b"old", &[]).await;
        assert_eq!((conflict.status, conflict.header("x-backend-timestamp")), (409, "0000000100.00000"));
        assert_eq!(node.send("POST", &[("x-timestamp", timestamp)], "").await.status, 409);
        assert_eq!(node.send("DELETE", &[("x-timestamp", timestamp)], "").await.status, 409);
    }
    assert_eq!(&node.get(&[]).await.body[..], b"new");
    assert_eq!(node.put("101", b"x", &[("if-none-match", "*")]).await.status, 412);
    assert_eq!(node.send("DELETE", &[("x-timestamp", "102")], "").await.status, 204);
    assert_eq!(node.put("101", b"x", &[]).await.status, 409);
    assert_eq!(node.put("103", b"x", &[("if-none-match", "*")]).await.status, 201);
}

#[tokio::test]
async fn a_post_changes_metadata_alone() {
    let node = Node::default().await;
    node.put(
        "100",
        b"data",
        &[("x-object-meta-a", "1"), ("x-object-sysmeta-s", "s"), ("x-static-large-object", "True")],
    )
    .await;
    let headers = [("x-timestamp", "101"), ("x-object-meta-b", "2"), ("content-type", "a/b"), ("expires", "never")];
    let post = node.send("POST", &headers, "").await;
    assert_eq!(
        (post.status, post.header("x-object-sysmeta-s"), post.header("x-backend-content-type")),
        (202, "s", "a/b")
    );

    let get = node.get(&[]).await;
    assert_eq!(
        (get.header("x-object-meta-a"), get.header("x-object-meta-b"), get.header("expires")),
        ("", "2", "never")
    );
    assert_eq!((get.header("content-type"), get.header("x-static-large-object")), ("a/b", "True"));
    assert_eq!(
        (get.header("x-timestamp"), get.header("x-backend-data-timestamp")),
        ("0000000101.00000", "0000000100.00000")
    );

    // Without a content type it stays; without an expiry header that goes.
    node.send("POST", &[("x-timestamp", "102")], "").await;
    let get = node.get(&[]).await;
    assert_eq!((get.header("content-type"), get.header("expires"), &get.body[..]), ("a/b", "", &b"data"[..]));
    assert_eq!(
        node.try_send("POST", "/d1/7/a/c/none", &[("x-timestamp", "1")], body::empty()).await.unwrap().status,
        404
    );
}

#[tokio::test]
async fn conditions_and_ranges() {
    let node = Node::default().await;
    node.put("100", b"0123456789", &[("x-object-sysmeta-alt", "other"), ("x-object-meta-manifest", "y")]).await;
    let etag = "781e5e245d69b566979b86e28d23f2c7";
    let status = async |headers: &[(&str, &str)]| node.get(headers).await.status;
    assert_eq!(status(&[("if-none-match", etag)]).await, 304);
    assert_eq!(status(&[("if-match", "\"nope\"")]).await, 412);
    assert_eq!(status(&[("if-match", "other"), ("x-backend-etag-is-at", "x-no, X-Object-Sysmeta-Alt")]).await, 200);
    assert_eq!(status(&[("if-modified-since", "Thu, 01 Jan 1970 00:01:40 GMT")]).await, 304);
    assert_eq!(status(&[("if-unmodified-since", "Thu, 01 Jan 1970 00:01:39 GMT")]).await, 412);

    let one = node.get(&[("range", "bytes=2-4")]).await;
    assert_eq!((one.status, &one.body[..], one.header("content-range")), (206, &b"234"[..], "bytes 2-4/10"));
    let none = node.get(&[("range", "bytes=10-")]).await;
    assert_eq!((none.status, none.header("content-range")), (416, "bytes */10"));
    let ignored = [("range", "bytes=2-4"), ("x-backend-ignore-range-if-metadata-present", "x-object-meta-manifest")];
    assert_eq!(node.get(&ignored).await.status, 200);

    let many = node.get(&[("range", "bytes=0-0,8-"), ("x-backend-multipart-boundary", "b0")]).await;
    assert_eq!((many.status, many.header("content-type")), (206, "multipart/byteranges;boundary=b0"));
    let part = |range: &str, data: &str| {
        format!("--b0\r\nContent-Type: text/plain\r\nContent-Range: {range}\r\n\r\n{data}\r\n")
    };
    assert_eq!(many.body, part("bytes 0-0/10", "0") + &part("bytes 8-9/10", "89") + "--b0--");
    node.put("101", b"", &[("content-length", "0")]).await;
    let nothing = node.get(&[("range", "bytes=-5")]).await;
    assert_eq!((nothing.status, nothing.header("content-length"), nothing.body.len()), (200, "0", 0));
    let absent = node.try_send("GET", "/d1/7/a/c/none", &[("if-match", "*")], body::empty()).await.unwrap();
    assert_eq!(absent.status, 412);
}

#[tokio::test]
async fn a_long_body_streams_both_ways() {
    let node = Node::start(Config { chunk_size: 1000, ..Config::default() }).await;
    let body: Vec<u8> = (0..100_003u32).map(|n| (n % 251) as u8).collect();
    let headers = [("x-timestamp", "1"), ("content-type", "a/b")];
    let chunks = body.chunks(7_001).map(<[u8]>::to_vec).collect();
    let put = node.try_send("PUT", "/d1/7/a/c/o", &headers, chunked(chunks, None)).await.unwrap();
    assert_eq!(put.status, 201);
    let get = node.get(&[]).await;
    assert_eq!((get.status, get.header("etag")), (200, put.header("etag")));
    assert!(get.body == body);
    let range = node.get(&[("range", "bytes=500-90000,90-99")]).await;
    assert_eq!(range.header("content-length"), range.body.len().to_string());
    assert!(range.body.windows(body[500..=90000].len()).any(|w| w == &body[500..=90000]));
}

#[tokio::test]
async fn the_proxys_hash_is_stored_and_its_crc_checked() {
    let node = Node::default().await;
    let headers = [("x-timestamp", "1"), ("content-type", "a/b"), ("trailer", "x-backend-etag, x-backend-crc32")];
    let (etag, crc) = ("0123456789abcdef0123456789abcdef", format!("{:08x}", crc32fast::hash(b"hello")));
    let put = async |trailers: Option<&[(&str, &str)]>, more: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().chain(more).copied().collect();
        let body = chunked(vec![b"hel".to_vec(), b"lo".to_vec()], trailers);
        node.try_send("PUT", "/d1/7/a/c/o", &headers, body).await.unwrap().status
    };
    let good = [("x-backend-etag", etag), ("x-backend-crc32", crc.as_str())];
    assert_eq!(put(None, &[]).await, 499);
    assert_eq!(put(Some(&good[..1]), &[]).await, 499);
    assert_eq!(put(Some(&[good[0], ("x-backend-crc32", "00000000")]), &[]).await, 503);
    assert_eq!(put(Some(&[("x-backend-etag", "../"), good[1]]), &[]).await, 400);
    assert_eq!(put(Some(&good), &[("etag", "ffffffffffffffffffffffffffffffff")]).await, 422);
    assert!(node.files().is_empty());
    assert_eq!(put(Some(&good), &[("etag", etag)]).await, 201);
    assert_eq!(node.send("HEAD", &[], "").await.header("etag"), etag);
}

#[tokio::test]
async fn what_is_told_of_a_short_body_before_it_counts_as_much() {
    let node = Node::default().await;
    let crc = format!("{:08x}", crc32fast::hash(b"hello"));
    let etag = ("x-backend-etag", "0123456789abcdef0123456789abcdef");
    let put = async |told: &[(&str, &str)]| {
        let headers = [&[("x-timestamp", "1"), ("content-type", "a/b"), ("content-length", "5")], told].concat();
        node.try_send("PUT", "/d1/7/a/c/o", &headers, body::full("hello")).await.unwrap().status
    };
    assert_eq!(put(&[etag, ("x-backend-crc32", "00000000")]).await, 503);
    assert_eq!(put(&[("x-backend-etag", "../"), ("x-backend-crc32", &crc)]).await, 400);
    assert!(node.files().is_empty());
    assert_eq!(put(&[etag, ("x-backend-crc32", &crc)]).await, 201);
    assert_eq!(node.send("HEAD", &[], "").await.header("etag"), etag.1);
}

#[tokio::test]
async fn bad_requests_leave_nothing() {
    let node = Node::start(Config { max_file_size: 10, ..Config::default() }).await;
    let put = async |headers: &[(&str, &str)], body: Body| {
        node.try_send("PUT", "/d1/7/a/c/o", headers, body).await.unwrap().status
    };
    let (t, c) = (("x-timestamp", "100"), ("content-type", "a/b"));
    assert_eq!(put(&[c], body::full("x")).await, 400);
    assert_eq!(put(&[("x-timestamp", "soon"), c], body::full("x")).await, 400);
    assert_eq!(put(&[t], body::full("x")).await, 400);
    assert_eq!(put(&[t, c, ("etag", "d41d8cd98f00b204e9800998ecf8427e")], body::full("x")).await, 422);
    assert_eq!(put(&[t, c, ("x-delete-at", "99")], body::full("x")).await, 400);
    assert_eq!(put(&[t, c, ("x-object-meta-", "v")], body::full("x")).await, 400);
    assert_eq!(put(&[t, c], body::full("01234567890")).await, 413);
    assert_eq!(put(&[t, c], chunked(vec![b"0123456".to_vec(); 2], None)).await, 413);
    assert_eq!(put(&[t, c, ("x-backend-storage-policy-index", "9")], body::full("x")).await, 503);
    for (path, status) in [("/d1/7/a/c", 400), ("/../7/a/c/o", 400), ("/d2/7/a/c/o", 507), ("/d1/x/a/c/o", 400)] {
        assert_eq!(node.try_send("PUT", path, &[t, c], body::full("x")).await.unwrap().status, status, "{path}");
    }
    assert_eq!(node.send("OPTIONS", &[], "").await.status, 405);
    assert!(node.files().is_empty() && !node.root.path().join("d2").exists());
    assert_eq!(put(&[t, c], body::full("0123456789")).await, 201);
}

/// What a peer sees that sends these bytes and then waits, or closes its sending half.
async fn raw(node: &Node, bytes: &str, close: bool) -> String {
    let mut stream = TcpStream::connect(&node.address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    if close {
        stream.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_stalled_or_broken_client_holds_nothing() {
    let node = Node::start(Config { client_timeout: std::time::Duration::from_millis(50), ..Config::default() }).await;
    let head = "PUT /d1/7/a/c/o HTTP/1.1\r\nHost: h\r\nX-Timestamp: 1\r\nContent-Type: a/b\r\n";
    let stalled = raw(&node, &format!("{head}Content-Length: 5\r\n\r\nhe"), false).await;
    assert!(stalled.starts_with("HTTP/1.1 408 "), "{stalled}");
    let garbage = raw(&node, &format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), false).await;
    assert!(garbage.starts_with("HTTP/1.1 4"), "{garbage}");
    raw(&node, &format!("{head}Content-Length: 5\r\n\r\nhe"), true).await;
    let unlimited = raw(&node, &format!("{head}\r\n"), true).await;
    assert!(unlimited.starts_with("HTTP/1.1 411 "), "{unlimited}");
    assert!(node.files().is_empty());
}

#[tokio::test]
async fn a_client_that_waits_is_refused_before_it_sends() {
    let node = Node::default().await;
    node.put("100", b"there", &[]).await;
    let head =
        "PUT /d1/7/a/c/o HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\nContent-Type: a/b\r\n";
    let refused = raw(&node, &format!("{head}X-Timestamp: 50\r\n\r\n"), true).await;
    assert!(refused.starts_with("HTTP/1.1 409 "), "{refused}");

    let mut stream = TcpStream::connect(&node.address).await.unwrap();
    stream.write_all(format!("{head}X-Timestamp: 150\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on[..], b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"later").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[tokio::test]
async fn an_expired_object_is_absent_and_deleted_on_condition() {
    let node = Node::default().await;
    node.put("100", b"x", &[("x-delete-at", "200")]).await;
    let gone = node.get(&[]).await;
    assert_eq!((gone.status, gone.header("x-backend-timestamp")), (404, "0000000100.00000"));
    assert_eq!(node.get(&[("x-backend-open-expired", "true")]).await.status, 200);
    assert_eq!(node.get(&[("x-timestamp", "150")]).await.status, 200);
    assert_eq!(node.send("POST", &[("x-timestamp", "300")], "").await.status, 404);

    let delete = async |timestamp, at| {
        node.send("DELETE", &[("x-timestamp", timestamp), ("x-if-delete-at", at)], "").await.status
    };
    assert_eq!(delete("300", "199").await, 412);
    assert_eq!(delete("100", "200").await, 409);
    assert_eq!(delete("300", "never").await, 400);
    assert_eq!(delete("300", "200").await, 204);
    assert_eq!(delete("301", "200").await, 412);
}

#[tokio::test]
async fn damage_is_never_served_whole() {
    let node = Node::start(Config { chunk_size: 4, ..Config::default() }).await;
    for (timestamp, body) in [("1", &b"abc"[..]), ("2", b"long enough to stream")] {
        node.put(timestamp, body, &[]).await;
        let path = node.files().into_iter().find(|f| f.ends_with(".data") && f.starts_with("objects")).unwrap();
        let file = fs::OpenOptions::new().write(true).open(node.device().join(path)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"X", 1).unwrap();
        let get = node.get(&[]).await;
        assert!(get.status == 404 || &get.body[..] == b"(cut short)", "{}", get.status);
        assert_eq!(node.get(&[]).await.status, 404);
    }
    assert_eq!(node.files().iter().filter(|f| f.starts_with("quarantined/objects/")).count(), 2);
}

#[tokio::test]
async fn a_device_that_goes_away_is_507_and_stays_away() {
    let node = Node::default().await;
    node.put("1", b"x", &[]).await;
    fs::remove_dir_all(node.device()).unwrap();
    assert_eq!(node.put("2", b"x", &[]).await.status, 507);
    assert_eq!(node.get(&[]).await.status, 507);
    assert!(!node.device().exists());
    fs::create_dir(node.device()).unwrap();
    assert_eq!(node.put("3", b"x", &[]).await.status, 201);
}

#[tokio::test]
async fn a_full_disk_is_507() {
    let full = Config { fallocate_reserve: Reserve::Bytes(u64::MAX), ..Config::default() };
    let node = Node::start(full).await;
    assert_eq!(node.put("1", b"x", &[]).await.status, 507);
    assert!(node.files().is_empty());
    // A tombstone needs no reserve.
    assert_eq!(node.send("DELETE", &[("x-timestamp", "1")], "").await.status, 404);
    assert_eq!(node.files().len(), 1);
}

#[tokio::test]
async fn metadata_at_swifts_limits_goes_in_and_out() {
    let node = Node::default().await;
    let (value, long) = ("v".repeat(26), "h".repeat(8192));
    let names: Vec<_> = (0..90).map(|n| format!("x-object-meta-name-{n:012}")).collect();
    let mut headers: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), value.as_str())).collect();
    headers.extend([("expires", long.as_str()), ("cache-control", &long), ("content-disposition", &long)]);
    assert_eq!(node.put("1", b"body", &headers).await.status, 201);
    let posted: Vec<_> = headers.iter().copied().chain([("x-timestamp", "2"), ("x-robots-tag", &long)]).collect();
    for round in 0..2 {
        let get = node.get(&[]).await;
        assert!(get.status == 200 && headers.iter().all(|(n, v)| get.header(n) == *v) && &get.body[..] == b"body");
        assert_eq!(get.header("x-robots-tag").is_empty(), round == 0);
        assert!([202, 409].contains(&node.send("POST", &posted, "").await.status));
    }
}

#[test]
fn a_config_is_read_and_typos_are_errors() {
    let config: Config = serde_json::from_str(r#"{"fallocate_reserve": "2%", "client_timeout": 0.5}"#).unwrap();
    assert_eq!((config.client_timeout.as_millis(), config.disk_threads), (500, Config::default().disk_threads));
    assert!(serde_json::from_str::<Config>(r#"{"fallocate_reserv": 1}"#).is_err());
    assert_eq!(StatusCode::INSUFFICIENT_STORAGE.as_u16(), 507);
}
