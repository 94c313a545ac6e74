//! Hosts that name an account, or a container of one: `container.AUTH-account.example.com/object` is
//! `/v1/AUTH_account/container/object`.
//!
//! Where an answer points elsewhere on the same host, its path loses again what was added.

use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::Body;

use super::{requoted, with_target};
use crate::Proxy;
use crate::pipeline::{Answer, Next};
use crate::swift::response::{QUOTED, page, text_plain};

/// The table `[proxy.domain_remap]`; without it no host means anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Below which domains accounts and containers are.
    pub storage_domain: Vec<String>,
    /// What paths begin with.
    pub path_root: String,
    /// What is put before an account that no reseller has; unset, such hosts mean nothing.
    pub default_reseller_prefix: Option<String>,
    /// Whether a path that already begins with `path_root` keeps it only once.
    pub mangle_client_paths: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            storage_domain: vec!["example.com".into()],
            path_root: "v1".into(),
            default_reseller_prefix: None,
            mangle_client_paths: false,
        }
    }
}

/// What `/info` says.
pub(super) fn info(proxy: &Proxy) -> Option<Value> {
    let config = proxy.config.domain_remap.as_ref()?;
    Some(json!({ "default_reseller_prefix": config.default_reseller_prefix }))
}

/// What a host means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing: the path stays.
    Nothing,
    /// Too many names.
    Bad,
    /// An account, or a container in it: what goes before the path.
    Place { account: String, container: Option<String> },
}

/// The step.
pub fn step<'a>(proxy: &'a Proxy, mut request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let Some(config) = &proxy.config.domain_remap else {
        return next.run(request);
    };
    let resellers: Vec<&str> = proxy.auth.resellers.prefixes().map(|prefix| prefix.trim_end_matches('_')).collect();
    let host = request.headers().get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes())).unwrap_or_default();
    let (account, container) = match config.meaning(&host, &resellers) {
        Meaning::Nothing => return next.run(request),
        Meaning::Bad => {
            let refusal = text_plain(StatusCode::BAD_REQUEST, "Bad domain in host header");
            return Box::pin(std::future::ready(refusal));
        }
        Meaning::Place { account, container } => (account, container),
    };
    let asked = request.uri().path().to_owned();
    let path = config.path(&account, container.as_deref(), &asked);
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let Some(uri) = with_target(request.uri(), &format!("{path}{query}")) else {
        return Box::pin(std::future::ready(page(StatusCode::URI_TOO_LONG)));
    };
    *request.uri_mut() = uri;
    Box::pin(async move {
        let mut response = next.run(request).await;
        restore(&mut response, &requoted(&path), &requoted(&asked));
        response
    })
}

impl Config {
    fn meaning(&self, host: &str, resellers: &[&str]) -> Meaning {
        let domain = host.rsplit_once(':').map_or(host, |(domain, _port)| domain);
        let Some(names) = self.storage_domain.iter().find_map(|storage| below(domain, storage)) else {
            return Meaning::Nothing;
        };
        let names: Vec<&str> = names.trim_matches('.').split('.').collect();
        let (container, account) = match *names {
            [container, account] => (Some(container), account),
            [account] => (None, account),
            _ => return Meaning::Bad,
        };
        match self.account(account, resellers) {
            Some(account) => Meaning::Place { account, container: container.map(str::to_owned) },
            None => Meaning::Nothing,
        }
    }

    /// The account of a name that may have lost its case and cannot have had an underscore.
    fn account(&self, written: &str, resellers: &[&str]) -> Option<String> {
        let name = if written.contains('_') { written.to_owned() } else { written.replacen('-', "_", 1) };
        let rest_after = |prefix: &str| {
            let (start, rest) = name.split_at_checked(prefix.len())?;
            let is_its = start.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with('_'));
            is_its.then(|| format!("{prefix}{rest}"))
        };
        let own = resellers.iter().filter(|prefix| !prefix.is_empty()).find_map(|prefix| rest_after(prefix));
        let default = || self.default_reseller_prefix.as_ref().map(|prefix| format!("{prefix}_{name}"));
        // A reseller without a prefix has all accounts that no other has.
        own.or_else(default).or_else(|| resellers.contains(&"").then(|| written.to_owned()))
    }

    fn path(&self, account: &str, container: Option<&str>, asked: &str) -> String {
        let root = self.path_root.trim_matches('/');
        let asked = asked.strip_prefix('/').unwrap_or(asked);
        let without_root = || {
            let rest = asked.strip_prefix(root)?;
            if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
        };
        let asked = if self.mangle_client_paths { without_root().unwrap_or(asked) } else { asked };
        let quoted = |name| utf8_percent_encode(name, QUOTED);
        match container {
            Some(container) => format!("/{root}/{}/{}/{asked}", quoted(account), quoted(container)),
            None => format!("/{root}/{}/{asked}", quoted(account)),
        }
    }
}

/// What stands before a storage domain and its dot.
fn below<'a>(domain: &'a str, storage: &str) -> Option<&'a str> {
    let storage = storage.trim_start_matches('.');
    let (names, end) = domain.split_at_checked(domain.len().checked_sub(storage.len())?)?;
    end.eq_ignore_ascii_case(storage).then(|| names.strip_suffix('.')).flatten()
}

fn restore(response: &mut Response<Body>, path: &str, asked: &str) {
    for name in [LOCATION, CONTENT_LOCATION] {
        restore_in(response.headers_mut(), name, path, asked);
    }
}

fn restore_in(headers: &mut HeaderMap, name: http::HeaderName, path: &str, asked: &str) {
    let restored = headers.get(&name).and_then(|url| {
        let url = url.to_str().ok()?;
        let after_scheme = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        let host_end = url.len() - after_scheme.len() + after_scheme.find('/')?;
        let rest = url[host_end..].strip_prefix(path)?;
        HeaderValue::try_from(format!("{}{asked}{rest}", &url[..host_end])).ok()
    });
    if let Some(restored) = restored {
        headers.insert(name, restored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::body;
    use proptest::prelude::*;

    fn config(default_reseller_prefix: Option<&str>, mangle_client_paths: bool) -> Config {
        let storage_domain = vec!["example.com".into(), ".cloud.test".into()];
        let default_reseller_prefix = default_reseller_prefix.map(str::to_owned);
        Config { storage_domain, default_reseller_prefix, mangle_client_paths, ..Config::default() }
    }

    /// The path that `host` and `path` together are.
    fn remapped(config: &Config, host: &str, path: &str) -> Result<String, Meaning> {
        match config.meaning(host, &["AUTH", "PRE"]) {
            Meaning::Place { account, container } => Ok(config.path(&account, container.as_deref(), path)),
            other => Err(other),
        }
    }

    #[test]
    fn hosts_name_accounts_and_containers() {
        let plain = config(None, false);
        for (host, path, expected) in [
            ("AUTH_a.example.com", "/", "/v1/AUTH_a/"),
            ("auth-a.example.com:8080", "/c", "/v1/AUTH_a/c"),
            ("AUTH-a-b.example.com", "/c/o", "/v1/AUTH_a-b/c/o"),
            ("auth_a-b.EXAMPLE.com", "/c/o", "/v1/AUTH_a-b/c/o"),
            ("c.AUTH_a.example.com", "/v1/o%20p", "/v1/AUTH_a/c/v1/o%20p"),
            ("c.pre-a.cloud.test", "/", "/v1/PRE_a/c/"),
            ("auth.example.com", "/", "/v1/AUTH/"),
            ("c%2f.AUTH_a.example.com", "/o", "/v1/AUTH_a/c%252f/o"),
        ] {
            assert_eq!(remapped(&plain, host, path).as_deref(), Ok(expected), "{host}{path}");
        }
        for host in [
            "",
            "example.com",
            "x.example.com",
            "authx-a.example.com",
            "AUTH_a.example.com.evil",
            "AUTH_aexample.com",
            "[::1]:80",
            "127.0.0.1",
        ] {
            assert_eq!(remapped(&plain, host, "/"), Err(Meaning::Nothing), "{host}");
        }
        assert_eq!(remapped(&plain, "x.c.AUTH_a.example.com", "/"), Err(Meaning::Bad));
        assert_eq!(remapped(&config(Some("AUTH"), false), "c.a.example.com", "/o").as_deref(), Ok("/v1/AUTH_a/c/o"));
        assert_eq!(plain.account("a-b", &["AUTH", ""]).as_deref(), Some("a-b"));
    }

    #[test]
    fn old_clients_repeat_the_root() {
        let mangling = config(None, true);
        for (path, expected) in [
            ("/v1", "/v1/AUTH_a/c/"),
            ("/v1/", "/v1/AUTH_a/c/"),
            ("/v1/o", "/v1/AUTH_a/c/o"),
            ("/v1/v1/o", "/v1/AUTH_a/c/v1/o"),
            ("/v1o", "/v1/AUTH_a/c/v1o"),
        ] {
            assert_eq!(remapped(&mangling, "c.AUTH_a.example.com", path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn locations_are_the_clients() {
        let seen = |location: &str| {
            let mut response = Response::new(body::empty());
            response.headers_mut().insert(LOCATION, HeaderValue::try_from(location).unwrap());
            restore(&mut response, "/v1/AUTH_a/c/d", "/d");
            response.headers()[LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(seen("https://c.x:80/v1/AUTH_a/c/d/"), "https://c.x:80/d/");
        for other in ["/v1/AUTH_a/c/d/", "http://x/v1/AUTH_a/e", "http://x", "ftp://x/v1/AUTH_a/c/d"] {
            assert_eq!(seen(other), other);
        }
    }

    proptest! {
        #[test]
        fn any_host_and_path_make_a_path(host in "[a-zA-Z.:_-]{0,20}(example.com)?|\\PC{0,20}", path in "/[a-z0-9/%]{0,20}") {
            if let Ok(path) = remapped(&config(Some("AUTH"), true), &host, &path) {
                prop_assert!(path.parse::<http::uri::PathAndQuery>().is_ok(), "{}", path);
            }
        }
    }
}
