//! What only a real connection shows.

use std::sync::Arc;

use crate::rig::Rig;
use apus_base::metrics::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Everything that comes back for these bytes until the server closes.
async fn exchange(address: std::net::SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.unwrap();
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn it_serves_until_it_is_asked_to_stop() {
    let rig = Rig::start().await;
    rig.backend.keep(
        "AUTH_test/c",
        &[("content-type", "application/json"), ("x-container-read", ".r:*,.rlistings")],
        "[]",
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let proxy = Arc::clone(&rig.proxy);
    let serving = tokio::spawn(apus_proxy::serve(proxy, Metrics::new("proxy").into(), listener, shutdown.clone()));
    // A listing, its head alone, and a refusal.
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let seen = exchange(address, &get("/v1/AUTH_test/c?format=xml")).await;
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n") && seen.ends_with("<container name=\"c\" />"), "{seen}");
    assert!(seen.contains("Content-Length: 61\r\n") && seen.contains("X-Trans-Id: tx"), "{seen}");
    let seen = exchange(address, &get("/v1/AUTH_test/c").replace("GET", "HEAD")).await;
    assert!(seen.contains("Content-Type: text/plain; charset=utf-8\r\n") && seen.ends_with("\r\n\r\n"), "{seen}");
    let seen = exchange(address, &get("/v1/AUTH_test")).await;
    assert!(
        seen.starts_with("HTTP/1.1 401 ") && seen.contains("Www-Authenticate: Swift realm=\"AUTH_test\""),
        "{seen}"
    );
    // It stops, and the port is free again.
    shutdown.cancel();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
