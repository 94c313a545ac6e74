//! Who a node is: its certificate, its key, and the CA that it and its peers have theirs from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::reset::ResetKey;

/// The name in every node's certificate.
pub const NODE_NAME: &str = "node.apus.internal";
/// What the two ends agree to speak: another version of the protocol gets another name.
const PROTOCOL: &[u8] = b"apus-replication/1";

/// A node's certificate and key, and the CA of its cluster.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    /// What the CA has revoked.
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// Why files are no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read as PEM.
    #[error("cannot read {}: {message}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// They do not fit together.
    #[error("the node's certificate, its key and the CA do not fit together: {0}")]
    Mismatch(String),
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(secret)")
    }
}

impl Identity {
    /// Reads three PEM files: the node's certificate, its key, and the CA's certificate.
    ///
    /// # Errors
    /// When one cannot be read or holds something else.
    pub fn read(certificate: &Path, key: &Path, ca: &Path) -> Result<Self, IdentityError> {
        let wrong = |path: &Path| {
            let path = path.to_owned();
            move |error: rustls::pki_types::pem::Error| IdentityError::File { path, message: error.to_string() }
        };
        let certificates = |path: &Path| -> Result<Vec<_>, IdentityError> {
            let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            found.map_err(wrong(path))
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(ca)? {
            roots.add(root).map_err(|e| IdentityError::File { path: ca.to_owned(), message: e.to_string() })?;
        }
        Ok(Self {
            chain: certificates(certificate)?,
            key: PrivateKeyDer::from_pem_file(key).map_err(wrong(key))?,
            roots: Arc::new(roots),
            revoked: Vec::new(),
        })
    }

    /// What makes the tokens by which peers learn that this node was started anew.
    pub(super) fn reset_key(&self) -> ResetKey {
        ResetKey::new(self.key.secret_der())
    }

    /// The same without the peers whose certificates a file of the CA's revokes (PEM).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn without(self, crl: Option<&Path>) -> Result<Self, IdentityError> {
        let Some(path) = crl else { return Ok(self) };
        let lists = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect);
        let wrong = |error: rustls::pki_types::pem::Error| error.to_string();
        let revoked = lists.map_err(wrong).map_err(|message| IdentityError::File { path: path.to_owned(), message })?;
        Ok(Self { revoked, ..self })
    }

    /// When the node's certificate ends, in seconds since 1970.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn expires(&self) -> Result<i64, IdentityError> {
        let first = self.chain.first().ok_or_else(|| mismatch("there is no certificate"))?;
        super::expiry::expiry(first).map_err(mismatch)
    }

    /// For the end that asks: shows our certificate and wants one of our CA.
    pub(super) fn client(&self) -> Result<Arc<QuicClientConfig>, IdentityError> {
        QuicClientConfig::try_from(self.client_config(PROTOCOL)?).map(Arc::new).map_err(mismatch)
    }

    pub(super) fn client_config(&self, protocol: &[u8]) -> Result<ClientConfig, IdentityError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), provider());
        // Nobody need have revoked anything.
        let verifier = verifier.with_crls(self.revoked.clone()).allow_unknown_revocation_status();
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.map_err(mismatch)?.with_webpki_verifier(verifier.build().map_err(mismatch)?);
        let mut config = builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key()).map_err(mismatch)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    /// For the end that answers.
    pub(super) fn server(&self) -> Result<Arc<QuicServerConfig>, IdentityError> {
        QuicServerConfig::try_from(self.server_config(PROTOCOL)?).map(Arc::new).map_err(mismatch)
    }

    pub(super) fn server_config(&self, protocol: &[u8]) -> Result<ServerConfig, IdentityError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider());
        let verifier = verifier.with_crls(self.revoked.clone()).allow_unknown_revocation_status();
        let verifier = verifier.build().map_err(mismatch)?;
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.map_err(mismatch)?.with_client_cert_verifier(verifier);
        let mut config = builder.with_single_cert(self.chain.clone(), self.key.clone_key()).map_err(mismatch)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        // Data before the end of the handshake could be played back by somebody who listened.
        config.max_early_data_size = 0;
        // Who resumes a session shows no certificate, so one that was revoked would not be noticed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn mismatch(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Mismatch(error.to_string())
}
