use super::*;
use apus_base::body::{empty, full, read_to_end};

fn entry(method: Method, headers: &[(&'static str, &str)], received: &Arc<Received>) -> Entry {
    let mut request = Request::builder().method(method).uri("/v1/a/c?temp_url_sig=0123456789abcdefXYZ&limit=2");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let peer = ([10, 0, 0, 9], 1234).into();
    parts.extensions.insert(Context { trans_id: "tx1".into(), peer, identity: None, grant: None });
    Entry::begin(&parts, Arc::clone(received), &Arc::default())
}

#[test]
fn secrets_show_only_their_beginning() {
    let entry = entry(Method::GET, &[("x-auth-token", "AUTH_tk0123456789abcdef")], &Arc::default());
    assert_eq!(entry.token, "AUTH_tk012345678...");
    assert_eq!(entry.path, "/v1/a/c?temp_url_sig=0123456789abcdef...&limit=2");
    let escaped = "/v1/a/c/o?temp%5Furl_sig=0123456789abcdefXYZ".parse().unwrap();
    assert_eq!(obscured_path(&escaped, 4), "/v1/a/c/o?temp%5Furl_sig=0123...");
    assert_eq!((capped("short", 16), capped("☃☃☃", 2)), ("short".into(), "☃☃...".into()));
}

#[test]
fn the_client_is_whom_proxies_name() {
    let client = |headers: &[(&'static str, &str)]| entry(Method::GET, headers, &Arc::default()).client_ip.clone();
    assert_eq!(client(&[]), "10.0.0.9");
    assert_eq!(client(&[("x-forwarded-for", " 1.1.1.1 , 2.2.2.2")]), "1.1.1.1");
    assert_eq!(client(&[("x-forwarded-for", "1.1.1.1"), ("x-cluster-client-ip", "3.3.3.3")]), "3.3.3.3");
}

#[test]
fn dates_are_swifts() {
    assert_eq!(datetime(Timestamp::from_secs(1_795_231_070)), "21/Nov/2026/03/17/50");
}

/// The statuses of a request that got that answer of which `read` bytes were taken, and the bytes that counted.
async fn logged(method: Method, response: Response<Body>, read: bool) -> ((u16, u16), u64) {
    let received = Arc::default();
    let mut entry = entry(method, &[], &received);
    entry.answered(&response);
    let mut body = Outgoing { inner: response.into_body(), entry };
    while read && body.frame().await.is_some_and(|frame| frame.is_ok()) {}
    (body.entry.statuses(), body.entry.sent)
}

#[tokio::test]
async fn the_status_tells_how_it_ended() {
    let answer = |body| Response::new(body);
    assert_eq!(logged(Method::GET, answer(full("body")), true).await, ((200, 200), 4));
    // The client went away before it had read all.
    assert_eq!(logged(Method::GET, answer(full("body")), false).await, ((499, 200), 0));
    // There is no body to read.
    assert_eq!(logged(Method::HEAD, answer(full("body")), false).await, ((200, 200), 0));
    assert_eq!(logged(Method::GET, answer(empty()), false).await, ((200, 200), 0));
    // The body failed on our side.
    let failed = http_body_util::StreamBody::new(futures_util::stream::iter([Err(BodyError::TooLong(1))]));
    assert_eq!(logged(Method::GET, answer(failed.boxed_unsync()), true).await, ((500, 200), 0));
    // Nothing was answered at all.
    assert_eq!(entry(Method::GET, &[], &Arc::default()).statuses(), (499, 0));
}

#[tokio::test]
async fn a_client_that_breaks_off_its_own_body_is_gone() {
    let received = Arc::<Received>::default();
    let broken = BodyError::Disconnected("reset".into());
    let frames = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"12345"))), Err(broken)]);
    let inner = http_body_util::StreamBody::new(frames).boxed_unsync();
    let body = Incoming { inner, received: Arc::clone(&received) }.boxed_unsync();
    assert!(read_to_end(body, 10).await.is_err());
    let mut entry = entry(Method::PUT, &[], &received);
    entry.answered(&Response::new(empty()));
    assert_eq!((entry.statuses(), entry.received.bytes.load(Ordering::Relaxed)), ((499, 200), 5));
}
