//! The link between nodes: QUIC with mutual TLS, on one UDP port for each node.
//!
//! Whoever has a certificate of the cluster's CA is a node of the cluster, and nobody else gets past the handshake; both ends
//! show one. All certificates carry the same name, [`NODE_NAME`]: belonging to the cluster is what counts, and addresses
//! change. A connection to a peer is kept and shared by all streams to it; each exchange is a stream of its own, so a long
//! transfer holds up no question. What a peer may do is limited: streams at once, bytes in flight, silence. With new
//! certificates ([`Link::renew`]) all connections are made anew, so a node that was revoked is out within seconds.
//!
//! What can fail: the peer is not there or not one of us ([`LinkError::Connect`]), it falls silent ([`LinkError::Silent`]), or says
//! what is no message. All are the peer's; the connection is made anew by whoever asks next.

mod expiry;
mod files;
mod identity;
mod reset;
mod stream;
mod tls;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use expiry::{certificate_expiry, serial};
pub use files::IdentityFiles;
pub use identity::{Identity, IdentityError, NODE_NAME};
pub use stream::{Receiver, Sender, Stream};
pub use tls::BackendTls;

use crate::wire::replication::InvalidMessage;

/// How long a connection may be silent, its handshake included.
const IDLE: Duration = Duration::from_secs(8);
/// How often a connection in use says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long a peer may take to answer the first packet.
const CONNECT: Duration = Duration::from_secs(3);
/// Streams that a peer may have open at once on one connection.
const MAX_STREAMS: u32 = 64;
/// Bytes that a peer may send on one stream before they are taken.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes that a peer may send on all its streams before they are taken.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Connections from peers held at once: some for each node of a large cluster.
const MAX_CONNECTIONS: usize = 1024;
/// How long streams may go on after a shutdown was asked for.
const GRACE: Duration = Duration::from_secs(10);

/// Why an exchange with a peer failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket cannot be had.
    #[error("cannot listen for replication on {0}: {1}")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// The identity does not make a TLS configuration.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    /// Nothing came for too long.
    #[error("the peer fell silent")]
    Silent,
    /// The stream or the connection broke off.
    #[error("the stream broke off: {0}")]
    Broken(String),
    /// What came is no message.
    #[error(transparent)]
    Message(#[from] InvalidMessage),
}

/// One node's end of the links to all others.
#[derive(Debug)]
pub struct Link {
    endpoint: Endpoint,
    client: ArcSwap<ClientConfig>,
    /// Cancelled when peers have to show their certificates anew.
    renewed: ArcSwap<CancellationToken>,
    connections: Mutex<HashMap<SocketAddr, Connection>>,
}

/// What answers the streams of peers.
pub trait Answerer: Send + Sync + 'static {
    /// Answers one stream; what goes wrong with it is the peer's loss.
    fn answer(self: Arc<Self>, stream: Stream) -> impl Future<Output = ()> + Send;
}

impl Link {
    /// An end that asks, and answers once [`Link::serve`] is called.
    ///
    /// # Errors
    /// When the address is taken or the identity cannot be used.
    pub fn bind(address: SocketAddr, identity: &Identity) -> Result<Self, LinkError> {
        let server = server(identity)?;
        let failed = |error| LinkError::Bind(address, error);
        let socket = std::net::UdpSocket::bind(address).map_err(failed)?;
        let runtime = quinn::default_runtime().ok_or_else(|| failed(std::io::Error::other("no runtime")))?;
        let mut config = EndpointConfig::new(Arc::new(identity.reset_key()));
        config.cid_generator(|| Box::new(reset::AnyId));
        let bound = Endpoint::new(config, Some(server), socket, runtime).map_err(failed)?;
        Self::with(bound, identity)
    }

    /// An end that only asks, on a port of the system's choice.
    ///
    /// # Errors
    /// When there is no port or the identity cannot be used.
    pub fn asking(identity: &Identity) -> Result<Self, LinkError> {
        let any: SocketAddr = (Ipv6Addr::UNSPECIFIED, 0).into();
        // A machine without IPv6 has only the other.
        let bound = Endpoint::client(any).or_else(|_| Endpoint::client(([0, 0, 0, 0], 0).into()));
        Self::with(bound.map_err(|error| LinkError::Bind(any, error))?, identity)
    }

    /// An end that only asks, from an address of this node: so it takes no port on the others, where a server may want it.
    ///
    /// # Errors
    /// As [`Link::asking`].
    pub fn asking_from(ip: IpAddr, identity: &Identity) -> Result<Self, LinkError> {
        let own = SocketAddr::new(ip, 0);
        Self::with(Endpoint::client(own).map_err(|error| LinkError::Bind(own, error))?, identity)
    }

    fn with(endpoint: Endpoint, identity: &Identity) -> Result<Self, LinkError> {
        let client = ArcSwap::from_pointee(client(identity)?);
        Ok(Self { endpoint, client, renewed: ArcSwap::default(), connections: Mutex::default() })
    }

    /// Shows, and trusts, what an identity says now, for an end that was made by [`Link::bind`]. Streams that are open may end,
    /// for ten seconds at most.
    ///
    /// # Errors
    /// When the identity cannot be used; then nothing changes.
    pub fn renew(&self, identity: &Identity) -> Result<(), IdentityError> {
        let (client, server) = (client(identity)?, server(identity)?);
        self.client.store(Arc::new(client));
        self.endpoint.set_server_config(Some(server));
        // Each ends when its last stream has.
        self.lock().clear();
        self.renewed.swap(Arc::default()).cancel();
        Ok(())
    }

    /// Opens a stream to the node that answers on `host` (a name or an IP) and `port`.
    ///
    /// # Errors
    /// When it does not answer or is not one of us.
    pub async fn open(&self, host: &str, port: u16) -> Result<Stream, LinkError> {
        let failed = |why: &dyn std::fmt::Display| LinkError::Connect(format!("{host}:{port}"), why.to_string());
        let mut found = tokio::net::lookup_host((host, port)).await.map_err(|e| failed(&e))?;
        let address = found.next().ok_or_else(|| failed(&"no such host"))?;
        // A connection that was kept may be dead without our knowing; then one more try, on a new one.
        if let Some(kept) = self.kept(address)
            && let Ok((send, receive)) = kept.open_bi().await
        {
            return Ok(Stream::new(send, receive));
        }
        let client = ClientConfig::clone(&self.client.load());
        let connecting = self.endpoint.connect_with(client, address, NODE_NAME).map_err(|e| failed(&e))?;
        let connected = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| failed(&"no answer"))?;
        let connection = connected.map_err(|e| failed(&e))?;
        let (send, receive) = connection.open_bi().await.map_err(|e| failed(&e))?;
        self.lock().insert(address, connection);
        Ok(Stream::new(send, receive))
    }

    fn kept(&self, address: SocketAddr) -> Option<Connection> {
        let mut connections = self.lock();
        let dead = connections.get(&address).is_some_and(|connection| connection.close_reason().is_some());
        if dead {
            connections.remove(&address);
        }
        connections.get(&address).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Answers peers until `shutdown`, then lets the streams that are open end, for ten seconds at most.
    pub async fn serve<A: Answerer>(&self, answerer: Arc<A>, shutdown: CancellationToken) {
        let streams = TaskTracker::new();
        loop {
            let incoming = tokio::select! {
                () = shutdown.cancelled() => break,
                incoming = self.endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            if self.endpoint.open_connections() >= MAX_CONNECTIONS {
                incoming.refuse();
                continue;
            }
            // Before the handshake: when it was by certificates that change meanwhile, it is made again.
            let renewed = self.renewed.load_full();
            let (answerer, streams, shutdown) = (Arc::clone(&answerer), streams.clone(), shutdown.clone());
            tokio::spawn(async move {
                match incoming.await {
                    Ok(connection) => accept_streams(connection, answerer, streams, (shutdown, renewed)).await,
                    Err(error) => tracing::warn!(%error, "a peer was refused"),
                }
            });
        }
        streams.close();
        if tokio::time::timeout(GRACE, streams.wait()).await.is_err() {
            tracing::warn!("some replication streams did not finish in time and were cut off");
        }
        self.close();
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"the node is stopping");
    }
}

async fn accept_streams<A: Answerer>(
    connection: Connection,
    answerer: Arc<A>,
    streams: TaskTracker,
    (shutdown, renewed): (CancellationToken, Arc<CancellationToken>),
) {
    let own = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => return,
            () = renewed.cancelled() => break,
            stream = connection.accept_bi() => stream,
        };
        let Ok((send, receive)) = stream else { return };
        streams.spawn(own.track_future(Arc::clone(&answerer).answer(Stream::new(send, receive))));
    }
    own.close();
    // Those that take longer are cut off.
    let _ = tokio::time::timeout(GRACE, own.wait()).await;
    connection.close(VarInt::from_u32(0), b"there are new certificates");
}

fn client(identity: &Identity) -> Result<ClientConfig, IdentityError> {
    let mut client = ClientConfig::new(identity.client()?);
    client.transport_config(transport());
    Ok(client)
}

fn server(identity: &Identity) -> Result<ServerConfig, IdentityError> {
    let mut server = ServerConfig::with_crypto(identity.server()?);
    server.transport_config(transport());
    Ok(server)
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = u32::try_from(IDLE.as_millis()).unwrap_or(u32::MAX);
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW));
    Arc::new(transport)
}

#[cfg(test)]
mod tests;
