//! Mutual TLS on the HTTP between the servers of a cluster: both ends show a certificate of the cluster's CA, so that nobody
//! else on the network can read or write at a storage port. It is the identity of the [`Link`](super::Link), on TCP.
//!
//! The files are looked at every few seconds. New ones are in use for the next connection, and connections that were
//! accepted by the old ones end after their request, so that a node whose certificate was revoked is out at once; broken
//! ones are said so and the old ones stay. A certificate that ends soon is said so every day.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, IdentityError, NODE_NAME};
use crate::clock;
use crate::metrics::Metrics;

/// What the two ends agree to speak; any HTTP client with a certificate does.
const PROTOCOL: &[u8] = b"http/1.1";
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// When a certificate's end is spoken of, and how often.
const SOON: i64 = 30 * 86_400;
const SAY_EVERY: Duration = Duration::from_secs(86_400);

/// The `[backend_tls]` table of a node's configuration. Every server and proxy of the cluster has it, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendTlsConfig {
    /// This node's certificate, as PEM.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate of the cluster's CA.
    pub ca: PathBuf,
    /// The certificates that the CA has revoked: `apus ca revoke` writes it.
    pub crl: Option<PathBuf>,
}

impl BackendTlsConfig {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or they do not fit together.
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::read(&self.certificate, &self.key, &self.ca)?.without(self.crl.as_deref())
    }

    /// All files that there are.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.certificate, &mut self.key, &mut self.ca].into_iter().chain(&mut self.crl)
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let files = [&self.certificate, &self.key, &self.ca].into_iter().chain(&self.crl);
        for file in files.map(|file| std::fs::read(file).unwrap_or_default()) {
            digest.update(file.len().to_be_bytes());
            digest.update(file);
        }
        digest.finalize().into()
    }
}

/// A node's identity in use.
pub struct BackendTls {
    files: BackendTlsConfig,
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
    pub fn load(files: BackendTlsConfig) -> Result<Self, IdentityError> {
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
    pub async fn watch(self: Arc<Self>) -> Infallible {
        let mut seen = None;
        let mut said: Option<Instant> = None;
        loop {
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look(seen)).await;
            seen = looked.ok().or(seen);
            if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) && self.warn() {
                said = Some(Instant::now());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Uses the files if they are others than those `seen`, and gives what they are now.
    pub(super) fn look(&self, seen: Option<[u8; 32]>) -> [u8; 32] {
        let now = self.files.digest();
        if seen.is_none_or(|seen| seen == now) {
            return now;
        }
        match self.files.identity().and_then(|identity| Current::of(&identity)) {
            Ok(current) => {
                self.expires.set(current.expires);
                self.current.swap(Arc::new(current)).replaced.cancel();
                tracing::info!("the certificates for backend requests have changed and are in use");
            }
            Err(error) => tracing::error!(%error, "the new [backend_tls] cannot be used; the old one stays"),
        }
        now
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
