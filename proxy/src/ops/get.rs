//! Reading objects.

use apus_base::body::Body;
use apus_base::client::Target;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::headers::{pick, plain_content_type};
use super::large::{self, View};
use super::resource::{ObjectName, Resource};
use super::versions::{self, Version};
use super::{Call, crypto};
use crate::error::Error;

/// By which a request chooses whether and which part of an object it gets; the object servers judge them.
const CONDITIONS: [HeaderName; 5] = [RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// What to read of an object, and how.
#[derive(Clone, Debug)]
pub struct Read {
    /// Which.
    pub name: ObjectName,
    /// GET, or HEAD for its metadata only.
    pub method: Method,
    /// Conditions, ranges, and the backend's own headers by which steps of a read tell the object servers how to judge
    /// them.
    pub headers: HeaderMap,
    /// Whether all replicas are asked for the newest version.
    pub newest: bool,
    /// How a large object is looked at.
    pub view: View,
    /// Whether a symlink is read itself, instead of what it stands for.
    pub as_link: bool,
    /// Which version, where it is not the current one.
    pub version: Option<Version>,
}

impl Read {
    /// A read under the conditions and for the ranges of a client's request.
    pub fn asked(name: ObjectName, method: Method, request: &HeaderMap, newest: bool) -> Self {
        let headers = pick(request, |header| CONDITIONS.contains(header));
        Self { name, method, headers, newest, view: View::Contents, as_link: false, version: None }
    }
}

/// Reads an object (GET) or its metadata (HEAD).
///
/// Of the refusals, 304, 412 and 416 come as responses, because they say something about the object.
///
/// # Errors
/// When the caller may not, there is no such object, or no server answers.
pub async fn get(call: Call<'_>, read: Read) -> Result<Response<Body>, Error> {
    call.authorize(&read.method, &Resource::Object(read.name.clone())).await?;
    large::read(call, &read).await
}

/// Reads an object that is not looked at as a large one, as its readers know it.
pub(super) async fn undivided(call: Call<'_>, read: &Read) -> Result<Response<Body>, Error> {
    let mut response = versions::read(call, read.clone()).await?;
    make_public(response.headers_mut());
    Ok(response)
}

/// Reads an object as the object servers have it, decrypted.
///
/// A container that is not known does not stop a read: where its object is, there is an answer.
///
/// # Errors
/// As [`get`], but anybody may.
pub(super) async fn stored(call: Call<'_>, read: &Read) -> Result<Response<Body>, Error> {
    stored_with(call, read, crypto::open).await
}

/// The same, but what is encrypted with a client's key stays so.
pub(super) async fn sealed(call: Call<'_>, read: &Read) -> Result<Response<Body>, Error> {
    stored_with(call, read, crypto::open_sealed).await
}

type Open = fn(Call<'_>, &ObjectName, &Method, Response<Body>) -> Result<Response<Body>, Error>;

async fn stored_with(call: Call<'_>, read: &Read, open: Open) -> Result<Response<Body>, Error> {
    let (client, name) = (&call.proxy.client, &read.name);
    let info = client.container_info(&name.account, &name.container).await?;
    let policy = info.found().map_or_else(|| client.cluster().policies.default_index(), |info| info.policy);
    let mut headers = call.backend_headers();
    headers.extend(read.headers.clone());
    crypto::mask_conditions(call.proxy, name, &mut headers)?;
    call.open_expired(&mut headers);
    let target = Target::Object(name.target(policy));
    let response = client.read(read.method.clone(), &target, None, &headers, read.newest).await?;
    let response = open(call, name, &read.method, response)?;
    match response.status() {
        StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => Ok(response),
        StatusCode::NOT_FOUND => Err(Error::NotFound),
        status if status.is_success() => Ok(response),
        status => Err(Error::Refused(status, String::new())),
    }
}

/// Takes away what storage servers keep in headers that clients know too. An ETag in quotes is that of a large object, so
/// what is stored has none around its own; a content type has the length of a large object at its end.
fn make_public(headers: &mut HeaderMap) {
    let quoted = headers.get(ETAG).filter(|etag| etag.as_bytes().contains(&b'"'));
    let bare = quoted.map(|etag| etag.as_bytes().iter().copied().filter(|b| *b != b'"').collect::<Vec<u8>>());
    if let Some(Ok(bare)) = bare.map(|bare| HeaderValue::from_bytes(&bare)) {
        headers.insert(ETAG, bare);
    }
    if let Some(kind) = headers.get(CONTENT_TYPE).map(plain_content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_servers_say_stays_there() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"abc\""));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8; swift_bytes=12"));
        make_public(&mut headers);
        assert_eq!(
            (&headers[ETAG], &headers[CONTENT_TYPE]),
            (&"abc".parse().unwrap(), &"text/plain; charset=utf-8".parse().unwrap())
        );
    }
}
