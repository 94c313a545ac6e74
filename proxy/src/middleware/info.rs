//! `/info`: what this cluster can do, as JSON.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use apus_base::body::{self, Body};
use apus_base::clock;

use super::signature::{Digest, Signature};
use super::{
    container_sync, crossdomain, domain_remap, etag_quoter, formpost, name_check, read_only, staticweb, tempurl,
};
use crate::Proxy;
use crate::ops::{history, symlink, versions};
use crate::pipeline::{Answer, Next};
use crate::ratelimit;
use crate::swift;
use crate::swift::listing::parameters;
use crate::swift::response::page;

const METHODS: HeaderValue = HeaderValue::from_static("HEAD, GET, OPTIONS");

/// What `/info` says of a feature; `None` where it is switched off.
type Section = fn(&Proxy) -> Option<Value>;

/// Clients look here for what they may use, so a feature has its section exactly while it works.
const SECTIONS: &[(&str, Section)] = &[
    ("swift", |proxy| Some(swift::info(proxy))),
    ("s3api", |proxy| proxy.config.s3.info()),
    ("slo", |proxy| Some(swift::slo_info(&proxy.config.slo))),
    ("tempauth", |_| Some(json!({ "account_acls": true }))),
    ("symlink", |proxy| Some(symlink::info(&proxy.config.symlink))),
    ("versioned_writes", |proxy| history::info(&proxy.config.versioned_writes)),
    ("object_versioning", |proxy| versions::info(&proxy.config.versioned_writes)),
    ("account_quotas", |proxy| proxy.config.account_quotas.then(|| json!({}))),
    ("container_quotas", |proxy| proxy.config.container_quotas.then(|| json!({}))),
    ("container_sync", container_sync::info),
    ("etag_quoter", etag_quoter::info),
    ("name_check", name_check::info),
    ("ratelimit", ratelimit::info),
    ("read_only", read_only::info),
    ("bulk_delete", swift::bulk::delete_info),
    ("bulk_upload", swift::bulk::upload_info),
    ("crossdomain", crossdomain::info),
    ("domain_remap", domain_remap::info),
    ("formpost", formpost::info),
    ("staticweb", staticweb::info),
    ("tempurl", tempurl::info),
];

/// What is for operators only.
const ADMIN_SECTIONS: &[(&str, Section)] = &[];

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    if request.uri().path() != "/info" {
        return next.run(request);
    }
    let response = answer(proxy, &request);
    Box::pin(std::future::ready(response))
}

fn answer(proxy: &Proxy, request: &Request<Body>) -> Response<Body> {
    let status = match *request.method() {
        Method::GET | Method::HEAD if proxy.config.expose_info => return read(proxy, request),
        Method::GET | Method::HEAD => return page(StatusCode::FORBIDDEN),
        Method::OPTIONS => StatusCode::OK,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    let mut response = page(status);
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

/// Anybody may read what clients need; what is for operators is for who has their signature.
fn read(proxy: &Proxy, request: &Request<Body>) -> Response<Body> {
    let origin = request.headers().get(ORIGIN);
    match signature(request.uri().query().unwrap_or_default()) {
        None => shown(proxy, false, origin),
        Some(_) if proxy.config.admin_key.as_ref().is_none_or(|key| key.0.is_empty()) => page(StatusCode::FORBIDDEN),
        Some((signature, expires)) if is_admin(proxy, request.method(), &signature, &expires) => {
            shown(proxy, true, origin)
        }
        Some(_) => page(StatusCode::UNAUTHORIZED),
    }
}

/// The signature of a request and the time until which it holds, in seconds since 1970; `None` if there is neither.
fn signature(query: &str) -> Option<(String, String)> {
    let find = |wanted: &str| {
        let found = parameters(query).find(|(name, _)| name == wanted);
        found.map(|(_, value)| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default()
    };
    let pair = (find("swiftinfo_sig"), find("swiftinfo_expires"));
    (!pair.0.is_empty() || !pair.1.is_empty()).then_some(pair)
}

/// A HEAD may also be done with the signature of a GET.
fn is_admin(proxy: &Proxy, method: &Method, signature: &str, expires: &str) -> bool {
    let until = expires.parse::<u64>().ok().filter(|until| *until >= clock::now().secs());
    let (Some(until), Some(key)) = (until, &proxy.config.admin_key) else {
        return false;
    };
    let methods: &[&str] = if *method == Method::HEAD { &["HEAD", "GET"] } else { &["GET"] };
    let signs = |signature: Signature| {
        let message = |method| format!("{method}\n{until}\n/info").into_bytes();
        methods.iter().any(|method| signature.signs(&message(method), key.0.as_bytes()))
    };
    Signature::parse(signature, &[Digest::Sha1]).is_some_and(signs)
}

fn shown(proxy: &Proxy, is_admin: bool, origin: Option<&HeaderValue>) -> Response<Body> {
    let of_feature = |(name, section): &(&str, Section)| Some(((*name).to_owned(), section(proxy)?));
    let mut sections: Map<String, Value> = SECTIONS.iter().filter_map(of_feature).collect();
    proxy.config.disallowed_sections.iter().for_each(|name| hide(&mut sections, name));
    if is_admin {
        let mut admin: Map<String, Value> = ADMIN_SECTIONS.iter().filter_map(of_feature).collect();
        admin.insert("disallowed_sections".into(), json!(proxy.config.disallowed_sections));
        sections.insert("admin".into(), Value::Object(admin));
    }
    let mut response = Response::new(body::full(Value::Object(sections).to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-trans-id"));
    }
    response
}

/// Removes a section, or with dots in its name something inside one.
fn hide(sections: &mut Map<String, Value>, name: &str) {
    match name.split_once('.') {
        None => drop(sections.remove(name)),
        Some((section, rest)) => {
            if let Some(Value::Object(inner)) = sections.get_mut(section) {
                hide(inner, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_their_keys_can_be_hidden() {
        let Value::Object(mut sections) = json!({ "a": { "b": { "c": 1, "d": 2 }, "e": 3 }, "f": 4 }) else {
            unreachable!()
        };
        for name in ["a.b.c", "f", "a.x.y", "f.g", "x", ""] {
            hide(&mut sections, name);
        }
        assert_eq!(Value::Object(sections), json!({ "a": { "b": { "d": 2 }, "e": 3 } }));
    }
}
