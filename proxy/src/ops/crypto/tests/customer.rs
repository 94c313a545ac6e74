//! Objects that are encrypted because their writers ask for it, under the root secret or with a key of their own.

use apus_base::crypto::CustomerKey;
use http::Request;
use http::request::Parts;

use super::*;
use crate::ops::crypto::{LOCK, Locked, OpensWith, open_sealed};

const BODY_META: &str = "x-object-sysmeta-crypto-body-meta";

fn key(byte: u8) -> CustomerKey {
    CustomerKey::new([byte; 32])
}

/// A request that reads with a key.
fn reading(key: Option<CustomerKey>) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    if let Some(key) = key {
        parts.extensions.insert(OpensWith(key));
    }
    parts
}

/// What object servers would store.
async fn sealed(
    proxy: &Proxy,
    seal: &Seal,
    bytes: &[u8],
    promised: Option<String>,
) -> Result<(HeaderMap, Vec<u8>), PutError> {
    let mut headers = HeaderMap::new();
    let outgoing =
        Outgoing::new(proxy, &name("o"), &mut headers, body::full(bytes.to_vec()), promised, seal).expect("a body");
    let (body, footers) = (outgoing.body, outgoing.footers);
    let stored = bytes_of(body).await;
    if let Some(footers) = footers {
        headers.extend((footers.make)()?);
    }
    Ok((headers, stored))
}

#[tokio::test]
async fn who_asks_for_it_gets_it_where_it_is_not_for_everything() {
    let mut config = both("2", "3");
    config["disable_encryption"] = true.into();
    let proxy = proxy(&config);
    for plain in [&b"plain text"[..], b""] {
        let (headers, stored) = sealed(&proxy, &Seal::Always, plain, None).await.unwrap();
        // Also of an object without bytes it can be told that it is.
        let opened = get(&proxy, "o", &headers, &stored).unwrap();
        assert_eq!(opened.headers()["x-backend-crypto-cipher"], "AES_CTR_256");
        assert!(plain.is_empty() || stored != plain);
        assert_eq!(bytes_of(opened.into_body()).await, plain);
    }
    let none = super::proxy(&json!({}));
    let refused = Outgoing::new(&none, &name("o"), &mut HeaderMap::new(), body::full("x"), None, &Seal::Always);
    assert!(matches!(refused, Err(Error::Undecryptable(Undecryptable::Keys))));
}

#[tokio::test]
async fn only_the_key_opens_it() {
    for config in [json!({}), both("2", "3")] {
        let proxy = proxy(&config);
        let (headers, stored) = sealed(&proxy, &Seal::With(key(7)), b"plain text", None).await.unwrap();
        assert_ne!(stored, b"plain text");
        let get = |with: Option<u8>, headers: &HeaderMap| {
            let parts = reading(with.map(key));
            open(
                Call { proxy: &proxy, parts: &parts },
                &name("o"),
                &Method::GET,
                response(200, headers.clone(), &stored),
            )
        };
        let opened = get(Some(7), &headers).unwrap();
        assert!(!opened.headers().contains_key(BODY_META) && opened.headers().contains_key(LOCK));
        assert_eq!(bytes_of(opened.into_body()).await, b"plain text");
        assert!(matches!(get(None, &headers), Err(Error::Locked(Locked::NoKey))));
        assert!(matches!(get(Some(8), &headers), Err(Error::Locked(Locked::WrongKey))));
        // Without its lock it is nobody's, and never what is stored.
        let mut broken = headers.clone();
        broken.remove(LOCK);
        assert!(matches!(get(Some(7), &broken), Err(Error::Undecryptable(_))));
        broken.insert(LOCK, "no lock".parse().unwrap());
        assert!(matches!(get(Some(7), &broken), Err(Error::Undecryptable(_))));
        // Its metadata is for everybody.
        let (nobody, head) = (reading(None), response(200, headers.clone(), b""));
        assert!(open(Call { proxy: &proxy, parts: &nobody }, &name("o"), &Method::HEAD, head).is_ok());
    }
}

#[tokio::test]
async fn it_is_kept_as_it_is_where_a_version_is_kept() {
    let proxy = proxy(&both("2", "3"));
    let (headers, stored) = sealed(&proxy, &Seal::With(key(7)), b"plain text", None).await.unwrap();
    let parts = reading(None);
    let call = Call { proxy: &proxy, parts: &parts };
    let read = open_sealed(call, &name("o"), &Method::GET, response(200, headers, &stored)).unwrap();
    let (head, body) = read.into_parts();
    let mut again = head.headers;
    let outgoing = Outgoing::new(&proxy, &name("version"), &mut again, body, None, &Seal::default()).unwrap();
    assert!(outgoing.footers.is_none());
    assert_eq!(bytes_of(outgoing.body).await, stored);
    let parts = reading(Some(key(7)));
    let call = Call { proxy: &proxy, parts: &parts };
    let opened = open(call, &name("version"), &Method::GET, response(200, again, &stored)).unwrap();
    assert_eq!(bytes_of(opened.into_body()).await, b"plain text");
}

#[tokio::test]
async fn a_new_root_secret_is_not_its_concern() {
    let (headers, _) = sealed(&proxy(&both("", "3")), &Seal::With(key(7)), b"plain text", None).await.unwrap();
    let name = name("o");
    let parts = (&*name.account, &*name.container, &*name.object);
    let rewrapped = apus_base::crypto::rewrap(&proxy(&both("2", "3")).keymaster, parts, &headers).unwrap();
    assert!(rewrapped.is_empty());
}

#[tokio::test]
async fn a_promise_is_about_the_plaintext() {
    let proxy = proxy(&json!({}));
    let promised = |etag: &str| {
        let etag = etag.to_owned();
        let proxy = &proxy;
        async move { sealed(proxy, &Seal::With(key(7)), b"foo", Some(etag)).await }
    };
    assert!(promised("acbd18db4cc2f85cedef654fccc4a4d8").await.is_ok());
    assert!(matches!(promised("0123").await, Err(PutError::EtagMismatch { .. })));
}

#[tokio::test]
async fn swift_gives_up_at_it() {
    let proxy = proxy(&both("2", "3"));
    let (headers, stored) = sealed(&proxy, &Seal::With(key(7)), b"plain text", None).await.unwrap();
    let headers: BTreeMap<_, _> = headers.iter().map(|(k, v)| (k.as_str(), v.to_str().unwrap())).collect();
    let request = json!({ "method": "GET", "path": path("o"), "secrets": secrets("2", "3"), "request": {}, "status": "200 OK", "headers": headers, "body": hex(&stored) });
    let Some(read) = swift(&[request]) else { return };
    assert!(read[0]["status"].as_str().unwrap().starts_with("500"), "{}", read[0]);
}
