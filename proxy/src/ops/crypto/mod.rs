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
//! Where encryption is not switched on for everything, an object is encrypted all the same if its writer asks for it
//! ([`Seal::Always`]) or its container does ([`DEFAULT`]); then its user metadata stays as it is. A writer may bring a key of its own
//! instead ([`Seal::With`]): the body is under a key that is made of it, and only who brings it again reads the object
//! ([`OpensWith`]). Its ETag is that of what is stored. Versions of it are kept by copying what is stored.
//!
//! What cannot be decrypted (a secret that is not configured, crypto meta that is damaged, a secret that is another than the
//! one of that id) is a 500, in Swift's words; bytes that may be garbage are never sent. In a listing it is `<unknown>`.

mod body;
mod customer;
mod listing;
mod read;
mod write;

use apus_base::client::ContainerInfo;
use apus_base::crypto::{CryptoError, CustomerKey};
use http::HeaderName;

pub(super) use customer::unlock;
pub use customer::{LOCK, Locked, OpensWith};
pub(super) use listing::open_listing;
pub(super) use read::{mask_conditions, open, open_sealed};
pub(super) use write::{Outgoing, seal_metadata};

/// In answers of operations: that an object lies encrypted under a root secret, and how.
pub const CIPHER: HeaderName = HeaderName::from_static("x-backend-crypto-cipher");
/// By which a container says that what is written to it is encrypted, whoever writes it.
pub const DEFAULT: HeaderName = HeaderName::from_static("x-container-sysmeta-encryption");

/// How an object is encrypted that is to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seal {
    /// Under the root secret, if everything is.
    #[default]
    AsConfigured,
    /// Under the root secret.
    Always,
    /// With the key of whoever writes it.
    With(CustomerKey),
}

/// Whether a container wants all that is written to it encrypted.
pub fn is_default(container: &ContainerInfo) -> bool {
    container.sysmeta.get("encryption").is_some_and(|method| !method.is_empty())
}

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
            CryptoError::Malformed(_) | CryptoError::WrongKey => or,
        }
    }
}

#[cfg(test)]
mod tests;
