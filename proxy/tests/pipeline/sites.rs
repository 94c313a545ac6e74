//! Static sites, and accounts and containers by host.

use crate::rig::{Rig, Seen};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const OBJECT: (&str, &str) = ("x-timestamp", "1712345678.00000");
const LISTING: &str = r#"[{"subdir": "dir/"}, {"name": "a.txt", "bytes": 3, "content_type": "text/plain", "hash": "e", "last_modified": "2024-04-05T19:34:39.123450"}]"#;

/// A container that everybody may read and, if `listed`, list, with these of its owner's wishes.
fn site(rig: &Rig, listed: bool, wishes: &[(&'static str, &'static str)], listing: &'static str) {
    let acl = if listed { ".r:*,.rlistings" } else { ".r:*" };
    let mut headers = vec![("content-type", "application/json"), ("x-container-read", acl)];
    headers.extend(wishes);
    rig.backend.keep("AUTH_test/c", &headers, listing);
}

fn seen_as(seen: &Seen) -> (u16, &str) {
    (seen.status.as_u16(), seen.body.as_str())
}

#[tokio::test]
async fn folders_show_their_index() {
    let rig = Rig::start().await;
    site(&rig, true, &[("x-container-meta-web-index", "index.html")], LISTING);
    rig.backend.keep("AUTH_test/c/index.html", &[OBJECT, ("content-type", "text/html")], "home");
    rig.backend.keep("AUTH_test/c/dir/index.html", &[OBJECT], "dir");
    rig.backend.keep("AUTH_test/c/a", &[OBJECT], "data");
    let host = [("host", "cdn.example.com:8080")];
    for (path, status, body) in
        [("/v1/AUTH_test/c/", 200, "home"), ("/v1/AUTH_test/c/dir/", 200, "dir"), ("/v1/AUTH_test/c/a", 200, "data")]
    {
        assert_eq!(seen_as(&rig.ask(&format!("GET {path}"), &host).await), (status, body), "{path}");
    }
    // Without a slash at their end they are not folders yet.
    for (path, location) in
        [("/v1/AUTH_test/c", "c/"), ("/v1/AUTH_test/c/dir?x=1", "c/dir/"), ("/v1/AUTH_test/%63/dir", "c/dir/")]
    {
        let seen = rig.ask(&format!("GET {path}"), &host).await;
        assert_eq!(seen.status, StatusCode::MOVED_PERMANENTLY, "{path}");
        assert_eq!(seen.header("location"), format!("http://cdn.example.com:8080/v1/AUTH_test/{location}"));
        assert_eq!(rig.ask(&format!("HEAD {path}"), &host).await.status, StatusCode::MOVED_PERMANENTLY);
    }
    // Without an index nothing is listed, as nobody asked for that.
    let other = rig.ask("GET /v1/AUTH_test/c/other/", &host).await;
    assert!(other.status == StatusCode::NOT_FOUND && other.body.contains("Index File Not Found"), "{other:?}");
    assert_eq!(rig.ask("POST /v1/AUTH_test/c/dir", &host).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn folders_without_an_index_are_listed() {
    let rig = Rig::start().await;
    let wishes = [
        ("x-container-meta-web-listings", "true"),
        ("x-container-meta-web-listings-label", "my site"),
        ("x-container-meta-web-listings-css", "style.css"),
    ];
    site(&rig, true, &wishes, LISTING);
    let seen = rig.ask("GET /v1/AUTH_test/c/", &[]).await;
    assert_eq!((seen.status, seen.header("content-type")), (StatusCode::OK, "text/html; charset=UTF-8"));
    for part in [
        "<title>Listing of my site/</title>",
        "href=\"style.css\"",
        "<a href=\"./dir/\">dir/</a>",
        "<a href=\"./a%2Etxt\">",
    ] {
        assert!(seen.body.contains(part), "{part} {}", seen.body);
    }
    assert_eq!(seen.header("x-backend-content-generator"), "-");
    // Users see the container itself, unless they ask for the site.
    let token = rig.token("test:admin", "secret").await;
    let user = [("x-auth-token", token.as_str())];
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/", &user).await.body, "dir/\na.txt\n");
    let visiting = [("x-auth-token", token.as_str()), ("x-web-mode", "true")];
    assert!(rig.ask("GET /v1/AUTH_test/c/", &visiting).await.body.contains("Listing of"));
    // An empty folder is none.
    site(&rig, true, &wishes, "[]");
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/none/", &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/none", &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_long_listing_comes_whole() {
    let rig = Rig::start().await;
    let row =
        |at: usize| json!({ "name": format!("{at:0900}"), "bytes": 1, "content_type": "a/b", "last_modified": "x" });
    let rows: Vec<Value> = (0..300).map(row).collect();
    let listing = Box::leak(serde_json::to_string(&rows).unwrap().into_boxed_str());
    site(&rig, true, &[("x-container-meta-web-listings", "true")], listing);
    let seen = rig.ask("GET /v1/AUTH_test/c/", &[]).await;
    assert_eq!(seen.body.matches("class=\"item type-a type-b\"").count(), 300);
    assert!(seen.body.ends_with("</html>\n"));
}

#[tokio::test]
async fn a_marker_of_a_folder_is_the_folder() {
    let rig = Rig::start().await;
    let marker = [OBJECT, ("content-type", "application/directory"), ("content-length", "0")];
    rig.backend.keep("AUTH_test/c/dir/", &marker, "");
    rig.backend.keep("AUTH_test/c/dir", &marker, "");
    site(&rig, true, &[("x-container-meta-web-listings", "true")], "[{\"subdir\": \"dir/x/\"}]");
    assert!(rig.ask("GET /v1/AUTH_test/c/dir/", &[]).await.body.contains("href=\"./x/\""));
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/dir", &[]).await.status, StatusCode::MOVED_PERMANENTLY);
    // Its owner may mean another type by it.
    let rig = Rig::start().await;
    rig.backend.keep("AUTH_test/c/dir", &marker, "");
    let wishes = [("x-container-meta-web-listings", "true"), ("x-container-meta-web-directory-type", "text/directory")];
    site(&rig, true, &wishes, "[{\"subdir\": \"dir/x/\"}]");
    assert_eq!(rig.ask("GET /v1/AUTH_test/c/dir", &[]).await.header("content-type"), "application/directory");
}

#[tokio::test]
async fn errors_have_pages_of_their_own() {
    let rig = Rig::start().await;
    let wishes = [("x-container-meta-web-error", "error.html"), ("x-container-meta-web-index", "i")];
    site(&rig, false, &wishes, "[]");
    rig.backend.keep("AUTH_test/c/404error.html", &[OBJECT], "no such page");
    rig.backend.keep("AUTH_test/c/401error.html", &[OBJECT], "members only");
    assert_eq!(seen_as(&rig.ask("GET /v1/AUTH_test/c/x", &[("range", "bytes=0-1")]).await), (404, "no such page"));
    assert_eq!(seen_as(&rig.ask("GET /v1/AUTH_test/c/x/", &[]).await), (404, "no such page"));
    assert_eq!(seen_as(&rig.ask("GET /v1/AUTH_test/c", &[]).await), (401, "members only"));
    // Where nobody may read the page, the error is as it was.
    let rig = Rig::start().await;
    rig.backend.keep("AUTH_test/c", &[("x-container-meta-web-error", "error.html")], "[]");
    let seen = rig.ask("GET /v1/AUTH_test/c", &[]).await;
    assert_eq!((seen.status, seen.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Swift realm=\"AUTH_test\""));
}

#[tokio::test]
async fn a_listing_that_is_off_says_so() {
    let rig = Rig::start().await;
    site(&rig, true, &[("x-container-meta-web-listings", "false")], LISTING);
    let seen = rig.ask("GET /v1/AUTH_test/c/", &[]).await;
    assert!(seen.status == StatusCode::NOT_FOUND && seen.body.contains("Web Listing Disabled"), "{seen:?}");
    let rig = Rig::start().await;
    // What is no site at all is a container, or nothing for those who want a site.
    site(&rig, true, &[], LISTING);
    assert_eq!(rig.ask("GET /v1/AUTH_test/c", &[]).await.body, "dir/\na.txt\n");
    assert_eq!(rig.ask("GET /v1/AUTH_test/c", &[("x-web-mode", "1")]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn redirects_lead_where_the_operator_says() {
    let rig = Rig::with(json!({ "staticweb": { "url_base": "https://www.example.com" } })).await;
    site(&rig, true, &[("x-container-meta-web-listings", "true")], LISTING);
    let seen = rig.ask("GET /v1/AUTH_test/c", &[("host", "inside:80")]).await;
    assert_eq!(seen.header("location"), "https://www.example.com/v1/AUTH_test/c/");
}

#[tokio::test]
async fn hosts_name_containers() {
    let rig = Rig::with(json!({ "domain_remap": { "storage_domain": ["example.com"] }, "crossdomain": {} })).await;
    site(&rig, true, &[("x-container-meta-web-listings", "true")], LISTING);
    rig.backend.keep("AUTH_test/c/info", &[OBJECT], "an object");
    let host = [("host", "c.auth-test.example.com")];
    assert_eq!(seen_as(&rig.ask("GET /info", &host).await), (200, "an object"));
    assert!(rig.ask("GET /", &host).await.body.contains("Listing of /v1/AUTH_test/c/"));
    // What it is called inside does not show.
    assert_eq!(rig.ask("GET /dir", &host).await.header("location"), "http://c.auth-test.example.com/dir/");
    let bad = rig.ask("GET /", &[("host", "x.c.auth-test.example.com")]).await;
    assert_eq!(seen_as(&bad), (400, "Bad domain in host header"));
    // Other hosts are themselves.
    let info: Value = serde_json::from_str(&rig.ask("GET /info", &[("host", "example.com")]).await.body).unwrap();
    assert_eq!((&info["domain_remap"], &info["staticweb"]), (&json!({ "default_reseller_prefix": null }), &json!({})));
    let policy = rig.ask("GET /crossdomain.xml", &[]).await;
    assert_eq!((policy.status, policy.header("content-type")), (StatusCode::OK, "application/xml"));
    assert!(policy.body.contains("\n<allow-access-from domain=\"*\" secure=\"false\" />\n</cross-domain-policy>"));
    assert!(rig.backend.asked(&Method::GET, "AUTH_test").is_none());
}
