//! `/info`: what this cluster can do, as JSON.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use apus_base::body::{self, Body};

use crate::Proxy;
use crate::pipeline::{Answer, Next};
use crate::swift;
use crate::swift::response::page;

const METHODS: HeaderValue = HeaderValue::from_static("HEAD, GET, OPTIONS");

/// What `/info` says of a feature; `None` where it is switched off.
type Section = fn(&Proxy) -> Option<Value>;

/// Clients look here for what they may use, so a feature has its section exactly while it works.
const SECTIONS: &[(&str, Section)] = &[
    ("swift", |proxy| Some(swift::info(proxy))),
    ("slo", |proxy| Some(swift::slo_info(&proxy.config.slo))),
    ("tempauth", |_| Some(json!({ "account_acls": true }))),
];

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    if request.uri().path() != "/info" {
        return next.run(request);
    }
    let response = answer(proxy, request.method(), request.headers());
    Box::pin(std::future::ready(response))
}

fn answer(proxy: &Proxy, method: &Method, headers: &HeaderMap) -> Response<Body> {
    let status = match *method {
        Method::GET | Method::HEAD if proxy.config.expose_info => return shown(proxy, headers.get(ORIGIN)),
        Method::GET | Method::HEAD => return page(StatusCode::FORBIDDEN),
        Method::OPTIONS => StatusCode::OK,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    let mut response = page(status);
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

fn shown(proxy: &Proxy, origin: Option<&HeaderValue>) -> Response<Body> {
    let of_feature = |(name, section): &(&str, Section)| Some(((*name).to_owned(), section(proxy)?));
    let mut sections: Map<String, Value> = SECTIONS.iter().filter_map(of_feature).collect();
    proxy.config.disallowed_sections.iter().for_each(|name| hide(&mut sections, name));
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
