//! Uploads by signed forms.

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::rig::{Rig, Seen};
use crate::signed::signature;
use apus_base::body::{self, Body, BodyError};
use serde_json::json;

const BOUNDARY: &str = "----WebKitFormBoundaryNcxTqxSlX7t4TDkR";
const PATH: &str = "/v1/AUTH_test/c/pre";

/// A form that lets up to two files of 10 bytes be sent to [`PATH`] until 2096, with these fields in another way.
#[derive(Default)]
struct Form {
    text: String,
}

impl Form {
    fn signed(redirect: &str, changed: &[(&str, &str)]) -> Self {
        let signature = signature("akey", &format!("{PATH}\n{redirect}\n10\n2\n4000000000"));
        let mut form = Self::default();
        for (name, value) in [
            ("redirect", redirect),
            ("max_file_size", "10"),
            ("max_file_count", "2"),
            ("expires", "4000000000"),
            ("signature", &signature),
        ] {
            let value = changed.iter().find(|(changed, _)| *changed == name).map_or(value, |(_, value)| value);
            form = form.field(name, value);
        }
        form
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.text += &format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        self
    }

    fn file(mut self, name: &str, more: &str, content: &str) -> Self {
        let disposition = format!("Content-Disposition: form-data; name=\"f\"; filename=\"{name}\"");
        self.text += &format!("--{BOUNDARY}\r\n{disposition}\r\n{more}\r\n{content}\r\n");
        self
    }

    fn end(mut self) -> String {
        self.text += &format!("--{BOUNDARY}--\r\n");
        self.text
    }
}

/// The text as a body in pieces of so many bytes, and an error at its end if it breaks off there.
fn in_pieces(text: &str, size: usize, breaks: bool) -> Body {
    let pieces = text.as_bytes().chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))));
    let broken = breaks.then(|| Err(BodyError::Disconnected("reset".into())));
    let frames: Vec<Result<Frame<Bytes>, BodyError>> = pieces.chain(broken).collect();
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

async fn post(rig: &Rig, path: &str, body: Body) -> Seen {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = Request::builder().method(Method::POST).uri(path).header("content-type", kind).body(body);
    rig.send(request.unwrap()).await
}

/// An account with the key `akey`, and the container `c`.
async fn rig() -> Rig {
    let rig = Rig::start().await;
    rig.backend.keep("AUTH_test", &[("x-account-meta-temp-url-key", "akey")], "");
    rig.backend.keep("AUTH_test/c", &[("content-type", "application/json")], "[]");
    rig
}

#[tokio::test]
async fn every_file_becomes_an_object_however_the_pieces_fall() {
    for size in [1, 2, 7, 64, 100_000] {
        let rig = rig().await;
        let form = Form::signed("", &[])
            .field("x_delete_after", "100")
            .file("a.txt", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", "\r\n--x\r\n-\r")
            .file("", "Content-Type: application/octet-stream\r\n", "")
            .file("dir/é b", "", "");
        let seen = post(&rig, PATH, in_pieces(&form.end(), size, false)).await;
        assert_eq!((seen.status, seen.body.as_str()), (StatusCode::CREATED, "201 Created"), "{size}");
        assert_eq!(rig.backend.stored("AUTH_test/c/prea.txt").unwrap(), "\r\n--x\r\n-\r");
        assert_eq!(rig.backend.stored("AUTH_test/c/predir/é b").unwrap(), "");
        let headers = rig.backend.asked(&Method::PUT, "AUTH_test/c/prea.txt").unwrap();
        assert_eq!(
            (&headers["content-type"], &headers["content-encoding"]),
            (&"text/plain".parse().unwrap(), &"gzip".parse().unwrap())
        );
        assert!(headers.contains_key("x-delete-at"));
    }
}

#[tokio::test]
async fn a_form_without_a_prefix_fills_the_container() {
    let rig = rig().await;
    for (path, signed_path) in [("/v1/AUTH_test/c", "/v1/AUTH_test/c"), ("/v1/AUTH_test/c/", "/v1/AUTH_test/c/")] {
        let proof = signature("akey", &format!("{signed_path}\n\n10\n2\n4000000000"));
        let form = Form::signed("", &[("signature", &proof)]).file("f", "", "1").end();
        assert_eq!(post(&rig, path, body::full(form)).await.status, StatusCode::CREATED, "{path}");
        assert_eq!(rig.backend.stored("AUTH_test/c/f").unwrap(), "1");
    }
}

/// (changed fields, more of the form, status, body).
#[tokio::test]
async fn what_does_not_hold_is_refused_and_stores_nothing() {
    let file = |form: Form| form.file("f", "", "12345").end();
    let with = |changed: &[(&str, &str)]| file(Form::signed("", changed));
    let unauthorized = |why: &str| (401, format!("FormPost: {why}"));
    let bad = |why: &str| (400, format!("FormPost: {why}"));
    for (form, (status, text)) in [
        (with(&[("expires", "1000000000")]), unauthorized("Form Expired")),
        (with(&[("expires", "")]), unauthorized("Form Expired")),
        (with(&[("expires", "soon")]), bad("expired not an integer")),
        (with(&[("signature", "")]), unauthorized("Invalid Signature")),
        (with(&[("signature", &"0".repeat(64))]), unauthorized("Invalid Signature")),
        (with(&[("max_file_size", "1000")]), unauthorized("Invalid Signature")),
        (with(&[("redirect", "http://evil")]), unauthorized("Invalid Signature")),
        (with(&[("max_file_size", "big")]), bad("max_file_size not an integer")),
        (with(&[("max_file_count", "all")]), bad("max_file_count not an integer")),
        (with(&[("max_file_count", "0")]), (400, "400 Bad Request\r\nFormPost: Max File Count Exceeded".into())),
        (Form::signed("", &[]).end(), (400, "400 Bad Request\r\nFormPost: No Files To Process".into())),
        (
            file(Form::signed("", &[]).field("x_delete_at", "then")),
            bad("x_delete_at not an integer: Unix timestamp required."),
        ),
        (Form::signed("", &[]).file("f", "", "12345678901").end(), bad("max_file_size exceeded")),
        ("no form".into(), bad("invalid starting boundary")),
        (String::new(), bad("invalid starting boundary")),
        (format!("--{BOUNDARY}\r\n bad head\r\n\r\n"), bad("invalid starting boundary")),
    ] {
        let rig = rig().await;
        let seen = post(&rig, PATH, in_pieces(&form, 50, false)).await;
        assert_eq!((seen.status.as_u16(), seen.body), (status, text), "{form}");
        assert!(rig.backend.stored("AUTH_test/c/pref").is_none(), "{form}");
    }
    // Where there are no keys, there is nothing to sign with.
    for path in ["/v1/AUTH_nokey/c", "/v1/AUTH_test", "/x"] {
        let seen = post(&rig().await, path, body::full(with(&[]))).await;
        assert_eq!(
            (seen.status, seen.body.as_str()),
            (StatusCode::UNAUTHORIZED, "FormPost: Invalid Signature"),
            "{path}"
        );
        assert_eq!(seen.header("www-authenticate"), "Swift realm=\"unknown\"");
    }
}

#[tokio::test]
async fn a_form_that_ends_early_keeps_only_whole_files() {
    let form = Form::signed("", &[]).file("a", "", "1234567890").file("b", "", "1234567890");
    let (form, rest) = (form.text, 5);
    for breaks in [false, true] {
        let rig = rig().await;
        let seen = post(&rig, PATH, in_pieces(&form[..form.len() - rest], 30, breaks)).await;
        assert_eq!(seen.status.as_u16(), if breaks { 499 } else { 400 }, "{}", seen.body);
        assert!(rig.backend.stored("AUTH_test/c/prea").is_some());
        assert!(rig.backend.stored("AUTH_test/c/preb").is_none());
    }
}

#[tokio::test]
async fn browsers_are_sent_back_with_the_outcome() {
    let rig = rig().await;
    let form = Form::signed("http://x?a=1", &[]).file("a", "", "1").file("b", "", "2").file("c", "", "3").end();
    let seen = post(&rig, PATH, body::full(form)).await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER);
    let url = "http://x?a=1&status=400&message=max%20file%20count%20exceeded";
    assert_eq!(seen.header("location"), url);
    assert_eq!(seen.body, format!("<html><body><p><a href=\"{url}\">Click to continue...</a></p></body></html>"));
    assert!(rig.backend.stored("AUTH_test/c/preb").is_some() && rig.backend.stored("AUTH_test/c/prec").is_none());
    // Nobody's redirect writes into our page or our head.
    let evil = Form::default().field("redirect", "http://x/\"><script>").end();
    let seen = post(&rig, PATH, body::full(evil)).await;
    assert!(seen.body.contains("href=\"http://x/%22%3E%3Cscript%3E?status=400"), "{}", seen.body);
    let split = Form::default().field("redirect", "http://x\r\nSet-Cookie: a=b").end();
    assert_eq!(post(&rig, PATH, body::full(split)).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_head_without_an_end_is_not_collected() {
    let rig = rig().await;
    let head = format!("--{BOUNDARY}\r\nX-Long: {}", "x".repeat(1 << 20));
    for size in [100, 1 << 21] {
        let seen = post(&rig, PATH, in_pieces(&head, size, false)).await;
        assert!(seen.status.is_client_error(), "{size} {seen:?}");
    }
}

#[tokio::test]
async fn other_posts_are_none_of_its_business() {
    let rig = rig().await;
    let token = rig.token("test:admin", "secret").await;
    for kind in
        ["text/plain", "multipart/form-data", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded"]
    {
        let seen = rig.ask("POST /v1/AUTH_test/c", &[("x-auth-token", &token), ("content-type", kind)]).await;
        assert_eq!(seen.status, StatusCode::NO_CONTENT, "{kind}");
    }
    let off = Rig::with(json!({ "formpost": { "enabled": false } })).await;
    let seen = post(&off, PATH, body::full(Form::signed("", &[]).end())).await;
    assert!(!seen.body.contains("FormPost"));
}
