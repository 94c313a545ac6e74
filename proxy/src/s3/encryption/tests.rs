//! What requests may ask for, and who may read.

use http::Request;

use super::*;

const KEY: [u8; 32] = [7; 32];

/// The headers of a key; `prefix` is what stands before `server`.
fn key_headers(prefix: &str, key: [u8; 32]) -> Vec<(String, String)> {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use md5::{Digest as _, Md5};
    let name = |name: &str| format!("x-amz-{prefix}server-side-encryption-customer-{name}");
    vec![
        (name("algorithm"), "AES256".into()),
        (name("key"), BASE64_STANDARD.encode(key)),
        (name("key-md5"), BASE64_STANDARD.encode(Md5::digest(key))),
    ]
}

fn parts(method: &str, headers: &[(String, String)], secure: bool) -> Parts {
    let mut request = Request::builder().method(method).uri("/b/k");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    if secure {
        parts.extensions.insert(Secure);
    }
    parts
}

fn method(of: &str, method: &str) -> Result<(), Code> {
    let headers = [("x-amz-server-side-encryption".to_owned(), method.to_owned())];
    check(&mut parts(of, &headers, true), &Config::default()).map_err(|fault| fault.code)
}

#[test]
fn only_what_can_be_done_is_asked_for() {
    assert_eq!(method("PUT", "AES256"), Ok(()));
    assert_eq!(method("PUT", "aws:kms"), Err(Code::NotImplemented));
    assert_eq!(method("PUT", "aws:kms:dsse"), Err(Code::NotImplemented));
    assert_eq!(method("PUT", "ROT13"), Err(Code::InvalidArgument));
    assert_eq!(method("GET", "AES256"), Err(Code::InvalidArgument));
    let mut both = key_headers("", KEY);
    both.push(("x-amz-server-side-encryption".into(), "AES256".into()));
    let refused = check(&mut parts("PUT", &both, true), &Config::default());
    assert_eq!(refused.unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn keys_come_over_tls_unless_the_operator_says_otherwise() {
    let open = Config { customer_keys_need_tls: false, ..Config::default() };
    for prefix in ["", "copy-source-"] {
        let headers = key_headers(prefix, KEY);
        let checked = |config: &Config, secure| check(&mut parts("PUT", &headers, secure), config).map_err(|f| f.code);
        assert_eq!(checked(&Config::default(), false), Err(Code::InvalidRequest));
        assert_eq!((checked(&Config::default(), true), checked(&open, false)), (Ok(()), Ok(())));
    }
}

#[test]
fn a_request_reads_with_the_key_of_what_it_reads() {
    let reads_with = |method: &str, headers: &[(String, String)]| {
        let mut parts = parts(method, headers, true);
        check(&mut parts, &Config::default()).unwrap();
        parts.extensions.get::<OpensWith>().map(|OpensWith(key)| key.clone())
    };
    let own = key_headers("", KEY);
    assert_eq!(reads_with("GET", &own), Some(CustomerKey::new(KEY)));
    // It is for what is written.
    assert_eq!(reads_with("PUT", &own), None);
    let copy =
        [own, key_headers("copy-source-", [8; 32]), vec![("x-amz-copy-source".into(), "b/other".into())]].concat();
    assert_eq!(reads_with("PUT", &copy), Some(CustomerKey::new([8; 32])));
}

#[test]
fn who_reads_has_the_right_key_or_none_where_none_is_needed() {
    let (key, other) = (CustomerKey::new(KEY), CustomerKey::new([8; 32]));
    let mut locked = HeaderMap::new();
    set(&mut locked, LOCK, &key.lock().unwrap().0);
    let check = |key, stored: &HeaderMap| check_key(key, stored).map_err(|fault| (fault.code, fault.status().as_u16()));
    assert_eq!((check(Some(&key), &locked), check(None, &HeaderMap::new())), (Ok(()), Ok(())));
    assert_eq!(check(None, &locked), Err((Code::InvalidRequest, 400)));
    assert_eq!(check(Some(&other), &locked), Err((Code::AccessDenied, 403)));
    assert_eq!(check(Some(&key), &HeaderMap::new()), Err((Code::InvalidRequest, 400)));
}
