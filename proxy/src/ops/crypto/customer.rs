//! Objects that are encrypted with a key which their readers bring.

use apus_base::crypto::header::CUSTOMER_LOCK;
use apus_base::crypto::{CryptoError, CustomerKey, Key};
use http::{HeaderMap, HeaderName};

use super::Undecryptable;
use crate::error::Error;
use crate::ops::Call;

/// By which their keys are known again. A large object has it too, for its segments.
pub const LOCK: HeaderName = HeaderName::from_static(CUSTOMER_LOCK);

/// In the extensions of a request: the key that it reads with.
#[derive(Clone, Debug)]
pub struct OpensWith(pub CustomerKey);

/// Why such an object is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// The reader has no key.
    #[error("The object is encrypted with a key of its writer, which clients of S3 bring to read it.")]
    NoKey,
    /// The reader has another one.
    #[error("The object is encrypted with another key.")]
    WrongKey,
}

/// The key of an object with these headers, if one is needed.
///
/// # Errors
/// When the reader has none, or another one.
pub(in crate::ops) fn unlock(call: Call<'_>, stored: &HeaderMap) -> Result<Option<Key>, Error> {
    let Some(lock) = stored.get(LOCK) else { return Ok(None) };
    let OpensWith(key) = call.parts.extensions.get().ok_or(Locked::NoKey)?;
    match key.unlock(lock.to_str().unwrap_or_default()) {
        Ok(key) => Ok(Some(key)),
        Err(CryptoError::WrongKey) => Err(Locked::WrongKey.into()),
        Err(reason) => Err(Undecryptable::because(&reason, Undecryptable::Object, &"a lock").into()),
    }
}
