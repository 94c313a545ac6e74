//! Puts ETags of objects in quotes, as RFC 9110 has them, where somebody asks for it: Swift's are bare, and its clients
//! count on that.
//!
//! `X-Container-Rfc-Compliant-Etags` of a container goes before the same of its account, and that before the
//! configuration.

use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::Body;

use crate::Proxy;
use crate::constraints::{Level, is_true, is_yes};
use crate::ops::resource::{ObjectName, Resource};
use crate::pipeline::{Answer, Next};
use crate::swift::path;

/// The `[proxy.etag_quoter]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether ETags are quoted where neither the container nor its account says anything.
    pub enable_by_default: bool,
}

const SYSMETA_KEY: &str = "rfc-compliant-etags";

/// The step.
pub fn step<'a>(proxy: &'a Proxy, mut request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let resource = path::parse(request.uri().path(), &proxy.config.constraints.valid_api_versions);
    match resource {
        Err(_) => next.run(request),
        Ok(Resource::Object(name)) => Box::pin(async move {
            let is_quoted = is_quoted(proxy, &name).await;
            let mut response = next.run(request).await;
            if is_quoted {
                quote(response.headers_mut());
            }
            response
        }),
        Ok(resource) => {
            let names = Names::of(resource.level());
            names.keep(request.headers_mut());
            Box::pin(async move {
                let mut response = next.run(request).await;
                names.show(response.headers_mut());
                response
            })
        }
    }
}

/// The names of the setting at one level.
#[derive(Clone, Copy)]
struct Names {
    shown: &'static str,
    removing: &'static str,
    kept: &'static str,
}

impl Names {
    fn of(level: Level) -> Self {
        match level {
            Level::Account => Self {
                shown: "x-account-rfc-compliant-etags",
                removing: "x-remove-account-rfc-compliant-etags",
                kept: "x-account-sysmeta-rfc-compliant-etags",
            },
            Level::Container | Level::Object => Self {
                shown: "x-container-rfc-compliant-etags",
                removing: "x-remove-container-rfc-compliant-etags",
                kept: "x-container-sysmeta-rfc-compliant-etags",
            },
        }
    }

    /// What a request sets goes where it is kept.
    fn keep(self, headers: &mut HeaderMap) {
        let value = match headers.get(self.shown) {
            Some(value) if value.is_empty() => Some(""),
            Some(_) if is_true(headers, self.shown) => Some("True"),
            Some(_) => Some("False"),
            None => None,
        };
        let removes = headers.get(self.removing).is_some_and(|value| !value.is_empty());
        if let Some(value) = if removes { Some("") } else { value } {
            headers.insert(HeaderName::from_static(self.kept), HeaderValue::from_static(value));
        }
    }

    /// What is kept is shown under the name by which it is set.
    fn show(self, headers: &mut HeaderMap) {
        if let Some(value) = headers.remove(self.kept) {
            headers.insert(HeaderName::from_static(self.shown), value);
        }
    }
}

async fn is_quoted(proxy: &Proxy, name: &ObjectName) -> bool {
    flag(proxy, name).await.unwrap_or(false)
}

/// `None` where there is no container, or nobody knows.
async fn flag(proxy: &Proxy, name: &ObjectName) -> Option<bool> {
    let container = proxy.client.container_info(&name.account, &name.container).await.ok()?;
    if let Some(own) = container.found()?.sysmeta.get(SYSMETA_KEY) {
        return Some(is_yes(own));
    }
    let account = proxy.client.account_info(&name.account).await.ok()?;
    let of_account = account.found()?.sysmeta.get(SYSMETA_KEY);
    Some(of_account.map_or(proxy.config.etag_quoter.enable_by_default, |flag| is_yes(flag)))
}

fn quote(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(ETAG).map(HeaderValue::as_bytes) else { return };
    let is_quoted = (etag.starts_with(b"\"") || etag.starts_with(b"W/\"")) && etag.ends_with(b"\"");
    let quoted = HeaderValue::from_bytes(&[b"\"", etag, b"\""].concat());
    if let (false, Ok(quoted)) = (is_quoted, quoted) {
        headers.insert(ETAG, quoted);
    }
}

/// What `/info` says of it.
pub fn info(proxy: &Proxy) -> Option<Value> {
    Some(json!({ "enable_by_default": proxy.config.etag_quoter.enable_by_default }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_etags_are_quoted() {
        for (etag, expected) in [("abc", "\"abc\""), ("\"abc\"", "\"abc\""), ("W/\"a\"", "W/\"a\""), ("\"a", "\"\"a\"")]
        {
            let mut headers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(etag))]);
            quote(&mut headers);
            assert_eq!(headers[ETAG], expected);
        }
    }

    #[test]
    fn the_setting_goes_where_it_is_kept() {
        let kept = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            let mut headers: HeaderMap = pairs.collect();
            Names::of(Level::Container).keep(&mut headers);
            headers.get("x-container-sysmeta-rfc-compliant-etags").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(kept(&[("x-container-rfc-compliant-etags", "on")]).as_deref(), Some("True"));
        assert_eq!(kept(&[("x-container-rfc-compliant-etags", "nope")]).as_deref(), Some("False"));
        assert_eq!(kept(&[("x-container-rfc-compliant-etags", "")]).as_deref(), Some(""));
        assert_eq!(kept(&[("x-remove-container-rfc-compliant-etags", "t")]).as_deref(), Some(""));
        assert_eq!(kept(&[("x-account-rfc-compliant-etags", "t")]), None);
    }
}
