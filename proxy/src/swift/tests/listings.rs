//! The listings of the backend in memory: what a container or an account says of itself, and its rows.

use apus_base::body::{self, Body};
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use serde_json::{Value, json};

use super::backend::{Backend, Kept};
use crate::swift::listing;

impl Backend {
    /// The answer to a GET or HEAD of an account or a container that is there.
    pub(super) fn listing(&self, asked: &Parts, names: &[String]) -> Option<Response<Body>> {
        let is_read = [Method::GET, Method::HEAD].contains(&asked.method);
        let kept = self.kept.lock().unwrap();
        let (headers, _) = kept.get(names).filter(|_| is_read && names.len() < 3)?;
        let reserved = asked.headers.contains_key("x-backend-allow-reserved-names");
        let below: Vec<(&str, &Kept)> = kept
            .iter()
            .filter(|(other, _)| other.len() == names.len() + 1 && other.starts_with(names))
            .map(|(other, kept)| (other[names.len()].as_str(), kept))
            .collect();
        let bytes: usize = below.iter().map(|(_, (_, bytes))| bytes.len()).sum();
        let shown = |name: &str, headers: &HeaderMap| {
            let prefixes = ["x-account", "x-container", "x-versions", "x-backend"];
            prefixes.iter().any(|prefix| name.starts_with(prefix)) && !headers[name].is_empty()
        };
        let is_get = asked.method == Method::GET;
        let mut response = Response::builder().status(if is_get { 200 } else { 204 });
        for (name, value) in headers.iter().filter(|(name, _)| shown(name.as_str(), headers)) {
            response = response.header(name, value);
        }
        if names.len() == 2 {
            response = response.header("x-container-object-count", below.len()).header("x-container-bytes-used", bytes);
        }
        let response =
            response.header("content-type", "application/json; charset=utf-8").header("x-put-timestamp", "1");
        let below = below.into_iter().filter(|(name, _)| reserved || !name.starts_with('\0')).collect();
        let rows = rows(below, names.len(), asked.uri.query().unwrap_or_default());
        Some(response.body(if is_get { body::full(rows) } else { body::empty() }).unwrap())
    }
}

fn rows(below: Vec<(&str, &Kept)>, level: usize, query: &str) -> String {
    let part = listing::parse(Some(query), 10_000).unwrap();
    let after = |name: &str| match part.reverse {
        true => part.marker.is_empty() || name < part.marker.as_str(),
        false => name > part.marker.as_str(),
    };
    let mut rows: Vec<Value> = below
        .into_iter()
        .filter(|(name, _)| name.starts_with(&part.prefix) && after(name))
        .map(|(name, kept)| if level == 1 { container(name) } else { object(name, kept) })
        .collect();
    if part.reverse {
        rows.reverse();
    }
    rows.truncate(usize::try_from(part.limit).unwrap());
    Value::from(rows).to_string()
}

fn container(name: &str) -> Value {
    json!({ "name": name, "count": 1, "bytes": 10, "last_modified": "then" })
}

fn object(name: &str, (headers, bytes): &Kept) -> Value {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let hash = text("x-object-sysmeta-container-update-override-etag").or(text("etag"));
    json!({ "name": name, "hash": hash, "bytes": bytes.len(), "content_type": text("content-type"), "last_modified": "then" })
}
