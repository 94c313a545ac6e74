//! The forms of listings, and what browsers see.

use crate::rig::Rig;
use http::StatusCode;
use serde_json::json;

const LISTING: &str = "[{\"name\":\"a&b\",\"hash\":\"h\",\"bytes\":1,\"content_type\":\"t\",\"last_modified\":\"m\"},{\"subdir\":\"d/\"}]";

async fn rig_with_listing() -> (Rig, String) {
    let rig = Rig::with(json!({})).await;
    let headers = [("content-type", "application/json; charset=utf-8"), ("x-container-object-count", "2")];
    rig.backend.keep("AUTH_test/c", &headers, LISTING);
    rig.backend.keep("AUTH_test/empty", &headers, "[]");
    let token = rig.token("test:admin", "secret").await;
    (rig, token)
}

#[tokio::test]
async fn a_listing_in_the_form_that_is_wanted() {
    let (rig, token) = rig_with_listing().await;
    for (query, accept, kind, vary) in [
        ("", "", "text/plain", "Accept"),
        ("", "application/json", "application/json", "Accept"),
        ("", "text/xml;q=0.9, image/*", "text/xml", "Accept"),
        ("?format=xml", "application/json", "application/xml", "-"),
        ("?prefix=a&format=json", "", "application/json", "-"),
    ] {
        let headers = [("x-auth-token", token.as_str()), ("accept", accept)];
        let seen = rig.ask(&format!("GET /v1/AUTH_test/c{query}"), &headers).await;
        assert_eq!((seen.status, seen.header("vary")), (StatusCode::OK, vary), "{query} {accept}");
        assert_eq!(seen.header("content-type"), format!("{kind}; charset=utf-8"));
        assert_eq!(seen.header("x-container-object-count"), "2");
        let head = rig.ask(&format!("HEAD /v1/AUTH_test/c{query}"), &headers).await;
        assert_eq!((head.header("content-type"), head.header("vary")), (seen.header("content-type"), vary));
        match kind {
            "text/plain" => assert_eq!(seen.body, "a&b\nd/\n"),
            "application/json" => assert!(seen.body.contains("\"name\":\"a&b\"")),
            _ => assert!(seen.body.contains("<name>a&amp;b</name>") && seen.body.ends_with("</container>")),
        }
    }
}

#[tokio::test]
async fn a_form_that_there_is_not() {
    let (rig, token) = rig_with_listing().await;
    let status = |accept: &'static str| {
        let (rig, token) = (&rig, token.as_str());
        async move { rig.ask("GET /v1/AUTH_test/c", &[("x-auth-token", token), ("accept", accept)]).await.status.as_u16() }
    };
    assert_eq!((status("image/png").await, status("nonsense").await), (406, 400));
    let empty = rig.ask("GET /v1/AUTH_test/empty", &[("x-auth-token", &token)]).await;
    assert_eq!((empty.status, empty.body.as_str()), (StatusCode::NO_CONTENT, ""));
    let missing = rig.ask("GET /v1/AUTH_test/missing", &[("x-auth-token", &token)]).await;
    assert_eq!((missing.status, missing.header("content-type")), (StatusCode::NOT_FOUND, "text/html; charset=UTF-8"));
}

#[tokio::test]
async fn a_browser_asks_first_and_then_reads() {
    let rig = Rig::start().await;
    let meta = [("x-container-meta-access-control-allow-origin", "http://app.org"), ("x-container-read", ".r:*")];
    rig.backend.keep("AUTH_test/c", &meta, "");
    rig.backend.keep("AUTH_test/c/o", &[("x-object-meta-color", "red"), ("x-timestamp", "1712345678.00000")], "data");
    // It asks, without a token.
    let ask = [("origin", "http://app.org"), ("access-control-request-method", "GET")];
    let seen = rig.ask("OPTIONS /v1/AUTH_test/c/o", &ask).await;
    assert_eq!((seen.status, seen.header("access-control-allow-origin")), (StatusCode::OK, "http://app.org"));
    // It reads, and may show all to the script.
    let seen = rig.ask("GET /v1/AUTH_test/c/o", &[("origin", "http://app.org")]).await;
    assert_eq!((seen.status, seen.header("access-control-allow-origin")), (StatusCode::OK, "http://app.org"));
    assert!(seen.header("access-control-expose-headers").contains("x-object-meta-color"));
    // Also that it may not write.
    let seen = rig.ask("PUT /v1/AUTH_test/c/o", &[("origin", "http://app.org"), ("content-length", "0")]).await;
    assert_eq!((seen.status, seen.header("access-control-allow-origin")), (StatusCode::UNAUTHORIZED, "http://app.org"));
    // Scripts of other sites see nothing.
    let evil = [("origin", "http://evil.org"), ("access-control-request-method", "GET")];
    assert_eq!(rig.ask("OPTIONS /v1/AUTH_test/c/o", &evil).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.ask("OPTIONS /v1/AUTH_test/missing", &ask).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/o", &evil).await.header("access-control-allow-origin"), "-");
    // Without an origin it is an ordinary question.
    let plain = rig.ask("OPTIONS /v1/AUTH_test/c", &[]).await;
    assert_eq!((plain.status, plain.header("allow")), (StatusCode::OK, "DELETE, GET, HEAD, OPTIONS, POST, PUT"));
}
