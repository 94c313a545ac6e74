//! An encrypted text with its crypto meta in one header value: `<Base64>; swift_meta=<crypto meta>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Cipher, CryptoError, Iv, Key, KeyId, Meta};

/// An encrypted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    ciphertext: &'a str,
    /// How it is encrypted.
    pub meta: Meta,
}

impl<'a> Sealed<'a> {
    /// Reads a header's value; `None` if it is a plain one.
    ///
    /// # Errors
    /// When it is marked as encrypted and its crypto meta cannot be read.
    pub fn parse(text: &'a str) -> Result<Option<Self>, CryptoError> {
        let mut parts = text.split(';');
        let ciphertext = parts.next().unwrap_or_default().trim();
        let Some(meta) = parts.find_map(|part| part.trim().strip_prefix("swift_meta=")) else { return Ok(None) };
        let meta = Meta::parse(meta.trim_matches('"'))?;
        meta.check()?;
        Ok(Some(Self { ciphertext, meta }))
    }

    /// Decrypts it.
    ///
    /// # Errors
    /// When it is no Base64.
    pub fn open(&self, key: &Key) -> Result<Vec<u8>, CryptoError> {
        let mut text =
            STANDARD.decode(self.ciphertext).map_err(|_| CryptoError::Malformed("an encrypted value is no Base64"))?;
        Cipher::new(key, &self.meta.checked_iv()?).apply(&mut text);
        Ok(text)
    }
}

/// Encrypts a text.
///
/// # Errors
/// When the system gives no random bytes.
pub fn seal(text: &[u8], key: &Key) -> Result<String, CryptoError> {
    sealed(text, key, None)
}

/// Encrypts a text that has to say itself which key it was.
///
/// # Errors
/// When the system gives no random bytes.
pub fn seal_with_id(text: &[u8], key: &Key, key_id: &KeyId) -> Result<String, CryptoError> {
    sealed(text, key, Some(key_id.clone()))
}

fn sealed(text: &[u8], key: &Key, key_id: Option<KeyId>) -> Result<String, CryptoError> {
    let (iv, mut text) = (Iv::random()?, text.to_vec());
    Cipher::new(key, &iv).apply(&mut text);
    let mut meta = Meta::of(&iv);
    meta.key_id = key_id;
    Ok(format!("{}; swift_meta={}", STANDARD.encode(text), meta.to_text()))
}
