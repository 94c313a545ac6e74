//! Cross-origin requests of browsers: what a container's owner and the operator allow scripts of other sites to see.
//!
//! Containers say it in `X-Container-Meta-Access-Control-{Allow-Origin,Expose-Headers,Max-Age}`. A preflight (OPTIONS
//! with `Origin`) is answered here; the answers of other requests with `Origin` get headers on their way out.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use apus_base::body::Body;
use apus_base::client::ContainerInfo;

use super::vary;
use crate::Proxy;
use crate::config::Config;
use crate::pipeline::{Answer, Next};
use crate::swift::response::{page, unauthorized};
use crate::swift::{allowed_methods, path};

/// What scripts may see of every response.
const EXPOSED: [&str; 10] = [
    "cache-control",
    "content-language",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
    "etag",
    "x-timestamp",
    "x-trans-id",
    "x-openstack-request-id",
];

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let Some(origin) = request.headers().get(ORIGIN).filter(|origin| !origin.is_empty()).cloned() else {
        return next.run(request);
    };
    let resource = path::parse(request.uri().path(), &proxy.config.constraints.valid_api_versions).ok();
    let Some(resource) = resource.filter(|resource| resource.container().is_some()) else {
        return next.run(request);
    };
    Box::pin(async move {
        let container = resource.container().unwrap_or_default();
        let info = proxy.client.container_info(resource.account(), container).await;
        // A container that is missing or cannot be asked for allows nobody.
        let info = info.ok().and_then(|info| info.found().cloned());
        let rules = Rules::new(&proxy.config, info.as_deref());
        if request.method() == Method::OPTIONS {
            let (methods, realm) = (allowed_methods(proxy, &resource), resource.account());
            return preflight(&rules, &origin, request.headers(), methods, realm);
        }
        let mut response = next.run(request).await;
        dress(&rules, &origin, response.headers_mut());
        response
    })
}

/// What is allowed.
struct Rules<'a> {
    /// What the container's owner wrote, origins between spaces.
    allow_origin: &'a str,
    expose_headers: &'a str,
    max_age: Option<&'a str>,
    config: &'a Config,
}

impl<'a> Rules<'a> {
    fn new(config: &'a Config, info: Option<&'a ContainerInfo>) -> Self {
        Self {
            allow_origin: info.and_then(ContainerInfo::cors_allow_origin).unwrap_or_default().trim(),
            expose_headers: info.and_then(ContainerInfo::cors_expose_headers).unwrap_or_default(),
            max_age: info.and_then(ContainerInfo::cors_max_age),
            config,
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let by_cluster = self.config.cors_allow_origin.iter().map(String::as_str);
        let mut allowed = self.allow_origin.split_whitespace().chain(by_cluster);
        allowed.any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }

    /// Says which origin an answer is for.
    fn set_origin(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        if self.allow_origin == "*" {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            vary(headers, "Origin");
        }
    }
}

fn preflight(
    rules: &Rules<'_>,
    origin: &HeaderValue,
    asked: &HeaderMap,
    methods: &'static str,
    realm: &str,
) -> Response<Body> {
    let known = |method: &HeaderValue| methods.split(", ").any(|m| m.as_bytes() == method.as_bytes());
    if !rules.allows(origin) || !asked.get(ACCESS_CONTROL_REQUEST_METHOD).is_some_and(known) {
        let mut response = unauthorized(Some(realm));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        return response;
    }
    let mut response = page(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    rules.set_origin(origin, headers);
    if let Some(Ok(max_age)) = rules.max_age.map(HeaderValue::from_str) {
        headers.insert(ACCESS_CONTROL_MAX_AGE, max_age);
    }
    // Every header that is asked for is allowed: what it may do is decided when it comes.
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|wanted| !wanted.is_empty()) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        vary(headers, "Access-Control-Request-Headers");
    }
    response
}

/// Adds to an answer what a browser needs to show it to a script. Without strict mode also to origins that are not
/// allowed, as Swift does for old clients.
fn dress(rules: &Rules<'_>, origin: &HeaderValue, headers: &mut HeaderMap) {
    if rules.config.strict_cors_mode && !rules.allows(origin) {
        return;
    }
    if !headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS)
        && let Ok(exposed) = HeaderValue::from_str(&exposed(rules, headers))
    {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        rules.set_origin(origin, headers);
    }
}

fn exposed(rules: &Rules<'_>, headers: &HeaderMap) -> String {
    let is_meta = |name: &&str| name.starts_with("x-container-meta") || name.starts_with("x-object-meta");
    let meta = headers.keys().map(HeaderName::as_str).filter(is_meta);
    let more =
        rules.config.cors_expose_headers.iter().map(String::as_str).chain(rules.expose_headers.split_whitespace());
    let mut names: Vec<String> = EXPOSED.into_iter().chain(meta).chain(more).map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests;
