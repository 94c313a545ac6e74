//! One connection, from the socket to its protocol.
//!
//! Everything before the first request (the PROXY header, the TLS handshake, the bytes that tell HTTP/1 from HTTP/2) has
//! to be done within [`Limits::patience`](super::Limits): whoever connects and is silent goes, whatever layer waits.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

use super::http1::Manners;
use super::linger::Lingering;
use super::proxy_protocol::{self, Refused};
use super::spelling::Spelled;
use super::stream::Stream;
use super::{Front, Server, Service, http1, http2};

/// What every connection of HTTP/2 begins with, and no request of HTTP/1.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The port that stands for TLS where a balancer ends it, as Swift has it.
const HTTPS_PORT: u16 = 443;
/// What a client sees that did not come through the balancer.
const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\
                       Connection: close\r\n\r\nInvalid PROXY line";

/// What the first record of TLS begins with, and no request of HTTP.
const TLS_HANDSHAKE: u8 = 22;
/// What a peer sees that speaks no TLS though it must. 503 sends it to another node.
const PLAIN_REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 65\r\n\
                             Connection: close\r\n\r\nThis port speaks mutual TLS only: see [backend_tls] in apus.toml.\n";

/// A socket on which a peer that does not read is cut off.
type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// A socket, or TLS on one.
pub(super) trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// The other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Whether it speaks TLS, to us or to a balancer.
    pub(super) secure: bool,
    /// Whether it is a client and no server of the cluster.
    pub(super) public: bool,
}

/// A connection on which HTTP begins.
struct Arrived {
    io: Pin<Box<dyn Io>>,
    /// The first bytes.
    received: BytesMut,
    peer: Peer,
    http2: bool,
}

/// Why there is no HTTP on a connection.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    #[error("the peer speaks no TLS: every server and proxy of the cluster needs [backend_tls]")]
    Plain,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("nothing was asked for too long")]
    TimedOut(#[from] tokio::time::error::Elapsed),
}

/// Serves a connection to its end.
pub(super) async fn serve<S: Service>(server: Arc<Server<S>>, socket: TcpStream, address: SocketAddr) {
    // Without this, a small response waits 40 ms for the peer's delayed acknowledgement.
    let _ = socket.set_nodelay(true);
    let Some(front) = &server.front else {
        return serve_peer(&server, socket, address).await;
    };
    let manners = Manners::default();
    let socket = Lingering::new(patient(&server, socket), manners.unread.clone());
    let arrived = tokio::select! {
        () = server.shutdown.cancelled() => return,
        arrived = tokio::time::timeout(server.limits.patience, arrive(front, socket, address)) => arrived,
    };
    match arrived.map_err(Lost::from).flatten() {
        Ok(Arrived { io, received, peer, http2: true }) => {
            http2::serve(&server, Stream::opaque(io, received), peer).await;
        }
        Ok(Arrived { io, received, peer, .. }) => {
            let io = Spelled::new(Stream::of_requests(io, received), manners.asked.clone());
            http1::serve(&server, io, peer, manners, &server.shutdown).await;
        }
        Err(error) => tracing::debug!(%address, %error, "a connection came to nothing"),
    }
}

fn patient<S>(server: &Server<S>, socket: TcpStream) -> Socket {
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(server.limits.patience));
    Box::pin(socket)
}

/// Serves a connection of another server of the cluster, once it has shown its certificate if it must.
async fn serve_peer<S: Service>(server: &Arc<Server<S>>, socket: TcpStream, address: SocketAddr) {
    let peer = Peer { address, secure: false, public: false };
    let Some(tls) = &server.backend.tls else {
        return http1::serve(server, patient(server, socket), peer, Manners::default(), &server.shutdown).await;
    };
    let handshake = async {
        check_tls(&socket).await?;
        tls.accept(patient(server, socket)).await.map_err(Lost::Tls)
    };
    let arrived = tokio::select! {
        () = server.shutdown.cancelled() => return,
        arrived = tokio::time::timeout(server.limits.patience, handshake) => arrived,
    };
    match arrived.map_err(Lost::from).flatten() {
        Ok((io, replaced)) => http1::serve(server, Box::pin(io), peer, Manners::default(), &replaced).await,
        Err(error) => tracing::warn!(%address, %error, "a peer was refused"),
    }
}

/// Whether what comes is TLS; if it is HTTP, it is told in its own words, so that whoever set it up finds the reason.
async fn check_tls(socket: &TcpStream) -> Result<(), Lost> {
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 || first[0] == TLS_HANDSHAKE {
        return Ok(());
    }
    // Whoever does not take so few bytes does not get them.
    let _ = socket.try_write(PLAIN_REFUSAL.as_bytes());
    Err(Lost::Plain)
}

async fn arrive(front: &Front, mut socket: Lingering<Socket>, address: SocketAddr) -> Result<Arrived, Lost> {
    let mut received = BytesMut::new();
    let mut peer = Peer { address, secure: front.tls.is_some(), public: true };
    if front.require_proxy_protocol {
        let announced = match proxy_protocol::read(&mut socket, &mut received).await {
            Ok(announced) => announced,
            Err(refused) => return Err(turn_away(front, socket, refused).await),
        };
        if let Some(announced) = announced {
            peer.address = announced.source;
            peer.secure |= announced.destination.port() == HTTPS_PORT;
        }
    }
    let mut io: Pin<Box<dyn Io>> = match &front.tls {
        None => Box::pin(socket),
        Some(tls) => {
            let io = Stream::opaque(socket, std::mem::take(&mut received));
            Box::pin(tls.accept(io).await.map_err(Lost::Tls)?)
        }
    };
    let http2 = front.http2 && begins_with_preface(&mut io, &mut received).await?;
    Ok(Arrived { io, received, peer, http2 })
}

/// Says so in plain HTTP where that can be understood; the reason matters to whoever set up the balancer.
async fn turn_away(front: &Front, mut socket: Lingering<Socket>, refused: Refused) -> Lost {
    tracing::warn!(%refused, "a connection without the PROXY protocol is refused");
    if front.tls.is_none() && socket.write_all(REFUSAL.as_bytes()).await.is_ok() {
        // Who is gone has not read it.
        let _ = socket.shutdown().await;
    }
    refused.into()
}

/// Receives bytes until they are HTTP/2's preface or cannot be.
async fn begins_with_preface(io: &mut Pin<Box<dyn Io>>, received: &mut BytesMut) -> io::Result<bool> {
    loop {
        let len = received.len().min(HTTP2_PREFACE.len());
        if received[..len] != HTTP2_PREFACE[..len] {
            return Ok(false);
        }
        if len == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        if io.read_buf(received).await? == 0 {
            return Ok(false);
        }
    }
}
