//! The headers of an object, from its metadata to a response and from a request to its metadata.

use apus_base::body::{self, Body};
use apus_base::wire::header as backend;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::target::text;
use crate::config::Config;
use crate::store::metadata::{self, title_cased};
use crate::store::{Known, Metadata, Object};

const USER: &str = "x-object-meta-";
const SYSTEM: &str = "x-object-sysmeta-";
const TRANSIENT: &str = "x-object-transient-sysmeta-";

/// A response of a status and no body.
pub(super) fn empty(status: StatusCode, headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What a GET or HEAD says of an object, but for the length.
pub(super) fn object_headers(config: &Config, object: &Known) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    let kept = |name: &str| is_user_or_system(name) || config.allowed_headers.iter().any(|a| a == name);
    copy(&mut headers, object.metadata.iter(), kept);
    let content_type = object.metadata.get(metadata::CONTENT_TYPE).unwrap_or(b"application/octet-stream");
    insert(&mut headers, header::CONTENT_TYPE, content_type);
    insert(&mut headers, header::ETAG, object.etag().as_bytes());
    let timestamp = object.timestamp();
    insert(&mut headers, header::LAST_MODIFIED, timestamp.http_date().as_bytes());
    insert(&mut headers, HeaderName::from_static(backend::TIMESTAMP), timestamp.normal().as_bytes());
    insert(&mut headers, HeaderName::from_static(backend::BACKEND_TIMESTAMP), timestamp.internal().as_bytes());
    let data_timestamp = object.data_timestamp.internal();
    insert(&mut headers, HeaderName::from_static(backend::BACKEND_DATA_TIMESTAMP), data_timestamp.as_bytes());
    insert(&mut headers, HeaderName::from_static("x-backend-durable-timestamp"), data_timestamp.as_bytes());
    if object.rewrapping {
        insert(&mut headers, HeaderName::from_static(backend::REWRAPPING), b"true");
    }
    headers
}

/// An object's system metadata, which answers to a POST carry.
pub(super) fn system_headers(object: &Object) -> HeaderMap {
    let mut headers = HeaderMap::new();
    copy(&mut headers, object.metadata.iter(), |name| has_prefix(name, SYSTEM));
    headers
}

/// Sets a header, unless the value is one that HTTP cannot carry.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

fn copy<'a>(to: &mut HeaderMap, items: impl Iterator<Item = (&'a [u8], &'a [u8])>, wanted: impl Fn(&str) -> bool) {
    for (key, value) in items {
        // Names that HTTP cannot carry came from another writer; they stay on disk.
        let Ok(name) = HeaderName::from_bytes(key) else { continue };
        if wanted(name.as_str()) {
            insert(to, name, value);
        }
    }
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.len() > prefix.len() && name.starts_with(prefix)
}

fn is_user_or_system(name: &str) -> bool {
    has_prefix(name, USER) || is_system(name)
}

/// Metadata that the cluster keeps for itself.
pub(super) fn is_system(name: &str) -> bool {
    has_prefix(name, SYSTEM) || has_prefix(name, TRANSIENT)
}

/// The metadata that a PUT sets beside what it is told by the body.
pub(super) fn put_metadata(config: &Config, headers: &HeaderMap) -> Metadata {
    requested(config, headers, is_user_or_system)
}

/// The metadata that a POST sets.
pub(super) fn post_metadata(config: &Config, headers: &HeaderMap) -> Metadata {
    requested(config, headers, |name| has_prefix(name, USER) || has_prefix(name, TRANSIENT))
}

fn requested(config: &Config, headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> Metadata {
    let replicated = text(headers, "x-backend-replication-headers").unwrap_or("");
    let allowed = |name: &str| {
        let listed = || replicated.split_ascii_whitespace().any(|r| r.eq_ignore_ascii_case(name));
        !is_reserved(name) && (config.allowed_headers.iter().any(|a| a.eq_ignore_ascii_case(name)) || listed())
    };
    let named = headers.iter().map(|(name, value)| (name.as_str(), value));
    let kept = named.filter(|(name, _)| wanted(name) || allowed(name));
    kept.map(|(name, value)| (title_cased(name).into_bytes(), value.as_bytes().to_vec())).collect()
}

/// What only the body decides, whatever an operator allows.
fn is_reserved(name: &str) -> bool {
    matches!(name, "content-length" | "etag" | "deleted")
}
