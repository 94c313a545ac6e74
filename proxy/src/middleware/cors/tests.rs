use super::*;
use std::collections::BTreeMap;

const METHODS: &str = "DELETE, GET, PUT";

fn container(meta: &[(&str, &str)]) -> ContainerInfo {
    let meta = meta.iter().map(|(name, value)| (format!("access-control-{name}"), (*value).to_owned()));
    ContainerInfo { meta: BTreeMap::from_iter(meta), ..ContainerInfo::default() }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn shown<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("-", |value| value.to_str().unwrap())
}

fn asks(config: &Config, info: &ContainerInfo, origin: &str, asked: &[(&'static str, &str)]) -> Response<Body> {
    let origin = HeaderValue::from_str(origin).unwrap();
    preflight(&Rules::new(config, Some(info)), &origin, &headers(asked), METHODS, "AUTH_a")
}

#[test]
fn a_preflight_of_an_allowed_origin_hears_what_it_may() {
    let info = container(&[("allow-origin", "http://a.org  http://b.org"), ("max-age", "5")]);
    let asked = [("access-control-request-method", "PUT"), ("access-control-request-headers", "x-a, x-b")];
    let response = asks(&Config::default(), &info, "http://b.org", &asked);
    assert_eq!(response.status(), StatusCode::OK);
    for (name, value) in [
        ("allow", METHODS),
        ("access-control-allow-methods", METHODS),
        ("access-control-allow-origin", "http://b.org"),
        ("access-control-max-age", "5"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("vary", "Origin, Access-Control-Request-Headers"),
    ] {
        assert_eq!(shown(response.headers(), name), value, "{name}");
    }
}

#[test]
fn a_preflight_is_refused_without_a_known_method_or_an_allowed_origin() {
    let info = container(&[("allow-origin", "http://a.org")]);
    let refused = |origin, asked: &[(&'static str, &str)]| asks(&Config::default(), &info, origin, asked);
    for response in [
        refused("http://a.org", &[]),
        refused("http://a.org", &[("access-control-request-method", "PATCH")]),
        refused("http://a.org.evil", &[("access-control-request-method", "GET")]),
    ] {
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(shown(response.headers(), "www-authenticate"), "Swift realm=\"AUTH_a\"");
        assert_eq!(shown(response.headers(), "allow"), METHODS);
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
}

#[test]
fn a_star_allows_all_and_the_operator_may_too() {
    let asked = [("access-control-request-method", "GET")];
    let open = asks(&Config::default(), &container(&[("allow-origin", " * ")]), "http://x", &asked);
    assert_eq!(shown(open.headers(), "access-control-allow-origin"), "*");
    assert_eq!(shown(open.headers(), "vary"), "-");
    let config = Config { cors_allow_origin: vec!["http://x".into()], ..Config::default() };
    let by_operator = asks(&config, &container(&[]), "http://x", &asked);
    assert_eq!(shown(by_operator.headers(), "access-control-allow-origin"), "http://x");
}

#[test]
fn answers_say_what_scripts_may_see() {
    let config = Config { cors_expose_headers: vec!["X-Operator".into()], ..Config::default() };
    let info = container(&[("allow-origin", "http://a.org"), ("expose-headers", "X-Mine  ETag")]);
    let mut answer = headers(&[("vary", "Accept"), ("x-object-meta-color", "red"), ("x-other", "1")]);
    dress(&Rules::new(&config, Some(&info)), &HeaderValue::from_static("http://a.org"), &mut answer);
    assert_eq!(shown(&answer, "access-control-allow-origin"), "http://a.org");
    assert_eq!(shown(&answer, "vary"), "Accept, Origin");
    let expected = "cache-control, content-language, content-type, etag, expires, last-modified, pragma, x-mine, \
        x-object-meta-color, x-openstack-request-id, x-operator, x-timestamp, x-trans-id";
    assert_eq!(shown(&answer, "access-control-expose-headers"), expected);
}

#[test]
fn strict_mode_says_nothing_to_others() {
    let evil = HeaderValue::from_static("http://evil");
    let info = container(&[("allow-origin", "http://a.org")]);
    let (mut strict, mut lax) = (HeaderMap::new(), HeaderMap::new());
    dress(&Rules::new(&Config::default(), Some(&info)), &evil, &mut strict);
    assert!(strict.is_empty());
    let config = Config { strict_cors_mode: false, ..Config::default() };
    dress(&Rules::new(&config, Some(&info)), &evil, &mut lax);
    assert_eq!(shown(&lax, "access-control-allow-origin"), "http://evil");
}
