//! Making links.

use apus_base::body::{self, Body};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::BodyExt as _;

use super::follow::Chase;
use super::{EMPTY_MD5, Link, LinkError};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::crypto::Seal;
use crate::ops::get::Read;
use crate::ops::headers::{LISTED_ETAG, SLO_SIZE, plain_content_type};
use crate::ops::large::SLO_ETAG;
use crate::ops::put::{Put, Stored, store};
use crate::ops::resource::{ObjectName, Resource};
use crate::ops::rows::Hash;

/// The type of links that say none.
const LINK_TYPE: HeaderValue = HeaderValue::from_static("application/symlink");

/// Stores an object, or the link that its headers ask for.
///
/// # Errors
/// When the link makes no sense, the target of a static link is not what it says or not the caller's to read; or as
/// [`store`].
pub(in crate::ops) async fn put(call: Call<'_>, mut put: Put) -> Result<Stored, Error> {
    if !Link::is_asked(&put.headers) {
        return store(call, put).await;
    }
    if !is_empty(&mut put).await? {
        return Err(LinkError::Body.into());
    }
    let link = Link::asked(&put.headers, &put.name).map_err(LinkError::from)?.unwrap_or_default();
    let link = if link.etag.is_some() { pin(call, &mut put, link).await? } else { link };
    if put.headers.get(CONTENT_TYPE).is_none_or(HeaderValue::is_empty) {
        put.headers.insert(CONTENT_TYPE, LINK_TYPE);
    }
    create(call, put, link).await
}

/// Stores a link as it is.
///
/// # Errors
/// As [`store`].
pub(in crate::ops) async fn create(call: Call<'_>, mut put: Put, link: Link) -> Result<Stored, Error> {
    link.write(&mut put.headers);
    (put.length, put.body, put.seal) = (Ok(Some(0)), body::empty(), Seal::default());
    Ok(Stored { link: Some(link), ..store(call, put).await? })
}

/// Whether a PUT has no body. Of one that is chunked, a byte is waited for.
pub(in crate::ops) async fn is_empty(put: &mut Put) -> Result<bool, Error> {
    if let Some(length) = put.length? {
        return Ok(length == 0);
    }
    while let Some(frame) = put.body.frame().await {
        if frame?.data_ref().is_some_and(|data| !data.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes sure that the target of a static link is what the link says, and takes from it what listings show of the link.
async fn pin(call: Call<'_>, put: &mut Put, link: Link) -> Result<Link, Error> {
    let target = head(call, &put.name, &link).await.map_err(|error| match error {
        Error::Behind { path, error } if error.is_not_found() => {
            Error::Behind { path, error: Box::new(LinkError::NoTarget.into()) }
        }
        error => error,
    })?;
    let target = target.headers();
    show_as_large(target, &mut put.headers);
    if put.headers.get(CONTENT_TYPE).is_none_or(HeaderValue::is_empty)
        && let Some(kind) = target.get(CONTENT_TYPE)
    {
        put.headers.insert(CONTENT_TYPE, plain_content_type(kind));
    }
    let bytes = target.get(SLO_SIZE).or_else(|| target.get(CONTENT_LENGTH));
    let bytes = bytes.and_then(|bytes| bytes.to_str().ok()?.parse().ok());
    Ok(Link { bytes: Some(bytes.unwrap_or_default()), ..link })
}

async fn head(call: Call<'_>, from: &ObjectName, link: &Link) -> Result<Response<Body>, Error> {
    let name = link.points_to(&from.account).ok_or(Error::NotFound)?;
    call.authorize(&Method::HEAD, &Resource::Object(name.clone())).await?;
    let path = Some(link.path(&from.account));
    let read = Read::asked(name, Method::HEAD, &HeaderMap::new(), false);
    Chase { call, read, path, etag: link.etag.clone(), dynamic: false, steps: 0 }.run().await
}

/// The listing shows the ETag of a large object also where a link stands for it.
fn show_as_large(target: &HeaderMap, headers: &mut HeaderMap) {
    if headers.contains_key(LISTED_ETAG) {
        return;
    }
    let listed = target.get(LISTED_ETAG).and_then(|etag| etag.to_str().ok());
    let mut hash = Hash::parse(listed.unwrap_or_default()).without("symlink_target");
    EMPTY_MD5.clone_into(&mut hash.value);
    if let Some(etag) = target.get(SLO_ETAG).and_then(|etag| etag.to_str().ok())
        && hash.get("slo_etag").is_none()
    {
        hash.push("slo_etag", etag);
    }
    if let Ok(value) = HeaderValue::from_str(&hash.to_string()) {
        headers.insert(LISTED_ETAG, value);
    }
}
