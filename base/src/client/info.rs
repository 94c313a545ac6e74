//! What a cluster knows about an account or a container, as a HEAD of it tells: pure, from headers.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

use crate::policy::{Policies, PolicyIndex};
use crate::wire::header::POLICY_INDEX;

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Info<T> {
    /// It is there.
    Found(Arc<T>),
    /// There is none.
    Missing,
    /// An account that was deleted and whose data is still being reaped: 410 for its users.
    Deleted,
}

impl<T> Info<T> {
    /// The info, if there is one.
    pub fn found(&self) -> Option<&Arc<T>> {
        match self {
            Self::Found(info) => Some(info),
            Self::Missing | Self::Deleted => None,
        }
    }
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountInfo {
    /// Its containers.
    pub container_count: u64,
    /// Its objects, as far as its containers have told.
    pub object_count: u64,
    /// The bytes of its objects.
    pub bytes: u64,
    /// The same for each policy that it has containers of.
    pub policies: BTreeMap<PolicyIndex, Usage>,
    /// User metadata, without the prefix `x-account-meta-`, in lower case.
    pub meta: BTreeMap<String, String>,
    /// System metadata, without the prefix `x-account-sysmeta-`, in lower case.
    pub sysmeta: BTreeMap<String, String>,
}

/// What an account holds of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Containers.
    pub container_count: u64,
    /// Objects.
    pub object_count: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerInfo {
    /// The policy of its objects.
    pub policy: PolicyIndex,
    /// Its objects.
    pub object_count: u64,
    /// The bytes of its objects.
    pub bytes: u64,
    /// `X-Container-Read`.
    pub read_acl: Option<String>,
    /// `X-Container-Write`.
    pub write_acl: Option<String>,
    /// `X-Container-Sync-To`.
    pub sync_to: Option<String>,
    /// `X-Container-Sync-Key`.
    pub sync_key: Option<String>,
    /// `X-Versions-Location`.
    pub versions: Option<String>,
    /// `X-Backend-Sharding-State`; unset means that it is not sharded.
    pub sharding_state: Option<String>,
    /// User metadata, without the prefix `x-container-meta-`, in lower case.
    pub meta: BTreeMap<String, String>,
    /// System metadata, without the prefix `x-container-sysmeta-`, in lower case.
    pub sysmeta: BTreeMap<String, String>,
}

impl AccountInfo {
    /// Reads the headers of an account server's answer. What is missing or malformed counts as none.
    pub fn from_headers(headers: &HeaderMap, policies: &Policies) -> Self {
        let usage = |name: &str| {
            let count = |what: &str| number(headers, &format!("x-account-storage-policy-{name}-{what}"));
            Usage {
                container_count: count("container-count"),
                object_count: count("object-count"),
                bytes: count("bytes-used"),
            }
        };
        let used = policies.iter().map(|policy| (policy.index, usage(&policy.name.to_ascii_lowercase())));
        Self {
            container_count: number(headers, "x-account-container-count"),
            object_count: number(headers, "x-account-object-count"),
            bytes: number(headers, "x-account-bytes-used"),
            policies: used.filter(|(_, usage)| *usage != Usage::default()).collect(),
            meta: prefixed(headers, "x-account-meta-"),
            sysmeta: prefixed(headers, "x-account-sysmeta-"),
        }
    }
}

impl ContainerInfo {
    /// Reads the headers of a container server's answer. What is missing or malformed counts as none.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let owned = |name| text(headers, name).filter(|value| !value.is_empty());
        Self {
            policy: PolicyIndex(text(headers, POLICY_INDEX).and_then(|index| index.parse().ok()).unwrap_or_default()),
            object_count: number(headers, "x-container-object-count"),
            bytes: number(headers, "x-container-bytes-used"),
            read_acl: owned("x-container-read"),
            write_acl: owned("x-container-write"),
            sync_to: owned("x-container-sync-to"),
            sync_key: owned("x-container-sync-key"),
            versions: owned("x-versions-location"),
            sharding_state: owned("x-backend-sharding-state"),
            meta: prefixed(headers, "x-container-meta-"),
            sysmeta: prefixed(headers, "x-container-sysmeta-"),
        }
    }

    /// `X-Container-Meta-Access-Control-Allow-Origin`.
    pub fn cors_allow_origin(&self) -> Option<&str> {
        self.meta.get("access-control-allow-origin").map(String::as_str)
    }

    /// `X-Container-Meta-Access-Control-Expose-Headers`.
    pub fn cors_expose_headers(&self) -> Option<&str> {
        self.meta.get("access-control-expose-headers").map(String::as_str)
    }

    /// `X-Container-Meta-Access-Control-Max-Age`.
    pub fn cors_max_age(&self) -> Option<&str> {
        self.meta.get("access-control-max-age").map(String::as_str)
    }
}

/// Header values are UTF-8 in Swift; bytes that are not are replaced, so that nothing is lost silently.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    text(headers, name).and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn prefixed(headers: &HeaderMap, prefix: &str) -> BTreeMap<String, String> {
    let named = |name: &HeaderName| name.as_str().strip_prefix(prefix).map(str::to_owned);
    let found = headers.iter().filter_map(|(name, value)| Some((named(name)?, value)));
    found.map(|(name, value)| (name, String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_container() {
        let info = ContainerInfo::from_headers(&headers(&[
            ("x-backend-storage-policy-index", "2"),
            ("x-container-object-count", "7"),
            ("x-container-read", ".r:*"),
            ("x-container-write", ""),
            ("x-container-meta-access-control-allow-origin", "*"),
            ("x-container-sysmeta-versions-enabled", "True"),
        ]));
        assert_eq!((info.policy, info.object_count), (PolicyIndex(2), 7));
        assert_eq!((info.read_acl.as_deref(), info.write_acl.as_deref()), (Some(".r:*"), None));
        assert_eq!(info.cors_allow_origin(), Some("*"));
        assert_eq!(info.sysmeta["versions-enabled"], "True");
    }

    #[test]
    fn an_account_counts_by_policy() {
        let found = headers(&[
            ("x-account-bytes-used", "5"),
            ("x-account-storage-policy-policy-0-bytes-used", "5"),
            ("x-account-meta-quota-bytes", "10"),
        ]);
        let info = AccountInfo::from_headers(&found, &Policies::default());
        assert_eq!((info.bytes, info.policies[&PolicyIndex(0)].bytes), (5, 5));
        assert_eq!(info.meta["quota-bytes"], "10");
    }

    proptest! {
        #[test]
        fn nonsense_counts_as_none(value in "[ -~]{0,20}") {
            let found = headers(&[("x-container-bytes-used", &value), ("x-backend-storage-policy-index", &value)]);
            let info = ContainerInfo::from_headers(&found);
            prop_assert_eq!(info.bytes, value.trim().parse().unwrap_or(0));
        }
    }
}
