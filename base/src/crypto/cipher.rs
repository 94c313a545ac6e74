//! Keys, IVs and the cipher: AES-256 in counter mode.

use std::fmt;

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::CryptoError;

/// What the check value of a key is the HMAC of.
const CHECKED: &[u8] = b"apus key check";
/// The bytes of a check value: enough to tell keys apart, too few to help anyone.
const CHECK_BYTES: usize = 6;

/// A 256-bit key. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub(super) [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key)")
    }
}

/// The first counter block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iv(pub(super) [u8; 16]);

impl Iv {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, CryptoError> {
        random().map(Self)
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| CryptoError::NoRandomness)?;
    Ok(bytes)
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, CryptoError> {
        random().map(Self)
    }

    /// The HMAC-SHA256 of `message` under a secret of any length, as a key.
    pub(super) fn derived(secret: &[u8], message: &[u8]) -> Self {
        Self(hmac(secret).chain_update(message).finalize().into_bytes().into())
    }

    /// The HMAC of an ETag, as object servers compare it.
    pub fn etag_mac(&self, etag: &[u8]) -> String {
        STANDARD.encode(hmac(&self.0).chain_update(etag).finalize().into_bytes())
    }

    /// Whether `mac` is [`Key::etag_mac`] of `etag`, in constant time.
    pub fn is_etag_mac(&self, etag: &[u8], mac: &str) -> bool {
        STANDARD.decode(mac).is_ok_and(|mac| hmac(&self.0).chain_update(etag).verify_slice(&mac).is_ok())
    }

    /// By which a key is recognised beyond doubt.
    pub(super) fn full_check_value(&self) -> String {
        self.etag_mac(CHECKED)
    }

    /// Whether it is its [`Key::full_check_value`], in constant time.
    pub(super) fn is_full_check_value(&self, value: &str) -> bool {
        self.is_etag_mac(CHECKED, value)
    }

    /// By which a key is recognised without being known.
    pub(super) fn check_value(&self) -> String {
        let mac = hmac(&self.0).chain_update(CHECKED).finalize().into_bytes();
        STANDARD.encode(&mac[..CHECK_BYTES])
    }
}

#[expect(clippy::expect_used, reason = "an HMAC takes keys of any length")]
fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("an HMAC takes keys of any length")
}

/// The key stream, from some byte on.
pub struct Cipher(Ctr128BE<Aes256>);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(cipher)")
    }
}

impl Cipher {
    /// From the first byte on.
    pub fn new(key: &Key, iv: &Iv) -> Self {
        Self(Ctr128BE::new((&key.0).into(), (&iv.0).into()))
    }

    /// From byte `offset` on.
    pub fn at(key: &Key, iv: &Iv, offset: u64) -> Self {
        let mut cipher = Self::new(key, iv);
        // The counter has 128 bits, so every 64-bit offset is within it.
        let _ = cipher.0.try_seek(offset);
        cipher
    }

    /// Encrypts or decrypts the next bytes in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}
