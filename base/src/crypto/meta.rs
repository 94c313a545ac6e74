//! Crypto meta: what stands beside an encrypted item. Swift's `dump_crypto_meta`: JSON, quoted as a form's field is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Cipher, CryptoError, Iv, Key};

/// The one cipher there is.
const CIPHER: &str = "AES_CTR_256";
/// The same, with the key of a client: Swift must not take its own.
const OF_CUSTOMERS: &str = "AES_CTR_256_CUSTOMER";
/// What Python's `quote_plus` leaves as it is; spaces become `+`.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b' ');

/// Which key an item was encrypted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyId {
    /// What the key was derived from.
    pub path: String,
    /// The id of the root secret; `None` is the one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
    /// How `path` is to be read: `1`, `2` or `3`.
    pub v: String,
}

/// The key of a body, encrypted with the object's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Its IV.
    iv: Base64,
    /// The encrypted key.
    key: Base64,
}

/// Crypto meta. Which fields there are depends on the item. In alphabetical order, as Swift writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_key: Option<WrappedKey>,
    /// Ours alone: tells a wrong secret for user metadata, which has no other check. Swift ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iv: Option<Base64>,
    /// Which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
}

/// How a body is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyKey {
    /// Its key.
    pub key: Key,
    /// Its IV.
    pub iv: Iv,
}

impl BodyKey {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, CryptoError> {
        Ok(Self { key: Key::random()?, iv: Iv::random()? })
    }

    /// Crypto meta with this key, wrapped.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn wrapped(&self, object_key: &Key, key_id: &KeyId) -> Result<Meta, CryptoError> {
        Ok(Meta { key_id: Some(key_id.clone()), ..self.wrapped_with(object_key)? })
    }

    /// Crypto meta with this key, wrapped with one that is made of a client's.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn wrapped_for_customer(&self, item_key: &Key) -> Result<Meta, CryptoError> {
        Ok(Meta { cipher: Some(OF_CUSTOMERS.to_owned()), ..self.wrapped_with(item_key)? })
    }

    fn wrapped_with(&self, wrapping: &Key) -> Result<Meta, CryptoError> {
        let (iv, mut key) = (Iv::random()?, self.key.0);
        Cipher::new(wrapping, &iv).apply(&mut key);
        let body_key = WrappedKey { iv: Base64(iv.0.to_vec()), key: Base64(key.to_vec()) };
        Ok(Meta { body_key: Some(body_key), ..Meta::of(&self.iv) })
    }
}

impl Meta {
    pub(super) fn of(iv: &Iv) -> Self {
        Self { cipher: Some(CIPHER.to_owned()), iv: Some(Base64(iv.0.to_vec())), ..Self::default() }
    }

    /// What says which key user metadata is encrypted with.
    pub fn of_user_meta(object_key: &Key, key_id: &KeyId) -> Self {
        Self {
            check: Some(object_key.check_value()),
            cipher: Some(CIPHER.to_owned()),
            key_id: Some(key_id.clone()),
            ..Self::default()
        }
    }

    /// Reads crypto meta out of a header's value. What it says is checked where it is used.
    ///
    /// # Errors
    /// When it is no JSON of this form.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let plain = text.replace('+', " ");
        let json: Vec<u8> = percent_decode(plain.as_bytes()).collect();
        serde_json::from_slice(&json).map_err(|_| CryptoError::Malformed("not JSON of the right form"))
    }

    /// The header's value.
    pub fn to_text(&self) -> String {
        // Plain text fields: serialising them cannot fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        utf8_percent_encode(&json, QUOTED).to_string().replace(' ', "+")
    }

    /// The IV, if the cipher is the one we know.
    pub(super) fn checked_iv(&self) -> Result<Iv, CryptoError> {
        match self.cipher.as_deref() {
            Some(CIPHER | OF_CUSTOMERS) => {}
            Some(_) => return Err(CryptoError::Malformed("the cipher must be AES_CTR_256")),
            None => return Err(CryptoError::Malformed("no cipher")),
        }
        let iv = self.iv.as_ref().ok_or(CryptoError::Malformed("no IV"))?;
        iv.0.as_slice().try_into().map(Iv).map_err(|_| CryptoError::Malformed("an IV has 16 bytes"))
    }

    /// Whether the key is a client's.
    pub fn is_customers(&self) -> bool {
        self.cipher.as_deref() == Some(OF_CUSTOMERS)
    }

    /// Makes sure that it is about a body and names the cipher that we know.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self) -> Result<(), CryptoError> {
        self.checked_iv().map(drop)
    }

    /// The body's key, unwrapped.
    ///
    /// # Errors
    /// When there is none, or it has another length.
    pub fn body_key(&self, object_key: &Key) -> Result<BodyKey, CryptoError> {
        let iv = self.checked_iv()?;
        let wrapped = self.body_key.as_ref().ok_or(CryptoError::Malformed("no body key"))?;
        let mut key: [u8; 32] =
            wrapped.key.0.as_slice().try_into().map_err(|_| CryptoError::Malformed("a key has 32 bytes"))?;
        let key_iv = wrapped.iv.0.as_slice().try_into().map(Iv);
        let key_iv = key_iv.map_err(|_| CryptoError::Malformed("an IV has 16 bytes"))?;
        Cipher::new(object_key, &key_iv).apply(&mut key);
        Ok(BodyKey { key: Key(key), iv })
    }

    /// Whether the key is the one that this was written with, as far as it says.
    ///
    /// # Errors
    /// When it is another.
    pub fn check_key(&self, key: &Key) -> Result<(), CryptoError> {
        let differs = self.check.as_ref().is_some_and(|check| *check != key.check_value());
        let id = || self.key_id.as_ref().and_then(|id| id.secret_id.clone());
        if differs { Err(CryptoError::WrongSecret(id())) } else { Ok(()) }
    }
}

/// Bytes that are Base64 in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Base64(Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}
