//! A certificate of one's own for TLS on loopback.

use std::fs;
use std::path::PathBuf;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

/// A self-signed certificate for loopback and its key, in a folder of their own.
pub struct Certificate {
    folder: TempDir,
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// A new one.
    pub fn new() -> Self {
        let new = Self { folder: TempDir::new().expect("a temporary folder") };
        new.renew();
        new
    }

    /// The certificate, as PEM.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// Its key, as PEM.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// The proxy's setting.
    pub fn settings(&self) -> String {
        format!("tls = {{ certificate = {:?}, key = {:?} }}\n", self.file(), self.key())
    }

    /// Puts another pair in its place.
    pub fn renew(&self) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        fs::write(self.key(), signing_key.serialize_pem()).expect("a key's file");
        fs::write(self.file(), cert.pem()).expect("a certificate's file");
    }
}
