//! What goes to the object servers: the body through the cipher, user metadata as encrypted items, and behind the body what
//! had to wait for its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apus_base::body::Body;
use apus_base::client::{Footers, PutError};
use apus_base::crypto::header::{BODY_META, ETAG, ETAG_MAC, LISTED_ETAG, USER_META, USER_META_PREFIX};
use apus_base::crypto::{BodyKey, Cipher, CryptoError, CustomerKey, Key, Meta, ObjectKeys, seal, seal_with_id};
use apus_base::hex::hex;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};

use super::body::own;
use super::{LOCK, Seal, Undecryptable};
use crate::Proxy;
use crate::error::Error;
use crate::ops::resource::ObjectName;

/// Where clients' metadata is.
const USER_PREFIX: &str = "x-object-meta-";
/// What may come behind the body.
const FOOTERS: &[&str] = &[BODY_META, ETAG, ETAG_MAC, LISTED_ETAG];
/// The MD5 of nothing; as a listing's ETag of an empty body it says nothing that needs hiding.
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Encrypts the values of a client's metadata among the headers of a PUT or POST, when encryption is on.
pub(in crate::ops) fn seal_metadata(proxy: &Proxy, name: &ObjectName, headers: &mut HeaderMap) -> Result<(), Error> {
    if !proxy.keymaster.encrypts() {
        return Ok(());
    }
    let sealed = active_keys(proxy, name).and_then(|keys| seal_all(headers, &keys));
    Ok(sealed.map_err(|reason| Undecryptable::because(&reason, Undecryptable::Header, &name.object))?)
}

fn active_keys(proxy: &Proxy, name: &ObjectName) -> Result<ObjectKeys, CryptoError> {
    proxy.keymaster.active_keys(&name.account, &name.container, &name.object)
}

fn seal_all(headers: &mut HeaderMap, keys: &ObjectKeys) -> Result<(), CryptoError> {
    let is_meta = |(name, value): &(&HeaderName, &HeaderValue)| {
        name.as_str().strip_prefix(USER_PREFIX).is_some_and(|short| !short.is_empty()) && !value.is_empty()
    };
    let plain: Vec<_> = headers.iter().filter(is_meta).map(|(name, value)| (name.clone(), value.clone())).collect();
    if plain.is_empty() {
        return Ok(());
    }
    for (name, value) in plain {
        let short = &name.as_str()[USER_PREFIX.len()..];
        set(headers, &format!("{USER_META_PREFIX}{short}"), &seal(value.as_bytes(), &keys.object)?)?;
        headers.remove(name);
    }
    set(headers, USER_META, &Meta::of_user_meta(&keys.object, &keys.id).to_text())
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), CryptoError> {
    let unfit = CryptoError::Malformed("an item fits no header");
    let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
        return Err(unfit);
    };
    headers.insert(name, value);
    Ok(())
}

/// A body as it goes to the object servers.
pub(in crate::ops) struct Outgoing {
    /// Its bytes.
    pub(in crate::ops) body: Body,
    /// What the MD5 of these bytes has to be. With encryption on, the promise is about the plaintext and kept elsewhere.
    pub(in crate::ops) expect_etag: Option<String>,
    /// What comes behind them.
    pub(in crate::ops) footers: Option<Footers>,
    plaintext: Option<Arc<Mutex<Plaintext>>>,
}

/// What is known of the plaintext that has gone by.
struct Plaintext {
    /// Absent where nobody wants to know it.
    md5: Option<Md5>,
    key: BodyKey,
    cipher: Cipher,
    is_empty: bool,
    /// Set when the body has ended.
    etag: Option<String>,
}

fn lock(plaintext: &Mutex<Plaintext>) -> MutexGuard<'_, Plaintext> {
    plaintext.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outgoing {
    /// A body that is promised to have an MD5, encrypted as it is asked for. `headers` are those of the PUT. What was encrypted
    /// with a client's key stays as it is.
    pub(in crate::ops) fn new(
        proxy: &Proxy,
        name: &ObjectName,
        headers: &mut HeaderMap,
        body: Body,
        expect_etag: Option<String>,
        seal: &Seal,
    ) -> Result<Self, Error> {
        let is_off = *seal == Seal::AsConfigured && !proxy.keymaster.encrypts();
        if is_off || headers.contains_key(BODY_META) {
            return Ok(Self { body, expect_etag, footers: None, plaintext: None });
        }
        let sealed = match seal {
            Seal::With(key) => Self::with_key(key, headers, body, expect_etag),
            seal => active_keys(proxy, name).and_then(|keys| {
                let listed = headers.remove(LISTED_ETAG);
                Self::with_root(keys, listed, body, expect_etag, *seal == Seal::Always)
            }),
        };
        Ok(sealed.map_err(|reason| Undecryptable::because(&reason, Undecryptable::Object, &name.object))?)
    }

    /// Under a root secret. `always` is an object that is known to be encrypted, even if it has no bytes.
    fn with_root(
        keys: ObjectKeys,
        listed: Option<HeaderValue>,
        body: Body,
        expect_etag: Option<String>,
        always: bool,
    ) -> Result<Self, CryptoError> {
        let plaintext = Plaintext { is_empty: !always, ..Plaintext::new(Some(Md5::new()))? };
        let (body, plaintext) = plaintext.encrypting(body);
        let known = Arc::clone(&plaintext);
        let make = Box::new(move || footers(&mut lock(&known), &keys, listed, expect_etag.as_deref()));
        let footers = Some(Footers { names: FOOTERS.to_vec(), make });
        Ok(Self { body, expect_etag: None, footers, plaintext: Some(plaintext) })
    }

    /// With a client's key. Its ETag is that of what is stored, so only a promise is held against that of the plaintext.
    fn with_key(
        key: &CustomerKey,
        headers: &mut HeaderMap,
        body: Body,
        expect_etag: Option<String>,
    ) -> Result<Self, CryptoError> {
        let (text, key) = key.lock()?;
        set(headers, LOCK.as_str(), &text)?;
        let (body, plaintext) = Plaintext::new(expect_etag.as_ref().map(|_| Md5::new()))?.encrypting(body);
        let make = Box::new(move || customers_footers(&mut lock(&plaintext), &key, expect_etag.as_deref()));
        Ok(Self { body, expect_etag: None, footers: Some(Footers { names: vec![BODY_META], make }), plaintext: None })
    }
}

impl Outgoing {
    /// A function from the MD5 of what was stored to the ETag that the client gets.
    pub(in crate::ops) fn answered(&self) -> impl FnOnce(Option<String>) -> Option<String> + use<> {
        let plaintext = self.plaintext.clone();
        move |stored| match plaintext {
            Some(plaintext) => stored.and(lock(&plaintext).etag.take()),
            None => stored,
        }
    }
}

impl Plaintext {
    fn new(md5: Option<Md5>) -> Result<Self, CryptoError> {
        let key = BodyKey::random()?;
        let cipher = Cipher::new(&key.key, &key.iv);
        Ok(Self { md5, key, cipher, is_empty: true, etag: None })
    }

    /// A body on its way through the cipher, and what is known of it.
    fn encrypting(self, body: Body) -> (Body, Arc<Mutex<Self>>) {
        let this = Arc::new(Mutex::new(self));
        let known = Arc::clone(&this);
        let body = body.map_frame(move |frame| frame.map_data(|chunk| lock(&this).encrypt(chunk))).boxed_unsync();
        (body, known)
    }

    /// The MD5 of all of it, if it is the one that was promised.
    fn checked_etag(&mut self, expected: Option<&str>) -> Result<String, PutError> {
        let etag = hex(&self.md5.take().unwrap_or_default().finalize());
        let differs = expected.is_some_and(|text| !text.trim().trim_matches('"').eq_ignore_ascii_case(&etag));
        if differs { Err(PutError::EtagMismatch { actual: etag }) } else { Ok(etag) }
    }

    fn encrypt(&mut self, chunk: bytes::Bytes) -> bytes::Bytes {
        if chunk.is_empty() {
            return chunk;
        }
        self.is_empty = false;
        if let Some(md5) = &mut self.md5 {
            md5.update(&chunk);
        }
        let mut chunk = own(chunk);
        self.cipher.apply(&mut chunk);
        chunk.freeze()
    }
}

/// What is computed over the whole body. Swift's rules for the listing's ETag: what another layer wants shown goes before
/// the MD5, an empty text is passed on, and of a body of no bytes only what is not obvious is encrypted.
fn footers(
    plaintext: &mut Plaintext,
    keys: &ObjectKeys,
    listed: Option<HeaderValue>,
    expect_etag: Option<&str>,
) -> Result<HeaderMap, PutError> {
    let etag = plaintext.checked_etag(expect_etag)?;
    let mut items = HeaderMap::new();
    let listed_text = listed.as_ref().map(HeaderValue::as_bytes);
    let made = match (plaintext.is_empty, listed_text) {
        (true, None) => Ok(()),
        (true, Some(text)) if text.is_empty() || text == MD5_OF_NOTHING.as_bytes() => Ok(()),
        (true, Some(text)) => listed_item(&mut items, keys, text),
        (false, text) => {
            body_items(&mut items, plaintext, keys, &etag).and_then(|()| match text.unwrap_or(etag.as_bytes()) {
                b"" => Ok(()),
                text => listed_item(&mut items, keys, text),
            })
        }
    };
    made.map_err(|error| PutError::Footers(Box::new(error)))?;
    // It left the headers; where it is not encrypted it goes on as it came.
    if let (false, Some(listed)) = (items.contains_key(LISTED_ETAG), listed) {
        items.insert(LISTED_ETAG, listed);
    }
    plaintext.etag = Some(etag);
    Ok(items)
}

/// The same for what is encrypted with a client's key.
fn customers_footers(plaintext: &mut Plaintext, key: &Key, expect_etag: Option<&str>) -> Result<HeaderMap, PutError> {
    if expect_etag.is_some() {
        plaintext.checked_etag(expect_etag)?;
    }
    let mut items = HeaderMap::new();
    let meta = plaintext.key.wrapped_for_customer(key).and_then(|meta| set(&mut items, BODY_META, &meta.to_text()));
    meta.map_err(|error| PutError::Footers(Box::new(error)))?;
    Ok(items)
}

fn body_items(items: &mut HeaderMap, plain: &Plaintext, keys: &ObjectKeys, etag: &str) -> Result<(), CryptoError> {
    set(items, BODY_META, &plain.key.wrapped(&keys.object, &keys.id)?.to_text())?;
    set(items, ETAG, &seal(etag.as_bytes(), &keys.object)?)?;
    set(items, ETAG_MAC, &keys.object.etag_mac(etag.as_bytes()))
}

fn listed_item(items: &mut HeaderMap, keys: &ObjectKeys, text: &[u8]) -> Result<(), CryptoError> {
    set(items, LISTED_ETAG, &seal_with_id(text, &keys.container, &keys.id)?)
}
