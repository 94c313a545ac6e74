//! The keymaster: root secrets, and the key of every path.
//!
//! A key id says which secret and which path a key came from, in one of Swift's three versions. 1 and 2 write the path's UTF-8
//! as if it were Latin-1; 1 also derives the key of an object whose name begins with a slash from that name alone. 3 has
//! neither fault. All are read; which one is written is configured.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{CryptoError, Key, KeyId};

/// The fewest bytes of a root secret.
const MIN_SECRET_BYTES: usize = 32;

/// A root secret in Base64, as `openssl rand -base64 32` makes one. It is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RootSecret(pub String);

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Which version of key ids is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaVersion {
    /// For Swift before 2.20.
    #[serde(rename = "1")]
    One,
    /// For Swift before 2.28.
    #[serde(rename = "2")]
    Two,
    /// Today's.
    #[default]
    #[serde(rename = "3")]
    Three,
}

impl MetaVersion {
    fn parse(text: &str) -> Result<Self, CryptoError> {
        match text {
            "1" => Ok(Self::One),
            "2" => Ok(Self::Two),
            "3" => Ok(Self::Three),
            _ => Err(CryptoError::KeyId("an unknown version")),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
            Self::Three => "3",
        }
    }
}

/// `[proxy.encryption]`. Without a root secret nothing is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encryption {
    /// The root secret without an id, at least 32 bytes in Base64: `openssl rand -base64 32`. Whoever loses it loses all
    /// that was encrypted with it.
    pub root_secret: Option<RootSecret>,
    /// Which root secret new data is encrypted with; without it, `root_secret`.
    pub active_root_secret_id: Option<String>,
    /// Whether new data is stored as it is, unless its writer or its container asks for encryption. What is encrypted is decrypted
    /// all the same.
    pub disable_encryption: bool,
    /// The version of the key ids that are written.
    pub meta_version_to_write: MetaVersion,
    /// Further root secrets, by their ids.
    pub root_secrets: BTreeMap<String, RootSecret>,
}

/// Why a configuration of encryption is refused. No text holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEncryption {
    /// A secret that is no Base64, or too short.
    #[error("the root secret {} must be the Base64 of at least {MIN_SECRET_BYTES} bytes, as `openssl rand -base64 32` makes it", shown(.0.as_deref()))]
    Secret(Option<String>),
    /// The active id names no secret.
    #[error("there is no root secret {} to be the active one", shown(.0.as_deref()))]
    Active(Option<String>),
    /// An id that no configuration of Swift's could have.
    #[error("the id of a root secret may not be empty")]
    EmptyId,
}

fn shown(id: Option<&str>) -> String {
    id.map_or_else(|| "without an id".to_owned(), |id| format!("{id:?}"))
}

/// The root secrets.
#[derive(Clone, Default)]
pub struct Keymaster {
    secrets: BTreeMap<Option<String>, Vec<u8>>,
    active: Option<String>,
    version: MetaVersion,
    disabled: bool,
}

impl fmt::Debug for Keymaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.secrets.keys().collect();
        f.debug_struct("Keymaster").field("secrets", &ids).field("active", &self.active).finish_non_exhaustive()
    }
}

/// The keys of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKeys {
    /// By which they can be found again.
    pub id: KeyId,
    /// The container's key.
    pub container: Key,
    /// The object's key.
    pub object: Key,
}

/// An object's name in three parts.
type Names<'a> = (&'a str, &'a str, &'a str);

impl Keymaster {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When a secret is too short or no Base64, or the active one is not there.
    pub fn new(config: &Encryption) -> Result<Self, InvalidEncryption> {
        let named = config.root_secrets.iter().map(|(id, secret)| (Some(id.clone()), secret));
        let all = config.root_secret.iter().map(|secret| (None, secret)).chain(named);
        let decoded = all.map(|(id, secret)| Ok((id.clone(), decode(secret).ok_or(InvalidEncryption::Secret(id))?)));
        let secrets: BTreeMap<_, _> = decoded.collect::<Result<_, _>>()?;
        let active = config.active_root_secret_id.clone().filter(|id| !id.is_empty());
        if secrets.contains_key(&Some(String::new())) {
            return Err(InvalidEncryption::EmptyId);
        }
        let has_none = secrets.is_empty() && active.is_none();
        if !(has_none || secrets.contains_key(&active)) {
            return Err(InvalidEncryption::Active(active));
        }
        Ok(Self { secrets, active, version: config.meta_version_to_write, disabled: config.disable_encryption })
    }

    /// Whether there is no root secret at all.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether new data is encrypted.
    pub fn encrypts(&self) -> bool {
        !self.disabled && !self.secrets.is_empty()
    }

    /// The id of the secret that new data is encrypted with.
    pub fn active_id(&self) -> Option<&str> {
        self.active.as_deref()
    }

    /// The keys by which an object is encrypted now.
    ///
    /// # Errors
    /// When there is no secret.
    pub fn active_keys(&self, account: &str, container: &str, object: &str) -> Result<ObjectKeys, CryptoError> {
        if self.secrets.is_empty() {
            return Err(CryptoError::NoActiveSecret);
        }
        self.keys((account, container, object), self.active.clone(), self.version)
    }

    /// The keys by which an object would be encrypted with each secret, the active one's first.
    ///
    /// # Errors
    /// Never, while the active secret is there.
    pub fn all_keys(&self, account: &str, container: &str, object: &str) -> Result<Vec<ObjectKeys>, CryptoError> {
        let mut ids: Vec<_> = self.secrets.keys().cloned().collect();
        ids.sort_by_key(|id| *id != self.active);
        ids.into_iter().map(|id| self.keys((account, container, object), id, self.version)).collect()
    }

    /// The keys by which an object was encrypted, as its crypto meta says; the active ones if it says nothing.
    ///
    /// # Errors
    /// When the secret is not here, or the key id means nothing.
    pub fn object_keys(
        &self,
        account: &str,
        container: &str,
        object: &str,
        id: Option<&KeyId>,
    ) -> Result<ObjectKeys, CryptoError> {
        let Some(id) = id else { return self.active_keys(account, container, object) };
        let version = MetaVersion::parse(&id.v)?;
        let asked = (account, container, Some(object));
        let (account, container, object) = names_in(id, version, asked)?;
        let object = object.ok_or(CryptoError::KeyId("no object in its path"))?;
        self.keys((&account, &container, &object), id.secret_id.clone(), version)
    }

    /// The key of a container by which a row of its listing was encrypted.
    ///
    /// # Errors
    /// When the secret is not here, or the key id means nothing.
    pub fn container_key(&self, account: &str, container: &str, id: Option<&KeyId>) -> Result<Key, CryptoError> {
        let Some(id) = id else { return self.derive(&self.active, &format!("/{account}/{container}")) };
        let (account, container, _) = names_in(id, MetaVersion::parse(&id.v)?, (account, container, None))?;
        self.derive(&id.secret_id, &format!("/{account}/{container}"))
    }

    fn keys(
        &self,
        (account, container, object): Names<'_>,
        secret: Option<String>,
        version: MetaVersion,
    ) -> Result<ObjectKeys, CryptoError> {
        let in_container = format!("/{account}/{container}");
        let path = if version == MetaVersion::One && object.starts_with('/') {
            object.to_owned()
        } else {
            format!("{in_container}/{object}")
        };
        let container = self.derive(&secret, &in_container)?;
        let object = self.derive(&secret, &path)?;
        let path = if version == MetaVersion::Three { path } else { as_latin1(&path) };
        let id = KeyId { path, secret_id: secret, v: version.as_str().to_owned() };
        Ok(ObjectKeys { id, container, object })
    }

    fn derive(&self, secret: &Option<String>, path: &str) -> Result<Key, CryptoError> {
        let root = self.secrets.get(secret).ok_or_else(|| CryptoError::UnknownSecret(secret.clone()))?;
        Ok(Key::derived(root, path.as_bytes()))
    }
}

/// As Swift: strict, but for line breaks.
fn decode(secret: &RootSecret) -> Option<Vec<u8>> {
    let text: String = secret.0.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(text).ok().filter(|bytes| bytes.len() >= MIN_SECRET_BYTES)
}

type Asked<'a> = (&'a str, &'a str, Option<&'a str>);
type Found<'a> = (Cow<'a, str>, Cow<'a, str>, Option<Cow<'a, str>>);

/// The names in a key id's path. They may be others than those of the request: then the id is right.
fn names_in<'a>(id: &'a KeyId, version: MetaVersion, asked: Asked<'a>) -> Result<Found<'a>, CryptoError> {
    let found = names(Cow::from(&id.path), version, asked);
    let is_asked =
        |(a, c, o): &Found<'_>| *a == asked.0 && *c == asked.1 && (asked.2.is_none() || o.as_deref() == asked.2);
    if version == MetaVersion::Three || found.as_ref().is_ok_and(is_asked) {
        return found;
    }
    let meant = from_latin1(&id.path).map(|path| names(path.into(), version, asked));
    meant.and_then(Result::ok).filter(is_asked).map_or(found, Ok)
}

fn names<'a>(
    path: Cow<'a, str>,
    version: MetaVersion,
    (account, container, _): Asked<'a>,
) -> Result<Found<'a>, CryptoError> {
    let is_own = path.strip_prefix('/').and_then(|path| path.strip_prefix(account)).is_some_and(|p| p.starts_with('/'));
    if version == MetaVersion::One && !is_own {
        // The name alone, of an object whose name begins with a slash.
        return Ok((account.into(), container.into(), Some(path)));
    }
    let (account, container, object) = split(&path)?;
    let container = container.ok_or(CryptoError::KeyId("no container in its path"))?;
    let owned = |part: &str| Cow::from(part.to_owned());
    Ok((owned(account), owned(container), object.map(owned)))
}

fn split(path: &str) -> Result<(&str, Option<&str>, Option<&str>), CryptoError> {
    let mut parts = path.strip_prefix('/').ok_or(CryptoError::KeyId("its path has no slash"))?.splitn(3, '/');
    let account = parts.next().filter(|part| !part.is_empty()).ok_or(CryptoError::KeyId("an empty path"))?;
    let mut next = || parts.next().map(|part| Some(part).filter(|part| !part.is_empty()));
    let (container, object) = (next(), next());
    if container == Some(None) || object == Some(None) {
        return Err(CryptoError::KeyId("an empty part in its path"));
    }
    Ok((account, container.flatten(), object.flatten()))
}

/// Each byte as the character of that number.
fn as_latin1(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// The way back, where there is one.
fn from_latin1(text: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    String::from_utf8(bytes?).ok()
}
