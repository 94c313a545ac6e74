//! What comes from the object servers: conditions on their way there, headers and body on their way back.

use apus_base::body::Body;
use apus_base::conditional::unquoted;
use apus_base::crypto::header::{
    BODY_META, ETAG as SEALED_ETAG, ETAG_MAC, LISTED_ETAG, SYSTEM_PREFIX, TRANSIENT_PREFIX, USER_META, USER_META_PREFIX,
};
use apus_base::crypto::{CryptoError, KeyId, Meta, ObjectKeys, Sealed, open_listed};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use super::body::Decrypting;
use super::{CIPHER, Undecryptable, unlock};
use crate::Proxy;
use crate::error::Error;
use crate::ops::Call;
use crate::ops::resource::ObjectName;

/// Where object servers look for the ETag that conditions mean.
const ETAG_IS_AT: HeaderName = HeaderName::from_static("x-backend-etag-is-at");

/// Adds to the ETags of conditions their HMACs, under every secret, and says where the object's own is. The ETags
/// themselves stay, for objects that are not encrypted.
pub(in crate::ops) fn mask_conditions(proxy: &Proxy, name: &ObjectName, headers: &mut HeaderMap) -> Result<(), Error> {
    let masked = [IF_MATCH, IF_NONE_MATCH].map(|condition| mask(proxy, name, headers, condition));
    if !masked.into_iter().try_fold(false, |any, masked| masked.map(|masked| any | masked))? {
        return Ok(());
    }
    let before = headers.get(&ETAG_IS_AT).and_then(|names| names.to_str().ok()).filter(|names| !names.is_empty());
    let names = before.map_or_else(|| ETAG_MAC.to_owned(), |before| format!("{before},{ETAG_MAC}"));
    // Names and commas fit a header.
    if let Ok(names) = HeaderValue::try_from(names) {
        headers.insert(ETAG_IS_AT, names);
    }
    Ok(())
}

fn mask(proxy: &Proxy, name: &ObjectName, headers: &mut HeaderMap, condition: HeaderName) -> Result<bool, Error> {
    let values: Vec<_> = headers.get_all(&condition).iter().filter_map(|value| value.to_str().ok()).collect();
    let given = values.join(",");
    let tags: Vec<_> = given.split(',').map(|tag| unquoted(tag.trim())).filter(|tag| !tag.is_empty()).collect();
    if tags.iter().all(|tag| *tag == "*") {
        return Ok(false);
    }
    let keys = proxy.keymaster.all_keys(&name.account, &name.container, &name.object);
    let keys = keys.map_err(|reason| Undecryptable::because(&reason, Undecryptable::Keys, &name.object))?;
    let mut all = Vec::with_capacity(tags.len() * (keys.len() + 1));
    for tag in tags {
        all.push(if tag == "*" { tag.to_owned() } else { format!("\"{tag}\"") });
        let macs = keys.iter().filter(|_| tag != "*").map(|keys| keys.object.etag_mac(tag.as_bytes()));
        all.extend(macs.map(|mac| format!("\"{mac}\"")));
    }
    // What was in a header before, and Base64, fit one.
    if let Ok(value) = HeaderValue::try_from(all.join(", ")) {
        headers.insert(condition, value);
    }
    Ok(!keys.is_empty())
}

/// Decrypts an object server's answer to a GET or HEAD. Objects that are not encrypted pass as they are.
pub(in crate::ops) fn open(
    call: Call<'_>,
    name: &ObjectName,
    method: &Method,
    response: Response<Body>,
) -> Result<Response<Body>, Error> {
    if *method != Method::GET || !response.status().is_success() {
        return open_sealed(call, name, method, response);
    }
    if !has_customers_body(response.headers()) {
        return open_sealed(call, name, method, response);
    }
    let key = unlock(call, response.headers())?.ok_or(Undecryptable::Object)?;
    let (mut head, body) = open_sealed(call, name, method, response)?.into_parts();
    let meta = head.headers.remove(BODY_META);
    let text = meta.as_ref().and_then(|meta| meta.to_str().ok()).unwrap_or_default();
    let opened = Meta::parse(text)
        .and_then(|meta| meta.body_key(&key))
        .and_then(|key| Decrypting::wrap(body, &head.headers, key).map_err(|_| CryptoError::Malformed("its range")));
    let body = opened.map_err(|reason| Undecryptable::because(&reason, Undecryptable::Object, &name.object))?;
    Ok(Response::from_parts(head, body))
}

/// The same, but what is encrypted with a client's key stays so, and its crypto meta with it.
pub(in crate::ops) fn open_sealed(
    call: Call<'_>,
    name: &ObjectName,
    method: &Method,
    response: Response<Body>,
) -> Result<Response<Body>, Error> {
    let proxy = call.proxy;
    if !response.headers().keys().any(is_encrypted) {
        return Ok(response);
    }
    let (mut head, mut body) = response.into_parts();
    let opening = Opening { proxy, name, stored: &head.headers };
    let customers = head.headers.get(BODY_META).filter(|_| has_customers_body(&head.headers)).cloned();
    let put = match customers {
        Some(_) => ItemKeys { meta: None, keys: opening.keys(None) },
        None => opening.keys_of(BODY_META, Meta::check)?,
    };
    let post = opening.keys_of(USER_META, |_| Ok(()))?;
    let mut plain = HeaderMap::new();
    opening.open_etags(&put, &mut plain)?;
    opening.open_user_meta(&post, &mut plain)?;
    if let Some(meta) = &put.meta {
        plain.insert(CIPHER, HeaderValue::from_static("AES_CTR_256"));
        if *method == Method::GET && head.status.is_success() {
            let unreadable = |reason: CryptoError| opening.fault(&reason, Undecryptable::Object);
            let key = put.keys.clone().and_then(|keys| meta.body_key(&keys.object)).map_err(unreadable)?;
            let wrapped = Decrypting::wrap(body, &head.headers, key);
            body = wrapped.map_err(|_| opening.fault(&CryptoError::Malformed("its range"), Undecryptable::Object))?;
        }
    }
    purge(&mut head.headers);
    plain.extend(customers.map(|meta| (HeaderName::from_static(BODY_META), meta)));
    for (name, value) in plain.iter() {
        head.headers.insert(name.clone(), value.clone());
    }
    Ok(Response::from_parts(head, body))
}

/// Whether a body is encrypted with a client's key.
fn has_customers_body(stored: &HeaderMap) -> bool {
    let text = stored.get(BODY_META).and_then(|meta| meta.to_str().ok());
    text.is_some_and(|text| Meta::parse(text).is_ok_and(|meta| meta.is_customers()))
}

/// What encryption keeps for itself, and what it may have changed.
fn is_encrypted(name: &HeaderName) -> bool {
    is_own(name) || name == LISTED_ETAG
}

fn is_own(name: &HeaderName) -> bool {
    name.as_str().starts_with(SYSTEM_PREFIX) || name.as_str().starts_with(TRANSIENT_PREFIX)
}

fn purge(headers: &mut HeaderMap) {
    let own: Vec<_> = headers.keys().filter(|name| is_own(name)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

/// The keys that some of the items are under.
struct ItemKeys {
    meta: Option<Meta>,
    /// An error only matters if there is something to decrypt.
    keys: Result<ObjectKeys, CryptoError>,
}

/// An answer being decrypted.
struct Opening<'a> {
    proxy: &'a Proxy,
    name: &'a ObjectName,
    stored: &'a HeaderMap,
}

impl Opening<'_> {
    fn fault(&self, reason: &CryptoError, or: Undecryptable) -> Undecryptable {
        let name = self.name;
        Undecryptable::because(reason, or, &format_args!("/{}/{}/{}", name.account, name.container, name.object))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, CryptoError> {
        let text = self.stored.get(name).map(HeaderValue::to_str).transpose();
        text.map_err(|_| CryptoError::Malformed("an encrypted item is no text"))
    }

    /// The keys that the crypto meta under `name` names; the active ones if there is none.
    fn keys_of(&self, name: &str, check: fn(&Meta) -> Result<(), CryptoError>) -> Result<ItemKeys, Undecryptable> {
        let read = || -> Result<_, CryptoError> {
            let meta = self.text(name)?.map(Meta::parse).transpose()?;
            meta.as_ref().map_or(Ok(()), check)?;
            Ok(meta)
        };
        let meta = read().map_err(|reason| self.fault(&reason, Undecryptable::Object))?;
        let keys = self.keys(meta.as_ref().and_then(|meta| meta.key_id.as_ref()));
        match (&meta, &keys) {
            (Some(_), Err(reason)) => Err(self.fault(reason, Undecryptable::Object)),
            _ => Ok(ItemKeys { meta, keys }),
        }
    }

    fn keys(&self, id: Option<&KeyId>) -> Result<ObjectKeys, CryptoError> {
        let ObjectName { account, container, object } = self.name;
        self.proxy.keymaster.object_keys(account, container, object, id)
    }

    /// The object's ETag, and the one that the listing shows, which other layers may have set.
    fn open_etags(&self, put: &ItemKeys, plain: &mut HeaderMap) -> Result<(), Undecryptable> {
        let etag = || -> Result<_, CryptoError> {
            let Some(text) = self.text(SEALED_ETAG)? else { return Ok(None) };
            let keys = put.keys.clone()?;
            let etag = required(text)?.open(&keys.object)?;
            let mac = self.text(ETAG_MAC)?;
            if mac.is_some_and(|mac| !keys.object.is_etag_mac(&etag, mac)) {
                return Err(CryptoError::WrongSecret(keys.id.secret_id));
            }
            value(&etag).map(Some)
        };
        let listed = || -> Result<_, CryptoError> {
            let Some(text) = self.text(LISTED_ETAG)? else { return Ok(None) };
            let container = (&*self.name.account, &*self.name.container);
            value(open_listed(&self.proxy.keymaster, container, text)?.as_bytes()).map(Some)
        };
        let fault = |reason| self.fault(&reason, Undecryptable::Header);
        plain.extend(etag().map_err(fault)?.map(|etag| (ETAG, etag)));
        plain.extend(listed().map_err(fault)?.map(|etag| (HeaderName::from_static(LISTED_ETAG), etag)));
        Ok(())
    }

    fn open_user_meta(&self, post: &ItemKeys, plain: &mut HeaderMap) -> Result<(), Undecryptable> {
        let open = |text: &HeaderValue| -> Result<HeaderValue, CryptoError> {
            let keys = post.keys.clone()?;
            post.meta.as_ref().map_or(Ok(()), |meta| meta.check_key(&keys.object))?;
            let text = text.to_str().map_err(|_| CryptoError::Malformed("an encrypted item is no text"))?;
            value(&required(text)?.open(&keys.object)?)
        };
        for (name, text) in self.stored {
            let Some(short) = name.as_str().strip_prefix(USER_META_PREFIX).filter(|_| !text.is_empty()) else {
                continue;
            };
            let opened = open(text).map_err(|reason| self.fault(&reason, Undecryptable::Header))?;
            if let Ok(name) = HeaderName::try_from(format!("x-object-meta-{short}")) {
                plain.insert(name, opened);
            }
        }
        Ok(())
    }
}

fn required(text: &str) -> Result<Sealed<'_>, CryptoError> {
    Sealed::parse(text)?.ok_or(CryptoError::Malformed("an encrypted item without crypto meta"))
}

/// What no header could have held has been decrypted with a wrong key.
fn value(plain: &[u8]) -> Result<HeaderValue, CryptoError> {
    HeaderValue::from_bytes(plain).map_err(|_| CryptoError::Malformed("a decrypted item fits no header"))
}
