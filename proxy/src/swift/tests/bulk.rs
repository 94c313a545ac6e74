//! Bulk requests; the cases are those of Swift's own tests, and some bad ones.

use serde_json::{Value, json};
use tar::{Builder, Header};

use super::Seen;
use super::backend::{Rig, rig};

/// An archive of files with the same few bytes.
fn tar(paths: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for path in paths {
        append(&mut builder, path, "swift");
    }
    builder.into_inner().unwrap()
}

fn append(builder: &mut Builder<Vec<u8>>, path: &str, content: &str) {
    let mut header = Header::new_ustar();
    // As it is: the package would not let `..` pass.
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content.as_bytes()).unwrap();
}

impl Rig {
    async fn extract(&self, path: &str, headers: &[(&str, &str)], archive: &[u8]) -> Value {
        let headers = [&[("accept", "application/json")], headers].concat();
        let seen = self.ask(&format!("PUT {path}?extract-archive=tar"), &headers, archive).await;
        report(&seen)
    }

    async fn delete(&self, headers: &[(&str, &str)], list: &[u8]) -> Value {
        let length = list.len().to_string();
        let headers = [&[("accept", "application/json"), ("content-length", length.as_str())], headers].concat();
        report(&self.ask("POST /v1/AUTH_a?bulk-delete", &headers, list).await)
    }
}

fn report(seen: &Seen) -> Value {
    assert_eq!((seen.status.as_u16(), seen.header("content-type")), (200, "application/json"));
    serde_json::from_str(&seen.body).unwrap()
}

fn extracted(created: u64, status: &str, body: &str, errors: &Value) -> Value {
    json!({ "Number Files Created": created, "Response Status": status, "Response Body": body, "Errors": errors })
}

fn deleted(deleted: u64, missing: u64, status: &str, body: &str, errors: &Value) -> Value {
    json!({ "Number Deleted": deleted, "Number Not Found": missing, "Response Status": status, "Response Body": body, "Errors": errors })
}

#[tokio::test]
async fn an_archive_becomes_objects() {
    let rig = rig(json!({})).await;
    // At the account, folders are containers and files beside them are ignored.
    let archive = tar(&["./base/f1", "base/sub/f2", "/other/f3.txt", "file", "base/", "./file"]);
    let seen =
        rig.extract("/v1/AUTH_a", &[("x-object-meta-all", "yes"), ("content-type", "no/matter")], &archive).await;
    assert_eq!(seen, extracted(3, "201 Created", "", &json!([])));
    let object = rig.ask("GET /v1/AUTH_a/base/sub/f2", &[], "").await;
    assert_eq!((object.body.as_str(), object.header("x-object-meta-all")), ("swift", "yes"));
    let object = rig.ask("GET /v1/AUTH_a/other/f3.txt", &[], "").await;
    assert_eq!(object.header("content-type"), "text/plain");
    // In a container and below a prefix, all is relative to it.
    let archive = tar(&["f1", "d/f2"]);
    let line = "PUT /v1/AUTH_a/c/pre/?extract-archive=.TAR.";
    let seen = rig.ask(line, &[], &archive).await;
    assert_eq!(seen.body, "Number Files Created: 2\nResponse Body: \nResponse Status: 201 Created\nErrors:\n");
    assert_eq!(seen.header("content-type"), "text/plain");
    assert_eq!(rig.ask("GET /v1/AUTH_a/c/pre/d/f2", &[], "").await.body, "swift");
}

#[tokio::test]
async fn extended_attributes_are_metadata() {
    let rig = rig(json!({})).await;
    let mut builder = Builder::new(Vec::new());
    let attributes: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.user.mime_type", b"food/diced"),
        ("SCHILY.xattr.user.meta.Lunch", b"sopa de albondigas"),
        ("LIBARCHIVE.xattr.user.meta.dinner", "ñoquis".as_bytes()),
        ("SCHILY.xattr.user.unrelated", b"x"),
    ];
    builder.append_pax_extensions(attributes).unwrap();
    append(&mut builder, "c/o", "swift");
    builder.append_pax_extensions([("SCHILY.xattr.user.meta.bad", b"two\nlines".as_slice())]).unwrap();
    append(&mut builder, "c/p", "swift");
    let seen = rig.extract("/v1/AUTH_a", &[], &builder.into_inner().unwrap()).await;
    assert_eq!(seen, extracted(1, "400 Bad Request", "", &json!([["c/p", "400 Bad Request"]])));
    let headers = rig.ask("HEAD /v1/AUTH_a/c/o", &[], "").await.headers;
    assert_eq!(headers["content-type"], "food/diced");
    assert_eq!(headers["x-object-meta-lunch"], "sopa de albondigas");
    assert_eq!(headers["x-object-meta-dinner"].as_bytes(), "ñoquis".as_bytes());
}

#[tokio::test]
async fn what_fails_is_listed_and_the_rest_is_stored() {
    let limits = json!({ "constraints": { "max_object_name_length": 20 }, "bulk": { "max_failed_extractions": 4 } });
    let rig = rig(limits).await;
    let long = format!("c/{}", "x".repeat(21));
    let archive = tar(&["c/ok", &long, "c/../../etc/passwd", "c/%+ü", "../up", "c/bad/..", "c/never"]);
    let seen = rig.extract("/v1/AUTH_a", &[], &archive).await;
    let bad = "400 Bad Request";
    let errors = json!([[long, bad], ["c/../../etc/passwd", bad], ["../up", bad], ["c/bad/..", bad]]);
    assert_eq!(seen, extracted(2, bad, "", &errors));
    assert!(rig.backend.headers(&["AUTH_a", ".."]).is_none());
}

#[tokio::test]
async fn files_that_are_too_large_and_containers_that_are_too_many() {
    let limits = json!({ "constraints": { "max_file_size": 4 }, "bulk": { "max_containers_per_extraction": 1 } });
    let rig = rig(limits).await;
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, "a/large", "swift");
    append(&mut builder, "a/o", "s");
    append(&mut builder, "b/o", "s");
    let seen = rig.extract("/v1/AUTH_a", &[], &builder.into_inner().unwrap()).await;
    let errors = json!([["a/large", "413 Request Entity Too Large"]]);
    assert_eq!(seen, extracted(1, "400 Bad Request", "More than 1 containers to create from tar.", &errors));
}

#[tokio::test]
async fn strangers_and_the_unwelcome() {
    let rig = rig(json!({})).await.with_container().await;
    let archive = tar(&["c/f1", "d/f2"]);
    let length = archive.len().to_string();
    let headers = [("accept", "application/json"), ("content-length", length.as_str())];
    let bob = rig.ask_as(&["b:bob", "b"], "PUT /v1/AUTH_a?extract-archive=tar", &headers, &archive).await;
    let denied = "403 Forbidden";
    let errors = json!([["c/f1", denied], ["d", denied], ["d/f2", "404 Not Found"]]);
    let seen = report(&bob);
    assert_eq!(seen["Number Files Created"], 0);
    assert_eq!(seen["Errors"].as_array().unwrap().len(), errors.as_array().unwrap().len(), "{seen}");
    assert_eq!((&seen["Errors"][0], &seen["Errors"][1]), (&errors[0], &errors[1]));
}

#[tokio::test]
async fn archives_that_are_none() {
    let rig = rig(json!({})).await;
    let bad = |body: &str| extracted(0, "400 Bad Request", body, &json!([]));
    assert_eq!(rig.extract("/v1/AUTH_a", &[], b"").await, bad("Invalid Tar File: empty file"));
    assert_eq!(rig.extract("/v1/AUTH_a", &[], &[b'x'; 600]).await, bad("Invalid Tar File: bad checksum"));
    assert_eq!(rig.extract("/v1/AUTH_a", &[], &tar(&["base"])).await, bad("Invalid Tar File: No Valid Files"));
    let mut cut = tar(&["c/f1", "c/f2"]);
    cut.truncate(512 * 3 + 3);
    let seen = rig.extract("/v1/AUTH_a", &[], &cut).await;
    assert_eq!(seen, extracted(1, "400 Bad Request", "Invalid Tar File: unexpected end of data", &json!([])));
    // Nothing half-done: the file that broke off is not there.
    assert_eq!(rig.ask("GET /v1/AUTH_a/c/f2", &[], "").await.status, 404);
    let seen = rig.ask("PUT /v1/AUTH_a?extract-archive=zip", &[], "").await;
    assert_eq!((seen.status.as_u16(), seen.body.as_str()), (400, "Unsupported archive format"));
    let seen = rig.ask("PUT /v1/AUTH_a?extract-archive=tar.gz", &[], tar(&["c/f1"])).await;
    assert!(seen.body.contains("Response Body: Invalid Tar File: "), "{}", seen.body);
    let seen = rig.ask("PUT /v1/AUTH_a?extract-archive=tar", &[("accept", "image/png")], tar(&["c/f1"])).await;
    assert!(seen.body.contains("Response Status: 406 Not Acceptable"));
    assert_eq!(seen.header("content-type"), "text/html; charset=UTF-8");
    let seen = rig.ask_as(&["a", "AUTH_a"], "PUT /v1/AUTH_a?extract-archive=tar", &[], "").await;
    assert!(seen.body.contains("Response Status: 411 Length Required"));
}

#[tokio::test]
async fn a_list_is_deleted() {
    let rig = rig(json!({})).await.with_container().await;
    for object in ["f1", "f%202", "dir/f3"] {
        assert_eq!(rig.ask(&format!("PUT /v1/AUTH_a/c/{object}"), &[], "").await.status, 201);
    }
    // Containers go last, wherever they stand in the list.
    let list = b"/c\nc/f1\n\n c/f%202 \r\n/c/dir/f3\nc/missing\nnone/\n";
    let seen = rig.delete(&[("content-type", "text/plain")], list).await;
    assert_eq!(seen, deleted(4, 2, "200 OK", "", &json!([])));
    assert_eq!(rig.ask("HEAD /v1/AUTH_a/c", &[], "").await.status, 404);
    let seen = rig.ask("DELETE /v1/AUTH_a?bulk-delete", &[("content-length", "1")], "c").await;
    let text = "Number Deleted: 0\nNumber Not Found: 1\nResponse Body: \nResponse Status: 200 OK\nErrors:\n";
    assert_eq!((seen.body.as_str(), seen.header("content-type")), (text, "text/plain"));
}

#[tokio::test]
async fn what_is_not_deleted_is_listed() {
    let rig = rig(json!({ "bulk": { "max_failed_deletes": 4 } })).await.with_container().await;
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/o", &[], "").await.status, 201);
    let seen = rig.delete(&[], b"c\nc/%ff\n/").await;
    let errors = json!([["c/%FF", "412 Precondition Failed"], ["c", "409 Conflict"], ["/", "405 Method Not Allowed"]]);
    let mut listed = seen["Errors"].as_array().unwrap().clone();
    listed.sort_by_key(|error| std::cmp::Reverse(error[1].to_string()));
    assert_eq!((Value::from(listed), &seen["Response Status"]), (errors, &json!("400 Bad Request")));
    let seen = rig.delete(&[], b"c\nc\nc\nc\nc\nc\nc").await;
    assert_eq!(seen["Response Body"], "Max delete failures exceeded");
    assert!(seen["Errors"].as_array().unwrap().len() < 6, "{seen}");
}

#[tokio::test]
async fn lists_that_are_none() {
    let rig = rig(json!({ "bulk": { "max_deletes_per_request": 2 } })).await;
    let none = |status: &str, body: &str| deleted(0, 0, status, body, &json!([]));
    assert_eq!(rig.delete(&[], b"").await, none("400 Bad Request", "Invalid bulk delete."));
    assert_eq!(rig.delete(&[("content-type", "text/xml")], b"c").await, none("406 Not Acceptable", ""));
    let many = none("413 Request Entity Too Large", "Maximum Bulk Deletes: 2 per request");
    assert_eq!(rig.delete(&[], b"a\nb\nc\n").await, many);
    let long = vec![b'x'; 3000];
    assert_eq!(rig.delete(&[], &long).await, none("400 Bad Request", "Invalid File Name"));
    let seen = rig.ask("POST /v1/AUTH_a?bulk-delete", &[("accept", "application/json")], "c").await;
    assert_eq!(report(&seen), none("411 Length Required", ""));
}
