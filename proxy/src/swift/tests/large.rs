//! Large objects, from their manifests to the bytes that clients get.

use serde_json::{Value, json};

use super::Seen;
use super::backend::{Rig, rig};

impl Rig {
    async fn object(&self, name: &str, bytes: &str) {
        assert_eq!(self.ask(&format!("PUT /v1/AUTH_a/{name}"), &[], bytes).await.status, 201, "{name}");
    }

    async fn manifest(&self, name: &str, manifest: &Value) -> Seen {
        self.ask(&format!("PUT /v1/AUTH_a/{name}?multipart-manifest=put"), &[], &manifest.to_string()).await
    }

    async fn read(&self, name: &str, headers: &[(&str, &str)]) -> Seen {
        self.ask(&format!("GET /v1/AUTH_a/{name}"), headers, "").await
    }

    /// Whether the body of a GET breaks off.
    async fn is_cut(&self, name: &str) -> bool {
        let request = http::Request::get(format!("/v1/AUTH_a/{name}")).body(apus_base::body::empty()).unwrap();
        let response = crate::swift::answer(&self.proxy, self.of(&["a:admin", "a", "AUTH_a"], request)).await;
        assert_eq!(response.status(), 200);
        apus_base::body::read_to_end(response.into_body(), 1 << 20).await.is_err()
    }
}

/// `slo` is `abcdef`, of three segments and two bytes of its own.
async fn with_slo(config: Value) -> Rig {
    let rig = rig(config).await.with_container().await;
    for (name, bytes) in [("c/1", "ab"), ("c/2", "xcx"), ("c/3", "f")] {
        rig.object(name, bytes).await;
    }
    let manifest =
        json!([{ "path": "/c/1" }, { "path": "c/2", "range": "1-1" }, { "data": "ZGU=" }, { "path": "/c/3" }]);
    let put = rig.manifest("c/slo", &manifest).await;
    assert_eq!((put.status.as_u16(), put.body.as_str()), (201, ""));
    rig
}

#[tokio::test]
async fn a_static_large_object_is_read_whole_and_in_parts() {
    let rig = with_slo(json!({})).await;
    let whole = rig.read("c/slo", &[]).await;
    assert_eq!((whole.status.as_u16(), whole.body.as_str()), (200, "abcdef"));
    assert_eq!((whole.header("content-length"), whole.header("x-static-large-object")), ("6", "True"));
    let etag = whole.header("etag").to_owned();
    assert!(etag.len() == 34 && etag.starts_with('"') && whole.header("x-manifest-etag").len() == 32);
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    let head = rig.ask("HEAD /v1/AUTH_a/c/slo", &[], "").await;
    assert_eq!((head.header("content-length"), head.header("etag")), ("6", etag.as_str()));
    // Ranges: (range, status, bytes, Content-Range).
    for (range, status, bytes, content_range) in [
        ("bytes=1-4", 206, "bcde", "bytes 1-4/6"),
        ("bytes=-2", 206, "ef", "bytes 4-5/6"),
        ("bytes=5-", 206, "f", "bytes 5-5/6"),
        ("bytes=nonsense", 200, "abcdef", "-"),
    ] {
        let part = rig.read("c/slo", &[("range", range)]).await;
        assert_eq!(
            (part.status.as_u16(), part.body.as_str(), part.header("content-range")),
            (status, bytes, content_range)
        );
        assert_eq!(
            (part.header("content-length"), part.header("etag")),
            (bytes.len().to_string().as_str(), etag.as_str())
        );
    }
    let none = rig.read("c/slo", &[("range", "bytes=6-")]).await;
    assert_eq!((none.status.as_u16(), none.header("content-range")), (416, "bytes */6"));
    let several = rig.read("c/slo", &[("range", "bytes=0-1,3-3")]).await;
    assert_eq!(
        (several.status.as_u16(), several.header("content-length")),
        (206, several.body.len().to_string().as_str())
    );
    assert!(several.body.contains("\r\nContent-Range: bytes 0-1/6\r\n\r\nab\r\n"), "{}", several.body);
    assert!(several.body.contains("\r\nContent-Range: bytes 3-3/6\r\n\r\nd\r\n"), "{}", several.body);
    // Conditions are about its own ETag.
    let same = rig.read("c/slo", &[("if-none-match", &etag)]).await;
    assert_eq!((same.status.as_u16(), same.header("etag")), (304, etag.as_str()));
    assert_eq!(rig.read("c/slo", &[("if-none-match", whole.header("x-manifest-etag"))]).await.status, 200);
}

#[tokio::test]
async fn parts_have_numbers() {
    let rig = with_slo(json!({})).await;
    for (number, bytes, range) in
        [(1, "ab", "bytes 0-1/6"), (2, "c", "bytes 2-2/6"), (3, "de", "bytes 3-4/6"), (4, "f", "bytes 5-5/6")]
    {
        let part = rig.read(&format!("c/slo?part-number={number}"), &[]).await;
        assert_eq!((part.status.as_u16(), part.body.as_str(), part.header("content-range")), (206, bytes, range));
        let head = rig.ask(&format!("HEAD /v1/AUTH_a/c/slo?part-number={number}"), &[], "").await;
        assert_eq!(
            (head.status.as_u16(), head.header("content-range"), head.header("x-parts-count")),
            (206, range, "4")
        );
        assert_eq!(head.header("content-length"), bytes.len().to_string());
    }
    let beyond = rig.read("c/slo?part-number=5", &[]).await;
    assert_eq!((beyond.status.as_u16(), beyond.body.as_str()), (416, "The requested part number is not satisfiable"));
    assert_eq!((beyond.header("content-range"), beyond.header("x-parts-count")), ("bytes */6", "4"));
    let zero = rig.read("c/slo?part-number=0", &[]).await;
    assert_eq!((zero.status.as_u16(), zero.body.as_str()), (400, "Part number must be an integer greater than 0"));
    let both = rig.read("c/slo?part-number=1", &[("range", "bytes=0-0")]).await;
    assert_eq!(both.body, "Range requests are not supported with part number queries");
    // Other objects have none.
    assert_eq!(rig.read("c/1?part-number=x", &[]).await.body, "ab");
}

#[tokio::test]
async fn the_manifest_is_shown_as_stored_and_as_sent() {
    let rig = with_slo(json!({})).await;
    let stored = rig.read("c/slo?multipart-manifest=get", &[]).await;
    assert_eq!(stored.header("content-type"), "application/json; charset=utf-8");
    let segments: Value = serde_json::from_str(&stored.body).unwrap();
    assert_eq!((&segments[0]["name"], &segments[0]["bytes"]), (&json!("/c/1"), &json!(2)));
    assert_eq!((&segments[1]["range"], &segments[2]), (&json!("1-1"), &json!({ "data": "ZGU=" })));
    let raw = rig.read("c/slo?multipart-manifest=get&format=raw", &[]).await;
    assert_eq!(raw.header("content-type"), "application/octet-stream");
    // As it was sent it can be sent again.
    let again = rig.manifest("c/again", &serde_json::from_str(&raw.body).unwrap()).await;
    assert_eq!(again.status, 201);
    assert_eq!(rig.read("c/again", &[]).await.body, "abcdef");
    let listed = rig.backend.headers(&["AUTH_a", "c", "slo"]).unwrap();
    let override_etag = listed["x-object-sysmeta-container-update-override-etag"].to_str().unwrap();
    assert_eq!(
        override_etag,
        format!("{}; slo_etag={}", stored.header("etag"), again.header("etag").trim_matches('"'))
    );
    assert_eq!(listed["content-type"], "application/octet-stream;swift_bytes=6");
}

#[tokio::test]
async fn segments_are_looked_at_before_a_manifest_is_stored() {
    let rig = with_slo(json!({ "slo": { "max_manifest_segments": 4, "max_manifest_size": 400 } })).await;
    rig.object("c/empty", "").await;
    let bad = json!([
        { "path": "/c/miss ing" },
        { "path": "/c/1", "size_bytes": 3, "etag": "x" },
        { "path": "/c/2", "range": "7-9" },
        { "path": "/c/empty" },
        { "data": "YQ==" }
    ]);
    let refused = rig.manifest("c/bad", &bad).await;
    let lines = "Errors:\n/c/miss%20ing, 404 Not Found\n/c/1, Size Mismatch\n/c/1, Etag Mismatch\n\
                 /c/2, Unsatisfiable Range\n/c/empty, Too small; each segment must be at least 1 byte.\n";
    assert_eq!(
        (refused.status.as_u16(), refused.body.as_str(), refused.header("content-type")),
        (400, lines, "text/plain")
    );
    assert_eq!(rig.read("c/bad", &[]).await.status, 404);
    let json = [("accept", "application/json")];
    let refused = rig.ask("PUT /v1/AUTH_a/c/bad?multipart-manifest=put", &json, "[{\"path\": \"/d/x\"}]").await;
    assert_eq!(refused.body, r#"{"Errors": [["/d/x", "404 Not Found"]]}"#);
    // An empty one may be the last.
    assert_eq!(rig.manifest("c/fine", &json!([{ "path": "/c/1" }, { "path": "/c/empty" }])).await.status, 201);
    assert_eq!(rig.read("c/fine", &[]).await.body, "ab");
    // Limits.
    let many = rig.manifest("c/bad", &json!(vec![json!({ "path": "/c/1" }); 5])).await;
    assert_eq!((many.status.as_u16(), many.body.as_str()), (413, "Number of object-backed segments must be <= 4"));
    let long = rig.manifest("c/bad", &json!(["x".repeat(400)])).await;
    assert_eq!((long.status.as_u16(), long.body.as_str()), (413, "Manifest File > 400 bytes"));
    // A promise of the large object's own ETag.
    let promise = [("etag", "no")];
    let broken = rig.ask("PUT /v1/AUTH_a/c/bad?multipart-manifest=put", &promise, "[{\"path\": \"/c/1\"}]").await;
    assert_eq!(broken.status, 422);
    let wrong = rig.ask("PUT /v1/AUTH_a/c/bad?multipart-manifest=put", &[], "[1, {}").await;
    assert_eq!((wrong.status.as_u16(), wrong.body.as_str()), (400, "Manifest must be valid JSON.\n"));
    // Nobody says of an object that it is a manifest but the cluster.
    for line in ["PUT /v1/AUTH_a/c/1", "POST /v1/AUTH_a/c/1", "DELETE /v1/AUTH_a/c/1", "COPY /v1/AUTH_a/c/1"] {
        let seen = rig.ask(line, &[("x-static-large-object", "true"), ("destination", "c/x")], "").await;
        assert!(seen.status == 400 && seen.body.starts_with("X-Static-Large-Object is a reserved header"), "{line}");
    }
}

#[tokio::test]
async fn who_waits_gets_spaces_and_a_report() {
    let rig = with_slo(json!({})).await;
    let line = "PUT /v1/AUTH_a/c/slow?multipart-manifest=put&heartbeat=on";
    let done = rig.ask(line, &[], "[{\"path\": \"/c/1\"}]").await;
    assert_eq!(done.status, 202);
    assert!(done.body.starts_with(" \r\n\r\nEtag: \""), "{}", done.body);
    assert!(done.body.ends_with("\nResponse Body: \nResponse Status: 201 Created\nErrors:\n"), "{}", done.body);
    let failed = rig.ask(line, &[("accept", "application/json")], "[{\"path\": \"/c/no\"}]").await;
    let report: Value = serde_json::from_str(&failed.body).unwrap();
    assert_eq!(
        (&report["Response Status"], &report["Errors"]),
        (&json!("400 Bad Request"), &json!([["/c/no", "404 Not Found"]]))
    );
    // What is wrong with the manifest itself is said at once.
    assert_eq!(rig.ask(line, &[], "{}").await.status, 400);
}

#[tokio::test]
async fn a_segment_that_changed_is_never_served() {
    let rig = with_slo(json!({})).await;
    // A later one cuts the connection.
    rig.object("c/3", "g").await;
    assert!(rig.is_cut("c/slo").await);
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/3", &[], "").await.status, 204);
    assert!(rig.is_cut("c/slo").await);
    // What does not need it is not affected.
    assert_eq!(rig.read("c/slo", &[("range", "bytes=0-3")]).await.body, "abcd");
    // The first one is a conflict that says so.
    rig.object("c/1", "AB").await;
    assert_eq!(rig.read("c/slo", &[]).await.status, 409);
    assert_eq!(rig.read("c/slo", &[("range", "bytes=2-3")]).await.body, "cd");
}

#[tokio::test]
async fn large_objects_in_large_objects() {
    let rig = with_slo(json!({})).await;
    // Ranges of ranges.
    let put = rig.manifest("c/outer", &json!([{ "path": "/c/slo", "range": "1-4" }, { "path": "/c/slo" }])).await;
    assert_eq!(put.status, 201);
    assert_eq!(rig.read("c/outer", &[]).await.body, "bcdeabcdef");
    assert_eq!(rig.read("c/outer", &[("range", "bytes=2-5")]).await.body, "deab");
    // Ten deep is deep enough.
    for depth in 2..=10 {
        let put = rig.manifest(&format!("c/n{depth}"), &json!([{ "path": format!("/c/{}", nested(depth - 1)) }])).await;
        assert_eq!(put.status, 201);
    }
    assert_eq!(rig.read("c/n10", &[]).await.body, "abcdef");
    assert_eq!(rig.manifest("c/n11", &json!([{ "path": "/c/n10" }])).await.status, 201);
    assert_eq!(rig.read("c/n11", &[]).await.status, 409);
    // A circle is none, because what closes it has changed since.
    assert_eq!(rig.manifest("c/slo", &json!([{ "path": "/c/outer" }])).await.status, 201);
    assert_eq!(rig.read("c/outer", &[]).await.status, 409);
    let itself = rig.manifest("c/outer", &json!([{ "path": "/c/outer" }])).await;
    assert_eq!(itself.body, "Index 0: manifest must not include itself as a segment\n");
}

fn nested(depth: usize) -> String {
    if depth == 1 { "slo".into() } else { format!("n{depth}") }
}

#[tokio::test]
async fn segments_are_deleted_with_their_manifests() {
    let rig = with_slo(json!({})).await;
    let put = rig.manifest("c/outer", &json!([{ "path": "/c/slo" }, { "path": "/c/4" }])).await;
    assert_eq!(put.status, 400);
    rig.object("c/4", "g").await;
    assert_eq!(rig.manifest("c/outer", &json!([{ "path": "/c/slo" }, { "path": "/c/4" }])).await.status, 201);
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/2", &[], "").await.status, 204);
    let xml = [("accept", "application/xml")];
    let gone = rig.ask("DELETE /v1/AUTH_a/c/outer?multipart-manifest=delete", &xml, "").await;
    assert_eq!((gone.status.as_u16(), gone.header("content-type")), (200, "application/xml"));
    let counts = "<delete>\n<number_deleted>5</number_deleted>\n<number_not_found>1</number_not_found>\n";
    assert!(gone.body.starts_with(counts), "{}", gone.body);
    assert_eq!(rig.read("c?format=json", &[]).await.body, "[]");
    // What is not there, and what is no manifest.
    let missing = rig.ask("DELETE /v1/AUTH_a/c/outer?multipart-manifest=delete", &[], "").await;
    let text = "Number Deleted: 0\nNumber Not Found: 1\nResponse Body: \nResponse Status: 200 OK\nErrors:\n";
    assert_eq!((missing.status.as_u16(), missing.body.as_str()), (200, text));
    rig.object("c/plain", "p").await;
    let plain = rig.ask("DELETE /v1/AUTH_a/c/plain?multipart-manifest=delete", &[], "").await;
    assert!(
        plain.body.ends_with("Response Status: 400 Bad Request\nErrors:\n/c/plain, Not an SLO manifest\n"),
        "{}",
        plain.body
    );
    assert_eq!(rig.read("c/plain", &[]).await.body, "p");
    let none = rig.ask("DELETE /v1/AUTH_a/c/plain?multipart-manifest=delete", &[("accept", "image/png")], "").await;
    assert!(none.body.contains("Response Status: 406 Not Acceptable"), "{}", none.body);
}

#[tokio::test]
async fn segments_can_be_left_to_the_expirer() {
    let rig = with_slo(json!({})).await;
    let delete = "DELETE /v1/AUTH_a/c/slo?multipart-manifest=delete&async=yes";
    assert_eq!(rig.ask(delete, &[], "").await.status, 204);
    assert_eq!(rig.read("c/slo", &[]).await.status, 404);
    assert_eq!(rig.read("c/1", &[]).await.body, "ab");
    let batches = std::mem::take(&mut *rig.backend.rows.lock().unwrap());
    let rows: Vec<_> = batches.iter().flat_map(|batch| &batch.rows).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.row.name.split_once('-').unwrap().1).collect();
    assert_eq!(names, ["AUTH_a/c/1", "AUTH_a/c/2", "AUTH_a/c/3"]);
    assert!(
        rows.iter()
            .all(|row| row.account == ".expiring_objects" && row.row.content_type == "application/async-deleted")
    );
    // Not from several containers, and not with segments of their own.
    assert_eq!(rig.ask("PUT /v1/AUTH_a/d", &[], "").await.status, 201);
    rig.object("d/1", "ab").await;
    assert_eq!(rig.manifest("c/slo", &json!([{ "path": "/c/1" }, { "path": "/d/1" }])).await.status, 201);
    let several = rig.ask(delete, &[], "").await;
    assert_eq!(
        (several.status.as_u16(), several.body.as_str()),
        (400, "All segments must be in one container. Found segments in \"c\", \"d\"")
    );
    assert_eq!(rig.manifest("c/2", &json!([{ "path": "/c/1" }])).await.status, 201);
    assert_eq!(rig.manifest("c/slo", &json!([{ "path": "/c/2" }])).await.status, 201);
    assert_eq!(rig.ask(delete, &[], "").await.body, "No segments may be large objects.");
    assert_eq!(
        rig.ask("DELETE /v1/AUTH_a/c/no?multipart-manifest=delete&async=on", &[], "").await.body,
        "SLO manifest not found"
    );
    assert!(rig.backend.rows.lock().unwrap().is_empty());
}

#[tokio::test]
async fn copies_are_plain_objects_or_manifests() {
    let rig = with_slo(json!({})).await;
    let copy = |query, destination| rig.ask_copy(query, destination);
    assert_eq!(copy("", "c/plain").await.status, 201);
    let plain = rig.read("c/plain", &[]).await;
    assert_eq!(
        (plain.body.as_str(), plain.header("x-static-large-object"), plain.header("x-manifest-etag")),
        ("abcdef", "-", "-")
    );
    assert!(rig.backend.headers(&["AUTH_a", "c", "plain"]).unwrap().keys().all(|name| !name.as_str().contains("slo")));
    let manifest = copy("?multipart-manifest=get", "c/copy").await;
    assert_eq!((manifest.status.as_u16(), manifest.header("etag")), (201, rig.read("c/slo", &[]).await.header("etag")));
    assert_eq!(rig.read("c/copy", &[]).await.header("x-static-large-object"), "True");
    assert_eq!(copy("?part-number=3", "c/part").await.status, 201);
    assert_eq!(rig.read("c/part", &[]).await.body, "de");
    // A manifest whose segments are gone is none.
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/3", &[], "").await.status, 204);
    let refused = copy("?multipart-manifest=get", "c/bad").await;
    assert_eq!((refused.status.as_u16(), refused.body.as_str()), (400, "Errors:\n/c/3, 404 Not Found\n"));
}

impl Rig {
    async fn ask_copy(&self, query: &str, destination: &str) -> Seen {
        self.ask(&format!("COPY /v1/AUTH_a/c/slo{query}"), &[("destination", destination)], "").await
    }
}

#[tokio::test]
async fn a_dynamic_large_object_is_what_is_listed() {
    let rig = rig(json!({ "constraints": { "container_listing_limit": 3 } })).await.with_container().await;
    for (name, bytes) in [("c/p1", "ab"), ("c/p2", ""), ("c/q", "no")] {
        rig.object(name, bytes).await;
    }
    let put = rig.ask("PUT /v1/AUTH_a/c/dlo", &[("x-object-manifest", "c/p")], "itself").await;
    assert_eq!(put.status, 201);
    let whole = rig.read("c/dlo", &[]).await;
    assert_eq!(
        (whole.body.as_str(), whole.header("content-length"), whole.header("x-object-manifest")),
        ("ab", "2", "c/p")
    );
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() == 34);
    // The ETag and the ranges are those of the segments.
    assert_eq!(rig.read("c/dlo", &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(rig.read("c/dlo", &[("if-match", "\"other\"")]).await.status, 412);
    let part = rig.read("c/dlo", &[("range", "bytes=-1")]).await;
    assert_eq!((part.status.as_u16(), part.body.as_str(), part.header("content-range")), (206, "b", "bytes 1-1/2"));
    assert_eq!(rig.read("c/dlo", &[("range", "bytes=0-0,1-1")]).await.status, 200);
    let none = rig.read("c/dlo", &[("range", "bytes=2-")]).await;
    assert_eq!((none.status.as_u16(), none.header("content-range")), (416, "bytes */2"));
    assert_eq!(rig.read("c/dlo?multipart-manifest=get", &[]).await.body, "itself");
    // With more than a page of segments its length is not known.
    for (name, bytes) in [("c/p3", "cd"), ("c/p4", "e"), ("c/p5", "f")] {
        rig.object(name, bytes).await;
    }
    let whole = rig.read("c/dlo", &[]).await;
    assert_eq!((whole.body.as_str(), whole.header("content-length")), ("abcdef", "-"));
    assert_eq!(rig.read("c/dlo", &[("range", "bytes=1-2")]).await.body, "bc");
    assert_eq!(rig.read("c/dlo", &[("range", "bytes=1-4")]).await.status, 200);
    assert_eq!(rig.ask("COPY /v1/AUTH_a/c/dlo", &[("destination", "c/x")], "").await.status, 413);
    // One that names nothing is refused, or is missing when it is read.
    let bad = rig.ask("PUT /v1/AUTH_a/c/bad", &[("x-object-manifest", "c")], "").await;
    assert_eq!(
        (bad.status.as_u16(), bad.body.as_str()),
        (400, "X-Object-Manifest must be in the format container/prefix")
    );
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/lost", &[("x-object-manifest", "d/p")], "").await.status, 201);
    assert_eq!(rig.read("c/lost", &[]).await.status, 404);
}
