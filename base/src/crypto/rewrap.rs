//! Re-keying one object: from the items that are stored to the same items under the active secret. The body stays.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{CryptoError, KeyId, Keymaster, Meta, ObjectKeys, Sealed, header, seal, seal_with_id};

/// Whether an encrypted item is under another secret than the active one. A plain one is not.
///
/// # Errors
/// When its crypto meta cannot be read.
pub fn is_outdated(keymaster: &Keymaster, sealed: &str) -> Result<bool, CryptoError> {
    let sealed = Sealed::parse(sealed)?;
    Ok(sealed.is_some_and(|sealed| sealed.meta.key_id.as_ref().is_some_and(|id| is_old(keymaster, id))))
}

fn is_old(keymaster: &Keymaster, id: &KeyId) -> bool {
    id.secret_id.as_deref() != keymaster.active_id()
}

/// The items of an object that are under another secret than the active one, rewritten; none if there is nothing to do.
///
/// `stored` is what an object server says of the object, undecrypted.
///
/// # Errors
/// When an item cannot be decrypted: nothing may be rewritten then.
pub fn rewrap(
    keymaster: &Keymaster,
    (account, container, object): (&str, &str, &str),
    stored: &HeaderMap,
) -> Result<HeaderMap, CryptoError> {
    let new = keymaster.active_keys(account, container, object)?;
    let old = |id: &KeyId| keymaster.object_keys(account, container, object, Some(id));
    let mut items = HeaderMap::new();
    if let Some((meta, id)) = outdated(keymaster, stored, header::BODY_META)? {
        rewrap_body(&meta, &old(&id)?, &new, stored, &mut items)?;
    }
    rewrap_listed(keymaster, (account, container), &new, stored, &mut items)?;
    if let Some((meta, id)) = outdated(keymaster, stored, header::USER_META)? {
        rewrap_user_meta(&meta, &old(&id)?, &new, stored, &mut items)?;
    }
    Ok(items)
}

fn text<'a>(stored: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, CryptoError> {
    let value = stored.get(name).map(HeaderValue::to_str).transpose();
    value.map_err(|_| CryptoError::Malformed("an encrypted item is no text"))
}

/// Crypto meta that stands alone, if it names another secret than the active one.
fn outdated(keymaster: &Keymaster, stored: &HeaderMap, name: &str) -> Result<Option<(Meta, KeyId)>, CryptoError> {
    let Some(meta) = text(stored, name)?.map(Meta::parse).transpose()? else { return Ok(None) };
    // What names no key was read with the active one, and cannot be told from what was written with it.
    let id = meta.key_id.clone().filter(|id| is_old(keymaster, id));
    Ok(id.map(|id| (meta, id)))
}

fn rewrap_body(
    meta: &Meta,
    old: &ObjectKeys,
    new: &ObjectKeys,
    stored: &HeaderMap,
    items: &mut HeaderMap,
) -> Result<(), CryptoError> {
    let sealed = text(stored, header::ETAG)?.map(Sealed::parse).transpose()?.flatten();
    let etag = sealed.ok_or(CryptoError::Malformed("an encrypted body without its ETag"))?.open(&old.object)?;
    // Without this, a wrong secret would make garbage of a body that the right one could still read.
    let mac = text(stored, header::ETAG_MAC)?.ok_or(CryptoError::Malformed("an encrypted ETag without its HMAC"))?;
    if !old.object.is_etag_mac(&etag, mac) {
        return Err(CryptoError::WrongSecret(old.id.secret_id.clone()));
    }
    let body = meta.body_key(&old.object)?.wrapped(&new.object, &new.id)?;
    set(items, header::BODY_META, &body.to_text())?;
    set(items, header::ETAG, &seal(&etag, &new.object)?)?;
    set(items, header::ETAG_MAC, &new.object.etag_mac(&etag))
}

fn rewrap_listed(
    keymaster: &Keymaster,
    (account, container): (&str, &str),
    new: &ObjectKeys,
    stored: &HeaderMap,
    items: &mut HeaderMap,
) -> Result<(), CryptoError> {
    let Some(sealed) = text(stored, header::LISTED_ETAG)?.map(Sealed::parse).transpose()?.flatten() else {
        return Ok(());
    };
    match &sealed.meta.key_id {
        Some(id) if is_old(keymaster, id) => {
            let etag = sealed.open(&keymaster.container_key(account, container, Some(id))?)?;
            check_plausible(&etag, Some(id))?;
            set(items, header::LISTED_ETAG, &seal_with_id(&etag, &new.container, &new.id)?)
        }
        _ => Ok(()),
    }
}

/// The ETag that a listing shows for an object: decrypted, or as it is if it is a plain one.
///
/// # Errors
/// When it cannot be decrypted.
pub fn open_listed<'a>(
    keymaster: &Keymaster,
    (account, container): (&str, &str),
    listed: &'a str,
) -> Result<Cow<'a, str>, CryptoError> {
    let Some(sealed) = Sealed::parse(listed)? else { return Ok(listed.into()) };
    let id = sealed.meta.key_id.as_ref();
    let etag = sealed.open(&keymaster.container_key(account, container, id)?)?;
    check_plausible(&etag, id)?;
    String::from_utf8(etag).map(Cow::from).map_err(|_| CryptoError::Malformed("an ETag is no text"))
}

/// Garbage is hardly ever text: the only check that a listing's ETag has.
fn check_plausible(text: &[u8], id: Option<&KeyId>) -> Result<(), CryptoError> {
    let is_text = std::str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control));
    if is_text { Ok(()) } else { Err(CryptoError::WrongSecret(id.and_then(|id| id.secret_id.clone()))) }
}

fn rewrap_user_meta(
    meta: &Meta,
    old: &ObjectKeys,
    new: &ObjectKeys,
    stored: &HeaderMap,
    items: &mut HeaderMap,
) -> Result<(), CryptoError> {
    meta.check_key(&old.object)?;
    for (name, value) in stored.iter().filter(|(name, _)| name.as_str().starts_with(header::USER_META_PREFIX)) {
        let value = value.to_str().map_err(|_| CryptoError::Malformed("an encrypted item is no text"))?;
        let sealed = Sealed::parse(value)?.ok_or(CryptoError::Malformed("an encrypted item without crypto meta"))?;
        set(items, name.as_str(), &seal(&sealed.open(&old.object)?, &new.object)?)?;
    }
    set(items, header::USER_META, &Meta::of_user_meta(&new.object, &new.id).to_text())
}

fn set(items: &mut HeaderMap, name: &str, value: &str) -> Result<(), CryptoError> {
    let unfit = |_| CryptoError::Malformed("an item fits no header");
    let name: HeaderName = name.parse().map_err(|_| CryptoError::Malformed("an item's name fits no header"))?;
    items.insert(name, HeaderValue::from_str(value).map_err(unfit)?);
    Ok(())
}
