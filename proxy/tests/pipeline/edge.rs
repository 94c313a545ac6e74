//! What every request and answer wears.

use std::io;
use std::sync::{Arc, Mutex};

use crate::rig::Rig;
use http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn every_answer_has_its_transaction() {
    let rig = Rig::with(json!({ "trans_id_suffix": "-n1" })).await;
    for line in ["GET /healthcheck", "GET /info", "GET /nonsense", "PUT /v1/AUTH_test/c", "GET /auth/v1.0", "BREW /"] {
        let seen = rig.ask(line, &[("x-trans-id-extra", "mine"), ("x-trans-id", "forged")]).await;
        let id = seen.header("x-trans-id");
        assert!(id.starts_with("tx") && id.ends_with("-n1-mine") && id.len() == 34 + 8, "{line}: {id}");
        assert_eq!(seen.header("x-openstack-request-id"), id);
    }
}

#[tokio::test]
async fn the_transaction_reaches_the_storage_server_and_internal_headers_do_not() {
    let rig = Rig::start().await;
    let token = rig.token("test:admin", "secret").await;
    let internal = [
        "x-backend-storage-policy-index",
        "x-account-sysmeta-core-access-control",
        "x-remove-account-sysmeta-core-access-control",
        "x-account-host",
    ];
    let mut headers: Vec<(&str, &str)> = internal.iter().map(|name| (*name, "forged")).collect();
    headers.extend([("x-auth-token", token.as_str()), ("x-account-meta-color", "red"), ("x-timestamp", "1.00000")]);
    let seen = rig.ask("POST /v1/AUTH_test", &headers).await;
    assert_eq!(seen.status, StatusCode::NO_CONTENT);
    let asked = rig.backend.asked(&Method::POST, "AUTH_test").unwrap();
    assert_eq!(
        (&asked["x-trans-id"], &asked["x-account-meta-color"]),
        (&seen.headers["x-trans-id"], &"red".parse().unwrap())
    );
    assert_ne!(asked["x-timestamp"], "1.00000");
    for name in internal.iter().chain(&["x-auth-token"]) {
        assert!(asked.get(*name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn what_storage_servers_say_among_themselves_stays_inside() {
    let rig = Rig::start().await;
    let kept = [
        ("x-container-sysmeta-a", "1"),
        ("x-backend-storage-policy-index", "0"),
        ("x-container-meta-color", "red"),
        ("x-timestamp", "1712345678.00000"),
    ];
    rig.backend.keep("AUTH_test/c", &kept, "");
    let token = rig.token("test:admin", "secret").await;
    let seen = rig.ask("HEAD /v1/AUTH_test/c", &[("x-auth-token", &token)]).await;
    assert_eq!((seen.header("x-container-meta-color"), seen.header("x-timestamp")), ("red", "1712345678.00000"));
    assert_eq!((seen.header("x-container-sysmeta-a"), seen.header("x-backend-storage-policy-index")), ("-", "-"));
}

#[tokio::test]
async fn load_balancers_hear_whether_to_send_clients() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("disabled");
    let rig = Rig::with(json!({ "disable_path": file })).await;
    let seen = rig.ask("GET /healthcheck", &[]).await;
    assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, "OK"));
    std::fs::write(&file, "").unwrap();
    let seen = rig.ask("GET /healthcheck", &[]).await;
    assert_eq!((seen.status, seen.body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE"));
}

#[tokio::test]
async fn info_tells_what_it_may() {
    let rig = Rig::with(json!({ "disallowed_sections": ["swift.max_file_size", "tempauth"] })).await;
    let seen = rig.ask("GET /info", &[("origin", "http://a")]).await;
    assert_eq!(seen.header("content-type"), "application/json; charset=UTF-8");
    assert_eq!(seen.header("access-control-allow-origin"), "http://a");
    let info: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(info["swift"]["max_object_name_length"], 1024);
    assert!(info["swift"].get("max_file_size").is_none() && info.get("tempauth").is_none());
    let options = rig.ask("OPTIONS /info", &[]).await;
    assert_eq!((options.status, options.header("allow")), (StatusCode::OK, "HEAD, GET, OPTIONS"));
    assert_eq!(rig.ask("PUT /info", &[]).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let hidden = Rig::with(json!({ "expose_info": false })).await;
    assert_eq!(hidden.ask("GET /info", &[]).await.status, StatusCode::FORBIDDEN);
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_line_tells_all_of_a_request() {
    let rig = Rig::start().await;
    rig.backend.keep("AUTH_test/c", &[("x-backend-storage-policy-index", "0")], "");
    rig.backend.keep("AUTH_test/c/o", &[("x-timestamp", "1712345678.00000"), ("etag", "e")], "data");
    let token = rig.token("test:admin", "secret").await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let headers = [("x-auth-token", token.as_str()), ("user-agent", "curl"), ("x-forwarded-for", "1.2.3.4")];
    let seen = rig.ask("GET /v1/AUTH_test/c/o?x=1", &headers).await;
    drop(logging);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let access: Vec<Value> = lines.filter(|line| line["target"] == "apus::access").collect();
    let [line] = access.as_slice() else { panic!("{text}") };
    for (field, value) in [
        ("client_ip", json!("1.2.3.4")),
        ("remote_addr", json!("10.0.0.9")),
        ("method", json!("GET")),
        ("path", json!("/v1/AUTH_test/c/o?x=1")),
        ("protocol", json!("HTTP/1.1")),
        ("status", json!(200)),
        ("wire_status", json!(200)),
        ("user_agent", json!("curl")),
        ("referer", json!("-")),
        ("token", json!(format!("{}...", &token[..16]))),
        ("bytes_recvd", json!(0)),
        ("bytes_sent", json!(4)),
        ("trans_id", json!(seen.header("x-trans-id"))),
        ("user", json!("test:admin")),
    ] {
        assert_eq!(line["fields"][field], value, "{field}");
    }
}
