//! Signed URLs.

use crate::rig::{Rig, Seen, request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, StatusCode};
use serde_json::json;
use sha2::Sha256;

const LATER: u64 = 4_000_000_000;

/// The HMAC-SHA256 of a message, in hexadecimal digits.
pub(crate) fn signature(key: &str, message: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(message).finalize();
    mac.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The query of a URL that is signed for `method` and `path`.
fn signed(key: &str, method: &str, path: &str) -> String {
    format!("temp_url_sig={}&temp_url_expires={LATER}", signature(key, &format!("{method}\n{LATER}\n{path}")))
}

/// An account with the key `akey`, two containers, the first with the key `ckey`, and an object in each.
async fn rig() -> Rig {
    let rig = Rig::start().await;
    let json = ("content-type", "application/json");
    rig.backend.keep("AUTH_test", &[json, ("x-account-meta-temp-url-key", "akey")], "[]");
    rig.backend.keep("AUTH_test/c", &[json, ("x-container-meta-temp-url-key-2", "ckey")], "[]");
    rig.backend.keep("AUTH_test/d", &[json], "[]");
    let object = [("x-timestamp", "1712345678.00000"), ("x-object-meta-a", "1"), ("x-object-meta-public-b", "2")];
    for name in ["c/dir/o 1", "d/o"] {
        rig.backend.keep(&format!("AUTH_test/{name}"), &object, "data");
    }
    rig
}

async fn statuses(rig: &Rig, lines: &[String]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for line in lines {
        statuses.push(rig.ask(line, &[]).await.status.as_u16());
    }
    statuses
}

fn is_refused(seen: &Seen) -> bool {
    seen.status == StatusCode::UNAUTHORIZED && seen.body == "401 Unauthorized: Temp URL invalid\n"
}

#[tokio::test]
async fn a_url_opens_what_was_signed_and_nothing_else() {
    let rig = rig().await;
    for key in ["akey", "ckey"] {
        let query = signed(key, "GET", "/v1/AUTH_test/c/dir/o 1");
        let seen = rig.ask(&format!("GET /v1/AUTH_test/c/dir/o%201?{query}"), &[("x-auth-token", "AUTH_tkold")]).await;
        assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, "data"), "{key}");
        let disposition = "attachment; filename=\"o 1\"; filename*=UTF-8''o%201";
        assert_eq!(seen.header("content-disposition"), disposition);
        assert_eq!(seen.header("expires"), "Tue, 02 Oct 2096 07:06:40 GMT");
        assert_eq!((seen.header("x-object-meta-a"), seen.header("x-object-meta-public-b")), ("-", "2"));
        let others = ["GET /v1/AUTH_test/c/dir/o", "PUT /v1/AUTH_test/c/dir/o%201", "GET /v1.0/AUTH_test/c/dir/o%201"];
        for line in others.into_iter().chain(["GET /v1/AUTH_test/c", "GET /v1/AUTH_test/c/", "POST /v1/AUTH_test"]) {
            assert!(is_refused(&rig.ask(&format!("{line}?{query}"), &[]).await), "{line}");
        }
    }
    // Another key, no key.
    let forged = signed("other", "GET", "/v1/AUTH_test/c/dir/o 1");
    assert!(is_refused(&rig.ask(&format!("GET /v1/AUTH_test/c/dir/o%201?{forged}"), &[]).await));
    let nobodys = signed("", "GET", "/v1/AUTH_other/c/o");
    assert!(is_refused(&rig.ask(&format!("GET /v1/AUTH_other/c/o?{nobodys}"), &[]).await));
    // Half a signed URL is none, and OPTIONS needs none.
    assert!(is_refused(&rig.ask("GET /v1/AUTH_test/c/dir/o%201?temp_url_sig=a", &[]).await));
    assert!(is_refused(&rig.ask(&format!("GET /v1/AUTH_test/c/dir/o%201?temp_url_expires={LATER}"), &[]).await));
    let options = rig.ask("OPTIONS /v1/AUTH_test/c/dir/o%201?temp_url_sig=a", &[]).await;
    assert_eq!(options.status, StatusCode::OK);
}

#[tokio::test]
async fn heads_come_with_reads_and_writes() {
    let rig = rig().await;
    let ask = |method: &str, signed_for: &str| {
        format!("{method} /v1/AUTH_test/d/o?{}", signed("akey", signed_for, "/v1/AUTH_test/d/o"))
    };
    let lines = ["GET", "PUT", "POST", "HEAD", "DELETE"].map(|signed_for| ask("HEAD", signed_for));
    assert_eq!(statuses(&rig, &lines).await, [200, 200, 200, 200, 401]);
    assert_eq!(
        statuses(&rig, &[ask("GET", "HEAD"), ask("GET", "PUT"), ask("DELETE", "DELETE")]).await,
        [401, 401, 204]
    );
}

#[tokio::test]
async fn other_spellings() {
    let rig = rig().await;
    let path = "/v1/AUTH_test/d/o";
    let hex = signature("akey", &format!("GET\n{LATER}\n{path}"));
    let raw: Vec<u8> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let base64 = URL_SAFE.encode(raw);
    let ranged = signature("akey", &format!("ip=10.0.0.0/24\nGET\n{LATER}\n{path}"));
    let elsewhere = signature("akey", &format!("ip=10.0.1.0/24\nGET\n{LATER}\n{path}"));
    let get = |query: &str| format!("GET {path}?{query}");
    let lines = [
        get(&format!("temp_url_sig=sha256:{base64}&temp_url_expires={LATER}")),
        get(&format!("temp_url_sig={hex}&temp_url_expires=2096-10-02T07:06:40Z")),
        get(&format!("temp_url_sig={ranged}&temp_url_expires={LATER}&temp_url_ip_range=10.0.0.0/24")),
        get(&format!("temp_url_sig={ranged}&temp_url_expires={LATER}&temp_url_ip_range=10.0.0.0/23")),
        get(&format!("temp_url_sig={elsewhere}&temp_url_expires={LATER}&temp_url_ip_range=10.0.1.0/24")),
        get(&format!("temp_url_sig={ranged}&temp_url_expires={LATER}")),
        get(&format!("temp_url_sig={hex}&temp_url_expires=1999-01-01T00:00:00Z")),
    ];
    assert_eq!(statuses(&rig, &lines).await, [200, 200, 200, 401, 401, 401, 401]);
}

#[tokio::test]
async fn a_prefix_opens_all_below_it() {
    let rig = rig().await;
    let query = |prefix: &str| {
        format!("{}&temp_url_prefix={prefix}", signed("ckey", "GET", &format!("prefix:/v1/AUTH_test/c/{prefix}")))
    };
    let lines = [
        format!("GET /v1/AUTH_test/c/dir/o%201?{}", query("dir/")),
        format!("GET /v1/AUTH_test/c/dir/o%201?{}", query("")),
        format!("GET /v1/AUTH_test/c/dir/o%201?{}", query("dir/x")),
        // The listing of a container that is no site is none of the objects that were signed.
        format!("GET /v1/AUTH_test/c?{}", query("")),
        format!("GET /v1/AUTH_test/d/o?{}", query("")),
    ];
    assert_eq!(statuses(&rig, &lines).await, [200, 200, 401, 401, 401]);
}

#[tokio::test]
async fn a_signed_write_stores_no_pointer_and_nothing_of_the_query() {
    let rig = rig().await;
    let line =
        format!("PUT /v1/AUTH_test/d/new?{}&multipart-manifest=put", signed("akey", "PUT", "/v1/AUTH_test/d/new"));
    for name in ["X-Object-Manifest", "X-Symlink-Target", "X-Copy-From"] {
        let seen = rig.ask(&line, &[(name, "d/o")]).await;
        let text = format!("The header '{name}' is not allowed in this tempurl");
        assert_eq!((seen.status, seen.body), (StatusCode::BAD_REQUEST, text));
    }
    assert!(rig.backend.stored("AUTH_test/d/new").is_none());
    let seen = rig.ask(&line, &[("content-length", "0"), ("x-open-expired", "true")]).await;
    assert_eq!(seen.status, StatusCode::CREATED);
    assert!(rig.backend.asked(&Method::PUT, "AUTH_test/d/new").unwrap().get("x-open-expired").is_none());
}

#[tokio::test]
async fn it_can_be_narrowed_and_switched_off() {
    let path = "/v1/AUTH_test/d/o";
    let line = |method: &str| format!("{method} {path}?{}", signed("akey", method, path));
    let rig = Rig::with(json!({ "tempurl": { "methods": ["GET"], "allowed_digests": ["sha256"] } })).await;
    rig.backend.keep("AUTH_test", &[("x-account-meta-temp-url-key", "akey")], "");
    rig.backend.keep("AUTH_test/d/o", &[("x-timestamp", "1712345678.00000")], "data");
    assert_eq!(statuses(&rig, &[line("GET"), line("DELETE")]).await, [200, 401]);
    let info: serde_json::Value = serde_json::from_str(&rig.ask("GET /info", &[]).await.body).unwrap();
    let expected = json!({
        "methods": ["GET"],
        "allowed_digests": ["sha256"],
        "incoming_allow_headers": [],
        "incoming_remove_headers": ["x-timestamp", "x-open-expired"],
        "outgoing_allow_headers": ["x-object-meta-public-*"],
        "outgoing_remove_headers": ["x-object-meta-*"],
    });
    assert_eq!(info["tempurl"], expected);
    assert_eq!(info["formpost"]["deprecated_digests"], json!(["sha1"]));
    let off = Rig::with(json!({ "tempurl": { "enabled": false } })).await;
    off.backend.keep("AUTH_test", &[("x-account-meta-temp-url-key", "akey")], "");
    let seen = off.ask(&line("GET"), &[]).await;
    assert_eq!((seen.status, is_refused(&seen)), (StatusCode::UNAUTHORIZED, false));
}

#[tokio::test]
async fn without_an_answer_about_keys_it_is_nobodys_fault() {
    let rig = Rig::start().await;
    rig.lose_backend();
    let line = format!("GET /v1/AUTH_test/d/o?{}", signed("akey", "GET", "/v1/AUTH_test/d/o"));
    assert_eq!(rig.ask(&line, &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_url_for_one_object_deletes_no_list_and_stores_no_archive() {
    let rig = rig().await;
    for (method, more) in [("POST", "bulk-delete"), ("DELETE", "bulk-delete"), ("PUT", "extract-archive=tar")] {
        let query = signed("akey", method, "/v1/AUTH_test/d/o");
        let list = if method == "PUT" { Vec::new() } else { b"c/dir/o%201\n".to_vec() };
        let headers = [("content-length", "12")];
        let request = request(&format!("{method} /v1/AUTH_test/d/o?{query}&{more}"), &headers);
        let seen = rig.send(request.map(|_| apus_base::body::full(list))).await;
        assert!(!seen.body.contains("Number "), "{}", seen.body);
        assert!(rig.backend.asked(&Method::DELETE, "AUTH_test/c/dir/o 1").is_none(), "{method}");
    }
}
