//! The real Swift as the oracle, and a dumb one; and what must not be decrypted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use apus_base::body::{self, Body};
use apus_base::client::{ClusterClient, PutError, Rings};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::crypto::{BodyKey, Cipher};
use apus_base::metrics::Metrics;
use apus_base::ring::{Device, IdWidth, Ring, Table};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};

mod customer;

use super::body::{Decrypting, Parts};
use super::{Outgoing, Seal, mask_conditions, open, open_listing, seal_metadata};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::container::ContainerName;
use crate::ops::crypto::Undecryptable;
use crate::ops::resource::ObjectName;
use crate::{Config, Proxy};

/// Base64 of 32 bytes each.
const ROOTS: [&str; 2] =
    ["YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=", "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="];

/// Names of which Swift's versions make different key ids.
const OBJECTS: [&str; 4] = ["o", "/slash/first", "☃/é ü", "a b+c;d%25"];

fn proxy(encryption: &Value) -> Proxy {
    let config = json!({ "token_secret": "0123456789abcdef".repeat(4), "encryption": encryption });
    let config: Config = serde_json::from_value(config).unwrap();
    let device = Device {
        device: "d1".into(),
        id: 0,
        ip: "127.0.0.1".into(),
        meta: String::new(),
        port: 1,
        region: 1,
        replication_ip: "127.0.0.1".into(),
        replication_port: 1,
        weight: 1.0,
        zone: 1,
    };
    let table = Table::new(1, IdWidth::TwoBytes, [0, 0].into_iter()).unwrap();
    let ring = Arc::new(Ring::new(vec![Some(device)], table).unwrap());
    let rings = Rings { account: Arc::clone(&ring), container: ring, objects: BTreeMap::new() };
    let cluster = ClusterConfig { hash_path_suffix: "salt".into(), ..ClusterConfig::default() };
    let cluster: Cluster = cluster.try_into().unwrap();
    let client = ClusterClient::new(config.client.clone(), Arc::new(cluster), rings, &Metrics::new("proxy"));
    Proxy::new(config, client, Arc::default()).unwrap()
}

/// Both roots, with one of them active (the second has the id `2`).
fn both(active: &str, version: &str) -> Value {
    let roots = json!({ "2": ROOTS[1] });
    json!({ "root_secret": ROOTS[0], "root_secrets": roots, "active_root_secret_id": active, "meta_version_to_write": version })
}

fn name(object: &str) -> ObjectName {
    ObjectName { account: "AUTH_a".into(), container: "c☃".into(), object: object.into() }
}

fn path(object: &str) -> String {
    let part = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    format!("/v1/{}/{}/{}", part("AUTH_a"), part("c☃"), part(object))
}

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(k, v)| (k.parse().unwrap(), http::HeaderValue::from_bytes(v.as_bytes()).unwrap())).collect()
}

async fn bytes_of(body: Body) -> Vec<u8> {
    body.collect().await.unwrap().to_bytes().to_vec()
}

/// What object servers would store of a PUT: headers and bytes.
async fn stored(proxy: &Proxy, object: &str, headers: &[(&str, &str)], bytes: &[u8]) -> (HeaderMap, Vec<u8>) {
    let (mut headers, name) = (map(headers), name(object));
    seal_metadata(proxy, &name, &mut headers).unwrap();
    let seal = Seal::default();
    let mut outgoing = Outgoing::new(proxy, &name, &mut headers, body::full(bytes.to_vec()), None, &seal).unwrap();
    let footers = outgoing.footers.take();
    let answered = outgoing.answered();
    let stored = bytes_of(outgoing.body).await;
    if let Some(footers) = footers {
        headers.extend((footers.make)().unwrap());
    }
    let md5 = |bytes: &[u8]| hex(&<md5::Md5 as md5::Digest>::digest(bytes));
    headers.insert("etag", md5(&stored).parse().unwrap());
    assert_eq!(answered(Some(md5(&stored))), Some(md5(bytes)));
    (headers, stored)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn response(status: u16, headers: HeaderMap, bytes: &[u8]) -> Response<Body> {
    let mut response = Response::new(body::full(bytes.to_vec()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = headers;
    response
}

fn get(proxy: &Proxy, object: &str, headers: &HeaderMap, bytes: &[u8]) -> Result<Response<Body>, Error> {
    let (parts, ()) = http::Request::new(()).into_parts();
    open(Call { proxy, parts: &parts }, &name(object), &Method::GET, response(200, headers.clone(), bytes))
}

fn refusal(outcome: Result<Response<Body>, Error>) -> Undecryptable {
    match outcome {
        Err(Error::Undecryptable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

// With Swift.

/// What Swift makes of these requests; `None` where it is not installed.
fn swift(requests: &[Value]) -> Option<Vec<Value>> {
    let Ok(python) = std::env::var("APUS_SWIFT_PYTHON") else {
        eprintln!("left out: APUS_SWIFT_PYTHON does not name a Python that has Swift");
        return None;
    };
    let script = format!("{}/tests/swift_crypto.py", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let mut swift = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    swift.stdin.take().unwrap().write_all(serde_json::to_string(requests).unwrap().as_bytes()).unwrap();
    let output = swift.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn secrets(active: &str, version: &str) -> Value {
    json!({ "version": version, "active": active, "roots": { "": ROOTS[0], "2": ROOTS[1] } })
}

/// Every way in which Swift could have written an object: its name, the active secret, the version of the key id.
fn ways() -> Vec<(&'static str, &'static str, &'static str)> {
    let versions = ["1", "2", "3"].into_iter();
    let named = OBJECTS.into_iter().flat_map(|object| ["", "2"].map(|active| (object, active)));
    versions.flat_map(|version| named.clone().map(move |(object, active)| (object, active, version))).collect()
}

#[tokio::test]
async fn what_swift_wrote_is_read_here() {
    let bodies: [&[u8]; 3] = [b"", b"plain text", &[7; 40_000]];
    let cases: Vec<_> = ways().into_iter().flat_map(|way| bodies.map(|body| (way, body))).collect();
    let ask = |((object, active, version), body): &((&str, &str, &str), &[u8])| {
        let request = json!({ "X-Object-Meta-Color": "red", "X-Object-Meta-Empty": "" });
        json!({ "method": "PUT", "path": path(object), "secrets": secrets(active, version), "request": request, "body": hex(body) })
    };
    let Some(written) = swift(&cases.iter().map(ask).collect::<Vec<_>>()) else { return };
    // Whichever secret is active here.
    let proxy = proxy(&both("2", "3"));
    for (((object, ..), plain), wrote) in cases.iter().zip(&written) {
        let items = wrote["headers"].as_object().unwrap().iter();
        let headers: HeaderMap =
            items.map(|(k, v)| (k.parse().unwrap(), v.as_str().unwrap().parse().unwrap())).collect();
        let opened = get(&proxy, object, &headers, &unhex(wrote["body"].as_str().unwrap())).unwrap();
        assert_eq!(opened.headers()["x-object-meta-color"], "red");
        assert!(!opened.headers().keys().any(|name| name.as_str().contains("crypto-meta")));
        if !plain.is_empty() {
            assert_eq!(opened.headers()["etag"], wrote["etag"].as_str().unwrap());
            let row = json!([{ "name": object, "hash": headers["x-object-sysmeta-container-update-override-etag"].to_str().unwrap() }]);
            let container = ContainerName { account: "AUTH_a", container: "c☃" };
            let listing = open_listing(&proxy, container, response(200, HeaderMap::new(), row.to_string().as_bytes()));
            let listing: Value = serde_json::from_slice(&bytes_of(listing.into_body()).await).unwrap();
            assert_eq!(listing, json!([{ "name": object, "hash": wrote["etag"] }]));
        }
        assert_eq!(bytes_of(opened.into_body()).await, *plain);
    }
}

#[tokio::test]
async fn what_is_written_here_is_read_by_swift() {
    let mut requests = Vec::new();
    for (object, active, version) in ways() {
        let proxy = proxy(&both(active, version));
        let (headers, bytes) =
            stored(&proxy, object, &[("x-object-meta-color", "red"), ("content-type", "text/plain")], b"plain text")
                .await;
        let headers: BTreeMap<_, _> = headers.iter().map(|(k, v)| (k.as_str(), v.to_str().unwrap())).collect();
        // Swift has the other secret active.
        let other = if active.is_empty() { "2" } else { "" };
        let condition = json!({ "If-Match": "\"0123\", *, abc" });
        requests.push(json!({ "method": "GET", "path": path(object), "secrets": secrets(other, version), "request": condition, "status": "200 OK", "headers": headers, "body": hex(&bytes) }));
    }
    let Some(read) = swift(&requests) else { return };
    for (request, read) in requests.iter().zip(read) {
        assert_eq!(read["status"], "200 OK", "{request} {read}");
        assert_eq!(read["headers"]["x-object-meta-color"], "red");
        assert_eq!(read["headers"]["etag"], "31bc5c2b8fd4f20cd747347b7504a385");
        assert_eq!(unhex(read["body"].as_str().unwrap()), b"plain text");
    }
    // Conditions are masked alike; which secret's HMAC comes first is nobody's business.
    let mut headers = map(&[("if-match", "\"0123\", *, abc"), ("x-backend-etag-is-at", "x-object-sysmeta-slo-etag")]);
    mask_conditions(&proxy(&both("2", "3")), &name(OBJECTS[0]), &mut headers).unwrap();
    let sorted = |text: &str| {
        let mut tags: Vec<_> = text.split(", ").map(str::to_owned).collect();
        tags.sort();
        tags
    };
    let swifts = swift(&requests)
        .unwrap()
        .iter()
        .map(|read| read["conditions"]["If-Match"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    let ours = sorted(headers["if-match"].to_str().unwrap());
    assert!(swifts.iter().any(|text| sorted(text) == ours), "{ours:?} {swifts:?}");
    assert_eq!(headers["x-backend-etag-is-at"], "x-object-sysmeta-slo-etag,x-object-sysmeta-crypto-etag-mac");
}

// Without.

#[tokio::test]
async fn nothing_readable_leaves_the_proxy() {
    let proxy = proxy(&both("2", "3"));
    let headers = [("x-object-meta-color", "ultramarine"), ("content-type", "text/plain")];
    let (headers, bytes) = stored(&proxy, "o", &headers, b"ultramarine").await;
    let all = format!("{headers:?} {}", String::from_utf8_lossy(&bytes));
    let md5 = hex(&<md5::Md5 as md5::Digest>::digest(b"ultramarine"));
    assert!(!all.contains("ultramarine") && !all.contains(&md5));
    assert!(!headers.contains_key("x-object-meta-color"));
    // Neither do the configuration and the proxy's keys show secrets.
    let shown = format!("{:?} {:?}", proxy.config, proxy.keymaster);
    assert!(!shown.contains(ROOTS[0]) && !shown.contains("YmJi") && !shown.contains("98, 98, 98"));
}

#[tokio::test]
async fn what_another_layer_wants_listed_is_encrypted_too() {
    let proxy = proxy(&both("2", "3"));
    const LISTED: &str = "x-object-sysmeta-container-update-override-etag";
    // What is shown, the body, and what is stored: nothing, the same, or something encrypted.
    let empty = "d41d8cd98f00b204e9800998ecf8427e";
    let cases = [
        (Some("slo; slo_etag=x"), "body", Some(None)),
        (None, "body", Some(None)),
        (Some(""), "body", Some(Some(""))),
        (Some(empty), "body", Some(None)),
        (Some("link"), "", Some(None)),
        (Some(empty), "", Some(Some(empty))),
        (None, "", None),
    ];
    for (listed, bytes, expected) in cases {
        let headers: Vec<_> = listed.iter().map(|listed| (LISTED, *listed)).collect();
        let (headers, _) = stored(&proxy, "o", &headers, bytes.as_bytes()).await;
        let found = headers.get(LISTED).map(|value| value.to_str().unwrap());
        match expected {
            None => assert_eq!(found, None),
            Some(Some(plain)) => assert_eq!(found, Some(plain)),
            Some(None) => {
                assert!(found.unwrap().contains("; swift_meta="));
                let opened = get(&proxy, "o", &headers, b"").unwrap();
                let md5 = hex(&<md5::Md5 as md5::Digest>::digest(bytes));
                assert_eq!(opened.headers()[LISTED], listed.unwrap_or(&md5));
            }
        }
    }
}

#[tokio::test]
async fn a_broken_promise_is_told_before_anything_is_stored() {
    let proxy = proxy(&both("", "3"));
    let promised = |etag: &str| {
        let body = body::full("foo");
        Outgoing::new(&proxy, &name("o"), &mut HeaderMap::new(), body, Some(etag.to_owned()), &Seal::default()).unwrap()
    };
    let kept = promised("\"ACBD18DB4CC2F85CEDEF654FCCC4A4D8\"");
    assert_eq!(kept.expect_etag, None);
    let _ = bytes_of(kept.body).await;
    assert!((kept.footers.unwrap().make)().is_ok());
    let broken = promised("0123");
    let _ = bytes_of(broken.body).await;
    assert!(matches!((broken.footers.unwrap().make)(), Err(PutError::EtagMismatch { .. })));
}

#[tokio::test]
async fn a_missing_or_wrong_secret_gives_no_garbage() {
    let (headers, bytes) = stored(&proxy(&both("2", "3")), "o", &[("x-object-meta-a", "b")], b"plain").await;
    let mut meta_only = headers.clone();
    for name in [
        "x-object-sysmeta-crypto-body-meta",
        "x-object-sysmeta-crypto-etag",
        "x-object-sysmeta-crypto-etag-mac",
        "x-object-sysmeta-container-update-override-etag",
    ] {
        meta_only.remove(name);
    }
    let missing = proxy(&json!({ "root_secret": ROOTS[0] }));
    let off = proxy(&json!({}));
    let wrong = proxy(&json!({ "root_secrets": { "2": ROOTS[0] }, "active_root_secret_id": "2" }));
    for other in [missing, off, wrong] {
        assert_eq!(refusal(get(&other, "o", &headers, &bytes)), Undecryptable::Object);
        assert_eq!(refusal(get(&other, "o", &meta_only, b"")), Undecryptable::Object);
        let listed = headers["x-object-sysmeta-container-update-override-etag"].to_str().unwrap();
        let row = json!([{ "hash": listed, "name": "o" }]).to_string();
        let container = ContainerName { account: "AUTH_a", container: "c☃" };
        let listing = open_listing(&other, container, response(200, HeaderMap::new(), row.as_bytes()));
        assert_eq!(bytes_of(listing.into_body()).await, br#"[{"hash":"<unknown>","name":"o"}]"#);
    }
}

#[tokio::test]
async fn forged_crypto_meta_is_refused() {
    let proxy = proxy(&both("2", "3"));
    let (headers, bytes) = stored(&proxy, "o", &[("x-object-meta-a", "b")], b"plain").await;
    const BODY: &str = "x-object-sysmeta-crypto-body-meta";
    const ETAG: &str = "x-object-sysmeta-crypto-etag";
    const META: &str = "x-object-transient-sysmeta-crypto-meta-a";
    let own = headers[BODY].to_str().unwrap().to_owned();
    let forgeries: [(&str, String, Undecryptable); 11] = [
        (BODY, "no JSON".into(), Undecryptable::Object),
        (BODY, "%7B%7D".into(), Undecryptable::Object),
        (BODY, "[]".into(), Undecryptable::Object),
        (BODY, own.replace("AES_CTR_256", "ROT13"), Undecryptable::Object),
        (BODY, own.replace("%22body_key", "%22no_key"), Undecryptable::Object),
        (BODY, own.replace("%22v%22%3A%223", "%22v%22%3A%224"), Undecryptable::Keys),
        (BODY, own.replace("%22secret_id%22%3A%222", "%22secret_id%22%3A%223"), Undecryptable::Object),
        // Another object's key.
        (BODY, own.replace("%2Fo%22", "%2Fx%22"), Undecryptable::Object),
        (ETAG, "plain".into(), Undecryptable::Header),
        (ETAG, headers[META].to_str().unwrap().to_owned(), Undecryptable::Object),
        (META, "plain".into(), Undecryptable::Header),
    ];
    for (name, value, expected) in forgeries {
        let mut forged = headers.clone();
        assert_ne!(forged.insert(name, value.parse().unwrap()).unwrap(), value, "{name}");
        assert_eq!(refusal(get(&proxy, "o", &forged, &bytes)), expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_post_under_another_secret_than_the_put() {
    let (mut headers, bytes) = stored(&proxy(&both("", "3")), "o", &[], b"plain").await;
    let mut post = map(&[("x-object-meta-a", "b")]);
    seal_metadata(&proxy(&both("2", "1")), &name("o"), &mut post).unwrap();
    headers.extend(post);
    let opened = get(&proxy(&both("2", "3")), "o", &headers, &bytes).unwrap();
    assert_eq!(opened.headers()["x-object-meta-a"], "b");
    assert_eq!(bytes_of(opened.into_body()).await, b"plain");
}

#[tokio::test]
async fn what_is_rewrapped_needs_the_new_secret_only() {
    let long = "long ".repeat(50);
    let meta = [("x-object-meta-a", "b"), ("x-object-meta-long", long.as_str())];
    for (object, plain) in OBJECTS.into_iter().flat_map(|object| [(object, &b"plain"[..]), (object, b"")]) {
        let (mut headers, bytes) = stored(&proxy(&both("", "2")), object, &meta, plain).await;
        let name = name(object);
        let parts = (&*name.account, &*name.container, object);
        let both = proxy(&both("2", "3")).keymaster;
        let rewrapped = apus_base::crypto::rewrap(&both, parts, &headers).unwrap();
        for (name, value) in &rewrapped {
            assert_ne!(headers.insert(name.clone(), value.clone()).unwrap(), value);
        }
        let only_new = proxy(&json!({ "root_secrets": { "2": ROOTS[1] }, "active_root_secret_id": "2" }));
        let opened = get(&only_new, object, &headers, &bytes).unwrap();
        assert_eq!(
            (&opened.headers()["x-object-meta-a"], opened.headers()["x-object-meta-long"].to_str().unwrap()),
            (&http::HeaderValue::from_static("b"), long.trim_end_matches('x'))
        );
        assert_eq!(bytes_of(opened.into_body()).await, plain);
        // There is nothing left to do, and what is under a secret that is not the one of its id is not touched.
        assert!(apus_base::crypto::rewrap(&both, parts, &headers).unwrap().is_empty());
        let back = proxy(&json!({ "root_secret": ROOTS[0], "root_secrets": { "2": ROOTS[0] } })).keymaster;
        assert!(apus_base::crypto::rewrap(&back, parts, &headers).is_err());
    }
}

#[tokio::test]
async fn new_data_stays_plain_when_encryption_is_disabled() {
    let mut config = both("2", "3");
    let (headers, bytes) = stored(&proxy(&config), "o", &[], b"plain").await;
    config["disable_encryption"] = true.into();
    let off = proxy(&config);
    let opened = get(&off, "o", &headers, &bytes).unwrap();
    assert_eq!(bytes_of(opened.into_body()).await, b"plain");
    let mut headers = map(&[("x-object-meta-a", "b")]);
    seal_metadata(&off, &name("o"), &mut headers).unwrap();
    let outgoing = Outgoing::new(&off, &name("o"), &mut headers, body::full("x"), Some("e".into()), &Seal::default());
    let outgoing = outgoing.unwrap();
    assert_eq!((outgoing.expect_etag.as_deref(), outgoing.footers.is_none()), (Some("e"), true));
    assert_eq!(headers["x-object-meta-a"], "b");
}

/// A body in pieces.
fn pieces(bytes: &[u8], size: usize) -> Body {
    let pieces: Vec<_> =
        bytes.chunks(size.max(1)).map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece)))).collect();
    http_body_util::StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    /// Ranges against cutting the plaintext.
    #[test]
    fn a_range_is_that_of_the_plaintext(plain in prop::collection::vec(any::<u8>(), 1..300), at: prop::sample::Index, size in 1usize..40) {
        let key = BodyKey::random().unwrap();
        let mut cipher = plain.clone();
        Cipher::new(&key.key, &key.iv).apply(&mut cipher);
        let start = at.index(plain.len());
        let headers = map(&[("content-range", &format!("bytes {start}-{}/{}", plain.len() - 1, plain.len()))]);
        let body = Decrypting::wrap(pieces(&cipher[start..], size), &headers, key).unwrap();
        prop_assert_eq!(run(bytes_of(body)), &plain[start..]);
    }

    /// Several ranges, however they arrive: what is the object's is decrypted, all else stays.
    #[test]
    fn several_ranges(plain in prop::collection::vec(any::<u8>(), 2..300), starts in prop::collection::vec(any::<prop::sample::Index>(), 1..5), size in 1usize..90) {
        let key = BodyKey::random().unwrap();
        let mut cipher = plain.clone();
        Cipher::new(&key.key, &key.iv).apply(&mut cipher);
        let ranges: Vec<_> = starts.iter().map(|start| { let start = start.index(plain.len()) as u64; start..(start + 9).min(plain.len() as u64) }).collect();
        let multipart = apus_base::range::Multipart::new("b0".into(), "text/plain".into(), plain.len() as u64, ranges);
        let with = |bytes: &[u8]| {
            let mut all = Vec::new();
            for range in multipart.ranges() {
                all.extend(multipart.part_head(range).bytes());
                all.extend(&bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]);
                all.extend(b"\r\n");
            }
            all.extend(multipart.end().bytes());
            all
        };
        let headers = map(&[("content-type", &multipart.content_type())]);
        let body = Decrypting::wrap(pieces(&with(&cipher), size), &headers, key).unwrap();
        prop_assert_eq!(run(bytes_of(body)), with(&plain));
    }

    #[test]
    fn any_bytes_are_parts_or_refused(bytes in "(--b\r\n)?(Content-Range: bytes [0-9]{0,20}-[0-9]{0,20}/[0-9]{1,3}\r\n\r\n)?\\PC{0,40}") {
        let _ = Parts::new(BodyKey::random().unwrap()).apply(&mut bytes.into_bytes());
    }
}
