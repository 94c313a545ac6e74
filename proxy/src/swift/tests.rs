//! Whole requests, as they leave the pipeline, against a backend in memory.

mod backend;
mod bulk;
mod conditional;
mod large;
mod links;
mod listings;
mod versions;

use std::sync::Arc;

use apus_base::body;
use http::{Request, StatusCode};
use serde_json::json;

use crate::auth::Identity;
use crate::context::Context;
use backend::{Rig, rig};

/// What a client sees.
#[derive(Debug)]
struct Seen {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }
}

impl Rig {
    /// The request `line` (`METHOD /path`), with headers and a body, of a user of these groups.
    async fn ask_as(&self, groups: &[&str], line: &str, headers: &[(&str, &str)], sent: impl AsRef<[u8]>) -> Seen {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = self.of(groups, request.body(body::full(sent.as_ref().to_vec())).unwrap());
        let (parts, body) = super::answer(&self.proxy, request).await.into_parts();
        let body = body::read_to_end(body, 1 << 20).await.unwrap();
        Seen { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// A request of a user of these groups.
    fn of(&self, groups: &[&str], mut request: Request<body::Body>) -> Request<body::Body> {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let identity = Identity { user: groups[0].clone(), groups, reseller_admin: false, reseller_reader: false };
        let context = Context {
            trans_id: "tx1".into(),
            peer: ([127, 0, 0, 1], 1).into(),
            identity: Some(Arc::new(identity)),
            grant: None,
        };
        request.extensions_mut().insert(context);
        request
    }

    /// The same, of the admin of `AUTH_a`.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], sent: impl AsRef<[u8]>) -> Seen {
        let length = sent.as_ref().len().to_string();
        let mut headers = headers.to_vec();
        if line.starts_with("PUT") && headers.iter().all(|(name, _)| *name != "transfer-encoding") {
            headers.push(("content-length", &length));
        }
        self.ask_as(&["a:admin", "a", "AUTH_a"], line, &headers, sent).await
    }

    async fn with_container(self) -> Self {
        assert_eq!(self.ask("PUT /v1/AUTH_a/c", &[], "").await.status, 201);
        self
    }
}

#[tokio::test]
async fn an_object_comes_back_and_goes() {
    // The first container brings its account into being.
    let rig = rig(json!({})).await.with_container().await;
    assert!(rig.backend.headers(&["AUTH_a"]).is_some());
    // Its metadata and its bytes are stored, with the type of its name.
    let headers = [("x-object-meta-color", "red"), ("etag", "\"acbd18db4cc2f85cedef654fccc4a4d8\""), ("cookie", "c")];
    let put = rig.ask("PUT /v1/AUTH_a/c/dir/o%20.txt", &headers, "foo").await;
    assert_eq!((put.status.as_u16(), put.header("etag")), (201, "acbd18db4cc2f85cedef654fccc4a4d8"));
    assert!(put.header("last-modified").ends_with(" GMT"));
    assert!(rig.backend.headers(&["AUTH_a", "c", "dir/o .txt"]).unwrap().get("cookie").is_none());
    // They come back.
    let get = rig.ask("GET /v1/AUTH_a/c/dir/o%20.txt", &[], "").await;
    assert_eq!((get.status.as_u16(), get.body.as_str()), (200, "foo"));
    assert_eq!((get.header("content-type"), get.header("x-object-meta-color")), ("text/plain", "red"));
    assert_eq!((get.header("accept-ranges"), get.header("x-put-timestamp")), ("bytes", "-"));
    // A promise that no body can keep is broken.
    for etag in ["acbd18db4cc2f85cedef654fccc4a4d9", "é"] {
        let lie = rig.ask("PUT /v1/AUTH_a/c/dir/o%20.txt", &[("etag", etag)], "foo").await;
        assert_eq!(lie.status, 422, "{etag}");
    }
    // A POST is accepted with its page.
    let post = rig.ask("POST /v1/AUTH_a/c/dir/o%20.txt", &[("x-object-meta-color", "blue")], "").await;
    assert_eq!(post.status, 202);
    let page = "<html><h1>Accepted</h1><p>The request is accepted for processing.</p></html>";
    assert_eq!(post.body, page);
    // Gone is gone.
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/dir/o%20.txt", &[], "").await.status, 204);
    let missing = rig.ask("GET /v1/AUTH_a/c/dir/o%20.txt", &[], "").await;
    let page = "<html><h1>Not Found</h1><p>The resource could not be found.</p></html>";
    assert_eq!((missing.status.as_u16(), missing.body.as_str()), (404, page));
}

/// (request, headers, status, body): what never reaches a storage server.
/// A request and its headers, the status and the text that refuse it.
type Refused<'a> = (String, Vec<(&'a str, &'a str)>, u16, &'a str);

#[tokio::test]
async fn refusals() {
    let rig =
        rig(json!({ "deny_host_headers": ["evil"], "max_containers_per_account": 0 })).await.with_container().await;
    let long = |n| "n".repeat(n);
    let over = "5368709123";
    let precondition = "Destination header must be of the form <container name>/<object name>";
    let source = "X-Copy-From header must be of the form <container name>/<object name>";
    let cases: Vec<Refused<'_>> = vec![
        ("GET /v1/AUTH_a/%ff".into(), vec![], 412, "Invalid UTF8 or contains NULL"),
        ("GET /v1/AUTH_a/%00".into(), vec![], 412, "Invalid UTF8 or contains NULL"),
        ("GET /v1".into(), vec![], 412, "Bad URL"),
        ("GET /v1/AUTH_a/c".into(), vec![("host", "evil:80")], 403, "Invalid host header"),
        ("GET /v1/AUTH_a/c?limit=10001".into(), vec![], 412, "Maximum limit is 10000"),
        ("GET /v1/AUTH_a?marker=%ff".into(), vec![], 400, "\"marker\" parameter not valid UTF-8"),
        (format!("PUT /v1/AUTH_a/{}", long(257)), vec![], 400, "Container name length of 257 longer than 256"),
        ("PUT /v1/AUTH_a/c".into(), vec![("x-storage-policy", "tin")], 400, "Invalid X-Storage-Policy 'tin'"),
        ("PUT /v1/AUTH_a/c".into(), vec![("x-storage-policy", "lead")], 400, "Storage Policy 'lead' is deprecated"),
        ("POST /v1/AUTH_a".into(), vec![("x-account-meta-", "1")], 400, "Metadata name cannot be empty"),
        (format!("PUT /v1/AUTH_a/c/{}", long(1025)), vec![], 400, "Object name length of 1025 longer than 1024"),
        ("PUT /v1/AUTH_a/c/o".into(), vec![("if-none-match", "x")], 400, "If-None-Match only supports *"),
        ("PUT /v1/AUTH_a/c/o".into(), vec![("x-delete-at", "1")], 400, "X-Delete-At in past"),
        (
            "PUT /v1/AUTH_a/c/o".into(),
            vec![("transfer-encoding", "gzip, chunked")],
            501,
            "Unsupported Transfer-Coding header value specified in Transfer-Encoding header",
        ),
        ("POST /v1/AUTH_a/c/o".into(), vec![("x-delete-after", "x")], 400, "Non-integer X-Delete-After"),
        ("COPY /v1/AUTH_a/c/o".into(), vec![], 412, "Destination header required"),
        ("COPY /v1/AUTH_a/c/o".into(), vec![("destination", "c")], 412, precondition),
        (
            "COPY /v1/AUTH_a/c/o".into(),
            vec![("destination", "c/o"), ("destination-account", "")],
            412,
            "Account name cannot be empty",
        ),
        (
            "COPY /v1/AUTH_a/c/o".into(),
            vec![("destination", "c/o"), ("destination-account", "a%2Fb")],
            412,
            "Account name cannot contain slashes",
        ),
        ("PUT /v1/AUTH_a/c/o".into(), vec![("x-copy-from", "c")], 412, source),
    ];
    for (line, headers, status, text) in cases {
        let seen = rig.ask(&line, &headers, "").await;
        assert_eq!((seen.status.as_u16(), seen.body.as_str()), (status, text), "{line} {headers:?}");
    }
    let large = rig.ask_as(&["u", "AUTH_a"], "PUT /v1/AUTH_a/c/o", &[("content-length", over)], "").await;
    assert_eq!((large.status.as_u16(), large.body.as_str()), (413, "Your request is too large."));
    let unsized_body = rig.ask_as(&["u", "AUTH_a"], "PUT /v1/AUTH_a/c/o", &[], "").await;
    assert_eq!((unsized_body.status.as_u16(), unsized_body.body.as_str()), (411, "Missing Content-Length header."));
    let both = rig.ask("PUT /v1/AUTH_a/c/o", &[("x-copy-from", "c/o")], "bytes").await;
    assert_eq!((both.status.as_u16(), both.body.as_str()), (400, "Copy requests require a zero byte body"));
    // Pages: (request, status).
    for (line, status) in [
        ("GET /v2/AUTH_a".to_owned(), 400),
        ("GET //v1".to_owned(), 404),
        ("PUT /v1/AUTH_a".to_owned(), 405),
        ("COPY /v1/AUTH_a/c".to_owned(), 405),
        ("PUT /v1/AUTH_a/missing/o".to_owned(), 404),
        ("GET /v1/AUTH_a/missing".to_owned(), 404),
        ("DELETE /v1/AUTH_a/missing".to_owned(), 404),
    ] {
        let seen = rig.ask(&line, &[], "").await;
        assert_eq!(seen.status.as_u16(), status, "{line}");
        assert!(seen.body.starts_with("<html><h1>") && seen.body.ends_with("</p></html>"), "{line}: {}", seen.body);
    }
    assert_eq!(rig.ask("PATCH /v1/AUTH_a", &[], "").await.header("allow"), "GET, HEAD, OPTIONS, POST");
}

#[tokio::test]
async fn accounts() {
    let rig = rig(json!({ "allow_account_management": true })).await;
    // One that is not there looks empty, but a listing does not create it.
    let empty = rig.ask("GET /v1/AUTH_a", &[], "").await;
    assert_eq!((empty.status.as_u16(), empty.body.as_str()), (200, "[]"));
    assert_eq!(empty.header("x-account-container-count"), "0");
    assert_eq!(rig.ask("HEAD /v1/AUTH_a", &[], "").await.status, 204);
    assert!(rig.backend.headers(&["AUTH_a"]).is_none());
    // A POST does.
    let acl = r#"{"read-only": ["b:bob"]}"#;
    let headers = [("x-account-meta-color", "red"), ("x-account-access-control", acl)];
    assert_eq!(rig.ask("POST /v1/AUTH_a", &headers, "").await.status, 204);
    // Its owner sees its ACL; who may only read does not.
    let owners = rig.ask("HEAD /v1/AUTH_a", &[], "").await;

    assert_eq!(owners.header("x-account-access-control"), r#"{"read-only":["b:bob"]}"#);
    let bobs = rig.ask_as(&["b:bob", "b"], "HEAD /v1/AUTH_a", &[], "").await;
    assert_eq!((bobs.status.as_u16(), bobs.header("x-account-meta-color")), (204, "red"));
    assert_eq!(bobs.header("x-account-access-control"), "-");
    assert_eq!(rig.ask_as(&["b:bob", "b"], "POST /v1/AUTH_a", &[], "").await.status, 403);
    let broken = rig.ask("POST /v1/AUTH_a", &[("x-account-access-control", "[]")], "").await;
    assert!(broken.status == 400 && broken.body.starts_with("X-Account-Access-Control invalid: "), "{}", broken.body);
}

#[tokio::test]
async fn containers() {
    let rig = rig(json!({ "max_containers_per_account": 1 })).await;
    // The policy is chosen by name, in any case.
    let headers = [("x-storage-policy", "SILVER"), ("x-container-read", " .ref : *.example.com , b:bob")];
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c", &headers, "").await.status, 201);
    let kept = rig.backend.headers(&["AUTH_a", "c"]).unwrap();
    assert_eq!(
        (&kept["x-backend-storage-policy-index"], &kept["x-container-read"]),
        (&http::HeaderValue::from_static("1"), &http::HeaderValue::from_static(".r:.example.com,b:bob"),)
    );
    // Owners see it all, readers the rest.
    let owners = rig.ask("HEAD /v1/AUTH_a/c", &[], "").await;
    assert_eq!((owners.status.as_u16(), owners.header("x-storage-policy")), (204, "silver"));
    assert_eq!(owners.header("x-container-read"), ".r:.example.com,b:bob");
    let bobs = rig.ask_as(&["b:bob", "b"], "GET /v1/AUTH_a/c", &[], "").await;
    assert_eq!((bobs.status.as_u16(), bobs.header("x-container-read")), (200, "-"));
    assert_eq!(rig.ask_as(&["b:bob", "b"], "PUT /v1/AUTH_a/c/o", &[("content-length", "0")], "").await.status, 403);
    // A referrer is no writer.
    let wrong = rig.ask("POST /v1/AUTH_a/c", &[("x-container-write", ".r:*")], "").await;
    assert_eq!(wrong.status, 400);
    // What is removed is emptied.
    assert_eq!(rig.ask("POST /v1/AUTH_a/c", &[("x-remove-container-read", "x")], "").await.status, 204);
    assert_eq!(rig.ask("HEAD /v1/AUTH_a/c", &[], "").await.header("x-container-read"), "-");
    // It must be empty to go.
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/o", &[], "").await.status, 201);
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c", &[], "").await.status, 409);
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await.status, 204);
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c", &[], "").await.status, 204);
    assert_eq!(rig.ask("POST /v1/AUTH_a/c", &[], "").await.status, 404);
}

#[tokio::test]
async fn copies() {
    let rig = rig(json!({})).await.with_container().await;
    let headers = [("x-object-meta-color", "red"), ("x-object-meta-shape", "round"), ("content-type", "a/b")];
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/o%20o", &headers, "foo").await.status, 201);
    // By COPY, with a change.
    let copied =
        rig.ask("COPY /v1/AUTH_a/c/o%20o", &[("destination", "c/p"), ("x-object-meta-color", "blue")], "").await;
    assert_eq!((copied.status.as_u16(), copied.header("etag")), (201, "acbd18db4cc2f85cedef654fccc4a4d8"));
    assert_eq!((copied.header("x-copied-from"), copied.header("x-copied-from-account")), ("c/o%20o", "AUTH_a"));
    assert_eq!((copied.header("x-object-meta-color"), copied.header("x-object-meta-shape")), ("blue", "round"));
    let copy = rig.ask("GET /v1/AUTH_a/c/p", &[], "").await;
    assert_eq!(
        (copy.body.as_str(), copy.header("content-type"), copy.header("x-object-meta-color")),
        ("foo", "a/b", "blue")
    );
    // By PUT, without its metadata.
    let fresh = [("x-copy-from", "/c/o%20o"), ("x-fresh-metadata", "true")];
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/q", &fresh, "").await.status, 201);
    let copy = rig.ask("GET /v1/AUTH_a/c/q", &[], "").await;
    assert_eq!((copy.body.as_str(), copy.header("x-object-meta-shape")), ("foo", "-"));
    // Both ends have to be allowed.
    let foreign = [("destination", "c/p"), ("destination-account", "AUTH_b")];
    assert_eq!(rig.ask("COPY /v1/AUTH_a/c/o%20o", &foreign, "").await.status, 403);
    let foreign = [("x-copy-from", "c/o"), ("x-copy-from-account", "AUTH_b")];
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/p", &foreign, "").await.status, 403);
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/p", &[("x-copy-from", "c/missing")], "").await.status, 404);
}

#[tokio::test]
async fn options_and_info() {
    let rig = rig(json!({})).await;
    let options = rig.ask("OPTIONS /v1/AUTH_a/c/o", &[], "").await;
    assert_eq!((options.status.as_u16(), options.body.as_str()), (200, ""));
    assert_eq!(options.header("allow"), "DELETE, GET, HEAD, OPTIONS, POST, PUT, COPY");
    let info = super::info(&rig.proxy);
    assert_eq!(info["max_file_size"], 5_368_709_122_u64);
    assert_eq!(info["policies"][0], json!({ "name": "gold", "aliases": "gold", "default": true }));
    assert_eq!(info["policies"].as_array().unwrap().len(), 2);
}
