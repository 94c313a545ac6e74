//! Where a container may be synced to: the rules for `X-Container-Sync-To`. Pure.
//!
//! The texts are those of Swift's container servers.

use http::Uri;

use super::Config;

/// Why a container may not be synced there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadTarget {
    #[error(
        "Full URLs are not allowed for X-Container-Sync-To values. Only realm values of the format \
         //realm/cluster/account/container are allowed.\n"
    )]
    FullUrl,
    #[error("Invalid X-Container-Sync-To format '{0}'")]
    Format(String),
    #[error("No realm key for '{0}'")]
    Realm(String),
    #[error("No cluster endpoint for '{0}' '{1}'")]
    Cluster(String, String),
    #[error("Invalid scheme '{0}' in X-Container-Sync-To, must be \"//\", \"http\", or \"https\".")]
    Scheme(String),
    #[error("Path required in X-Container-Sync-To")]
    NoPath,
    #[error("Params, queries, and fragments not allowed in X-Container-Sync-To")]
    Query,
    #[error("Invalid host '{0}' in X-Container-Sync-To")]
    Host(String),
}

/// Holds a target that is not empty to the rules.
pub(super) fn check(target: &str, config: &Config) -> Result<(), BadTarget> {
    let bare = target.trim_end_matches('/');
    match bare.strip_prefix("//") {
        Some(names) => check_realm(names, target, config),
        None if !config.allow_full_urls => Err(BadTarget::FullUrl),
        None if bare.is_empty() => Ok(()),
        None => check_url(bare, config),
    }
}

fn check_realm(names: &str, target: &str, config: &Config) -> Result<(), BadTarget> {
    let [realm, cluster, _account, _container] = names.split('/').collect::<Vec<_>>()[..] else {
        return Err(BadTarget::Format(target.to_owned()));
    };
    let found = config.realm(realm).filter(|found| !found.key.0.is_empty());
    let found = found.ok_or_else(|| BadTarget::Realm(realm.to_owned()))?;
    let is_known = found.clusters.keys().any(|name| name.eq_ignore_ascii_case(cluster));
    if is_known { Ok(()) } else { Err(BadTarget::Cluster(realm.to_owned(), cluster.to_owned())) }
}

fn check_url(target: &str, config: &Config) -> Result<(), BadTarget> {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(BadTarget::Scheme(scheme));
    }
    let behind = target[scheme.len() + 1..].strip_prefix("//").unwrap_or_default();
    let Some((host, path)) = behind.split_once('/') else {
        return Err(BadTarget::NoPath);
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.contains(['?', '#']) || last.contains(';') {
        return Err(BadTarget::Query);
    }
    let name = host.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
    let name = name.ok_or_else(|| BadTarget::Host(host.to_owned()))?;
    if config.allowed_sync_hosts.contains(&name) { Ok(()) } else { Err(BadTarget::Host(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn config() -> Config {
        let config = json!({
            "allowed_sync_hosts": ["1.1.1.1", "two"],
            "realms": { "US": { "key": "k", "clusters": { "dfw1": "http://dfw1/v1/" } }, "empty": { "key": "" } },
        });
        serde_json::from_value(config).unwrap()
    }

    fn refused(target: &str) -> String {
        check(target, &config()).map_or_else(|reason| reason.to_string(), |()| "-".into())
    }

    #[test]
    fn targets() {
        for target in ["/", "http://1.1.1.1/v1/a/c", "https://TWO:8080/v1/a/c/", "//us/DFW1/a/c", "//US/dfw1/a/c/"] {
            assert_eq!(refused(target), "-", "{target}");
        }
        for (target, reason) in [
            ("//us/dfw1/a", "Invalid X-Container-Sync-To format '//us/dfw1/a'"),
            ("//us/dfw1/a/c/o", "Invalid X-Container-Sync-To format '//us/dfw1/a/c/o'"),
            ("//uk/dfw1/a/c", "No realm key for 'uk'"),
            ("//empty/dfw1/a/c", "No realm key for 'empty'"),
            ("//us/ord/a/c", "No cluster endpoint for 'us' 'ord'"),
            (
                "ftp://1.1.1.1/v1/a/c",
                "Invalid scheme 'ftp' in X-Container-Sync-To, must be \"//\", \"http\", or \"https\".",
            ),
            ("1.1.1.1/v1/a/c", "Invalid scheme '' in X-Container-Sync-To, must be \"//\", \"http\", or \"https\"."),
            ("http://1.1.1.1", "Path required in X-Container-Sync-To"),
            ("http://1.1.1.1/v1/a/c?p=q", "Params, queries, and fragments not allowed in X-Container-Sync-To"),
            ("http://1.1.1.1/v1/a/c#f", "Params, queries, and fragments not allowed in X-Container-Sync-To"),
            ("http://1.1.1.1/v1/a/c;p", "Params, queries, and fragments not allowed in X-Container-Sync-To"),
            ("http://3.3.3.3/v1/a/c", "Invalid host '3.3.3.3' in X-Container-Sync-To"),
            ("http://1.1.1.1@evil/v1/a/c", "Invalid host 'evil' in X-Container-Sync-To"),
        ] {
            assert_eq!(refused(target), reason, "{target}");
        }
        let closed = Config { allow_full_urls: false, ..config() };
        assert_eq!(check("http://1.1.1.1/v1/a/c", &closed), Err(BadTarget::FullUrl));
        assert_eq!(check("//us/dfw1/a/c", &closed), Ok(()));
    }

    proptest! {
        #[test]
        fn any_target_is_read_or_refused(target in "\\PC{0,40}|(//|https?://)[a-z1./@:?#\\[\\]]{0,30}") {
            let _ = refused(&target);
        }
    }
}
