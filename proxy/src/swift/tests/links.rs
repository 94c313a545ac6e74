//! Symlinks, from PUT to listing.

use serde_json::{Value, json};

use super::backend::rig;

const FOO: &str = "acbd18db4cc2f85cedef654fccc4a4d8";
const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";

#[tokio::test]
async fn a_link_stands_for_its_target() {
    let rig = rig(json!({})).await.with_container().await;
    // It may be there before its target is.
    let link = [("x-symlink-target", "c/dir%2Fo p"), ("x-object-meta-color", "red")];
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/l", &link, "").await.status, 201);
    let broken = rig.ask("GET /v1/AUTH_a/c/l", &[], "").await;
    assert_eq!((broken.status.as_u16(), broken.header("content-location")), (404, "/v1/AUTH_a/c/dir/o%20p"));
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/dir/o%20p", &[("content-type", "a/b")], "foo").await.status, 201);
    // Reading it reads the target.
    let read = rig.ask("GET /v1/AUTH_a/c/l", &[], "").await;
    assert_eq!((read.status.as_u16(), read.body.as_str(), read.header("content-type")), (200, "foo", "a/b"));
    assert_eq!((read.header("content-location"), read.header("x-object-meta-color")), ("/v1/AUTH_a/c/dir/o%20p", "-"));
    // Unless it is asked for itself.
    let own = rig.ask("GET /v1/AUTH_a/c/l?symlink=get", &[], "").await;
    assert_eq!((own.body.as_str(), own.header("etag"), own.header("content-type")), ("", EMPTY, "application/symlink"));
    assert_eq!((own.header("x-symlink-target"), own.header("x-object-meta-color")), ("c/dir/o%20p", "red"));
    // A POST is the link's, and says so.
    let post = rig.ask("POST /v1/AUTH_a/c/l", &[("x-object-meta-color", "blue")], "").await;
    assert_eq!((post.status.as_u16(), post.header("location")), (307, "/v1/AUTH_a/c/dir/o%20p"));
    let own = rig.ask("HEAD /v1/AUTH_a/c/l?symlink=get", &[], "").await;
    assert_eq!(own.header("x-object-meta-color"), "blue");
    // A copy of it is of its target, or of itself.
    let _ = rig.ask("COPY /v1/AUTH_a/c/l", &[("destination", "c/plain")], "").await;
    assert_eq!(rig.ask("GET /v1/AUTH_a/c/plain?symlink=get", &[], "").await.body, "foo");
    let _ = rig.ask("COPY /v1/AUTH_a/c/l?symlink=get", &[("destination", "c/m")], "").await;
    assert_eq!(rig.ask("HEAD /v1/AUTH_a/c/m?symlink=get", &[], "").await.header("x-symlink-target"), "c/dir/o%20p");
    // The listing tells both apart.
    let rows: Value = serde_json::from_str(&rig.ask("GET /v1/AUTH_a/c?prefix=l", &[], "").await.body).unwrap();
    assert_eq!((&rows[0]["hash"], &rows[0]["symlink_path"]), (&json!(EMPTY), &json!("/v1/AUTH_a/c/dir/o%20p")));
    let rows: Value = serde_json::from_str(&rig.ask("GET /v1/AUTH_a/c?prefix=p", &[], "").await.body).unwrap();
    assert_eq!((&rows[0]["hash"], &rows[0]["symlink_path"]), (&json!(FOO), &Value::Null));
    // A DELETE is the link's.
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/l", &[], "").await.status, 204);
    assert_eq!(rig.ask("GET /v1/AUTH_a/c/dir/o%20p", &[], "").await.body, "foo");
}

#[tokio::test]
async fn a_static_link_knows_its_target() {
    let rig = rig(json!({})).await.with_container().await;
    let link = [("x-symlink-target", "c/o"), ("x-symlink-target-etag", FOO)];
    // The target has to be there, and to be that.
    let early = rig.ask("PUT /v1/AUTH_a/c/l", &link, "").await;
    assert_eq!((early.status.as_u16(), early.body.as_str()), (409, "X-Symlink-Target does not exist"));
    let _ = rig.ask("PUT /v1/AUTH_a/c/o", &[("content-type", "a/b")], "other").await;
    let wrong = rig.ask("PUT /v1/AUTH_a/c/l", &link, "").await;
    let text =
        format!("Object Etag '795f3202b17cb6bc3d4b771d8c6c9eaf' does not match X-Symlink-Target-Etag header '{FOO}'");
    assert_eq!((wrong.status.as_u16(), wrong.body), (409, text));
    let _ = rig.ask("PUT /v1/AUTH_a/c/o", &[("content-type", "a/b")], "foo").await;
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/l", &link, "").await.status, 201);
    // It looks like its target, also in the listing.
    let rows: Value = serde_json::from_str(&rig.ask("GET /v1/AUTH_a/c?prefix=l", &[], "").await.body).unwrap();
    assert_eq!(
        (&rows[0]["content_type"], &rows[0]["symlink_etag"], &rows[0]["symlink_bytes"]),
        (&json!("a/b"), &json!(FOO), &json!(3))
    );
    // When the target changes, the link breaks, and says where.
    let _ = rig.ask("PUT /v1/AUTH_a/c/o", &[], "other").await;
    let broken = rig.ask("GET /v1/AUTH_a/c/l", &[], "").await;
    assert_eq!((broken.status.as_u16(), broken.header("content-location")), (409, "/v1/AUTH_a/c/o"));
}

#[tokio::test]
async fn what_is_no_link() {
    let rig = rig(json!({ "symlink": { "symloop_max": 2 } })).await.with_container().await;
    let target = [("x-symlink-target", "c/o")];
    let foreign = [("x-symlink-target", "c/o"), ("x-symlink-target-account", "AUTH_b")];
    let itself = [("x-symlink-target", "c/l")];
    let slash = [("x-symlink-target", "/c/o")];
    for (line, headers, sent, status, text) in [
        ("PUT /v1/AUTH_a/c/l", &target[..], "x", 400, "Symlink requests require a zero byte body"),
        ("PUT /v1/AUTH_a/c/l", &itself, "", 400, "Symlink cannot target itself"),
        (
            "PUT /v1/AUTH_a/c/l",
            &slash,
            "",
            412,
            "X-Symlink-Target header must be of the form <container name>/<object name>",
        ),
        ("POST /v1/AUTH_a/c/l", &target, "", 400, "A PUT request is required to set a symlink target"),
    ] {
        let seen = rig.ask(line, headers, sent).await;
        assert_eq!((seen.status.as_u16(), seen.body.as_str()), (status, text), "{line} {headers:?}");
    }
    // A chunked body counts too.
    let chunked = [("x-symlink-target", "c/o"), ("transfer-encoding", "chunked")];
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/l", &chunked, "x").await.status, 400);
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/l", &chunked, "").await.status, 201);
    // Links in a circle, and to what is not the reader's.
    let _ = rig.ask("PUT /v1/AUTH_a/c/1", &[("x-symlink-target", "c/2")], "").await;
    let _ = rig.ask("PUT /v1/AUTH_a/c/2", &[("x-symlink-target", "c/1")], "").await;
    let circle = rig.ask("GET /v1/AUTH_a/c/1", &[], "").await;
    let text = "Too many levels of symbolic links, maximum allowed is 2";
    assert_eq!((circle.status.as_u16(), circle.body.as_str()), (409, text));
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/f", &foreign, "").await.status, 201);
    let denied = rig.ask("GET /v1/AUTH_a/c/f", &[], "").await;
    assert_eq!((denied.status.as_u16(), denied.header("content-location")), (403, "/v1/AUTH_b/c/o"));
}
