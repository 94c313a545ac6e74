//! Against a real memcached, which Debian brings.

use std::process::Stdio;

use proptest::prelude::*;
use tokio::io::BufReader;
use tokio::process::{Child, Command};

use super::*;

/// A running memcached, killed when dropped.
pub(in crate::client) struct RealServer {
    pub(in crate::client) address: String,
    process: Child,
}

impl RealServer {
    pub(in crate::client) async fn start() -> Self {
        // The port was free when the kernel gave it to us; if somebody was faster, memcached ends and we take another.
        for _ in 0..10 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(server) = Self::start_at(port).await {
                return server;
            }
        }
        panic!("memcached did not start on any of ten free ports");
    }

    async fn start_at(port: u16) -> Option<Self> {
        let arguments = ["-vv", "-u", "nobody", "-U", "0", "-m", "16", "-l", "127.0.0.1", "-p", &port.to_string()];
        let started = Command::new("memcached").args(arguments).stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let mut process = started.expect("this test needs memcached: apt-get install memcached");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("server listening") {
                // It goes on writing; somebody has to read, or it would stop.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Some(Self { address: format!("127.0.0.1:{port}"), process });
            }
        }
        None
    }

    pub(in crate::client) async fn stop(mut self) {
        self.process.kill().await.unwrap();
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn values_are_kept_and_deleted() {
    let server = RealServer::start().await;
    let client = Memcached::new(std::slice::from_ref(&server.address));
    assert_eq!(client.get("container/a b/\u{1f426}").await, None);
    client.set("container/a b/\u{1f426}", b"x\r\nEND\r\n", MINUTE).await;
    assert_eq!(client.get("container/a b/\u{1f426}").await.unwrap(), b"x\r\nEND\r\n");
    client.delete("container/a b/\u{1f426}").await;
    assert_eq!(client.get("container/a b/\u{1f426}").await, None);
    server.stop().await;
}

#[tokio::test]
async fn too_large_a_value_is_not_kept() {
    let server = RealServer::start().await;
    let client = Memcached::new(std::slice::from_ref(&server.address));
    client.set("k", &vec![b'x'; MAX_VALUE_BYTES + 1], MINUTE).await;
    assert_eq!(client.get("k").await, None);
    // The connection is as good as before.
    client.set("k", b"y", MINUTE).await;
    assert_eq!(client.get("k").await.unwrap(), b"y");
}

#[tokio::test]
async fn keys_spread_over_servers_and_survive_one_of_them() {
    // Two servers share the keys.
    let (one, two) = (RealServer::start().await, RealServer::start().await);
    let client = Memcached::new(&[one.address.clone(), two.address.clone()]);
    let keys: Vec<_> = (0..64).map(|i| format!("k{i}")).collect();
    for key in &keys {
        client.set(key, key.as_bytes(), MINUTE).await;
    }
    let firsts = keys.iter().filter(|key| client.servers(key)[0].address == one.address).count();
    assert!((1..64).contains(&firsts), "{firsts} of 64 keys are at the first server");

    // One dies: its keys are gone, the others are still there.
    one.stop().await;
    let mut left = 0;
    for key in &keys {
        left += usize::from(client.get(key).await.is_some());
    }
    assert_eq!(left, 64 - firsts);

    // The other one takes over.
    for key in &keys {
        client.set(key, b"new", MINUTE).await;
        assert_eq!(client.get(key).await.unwrap(), b"new");
    }
}

#[tokio::test]
async fn without_a_server_nothing_is_cached_and_nothing_fails() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let client = Memcached::new(std::slice::from_ref(&nobody));
    for _ in 0..20 {
        client.set("k", b"v", MINUTE).await;
        assert_eq!(client.get("k").await, None);
    }
    // It is not even asked any more.
    assert!(client.servers("k").is_empty());
}

#[test]
fn answers() {
    assert_eq!(parse(b"VALUE k 0 12\r\n").unwrap(), Line::Value(12));
    assert_eq!(parse(b"END\r\n").unwrap(), Line::Done);
    for nonsense in ["END", "VALUE k 0\r\n", "VALUE k 0 1 2\r\n", "VALUE k 0 99999999\r\n", "ERROR\r\n", "\r\n"] {
        assert!(parse(nonsense.as_bytes()).is_err(), "{nonsense:?}");
    }
}

proptest! {
    #[test]
    fn any_line_is_read_or_refused(line in "(VALUE |END)?[ -~]{0,20}(\r\n)?") {
        if let Ok(Line::Value(length)) = parse(line.as_bytes()) {
            prop_assert!(length <= MAX_VALUE_BYTES);
        }
    }
}
