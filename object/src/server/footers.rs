//! Metadata behind a body: what a proxy knows only when it has seen the last byte, such as the encrypted MD5 of what it
//! has encrypted on its way.
//!
//! Only system metadata that `Trailer` announces may come so. With anything else the request is refused and nothing stored.

use apus_base::wire::header as backend;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::refusal::Refusal;
use super::respond::is_system;
use super::target::text;

/// The most items behind a body; encryption has four.
const MAX_FOOTERS: usize = 16;
/// The longest of all together. The HTTP server takes no longer trailers anyway.
const MAX_FOOTERS_BYTES: usize = 16 * 1024;

/// A PUT's headers with the metadata behind its body, which wins.
pub(super) fn merged(headers: &HeaderMap, trailers: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let mut merged = headers.clone();
    let announced = text(headers, header::TRAILER.as_str()).unwrap_or("");
    let is_announced = |name: &HeaderName| announced.split(',').any(|n| n.trim().eq_ignore_ascii_case(name.as_str()));
    let is_footer = |(name, _): &(&HeaderName, &HeaderValue)| *name != backend::BODY_ETAG && *name != backend::BODY_CRC;
    let (mut count, mut bytes) = (0, 0);
    for (name, value) in trailers.iter().filter(is_footer) {
        if !is_system(name.as_str()) || !is_announced(name) {
            return Err(Refusal::bad_request(format!("Unexpected trailer: {name}")));
        }
        count += 1;
        bytes += name.as_str().len() + value.len();
        merged.insert(name.clone(), value.clone());
    }
    if count > MAX_FOOTERS || bytes > MAX_FOOTERS_BYTES {
        return Err(Refusal::bad_request("Too much metadata in trailers"));
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    fn merge(announced: &str, trailers: &[(&str, &str)]) -> Result<HeaderMap, String> {
        let request = headers(&[("trailer", announced), ("x-object-sysmeta-a", "header"), ("content-type", "a/b")]);
        merged(&request, &headers(trailers)).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn system_metadata_behind_the_body_wins() {
        let announced = "X-Backend-Etag, X-Object-Sysmeta-A,x-object-transient-sysmeta-b";
        let trailers =
            [("x-backend-etag", "e"), ("x-object-sysmeta-a", "trailer"), ("x-object-transient-sysmeta-b", "t")];
        let merged = merge(announced, &trailers).unwrap();
        assert_eq!(
            (&merged["x-object-sysmeta-a"], &merged["x-object-transient-sysmeta-b"]),
            (&"trailer".parse().unwrap(), &"t".parse().unwrap())
        );
        assert!(!merged.contains_key("x-backend-etag"));
    }

    #[test]
    fn nothing_else_is_taken() {
        for name in ["content-type", "x-object-meta-a", "x-delete-at", "x-object-sysmeta-", "x-timestamp"] {
            assert_eq!(merge(name, &[(name, "v")]).unwrap_err(), format!("Unexpected trailer: {name}"));
        }
        assert!(merge("x-object-sysmeta-a", &[("x-object-sysmeta-b", "unannounced")]).is_err());
        let long = "x".repeat(MAX_FOOTERS_BYTES);
        assert!(merge("x-object-sysmeta-a", &[("x-object-sysmeta-a", &long)]).is_err());
        let many: Vec<_> = (0..=MAX_FOOTERS).map(|n| format!("x-object-sysmeta-{n}")).collect();
        let pairs: Vec<_> = many.iter().map(|name| (name.as_str(), "v")).collect();
        assert!(merge(&many.join(","), &pairs).is_err());
    }
}
