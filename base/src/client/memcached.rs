//! A small memcached client: what is cached may be lost at any time, so nothing here is an error to anybody.
//!
//! The server of a key is chosen by consistent hashing, so that adding or losing a server moves few keys. A server that fails
//! is passed over for the next one, and after ten errors within a minute left alone for a minute. The protocol is the text
//! one (`doc/protocol.txt` of memcached): `get`, `set` and `delete`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consistent_hash::{DefaultHash, Node, StaticHashRing};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::limiter::ErrorLimiter;
use crate::hex::hex;

/// Points of each server on the hash ring: enough that keys spread evenly to a few percent.
const POINTS: usize = 256;
/// Connections to one server at once; further requests wait for one, within `EXCHANGE`.
const MAX_CONNECTIONS: usize = 32;
/// Servers that are tried for one key.
const TRIES: usize = 3;
/// A server in the same data centre connects in less, or is down.
const CONNECT: Duration = Duration::from_millis(300);
/// From the wait for a connection to the answer.
const EXCHANGE: Duration = Duration::from_secs(2);
/// memcached refuses larger values by default.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// `VALUE <250 bytes of key> <flags> <length>` and some.
const MAX_LINE_BYTES: u64 = 512;
/// Errors in `ERROR_INTERVAL` after which a server is left alone.
const MAX_ERRORS: u32 = 10;
const ERROR_INTERVAL: Duration = Duration::from_secs(60);

/// A client of some servers.
pub(super) struct Memcached {
    ring: StaticHashRing<'static, String, Arc<Server>, DefaultHash>,
    limiter: ErrorLimiter,
}

struct Server {
    address: String,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
}

type Connection = BufStream<TcpStream>;

impl Memcached {
    /// A client of the servers at these `host:port`s; connects when it has something to ask.
    pub(super) fn new(servers: &[String]) -> Self {
        let nodes = servers.iter().map(|address| {
            let server =
                Server { address: address.clone(), idle: Mutex::default(), places: Semaphore::new(MAX_CONNECTIONS) };
            Node::new(address.clone()).value(Arc::new(server)).quantity(POINTS)
        });
        let limiter = ErrorLimiter::new(MAX_ERRORS, ERROR_INTERVAL);
        Self { ring: StaticHashRing::new(DefaultHash, nodes), limiter }
    }

    /// The value of a key, if a server has it.
    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let request = format!("get {}\r\n", wire_key(key));
        for server in self.servers(key) {
            if let Some(answer) = self.ask(&server, request.as_bytes()).await {
                return answer;
            }
        }
        None
    }

    /// Keeps a value for a while.
    pub(super) async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        if value.len() > MAX_VALUE_BYTES {
            return;
        }
        let mut request = format!("set {} 0 {} {}\r\n", wire_key(key), ttl.as_secs().max(1), value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        for server in self.servers(key) {
            if self.ask(&server, &request).await.is_some() {
                return;
            }
        }
    }

    /// Deletes a key wherever it may have been set, also on the servers that stood in for its own.
    pub(super) async fn delete(&self, key: &str) {
        let request = format!("delete {}\r\n", wire_key(key));
        let servers = self.servers(key);
        let asked = servers.iter().map(|server| self.ask(server, request.as_bytes()));
        futures_util::future::join_all(asked).await;
    }

    /// The servers to try for a key, the best first, without those that are left alone.
    fn servers(&self, key: &str) -> Vec<Arc<Server>> {
        let candidates = self.ring.calc_candidates(&key).map(|node| &node.value);
        candidates.take(TRIES).filter(|server| !self.limiter.is_limited(&server.address)).cloned().collect()
    }

    /// One exchange with one server. The outer `None` is a failure, which goes on its account.
    async fn ask(&self, server: &Server, request: &[u8]) -> Option<Option<Vec<u8>>> {
        let answered = timeout(EXCHANGE, server.exchange(request)).await;
        match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!(server = server.address, %error, "a memcached server failed");
                self.limiter.increment(&server.address);
                None
            }
        }
    }
}

/// Keys may be long and hold any character; memcached's may not.
fn wire_key(key: &str) -> String {
    format!("apus-{}", hex(&Sha256::digest(key)))
}

impl Server {
    async fn exchange(&self, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let _place = self.places.acquire().await.map_err(io::Error::other)?;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut connection) = kept
            && let Ok(answer) = exchange(&mut connection, request).await
        {
            self.keep(connection);
            return Ok(answer);
        }
        // A kept connection may have been closed meanwhile; a new one that fails is the server's fault.
        let connecting = timeout(CONNECT, TcpStream::connect(&self.address)).await;
        let stream = connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        let mut connection = BufStream::new(stream);
        let answer = exchange(&mut connection, request).await?;
        self.keep(connection);
        Ok(answer)
    }

    /// At most as many as there are places come here.
    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

async fn exchange(connection: &mut Connection, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
    connection.write_all(request).await?;
    connection.flush().await?;
    let length = match parse(&read_line(connection).await?)? {
        Line::Done => return Ok(None),
        Line::Value(length) => length,
    };
    let mut value = vec![0; length + 2];
    connection.read_exact(&mut value).await?;
    match (value.split_off(length).as_slice(), parse(&read_line(connection).await?)?) {
        (b"\r\n", Line::Done) => Ok(Some(value)),
        _ => Err(nonsense()),
    }
}

async fn read_line(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    connection.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await?;
    Ok(line)
}

/// The first line of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// A value of so many bytes follows.
    Value(usize),
    /// That was all.
    Done,
}

fn parse(line: &[u8]) -> io::Result<Line> {
    match line.strip_suffix(b"\r\n").ok_or_else(nonsense)? {
        b"END" | b"STORED" | b"NOT_STORED" | b"DELETED" | b"NOT_FOUND" => Ok(Line::Done),
        value => parse_value(value).map(Line::Value).ok_or_else(nonsense),
    }
}

/// `VALUE <key> <flags> <length>`; a connection carries one request at a time, so the key is the one asked for.
fn parse_value(line: &[u8]) -> Option<usize> {
    let mut words = std::str::from_utf8(line).ok()?.strip_prefix("VALUE ")?.split(' ');
    let length = words.nth(2)?.parse().ok()?;
    (length <= MAX_VALUE_BYTES && words.next().is_none()).then_some(length)
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an answer of memcached")
}

#[cfg(test)]
pub(super) mod tests;
