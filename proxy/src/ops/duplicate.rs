//! Copies of what is stored, as it is: a link stays a link, a manifest a manifest, and no rule for clients applies.

use apus_base::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use super::Call;
use super::copy::unreadable;
use super::crypto::{CIPHER, Seal};
use super::get::{self, Read};
use super::headers::{SLO_SIZE, pick, plain_content_type, stored};
use super::put::{DELETE_AT, Put, Stored, store};
use super::resource::ObjectName;
use crate::constraints::BadLength;
use crate::error::Error;

/// Whether an object is a manifest is kept beside its metadata.
const IS_MANIFEST: HeaderName = HeaderName::from_static("x-static-large-object");

/// The newest of what is stored at a name; `None` if nothing is.
pub(super) async fn newest(call: Call<'_>, name: &ObjectName) -> Result<Option<Response<Body>>, Error> {
    let read = Read::asked(name.clone(), Method::GET, &HeaderMap::new(), true);
    match get::sealed(call, &read).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stores under another name what was read.
pub(super) async fn duplicate(call: Call<'_>, from: Response<Body>, to: ObjectName) -> Result<Stored, Error> {
    let mut headers = stored(from.headers());
    let others = [CONTENT_TYPE, ETAG, DELETE_AT, IS_MANIFEST];
    headers.extend(pick(from.headers(), |name| others.contains(name)));
    add_length(&mut headers);
    let length = from.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = length.map(Some).ok_or(BadLength::Missing);
    let source = to.clone();
    let seal = if from.headers().contains_key(CIPHER) { Seal::Always } else { Seal::AsConfigured };
    let put = Put { own: true, seal, ..Put::new(to, headers, length, from.into_body()) };
    store(call, put).await.map_err(|error| match error {
        Error::Body(reason) => unreadable(&source, &reason),
        error => error,
    })
}

/// A large object tells its listing in its content type how long it really is.
fn add_length(headers: &mut HeaderMap) {
    let (Some(kind), Some(size)) = (headers.get(CONTENT_TYPE).map(plain_content_type), headers.get(SLO_SIZE)) else {
        return;
    };
    let kind = [kind.as_bytes(), b"; swift_bytes=", size.as_bytes()].concat();
    if let Ok(kind) = HeaderValue::from_bytes(&kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
}
