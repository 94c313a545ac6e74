//! Server-side encryption as requests ask for it, and as answers tell of it: under the cluster's root secret (`AES256`, SSE-S3) or
//! with a key that the client brings (SSE-C). There is no service of keys, so `aws:kms` is refused.
//!
//! `AES256` is said of what is encrypted, and taken only where there is a root secret. A client's key is in the headers of each
//! request, is used while that lasts and kept nowhere ([`crate::ops::crypto`]); by default it is taken over TLS only.

mod brought;
mod bucket;

use apus_base::crypto::{CryptoError, CustomerKey};
use apus_base::serve::Secure;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::auth::header;
use super::code::Code;
use super::config::Config;
use super::fault::Fault;
use super::metadata::set;
use super::{Face, copy};
use crate::ops::crypto::{LOCK, Locked, OpensWith, Seal, is_default};
use brought::Brought;
pub(super) use bucket::answer;

/// Asks for encryption, and tells of it.
const METHOD: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const AES256: &str = "AES256";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
/// Where an upload in parts has what its parts are encrypted by.
const OF_UPLOAD: HeaderName = HeaderName::from_static("x-object-sysmeta-s3api-encryption");

const NEEDS_KEY: &str = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to \
    retrieve the object.";
const NEEDS_NO_KEY: &str = "The encryption parameters are not applicable to this object.";

/// Looks at what a request's headers say of encryption, and keeps the key with it that it reads with.
///
/// # Errors
/// When they make no sense, ask for what is not there, or bring a key over a connection that others may listen to.
pub(super) fn check(parts: &mut Parts, config: &Config) -> Result<(), Fault> {
    let (brought, of_source) = (Brought::of(&parts.headers)?, Brought::of_source(&parts.headers)?);
    check_method(&parts.method, &parts.headers, brought.is_some())?;
    check_secure(parts, config, brought.is_some() || of_source.is_some())?;
    let is_copy = parts.headers.contains_key(copy::SOURCE);
    let reads =
        if is_copy { of_source } else { brought.filter(|_| matches!(parts.method, Method::GET | Method::HEAD)) };
    if let Some(brought) = reads {
        parts.extensions.insert(OpensWith(brought.key));
    }
    Ok(())
}

/// How the file of a form is encrypted, whose fields are the headers.
///
/// # Errors
/// As [`check`] and [`Sealing::of`].
pub(super) async fn of_form(face: &Face<'_>, fields: &HeaderMap) -> Result<Sealing, Fault> {
    let brings_key = Brought::of(fields)?.is_some();
    check_method(&face.parts.method, fields, brings_key)?;
    check_secure(face.parts, face.config(), brings_key)?;
    Sealing::of(face, fields).await
}

fn check_secure(parts: &Parts, config: &Config, brings_key: bool) -> Result<(), Fault> {
    if !brings_key || !config.customer_keys_need_tls || parts.extensions.get::<Secure>().is_some() {
        return Ok(());
    }
    let sentence =
        "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.";
    Err(Fault::saying(Code::InvalidRequest, sentence))
}

fn check_method(method: &Method, headers: &HeaderMap, brings_key: bool) -> Result<(), Fault> {
    let asked = header(headers, METHOD.as_str());
    if headers.contains_key(KMS_KEY) || asked.starts_with("aws:kms") {
        return Err(no_kms());
    }
    if !headers.contains_key(METHOD) {
        return Ok(());
    }
    let refuse = |sentence: &'static str| Err(Fault::argument(METHOD.as_str(), asked, sentence));
    match asked {
        _ if matches!(*method, Method::GET | Method::HEAD) => {
            refuse("x-amz-server-side-encryption header is not supported for this operation.")
        }
        AES256 if brings_key => refuse(
            "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
        ),
        AES256 => Ok(()),
        _ => refuse("The encryption method specified is not supported"),
    }
}

fn no_kms() -> Fault {
    Fault::not_implemented("Server side encryption specified but KMS is not configured")
}

/// How something is encrypted that is written, and what the answer says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sealing {
    pub(super) seal: Seal,
    brought: Option<Brought>,
    is_told: bool,
}

impl Sealing {
    /// What the headers of a request ask for, or its bucket, or the operator.
    ///
    /// # Errors
    /// When they ask for what cannot be done.
    pub(super) async fn of(face: &Face<'_>, headers: &HeaderMap) -> Result<Self, Fault> {
        if let Some(brought) = Brought::of(headers)? {
            return Ok(Self::with(brought));
        }
        if headers.contains_key(METHOD) {
            face.check_secret()?;
            return Ok(Self::always());
        }
        let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
        let info = info.map_err(|error| face.fault(error.into()))?;
        if info.found().is_some_and(|info| is_default(info)) {
            return Ok(Self::always());
        }
        Ok(Self { is_told: face.proxy.keymaster.encrypts(), ..Self::default() })
    }

    /// That of the parts of an upload with these headers, one of which a request with those brings.
    ///
    /// # Errors
    /// When the request brings another key than the one that the upload began with.
    pub(super) fn of_part(face: &Face<'_>, upload: &HeaderMap) -> Result<Self, Fault> {
        let refuse = |sentence: &'static str| Err(Fault::saying(Code::InvalidRequest, sentence));
        match (Brought::of(&face.parts.headers)?, upload.get(LOCK)) {
            (Some(brought), Some(lock)) => match brought.key.unlock(lock.to_str().unwrap_or_default()) {
                Ok(_) => Ok(Self::with(brought)),
                Err(_) => refuse("The provided encryption parameters did not match the ones used originally."),
            },
            (None, Some(_)) => refuse(
                "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate \
                 encryption parameters.",
            ),
            (Some(_), None) => refuse(
                "The multipart upload initiate did not request encryption. Please resend the request without sending encryption \
                 parameters.",
            ),
            (None, None) => Ok(Self::of_upload(face, upload)),
        }
    }

    /// That of what is made of the parts, which needs no key.
    pub(super) fn of_upload(face: &Face<'_>, upload: &HeaderMap) -> Self {
        match header(upload, OF_UPLOAD.as_str()) {
            AES256 => Self::always(),
            _ => Self { is_told: face.proxy.keymaster.encrypts() && !upload.contains_key(LOCK), ..Self::default() },
        }
    }

    fn with(brought: Brought) -> Self {
        Self { seal: Seal::With(brought.key.clone()), brought: Some(brought), is_told: false }
    }

    fn always() -> Self {
        Self { seal: Seal::Always, brought: None, is_told: true }
    }

    /// What an upload keeps of it for its parts.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn kept(&self) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        match &self.seal {
            Seal::AsConfigured => {}
            Seal::Always => drop(headers.insert(OF_UPLOAD, HeaderValue::from_static(AES256))),
            Seal::With(key) => {
                let (lock, _) = key.lock().map_err(|_| Fault::new(Code::InternalError))?;
                set(&mut headers, LOCK, &lock);
            }
        }
        Ok(headers)
    }

    /// Shows it in an answer.
    pub(super) fn show(&self, headers: &mut HeaderMap) {
        match &self.brought {
            Some(brought) => brought.show(headers),
            None if self.is_told => drop(headers.insert(METHOD, HeaderValue::from_static(AES256))),
            None => {}
        }
    }
}

impl Face<'_> {
    /// # Errors
    /// When there is no root secret to encrypt under.
    pub(super) fn check_secret(&self) -> Result<(), Fault> {
        let sentence = "Server side encryption specified but this cluster has no secret to encrypt with";
        if self.proxy.keymaster.is_empty() { Err(Fault::not_implemented(sentence)) } else { Ok(()) }
    }
}

/// Holds the key that a request brings against what it reads, and tells of it in the answer.
///
/// # Errors
/// When it is another, or missing, or there is none to be.
pub(super) fn check_read(face: &Face<'_>, stored: &HeaderMap, shown: &mut HeaderMap) -> Result<(), Fault> {
    let brought = Brought::of(&face.parts.headers)?;
    check_key(brought.as_ref().map(|brought| &brought.key), stored)?;
    if let Some(brought) = brought {
        brought.show(shown);
    }
    Ok(())
}

/// The same for what is copied.
///
/// # Errors
/// As [`check_read`].
pub(super) fn check_source(face: &Face<'_>, stored: &HeaderMap) -> Result<(), Fault> {
    check_key(Brought::of_source(&face.parts.headers)?.as_ref().map(|brought| &brought.key), stored)
}

fn check_key(key: Option<&CustomerKey>, stored: &HeaderMap) -> Result<(), Fault> {
    match (key, stored.get(LOCK)) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(Fault::saying(Code::InvalidRequest, NEEDS_NO_KEY)),
        (None, Some(_)) => Err(locked(Locked::NoKey)),
        (Some(key), Some(lock)) => match key.unlock(lock.to_str().unwrap_or_default()) {
            Ok(_) => Ok(()),
            Err(CryptoError::WrongKey) => Err(locked(Locked::WrongKey)),
            Err(_) => Err(Fault::new(Code::InternalError)),
        },
    }
}

/// What a reader without the right key hears.
pub(super) fn locked(why: Locked) -> Fault {
    match why {
        Locked::NoKey => Fault::saying(Code::InvalidRequest, NEEDS_KEY),
        Locked::WrongKey => Fault::new(Code::AccessDenied),
    }
}

#[cfg(test)]
mod tests;
