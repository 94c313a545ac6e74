//! TLS 1.2 and 1.3 on the public port, by rustls. The certificate is looked at every few seconds: a new one is in use for
//! the next connection, a broken one is said so once and the old one stays.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys};
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The server's certificate and those that lead to a known one, in that order, as PEM.
    pub certificate: PathBuf,
    /// The private key of the first of them, as PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no PEM of what it should hold.
    #[error("{} holds no usable {what}: {source}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// A certificate or a private key.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// The key belongs to another certificate.
    #[error("the key in {} is not that of the certificate in {}", .key.display(), .certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// rustls refuses them.
    #[error("the certificate in {} cannot be used: {source}", .path.display())]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// What a port needs to speak TLS.
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

/// The certificate that the next connection gets.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they are not a certificate and its key.
    pub fn load(files: TlsFiles, http2: bool) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let pair = certified(&files, &Pair::read(&files)?, &provider)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
        let refused = |source| TlsError::Refused { path: files.certificate.clone(), source };
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions().map_err(refused)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::clone(&current) as _);
        let protocols: &[&str] = if http2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self { files, provider, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(super) async fn accept<T: AsyncRead + AsyncWrite + Unpin>(&self, io: T) -> io::Result<TlsStream<T>> {
        self.acceptor.accept(io).await
    }

    /// Puts changed files to use, for as long as it is awaited.
    pub(super) async fn watch(self: Arc<Self>) -> Infallible {
        let mut seen = None;
        loop {
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look(seen)).await;
            seen = looked.unwrap_or(seen);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Uses the files if they are others than those `seen`, and returns what they are now.
    fn look(&self, seen: Option<Seen>) -> Option<Seen> {
        let pair = Pair::read(&self.files);
        let now = Some(pair.as_ref().map_or(Seen::Unreadable, |pair| Seen::Bytes(pair.digest())));
        if now != seen {
            match pair.and_then(|pair| certified(&self.files, &pair, &self.provider)) {
                Ok(pair) if *pair.cert == *self.current.0.load().cert => {}
                Ok(pair) => {
                    self.current.0.store(Arc::new(pair));
                    tracing::info!("the certificate has changed and is in use");
                }
                Err(error) => tracing::error!(%error, "the new certificate cannot be used; the old one stays"),
            }
        }
        now
    }
}

/// What the files were when they were looked at, so that each change is spoken of once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Unreadable,
    Bytes([u8; 32]),
}

/// What is in the files.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn digest(&self) -> [u8; 32] {
        let digest = Sha256::new().chain_update(self.certificate.len().to_be_bytes());
        digest.chain_update(&self.certificate).chain_update(&self.key).finalize().into()
    }
}

fn certified(files: &TlsFiles, pair: &Pair, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let bad = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_slice_iter(&pair.certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.map_err(bad(&files.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&pair.key).map_err(bad(&files.key, "private key"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { key: files.key.clone(), certificate: files.certificate.clone() }
        }
        source => TlsError::Refused { path: files.certificate.clone(), source },
    })
}

#[cfg(test)]
mod tests;
