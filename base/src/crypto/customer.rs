//! Keys that clients bring along, as those of S3 may (SSE-C). Such a key is never kept. What is kept is a *lock*, by which it is
//! known again and out of which the key of an item is made:
//!
//! ```text
//! lock      = salt : check value, both in Base64; the salt is random
//! item key  = HMAC-SHA256(the client's key, "apus customer key" salt)
//! check     = HMAC-SHA256(item key, …)
//! ```
//!
//! Two locks of one key have nothing in common, so nobody sees which objects have the same one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cipher::random;
use super::{CryptoError, Key};

const PURPOSE: &[u8] = b"apus customer key";
const SALT_BYTES: usize = 16;

/// A client's key. It is never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerKey(Key);

impl CustomerKey {
    /// Of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Key(bytes))
    }

    /// A new lock, and the key of the item that it is for.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn lock(&self) -> Result<(String, Key), CryptoError> {
        let salt: [u8; SALT_BYTES] = random()?;
        let key = self.item_key(&salt);
        Ok((format!("{}:{}", STANDARD.encode(salt), key.full_check_value()), key))
    }

    /// The key of an item, by its lock.
    ///
    /// # Errors
    /// `WrongKey`, and `Malformed` when it is no lock.
    pub fn unlock(&self, lock: &str) -> Result<Key, CryptoError> {
        let parts = lock.split_once(':').and_then(|(salt, check)| Some((STANDARD.decode(salt).ok()?, check)));
        let (salt, check) = parts.ok_or(CryptoError::Malformed("a lock"))?;
        let key = self.item_key(&salt);
        if key.is_full_check_value(check) { Ok(key) } else { Err(CryptoError::WrongKey) }
    }

    fn item_key(&self, salt: &[u8]) -> Key {
        Key::derived(&self.0.0, &[PURPOSE, salt].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_lock_knows_its_key() {
        let (mine, other) = (CustomerKey::new([1; 32]), CustomerKey::new([2; 32]));
        let ((lock, key), (second, _)) = (mine.lock().unwrap(), mine.lock().unwrap());
        assert_eq!(mine.unlock(&lock), Ok(key));
        assert_ne!(lock, second);
        assert_eq!(other.unlock(&lock), Err(CryptoError::WrongKey));
        let (salt, check) = lock.split_once(':').unwrap();
        let (_, other_check) = second.split_once(':').unwrap();
        assert_eq!(mine.unlock(&format!("{salt}:{other_check}")), Err(CryptoError::WrongKey));
        assert_ne!(check, other_check);
        assert_eq!(format!("{mine:?}"), "CustomerKey((key))");
    }

    proptest! {
        #[test]
        fn any_lock_is_read_or_refused(lock in "[A-Za-z0-9+/=:]{0,80}|\\PC{0,20}") {
            prop_assert!(CustomerKey::new([1; 32]).unlock(&lock).is_err());
        }
    }
}
