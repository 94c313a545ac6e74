//! The steps that every request takes, in the order of [`pipeline`](crate::pipeline), and what they need.

pub mod accept;
pub mod access_log;
pub mod admission;
pub mod catch_errors;
pub mod container_sync;
pub mod cors;
pub mod crossdomain;
pub mod domain_remap;
pub mod etag_quoter;
pub mod formpost;
pub mod gatekeeper;
pub mod healthcheck;
pub mod info;
pub mod list_endpoints;
pub mod listing_formats;
pub mod name_check;
pub mod ratelimit;
pub mod read_only;
mod render;
pub mod request_line;
pub mod signature;
pub mod staticweb;
pub mod tempauth;
pub mod tempurl;

use apus_base::serve::Secure;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};
use percent_encoding::{percent_decode_str, percent_encode};

use crate::Proxy;
use crate::config::Scheme;
use crate::swift::response::QUOTED;

/// Adds a name to `Vary`, unless it is there.
fn vary(headers: &mut HeaderMap, name: &'static str) {
    let old = headers.get(header::VARY).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let old = old.filter(|old| !old.is_empty());
    let there = old.as_deref().is_some_and(|old| old.split(',').any(|item| item.trim().eq_ignore_ascii_case(name)));
    let new = old.map_or_else(|| name.to_owned(), |old| format!("{old}, {name}"));
    if let Some(new) = HeaderValue::from_str(&new).ok().filter(|_| !there) {
        headers.insert(header::VARY, new);
    }
}

/// The same URI with another path and query; `None` where they are too long for one.
fn with_target(uri: &Uri, target: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// A path in the one spelling in which answers show it, whatever a client escaped.
fn requoted(path: &str) -> String {
    percent_encode(&percent_decode_str(path).collect::<Vec<u8>>(), QUOTED).to_string()
}

/// The beginning of URLs by which a client reaches us as it just did; a scheme's own port goes without saying.
fn own_url(proxy: &Proxy, parts: &Parts) -> String {
    let secure = match proxy.config.storage_url_scheme {
        Scheme::Http => false,
        Scheme::Https => true,
        Scheme::Default => parts.extensions.get::<Secure>().is_some(),
    };
    let (scheme, port) = if secure { ("https", ":443") } else { ("http", ":80") };
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("{scheme}://{}", host.strip_suffix(port).unwrap_or(host))
}
