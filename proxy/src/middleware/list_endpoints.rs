//! `/endpoints/[v1/|v2/]account[/container[/object]]`: at which storage servers something is, for programs that go where
//! their data is. It asks for no token and names the inside of the cluster, so it is off unless configured.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use apus_base::body::{self, Body};
use apus_base::client::{ObjectPath, Target};
use apus_base::policy::PolicyIndex;
use apus_base::ring::Device;

use crate::Proxy;
use crate::pipeline::{Answer, Next};
use crate::swift::response::{QUOTED, page, text_html};

/// The `[proxy.list_endpoints]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether it answers.
    pub enabled: bool,
    /// Where, with a slash at both ends.
    pub list_endpoints_path: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: false, list_endpoints_path: "/endpoints/".into() }
    }
}

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let config = &proxy.config.list_endpoints;
    let rest = request.uri().path().strip_prefix(&config.list_endpoints_path).filter(|_| config.enabled);
    let Some(rest) = rest.map(str::to_owned) else {
        return next.run(request);
    };
    if request.method() != Method::GET {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return Box::pin(std::future::ready(response));
    }
    Box::pin(async move {
        match Asked::parse(&rest) {
            Ok(asked) => asked.answer(proxy).await,
            Err(reason) => text_html(StatusCode::BAD_REQUEST, reason.to_string()),
        }
    })
}

/// Why a path asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum BadPath {
    #[error("No account specified")]
    Account,
    #[error("Unsupported version '{0}'")]
    Version(String),
    #[error("Invalid UTF8")]
    Utf8,
}

/// The forms of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// A list.
    One,
    /// The list, and the headers that a request to an endpoint needs.
    Two,
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    version: Version,
    account: String,
    container: Option<String>,
    object: Option<String>,
}

impl Asked {
    fn parse(rest: &str) -> Result<Self, BadPath> {
        let (first, behind) = rest.split_once('/').unwrap_or((rest, ""));
        let (version, rest) = match version(first) {
            Some(version) => (version, behind),
            // It looks more like a version than like an account.
            None if first.starts_with('v') && !first.contains('_') => return Err(BadPath::Version(first.to_owned())),
            None => (Version::One, rest),
        };
        let mut names = rest.splitn(3, '/').map(|name| Some(name).filter(|name| !name.is_empty()));
        let mut next = || names.next().flatten().map(decoded).transpose();
        let (account, container, object) = (next()?, next()?, next()?);
        let account = account.filter(|_| container.is_some() || object.is_none()).ok_or(BadPath::Account)?;
        Ok(Self { version, account, container, object })
    }

    async fn answer(&self, proxy: &Proxy) -> Response<Body> {
        let policy = match self.policy(proxy).await {
            Ok(policy) => policy,
            Err(refusal) => return *refusal,
        };
        let Some(endpoints) = self.endpoints(proxy, policy) else {
            return page(StatusCode::SERVICE_UNAVAILABLE);
        };
        let headers = policy.map(|policy| ("X-Backend-Storage-Policy-Index", policy.0.to_string()));
        let headers: std::collections::BTreeMap<_, _> = headers.into_iter().collect();
        let answer = match self.version {
            Version::One => json!(endpoints),
            Version::Two => json!({ "endpoints": endpoints, "headers": headers }),
        };
        let mut response = Response::new(body::full(answer.to_string()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// Where objects are depends on their container's policy; for one that is missing, Swift says the first.
    async fn policy(&self, proxy: &Proxy) -> Result<Option<PolicyIndex>, Box<Response<Body>>> {
        let (Some(container), Some(_)) = (&self.container, &self.object) else {
            return Ok(None);
        };
        let info = proxy.client.container_info(&self.account, container).await;
        let info = info.map_err(|_| Box::new(page(StatusCode::SERVICE_UNAVAILABLE)))?;
        Ok(Some(info.found().map_or(PolicyIndex(0), |info| info.policy)))
    }

    fn endpoints(&self, proxy: &Proxy, policy: Option<PolicyIndex>) -> Option<Vec<String>> {
        let account = self.account.as_str();
        let target = match (&self.container, &self.object, policy) {
            (Some(container), Some(object), Some(policy)) => {
                Target::Object(ObjectPath { policy, account, container, object })
            }
            (Some(container), ..) => Target::Container { account, container },
            (None, ..) => Target::Account { account },
        };
        let ring = target.ring(&proxy.client.rings())?;
        let partition = ring.partition(&target.hash(&proxy.cluster.hash_path).0);
        let quoted = |name: &&str| utf8_percent_encode(name, QUOTED).to_string();
        let path = target.names().iter().map(quoted).collect::<Vec<_>>().join("/");
        Some(ring.primaries(partition).map(|device| endpoint(device, partition, &path)).collect())
    }
}

fn endpoint(Device { ip, port, device, .. }: &Device, partition: u32, path: &str) -> String {
    // An address with colons needs brackets in a URL.
    let (open, close) = if ip.contains(':') { ("[", "]") } else { ("", "") };
    format!("http://{open}{ip}{close}:{port}/{device}/{partition}/{path}")
}

fn version(text: &str) -> Option<Version> {
    match text.trim_start_matches('v').parse::<f64>() {
        Ok(1.0) => Some(Version::One),
        Ok(2.0) => Some(Version::Two),
        _ => None,
    }
}

fn decoded(name: &str) -> Result<String, BadPath> {
    percent_decode_str(name).decode_utf8().map(String::from).map_err(|_| BadPath::Utf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(rest: &str) -> String {
        match Asked::parse(rest) {
            Ok(Asked { version, account, container, object }) => {
                let names = [Some(account), container, object].into_iter().flatten().collect::<Vec<_>>();
                format!("{version:?} {}", names.join(" "))
            }
            Err(reason) => reason.to_string(),
        }
    }

    #[test]
    fn paths() {
        for (rest, expected) in [
            ("a/c/o1", "One a c o1"),
            ("a/c/o1/p%20q", "One a c o1/p q"),
            ("v1/a/c%2Fd", "One a c/d"),
            ("v1.0/a", "One a"),
            ("v2/a/c", "Two a c"),
            ("2.0/a", "Two a"),
            ("v_2/a", "One v_2 a"),
            ("AUTH_v/c", "One AUTH_v c"),
            ("v3/a", "Unsupported version 'v3'"),
            ("v3.0/a", "Unsupported version 'v3.0'"),
            ("", "No account specified"),
            ("v1", "No account specified"),
            ("v1/", "No account specified"),
            ("a//o", "No account specified"),
            ("a/%ff", "Invalid UTF8"),
        ] {
            assert_eq!(read(rest), expected, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(rest in "[v12./a%]{0,20}") {
            let _ = read(&rest);
        }
    }
}
