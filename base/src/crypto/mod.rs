//! Encryption at rest, in the form that Swift's keymaster and encryption middlewares have on disk, so that either reads
//! what the other wrote with the same root secrets.
//!
//! ```text
//! root secret ──HMAC-SHA256("/a/c")───▶ container key ──▶ the ETag in the listing
//!        └──────HMAC-SHA256("/a/c/o")─▶ object key ─────▶ user metadata, ETag, HMAC of the ETag, and the body's key
//!                                                                                        random body key ──▶ the body
//! ```
//!
//! All encryption is AES-256 in counter mode with a random IV for each item. Beside each item stands its *crypto meta*, JSON
//! that names IV, cipher and key ([`Meta`]). Nothing here does I/O but asking the system for random bytes; keys and
//! secrets are never shown by `Debug` nor named in errors.
//!
//! A body may be encrypted with a client's key instead ([`CustomerKey`]). Its crypto meta then names another cipher, at which
//! Swift gives up, and the ETag is that of what is stored.
//!
//! Counter mode has no integrity: a wrong secret would give garbage, not an error. So what is read is first held against the
//! HMAC of the ETag, or the check value of its key, and refused ([`CryptoError::WrongSecret`]) where that differs.

mod cipher;
mod customer;
mod keymaster;
mod meta;
mod rewrap;
mod sealed;

pub use cipher::{Cipher, Iv, Key};
pub use customer::CustomerKey;
pub use keymaster::{Encryption, InvalidEncryption, Keymaster, MetaVersion, ObjectKeys, RootSecret};
pub use meta::{BodyKey, KeyId, Meta, WrappedKey};
pub use rewrap::{is_outdated, open_listed, rewrap};
pub use sealed::{Sealed, seal, seal_with_id};

/// Names of the headers that hold encrypted items, in lower case.
pub mod header {
    /// The crypto meta of the body, with its wrapped key.
    pub const BODY_META: &str = "x-object-sysmeta-crypto-body-meta";
    /// The encrypted MD5 of the plaintext.
    pub const ETAG: &str = "x-object-sysmeta-crypto-etag";
    /// The HMAC of that MD5 under the object's key, by which object servers judge `If-Match`.
    pub const ETAG_MAC: &str = "x-object-sysmeta-crypto-etag-mac";
    /// The encrypted ETag that the container's listing shows.
    pub const LISTED_ETAG: &str = "x-object-sysmeta-container-update-override-etag";
    /// By which the key of a client is known again that a body is encrypted with. It is Apus's alone.
    pub const CUSTOMER_LOCK: &str = "x-object-sysmeta-customer-lock";
    /// Which key the user metadata is encrypted with.
    pub const USER_META: &str = "x-object-transient-sysmeta-crypto-meta";
    /// What begins the name of each encrypted item of user metadata.
    pub const USER_META_PREFIX: &str = "x-object-transient-sysmeta-crypto-meta-";
    /// What begins the names of all that encryption keeps with an object's data.
    pub const SYSTEM_PREFIX: &str = "x-object-sysmeta-crypto-";
    /// What begins the names of all that encryption keeps with an object's metadata.
    pub const TRANSIENT_PREFIX: &str = "x-object-transient-sysmeta-crypto-";
}

/// Why something cannot be encrypted or decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Crypto meta is no JSON of the right form, or an item has none.
    #[error("bad crypto meta: {0}")]
    Malformed(&'static str),
    /// The secret that it was encrypted with is not configured.
    #[error("unknown root secret id {0:?}")]
    UnknownSecret(Option<String>),
    /// A key id of a version or a path that mean nothing.
    #[error("bad key id: {0}")]
    KeyId(&'static str),
    /// The secret of that id is another than the one it was encrypted with, or the item is damaged.
    #[error("the root secret {0:?} is not the one that this was encrypted with")]
    WrongSecret(Option<String>),
    /// A client's key is another than the one that something was encrypted with.
    #[error("the client's key is not the one that this was encrypted with")]
    WrongKey,
    /// Encryption is off: there is no active root secret.
    #[error("no active root secret")]
    NoActiveSecret,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

#[cfg(test)]
mod tests;
