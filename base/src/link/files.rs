//! Where a node's identity is kept. New files are noticed within seconds: certificates end, and nodes are revoked, while
//! servers run.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::identity::{Identity, IdentityError};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The files of an identity, as in the `[backend_tls]` table of a node's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityFiles {
    /// This node's certificate, as PEM.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate of the cluster's CA.
    pub ca: PathBuf,
    /// The certificates that the CA has revoked: `apus ca revoke` writes it.
    pub crl: Option<PathBuf>,
}

/// What the files were when they were looked at.
pub(super) type Seen = [u8; 32];

impl IdentityFiles {
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

    /// Has `renew` put changed files to use, for as long as it is awaited. Those that cannot be used are said so, and what was in
    /// use stays.
    pub async fn watch(&self, mut renew: impl FnMut(&Identity) -> Result<(), IdentityError>) -> Infallible {
        let mut seen = None;
        loop {
            let (files, last) = (self.clone(), seen);
            let looked = tokio::task::spawn_blocking(move || files.look(last)).await;
            // It fails only when the process ends.
            if let Ok((now, changed)) = looked {
                seen = Some(now);
                match changed.map(|identity| identity.and_then(|identity| renew(&identity))) {
                    Some(Ok(())) => {
                        tracing::info!(path = %self.certificate.display(), "the new certificates are in use");
                    }
                    Some(Err(error)) => {
                        tracing::error!(%error, "the new certificates cannot be used; the old ones stay");
                    }
                    None => {}
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the files are, and the identity in them if that is not what was seen last.
    pub(super) fn look(&self, last: Option<Seen>) -> (Seen, Option<Result<Identity, IdentityError>>) {
        let now = self.digest();
        (now, last.is_some_and(|last| last != now).then(|| self.identity()))
    }

    fn digest(&self) -> Seen {
        let mut digest = Sha256::new();
        let files = [&self.certificate, &self.key, &self.ca].into_iter().chain(&self.crl);
        for file in files.map(|file| std::fs::read(file).unwrap_or_default()) {
            digest.update(file.len().to_be_bytes());
            digest.update(file);
        }
        digest.finalize().into()
    }
}
