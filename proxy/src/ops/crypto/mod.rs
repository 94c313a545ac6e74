//! Encryption at rest: the innermost layer, between the operations and the storage servers.
//!
//! What goes to the object servers is encrypted (`write`), what comes from them is decrypted (`read`, `body`,
//! `listing`), and nobody above knows. The form is Swift's and lives in `apus_base::crypto`, because the pass that re-keys
//! needs it too. Encrypted are bodies, their MD5s, and the values of user metadata; not names, sizes, content types, system
//! metadata, and what belongs to containers and accounts.
//!
//! Body, ETag and listing's ETag are known only when the last byte has come, so their items travel behind the body. An
//! object of no bytes has none of them. Conditions on the ETag are judged by object servers on its HMAC, of which a request
//! has one for each root secret, since nobody knows before which one the object is under.
//!
//! What cannot be decrypted (a secret that is not configured, crypto meta that is damaged, a secret that is another than the
//! one of that id) is a 500, in Swift's words; bytes that may be garbage are never sent. In a listing it is `<unknown>`.

mod body;
mod listing;
mod read;
mod write;

use apus_base::crypto::CryptoError;

pub(super) use listing::open_listing;
pub(super) use read::{mask_conditions, open};
pub(super) use write::{Outgoing, seal_metadata};

/// What a client is told of something that cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecryptable {
    /// The object itself.
    #[error("Error decrypting object")]
    Object,
    /// One of its headers.
    #[error("Error decrypting header")]
    Header,
    /// No key could be found.
    #[error("Unable to retrieve encryption keys.")]
    Keys,
}

impl Undecryptable {
    /// Logs the reason, once, and keeps it from the client. `or` is what is told of a damaged item.
    fn because(reason: &CryptoError, or: Self, what: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, %what, "encryption");
        match reason {
            CryptoError::KeyId(_) | CryptoError::NoActiveSecret | CryptoError::NoRandomness => Self::Keys,
            CryptoError::UnknownSecret(_) | CryptoError::WrongSecret(_) => Self::Object,
            CryptoError::Malformed(_) => or,
        }
    }
}

#[cfg(test)]
mod tests;
