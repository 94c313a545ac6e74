//! Many operations in one request: deleting a list of names, storing the files of an archive.
//!
//! Each is done and authorized as if the client had asked for it alone, but for the request's own headers and query, which
//! are about the whole.

pub mod delete;
pub mod expand;
pub mod extract;
pub mod pax;
pub mod tar;

use http::header::REFERER;
use http::request::Parts;
use http::{Method, Request, Uri};
use serde::{Deserialize, Serialize};

use crate::context::Context;

/// The limits of bulk requests, the `[proxy.bulk]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Containers that one archive may bring into being.
    pub max_containers_per_extraction: usize,
    /// Files that may fail before an extraction is given up.
    pub max_failed_extractions: usize,
    /// Names in one bulk delete.
    pub max_deletes_per_request: usize,
    /// Names that may fail before a bulk delete is given up.
    pub max_failed_deletes: usize,
    /// How often a client that waits gets a byte of whitespace, in seconds.
    pub yield_frequency: u64,
    /// Deletes at once, of one request.
    pub delete_concurrency: usize,
    /// How often a delete is tried again after a conflict, as of a container whose objects went a moment ago.
    pub delete_container_retry_count: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_containers_per_extraction: 10_000,
            max_failed_extractions: 1000,
            max_deletes_per_request: 10_000,
            max_failed_deletes: 1000,
            yield_frequency: 10,
            delete_concurrency: 2,
            delete_container_retry_count: 0,
        }
    }
}

/// The request for which one of many operations is done: the same client's, and nothing of what was asked of the whole.
///
/// A signature was for the whole, whose query it does not cover: without this, a signed URL for one POST could be made
/// into one that deletes a whole account.
pub fn single(whole: &Parts, method: Method) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = Uri::try_from(whole.uri.path()).unwrap_or_default();
    parts.version = whole.version;
    parts.extensions = whole.extensions.clone();
    if let Some(context) = parts.extensions.get_mut::<Context>() {
        context.grant = None;
    }
    if let Some(referer) = whole.headers.get(REFERER) {
        parts.headers.insert(REFERER, referer.clone());
    }
    parts
}
