//! The steps that every request takes, in the order of [`pipeline`](crate::pipeline), and what they need.

mod accept;
pub mod access_log;
pub mod catch_errors;
pub mod cors;
pub mod gatekeeper;
pub mod healthcheck;
pub mod info;
pub mod listing_formats;
mod render;
pub(crate) mod rows;
pub mod tempauth;

use http::{HeaderMap, HeaderValue, header};

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
