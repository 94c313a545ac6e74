//! Mutual TLS on the HTTP between the servers of a cluster: both ends show a certificate of the cluster's CA, so that nobody
//! else on the network can read or write at a storage port. It is the identity of the [`Link`](super::Link), on TCP.
//!
//! New files ([`IdentityFiles`]) are in use for the next connection, and connections that were accepted by the old ones end
//! after their request, so that a node whose certificate was revoked is out at once. A certificate that ends soon is said
//! so every day.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;

use super::files::IdentityFiles;
use super::identity::{Identity, IdentityError, NODE_NAME};
use crate::clock;
use crate::metrics::Metrics;

/// What the two ends agree to speak; any HTTP client with a certificate does.
const PROTOCOL: &[u8] = b"http/1.1";
/// How often to see whether the certificate ends soon, when that is spoken of, and how often.
const LOOK: Duration = Duration::from_secs(3600);
const SOON: i64 = 30 * 86_400;
const SAY_EVERY: Duration = Duration::from_secs(86_400);

/// A node's identity in use.
pub struct BackendTls {
    files: IdentityFiles,
    current: ArcSwap<Current>,
    expires: Gauge<i64, AtomicI64>,
}

/// What the next connection uses.
struct Current {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since 1970.
    expires: i64,
    /// Cancelled when others take its place.
    replaced: CancellationToken,
}

impl std::fmt::Debug for BackendTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl BackendTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or they do not fit together.
    pub fn load(files: IdentityFiles) -> Result<Self, IdentityError> {
        let current = Current::of(&files.identity()?)?;
        let expires = Gauge::default();
        expires.set(current.expires);
        Ok(Self { files, current: ArcSwap::from_pointee(current), expires })
    }

    /// Shows when the certificate ends among a role's metrics.
    pub fn register(&self, metrics: &Metrics) {
        let help = "When this node's certificate for backend requests ends, in seconds since 1970";
        metrics.register("backend_certificate_expires", help, self.expires.clone());
    }

    pub(crate) async fn connect<T: AsyncRead + AsyncWrite + Unpin>(&self, io: T) -> io::Result<client::TlsStream<T>> {
        let config = Arc::clone(&self.current.load().client);
        let name = ServerName::try_from(NODE_NAME).map_err(io::Error::other)?;
        let connected = TlsConnector::from(config).connect(name, io).await;
        connected.map_err(|error| match error.kind() {
            // What is no TLS record, an HTTP error most likely; or the end of the connection in its place.
            io::ErrorKind::InvalidData if error.to_string().contains("InvalidContentType") => {
                io::Error::other("the node speaks no TLS: it has no [backend_tls] in its configuration")
            }
            _ => error,
        })
    }

    /// The peer's stream, and what is cancelled when it has to show its certificate anew.
    pub(crate) async fn accept<T>(&self, io: T) -> io::Result<(server::TlsStream<T>, CancellationToken)>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let current = self.current.load_full();
        let stream = TlsAcceptor::from(Arc::clone(&current.server)).accept(io).await?;
        Ok((stream, current.replaced.clone()))
    }

    /// Puts changed files to use, for as long as it is awaited.
    pub async fn watch(&self) -> Infallible {
        let warning = async {
            loop {
                tokio::time::sleep(if self.warn() { SAY_EVERY } else { LOOK }).await;
            }
        };
        tokio::select! {
            never = self.files.watch(|identity| self.renew(identity)) => never,
            never = warning => never,
        }
    }

    pub(super) fn renew(&self, identity: &Identity) -> Result<(), IdentityError> {
        let current = Current::of(identity)?;
        self.expires.set(current.expires);
        self.current.swap(Arc::new(current)).replaced.cancel();
        Ok(())
    }

    /// Says that the certificate ends soon, if it does.
    fn warn(&self) -> bool {
        let left = self.current.load().expires.saturating_sub(i64::try_from(clock::now().secs()).unwrap_or(i64::MAX));
        let ends_soon = left < SOON;
        if ends_soon {
            let path = Path::display(&self.files.certificate);
            tracing::warn!(%path, days = left / 86_400, "the certificate for backend requests ends soon: issue a new one");
        }
        ends_soon
    }
}

impl Current {
    fn of(identity: &Identity) -> Result<Self, IdentityError> {
        Ok(Self {
            client: Arc::new(identity.client_config(PROTOCOL)?),
            server: Arc::new(identity.server_config(PROTOCOL)?),
            expires: identity.expires()?,
            replaced: CancellationToken::new(),
        })
    }
}
