//! Keeps inside what is inside: no client sets or sees the headers that the cluster's parts say to each other.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Request, Response};

use apus_base::body::Body;
use apus_base::policy::PolicyIndex;
use apus_base::wire::header::{POLICY_INDEX, TIMESTAMP};

use crate::Proxy;
use crate::pipeline::{Answer, Next};

/// What internal headers begin with.
const PREFIXES: &[&str] =
    &["x-backend", "x-account-sysmeta-", "x-container-sysmeta-", "x-object-sysmeta-", "x-object-transient-sysmeta-"];
/// Internal headers from before the prefix `X-Backend`: with them a client could aim servers at each other.
const NAMES: &[&str] = &[
    "x-account-host",
    "x-account-device",
    "x-account-partition",
    "x-container-host",
    "x-container-device",
    "x-container-partition",
    "x-container-root-db-state",
    "x-delete-at-host",
    "x-delete-at-device",
    "x-delete-at-partition",
    "x-delete-at-container",
];
/// Where a client's own `X-Timestamp` goes: a writer that the cluster trusts may look at it there.
pub const INBOUND_TIMESTAMP: HeaderName = HeaderName::from_static("x-backend-inbound-x-timestamp");

/// The step.
pub fn step<'a>(_proxy: &'a Proxy, mut request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    strip(request.headers_mut());
    if let Some(timestamp) = request.headers_mut().remove(TIMESTAMP) {
        request.headers_mut().insert(INBOUND_TIMESTAMP, timestamp);
    }
    Box::pin(async move {
        let mut response = next.run(request).await;
        remember_policy(&mut response);
        strip(response.headers_mut());
        response
    })
}

fn is_internal(name: &HeaderName) -> bool {
    let name = name.as_str();
    // `X-Remove-X` is another spelling of an empty `X`.
    let name = name.strip_prefix("x-remove-").map_or(Cow::Borrowed(name), |removed| Cow::Owned(format!("x-{removed}")));
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&&*name)
}

fn strip(headers: &mut HeaderMap) {
    let internal: Vec<HeaderName> = headers.keys().filter(|name| is_internal(name)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
}

/// For the access log, which stands outside.
fn remember_policy(response: &mut Response<Body>) {
    let index = response.headers().get(POLICY_INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
    if let Some(index) = index {
        response.extensions_mut().insert(PolicyIndex(index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_names_are_stripped_and_their_neighbours_kept() {
        let internal = ["x-backend", "x-backend-replication", "x-object-sysmeta-slo", "x-remove-account-sysmeta-a"];
        for name in internal.iter().chain(NAMES) {
            assert!(is_internal(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "x-object-meta-x-backend",
            "x-container-hosts",
            "x-delete-at",
            "x-container-read",
            "x-remove-account-meta-a",
        ] {
            assert!(!is_internal(&HeaderName::from_static(name)), "{name}");
        }
    }
}
