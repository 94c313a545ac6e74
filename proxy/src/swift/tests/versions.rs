//! Containers that keep versions, in all three ways.

use serde_json::{Value, json};

use super::Seen;
use super::backend::{Rig, rig};

impl Rig {
    async fn with_versions(self) -> Self {
        assert_eq!(self.ask("PUT /v1/AUTH_a/c", &[("x-versions-enabled", "true")], "").await.status, 201);
        self
    }

    /// Stores an object and gives its version.
    async fn store(&self, name: &str, sent: &str) -> String {
        let put = self.ask(&format!("PUT /v1/AUTH_a/c/{name}"), &[("content-type", "a/b")], sent).await;
        assert_eq!(put.status, 201, "{}", put.body);
        put.header("x-object-version-id").to_owned()
    }

    /// A listing.
    async fn rows(&self, query: &str) -> Vec<Value> {
        let seen = self.ask(&format!("GET /v1/AUTH_a/{query}"), &[], "").await;
        assert_eq!(seen.status, 200, "{}", seen.body);
        serde_json::from_str(&seen.body).unwrap()
    }

    /// What `?versions` says of each version: name, id, whether it is the latest.
    async fn versions(&self, query: &str) -> Vec<(String, String, bool)> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let rows = self.rows(&format!("c?versions&{query}")).await;
        rows.iter().map(|row| (text(row, "name"), text(row, "version_id"), row["is_latest"] == json!(true))).collect()
    }

    async fn get(&self, path: &str) -> Seen {
        self.ask(&format!("GET /v1/AUTH_a/c/{path}"), &[], "").await
    }

    /// From now on nothing is written there, or again, when `path` is none.
    fn break_writes(&self, path: &[&str]) {
        *self.backend.broken.lock().unwrap() =
            if path.is_empty() { vec![] } else { vec![path.iter().map(|name| (*name).to_owned()).collect()] };
    }
}

#[tokio::test]
async fn what_is_overwritten_and_deleted_is_kept() {
    let rig = rig(json!({})).await.with_versions().await;
    assert_eq!(rig.ask("HEAD /v1/AUTH_a/c", &[], "").await.header("x-versions-enabled"), "True");
    let (one, two) = (rig.store("o", "one").await, rig.store("o", "three").await);
    assert!(one < two, "{one} {two}");
    // The current version, and the one before.
    let get = rig.get("o").await;
    assert_eq!((get.body.as_str(), get.header("x-object-version-id")), ("three", two.as_str()));
    assert_eq!(get.header("content-location"), format!("/v1/AUTH_a/c/o?version-id={two}"));
    let old = rig.get(&format!("o?version-id={one}")).await;
    assert_eq!((old.body.as_str(), old.header("x-object-version-id")), ("one", one.as_str()));
    assert_eq!(rig.get("o?version-id=null").await.status, 404);
    // Listings show the version's length and hash, and count all of them.
    let rows = rig.rows("c").await;
    assert_eq!((&rows[0]["bytes"], &rows[0]["hash"]), (&json!(5), &json!("35d6d33467aae9a2e3dccb4b6b027878")));
    assert_eq!(rows[0]["version_symlink"], json!(true));
    assert_eq!(rows[0]["symlink_path"], format!("/v1/AUTH_a/c/o?version-id={two}"));
    assert_eq!(rig.ask("HEAD /v1/AUTH_a/c", &[], "").await.header("x-container-bytes-used"), "8");
    // A POST changes the current version.
    assert_eq!(rig.ask("POST /v1/AUTH_a/c/o", &[("x-object-meta-color", "red")], "").await.status, 202);
    assert_eq!(rig.get(&format!("o?version-id={two}")).await.header("x-object-meta-color"), "red");
    // A DELETE leaves a marker, as often as it is done.
    let deleted = rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await;
    let marker = deleted.header("x-object-version-id").to_owned();
    assert_eq!((deleted.status.as_u16(), rig.get("o").await.status.as_u16()), (204, 404));
    let gone = rig.get(&format!("o?version-id={marker}")).await;
    let kind = "application/x-deleted;swift_versions_deleted=1";
    assert_eq!((gone.status.as_u16(), gone.header("content-type")), (404, kind));
    let again = rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await;
    let latest = again.header("x-object-version-id").to_owned();
    assert_eq!(again.status, 404);
    let own = |id: &String, is_latest| ("o".to_owned(), id.clone(), is_latest);
    let expected = [own(&latest, true), own(&marker, false), own(&two, false), own(&one, false)];
    assert_eq!(rig.versions("").await, expected);
    assert_eq!(rig.versions("reverse=on").await, expected.iter().rev().cloned().collect::<Vec<_>>());
    let after = rig.versions(&format!("marker=o&version_marker={marker}")).await;
    assert_eq!(after, expected[2..]);
    // An old version can be made the current one, by its id.
    assert_eq!(rig.ask(&format!("PUT /v1/AUTH_a/c/o?version-id={one}"), &[], "").await.status, 201);
    assert_eq!(rig.get("o").await.body, "one");
    // Deleted by its id, it is gone, and so is the link to it.
    let deleted = rig.ask(&format!("DELETE /v1/AUTH_a/c/o?version-id={one}"), &[], "").await;
    assert_eq!((deleted.status.as_u16(), deleted.header("x-object-current-version-id")), (204, "null"));
    assert_eq!((rig.get("o").await.status.as_u16(), rig.versions("").await.len()), (404, 3));
}

#[tokio::test]
async fn the_null_version_is_kept_too() {
    let rig = rig(json!({})).await.with_container().await;
    assert_eq!(rig.store("o", "null").await, "-");
    assert_eq!(rig.ask("POST /v1/AUTH_a/c", &[("x-versions-enabled", "on")], "").await.status, 204);
    assert_eq!(rig.versions("").await, [("o".into(), "null".into(), true)]);
    let two = rig.store("o", "two").await;
    let versions = rig.versions("").await;
    assert_eq!((versions.len(), &versions[0]), (2, &("o".into(), two, true)));
    assert_eq!(rig.get(&format!("o?version-id={}", versions[1].1)).await.body, "null");
    // Switched off, a PUT replaces the link, not what it leads to.
    assert_eq!(rig.ask("POST /v1/AUTH_a/c", &[("x-versions-enabled", "false")], "").await.status, 204);
    assert_eq!(rig.store("o", "again").await, "-");
    assert_eq!((rig.get("o").await.header("x-object-version-id"), rig.versions("").await.len()), ("null", 3));
    // The container goes when all versions have gone.
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await.status, 204);
    let full = rig.ask("DELETE /v1/AUTH_a/c", &[], "").await;
    assert_eq!((full.status.as_u16(), full.body.as_str()), (409, "Delete all versions before deleting container."));
    for (name, id, _) in rig.versions("").await {
        let line = format!("DELETE /v1/AUTH_a/c/{name}?version-id={id}");
        assert_eq!(rig.ask(&line, &[], "").await.status, 204);
    }
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c", &[], "").await.status, 204);
    assert!(rig.backend.headers(&["AUTH_a", "\0versions\0c"]).is_none());
}

/// As a crash between two steps would leave it, but for the answer.
#[tokio::test]
async fn a_write_that_stops_halfway_leaves_the_version_before() {
    let rig = rig(json!({})).await.with_versions().await;
    let one = rig.store("o", "one").await;
    rig.break_writes(&["AUTH_a", "c", "o"]);
    // The version is stored, the link is not moved.
    let failed = rig.ask("PUT /v1/AUTH_a/c/o", &[], "two").await;
    assert_eq!((failed.status.as_u16(), rig.get("o").await.body.as_str()), (503, "one"));
    // The marker is stored, the link is not removed.
    assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await.status, 503);
    assert_eq!(rig.get("o").await.body, "one");
    let versions = rig.versions("").await;
    let latest: Vec<&String> = versions.iter().filter(|(.., latest)| *latest).map(|(_, id, _)| id).collect();
    assert_eq!((versions.len(), latest), (3, vec![&one]));
    // Tried again, it is done.
    rig.break_writes(&[]);
    let two = rig.store("o", "two").await;
    assert_eq!(rig.get("o").await.header("x-object-version-id"), two);
    // An upload that must not replace anything leaves nothing.
    let before = rig.versions("").await;
    let refused = rig.ask("PUT /v1/AUTH_a/c/o", &[("if-none-match", "*")], "x").await;
    assert_eq!((refused.status.as_u16(), rig.versions("").await), (412, before));
}

#[tokio::test]
async fn what_cannot_be_done_to_versions() {
    let rig = rig(json!({})).await.with_container().await;
    let id = "1712345678.12345";
    let versioned = "version-aware operations require that the container is versioned";
    for (line, headers, status, text) in [
        (format!("GET /v1/AUTH_a/c/o?version-id={id}"), &[][..], 400, versioned),
        (format!("DELETE /v1/AUTH_a/c/o?version-id={id}"), &[], 400, versioned),
        ("GET /v1/AUTH_a/c/o?version-id=bad".into(), &[], 400, "Invalid version parameter"),
        (format!("POST /v1/AUTH_a/c/o?version-id={id}"), &[], 400, "POST to a specific version is not allowed"),
        ("GET /v1/AUTH_a/c?versions&version_marker=1".into(), &[], 400, "version_marker param requires marker"),
        ("GET /v1/AUTH_a/c?versions&marker=a&version_marker=x".into(), &[], 400, "invalid version_marker param"),
        ("GET /v1/AUTH_a/c?versions&delimiter=1".into(), &[], 400, "invalid delimiter param"),
    ] {
        let seen = rig.ask(&line, headers, "").await;
        assert_eq!((seen.status.as_u16(), seen.body.as_str()), (status, text), "{line}");
    }
    let rig = rig.with_versions_on_post().await;
    let restore = format!("PUT /v1/AUTH_a/c/o?version-id={id}");
    assert_eq!(rig.ask(&restore, &[], "").await.body, "The specified version does not exist");
    assert_eq!(rig.ask(&restore, &[], "x").await.body, "PUT version-id requests require a zero byte body");
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/o?version-id=null", &[], "").await.status, 400);
    // One way of keeping versions at a time.
    assert_eq!(rig.ask("PUT /v1/AUTH_a/d", &[("x-versions-location", "e")], "").await.status, 201);
    let legacy = rig.ask("POST /v1/AUTH_a/d", &[("x-versions-enabled", "true")], "").await;
    assert!(legacy.status == 400 && legacy.body.starts_with("Cannot enable object versioning"), "{}", legacy.body);
    // A container that cannot be made leaves no archive.
    rig.break_writes(&["AUTH_a", "f"]);
    assert_eq!(rig.ask("PUT /v1/AUTH_a/f", &[("x-versions-enabled", "true")], "").await.status, 503);
    assert!(rig.backend.headers(&["AUTH_a", "\0versions\0f"]).is_none());
}

impl Rig {
    async fn with_versions_on_post(self) -> Self {
        assert_eq!(self.ask("POST /v1/AUTH_a/c", &[("x-versions-enabled", "true")], "").await.status, 204);
        self
    }
}

#[tokio::test]
async fn a_copy_of_one_of_our_links_has_none_of_its_rights() {
    let rig = rig(json!({})).await.with_versions().await;
    rig.store("o", "one").await;
    assert_eq!(rig.ask("PUT /v1/AUTH_a/d", &[], "").await.status, 201);
    // Aimed at what its maker may not read, it must not read it for them.
    let aim = [("destination", "d/l"), ("x-symlink-target", "c/o"), ("x-symlink-target-account", "AUTH_b")];
    let aim = [&aim[..], &[("x-symlink-target-etag", "")]].concat();
    assert_eq!(rig.ask("COPY /v1/AUTH_a/c/o?symlink=get", &aim, "").await.status, 201);
    let kept = rig.backend.headers(&["AUTH_a", "d", "l"]).unwrap();
    assert!(kept.get("x-object-sysmeta-allow-reserved-names").is_none());
    assert_eq!(rig.ask("GET /v1/AUTH_a/d/l", &[], "").await.status, 403);
}

#[tokio::test]
async fn accounts_count_what_containers_hide() {
    let rig = rig(json!({})).await.with_versions().await;
    let rows = rig.rows("").await;
    assert_eq!((rows.len(), &rows[0]["name"], &rows[0]["bytes"]), (1, &json!("c"), &json!(20)));
    // An archive without its container is shown, so that somebody finds it.
    rig.backend.kept.lock().unwrap().insert(vec!["AUTH_a".into(), "\0versions\0b".into()], Default::default());
    let rows = rig.rows("").await;
    assert_eq!((&rows[0]["name"], &rows[0]["count"], &rows[1]["name"]), (&json!("b"), &json!(0), &json!("c")));
    let rows = rig.rows("?reverse=on&limit=1").await;
    assert_eq!((rows.len(), &rows[0]["name"]), (1, &json!("c")));
}

#[tokio::test]
async fn stack_and_history() {
    for (header, is_stack) in [("x-versions-location", true), ("x-history-location", false)] {
        let rig = rig(json!({})).await;
        assert_eq!(rig.ask("PUT /v1/AUTH_a/v%20s", &[], "").await.status, 201);
        assert_eq!(rig.ask("PUT /v1/AUTH_a/c", &[(header, "v%20s")], "").await.status, 201);
        assert_eq!(rig.ask("HEAD /v1/AUTH_a/c", &[], "").await.header(header), "v%20s");
        for sent in ["one", "two", "three"] {
            rig.store("o", sent).await;
        }
        let kept = rig.rows("v%20s").await;
        assert_eq!(kept.len(), 2);
        assert!(kept[0]["name"].as_str().unwrap().starts_with("001o/"), "{kept:?}");
        assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await.status, 204);
        if is_stack {
            // The one before is back, and no longer among the versions.
            assert_eq!((rig.get("o").await.body.as_str(), rig.rows("v%20s").await.len()), ("two", 1));
            assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await.status, 204);
            assert_eq!(rig.get("o").await.body, "one");
            assert_eq!(rig.ask("DELETE /v1/AUTH_a/c/o", &[], "").await.status, 204);
            assert_eq!((rig.get("o").await.status.as_u16(), rig.rows("v%20s").await.len()), (404, 0));
        } else {
            let kept = rig.rows("v%20s").await;
            let kinds: Vec<&str> = kept.iter().map(|row| row["content_type"].as_str().unwrap()).collect();
            assert_eq!(kinds, ["a/b", "a/b", "a/b", "application/x-deleted;swift_versions_deleted=1"]);
            assert_eq!(rig.get("o").await.status, 404);
        }
        // What cannot be kept is not overwritten.
        rig.store("p", "one").await;
        assert_eq!(rig.ask("POST /v1/AUTH_a/c", &[(header, "missing")], "").await.status, 204);
        assert_eq!(rig.ask("PUT /v1/AUTH_a/c/p", &[], "two").await.status, 412);
        assert_eq!(rig.get("p").await.body, "one");
    }
    let rig = rig(json!({ "versioned_writes": { "allow_versioned_writes": false } })).await;
    let off = rig.ask("PUT /v1/AUTH_a/c", &[("x-versions-location", "v")], "").await;
    assert_eq!((off.status.as_u16(), off.body.as_str()), (412, "Versioned Writes is disabled"));
}
