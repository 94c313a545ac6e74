//! Stories of an object's PUT.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use super::fake::{Fake, Verb, hex, patient};
use crate::body::{self, Body, BodyError};
use crate::client::{ClientConfig, PutError, PutObject, PutOutcome};

const DATA: &str = "the quick brown fox jumps over the lazy dog";

fn put(fake: &Fake, body: Body) -> PutObject<'_> {
    static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
    PutObject {
        path: fake.path(),
        headers: &NONE,
        body,
        length: None,
        max_length: 1 << 30,
        expect_etag: None,
        footers: None,
        may_be_later: true,
    }
}

async fn store(fake: &Fake, body: Body) -> Result<PutOutcome, PutError> {
    fake.client.put_object(put(fake, body)).await
}

/// A body that must not be read.
fn untouched() -> Body {
    StreamBody::new(stream::once(async { panic!("the body was read") })).boxed_unsync()
}

/// Some data and then an error.
fn failing(error: fn() -> BodyError) -> Body {
    let frames = stream::iter([Ok(Frame::data(Bytes::from_static(DATA.as_bytes())))]);
    StreamBody::new(frames.chain(stream::once(async move { Err(error()) }))).boxed_unsync()
}

/// Nobody has stored it: whoever took bytes saw the body break off.
async fn assert_given_up(fake: &Fake, nodes: usize) {
    for seen in fake.wait_seen(nodes).await {
        assert!(seen.body.is_err() && seen.trailers.is_empty(), "{seen:?}");
    }
}

#[tokio::test]
async fn every_replica_gets_the_bytes_and_their_checksums() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let long = Bytes::from(vec![7; 64 * 1024 + 1]);
    let body = PutObject { length: Some(long.len() as u64), ..put(&fake, body::full(long.clone())) };
    let outcome = fake.client.put_object(body).await.unwrap();
    assert_eq!((outcome.status.as_u16(), outcome.length), (201, long.len() as u64));
    assert_eq!(outcome.etag.unwrap(), hex(&long));
    let seen = fake.wait_seen(3).await;
    for seen in &seen {
        assert_eq!((seen.method.as_str(), seen.body.as_ref()), ("PUT", Ok(&long)));
        assert_eq!(seen.trailers["x-backend-etag"], hex(&long));
        assert_eq!(seen.trailers["x-backend-crc32"], format!("{:08x}", crc32fast::hash(&long)));
        assert_eq!(seen.headers["x-backend-obj-content-length"], long.len().to_string());
        assert_eq!(seen.headers[header::EXPECT], "100-continue");
        assert!(!seen.headers.contains_key(header::CONTENT_LENGTH));
    }
    // One container server each.
    let mut told: Vec<_> = seen.iter().map(|seen| seen.headers["x-container-device"].to_str().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, ["d0", "d1", "d2"]);
}

#[tokio::test]
async fn an_empty_object() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let outcome = store(&fake, body::empty()).await.unwrap();
    assert_eq!(outcome.etag.unwrap(), "d41d8cd98f00b204e9800998ecf8427e");
    let seen = fake.wait_seen(3).await;
    assert!(seen.iter().all(|seen| seen.body == Ok(Bytes::new()) && seen.trailers.len() == 2));
}

#[tokio::test]
async fn a_handoff_stands_in_before_the_first_byte() {
    let mut verbs = vec![Verb::Takes; 6];
    verbs[0] = Verb::Says(507, vec![]);
    verbs[1] = Verb::Hangs;
    let fake = Fake::with(verbs, ClientConfig { node_timeout: Duration::from_secs(1), ..patient() }).await;
    assert_eq!(store(&fake, body::full(DATA)).await.unwrap().status, 201);
    let seen = fake.wait_seen(5).await;
    let whole = seen.iter().filter(|seen| seen.body.as_deref() == Ok(DATA.as_bytes()));
    assert_eq!(whole.filter(|seen| seen.node >= 2).count(), 3);
}

#[tokio::test]
async fn a_busy_node_is_passed_over_and_not_blamed() {
    let mut verbs = vec![Verb::Takes; 6];
    verbs[0] = Verb::Says(529, vec![]);
    let fake = Fake::start(verbs).await;
    // More often than errors would be forgiven.
    for _ in 0..12 {
        assert_eq!(store(&fake, body::full(DATA)).await.unwrap().status, 201);
    }
    let asked = fake.wait_seen(48).await;
    assert_eq!(asked.iter().filter(|seen| seen.node == 0).count(), 12);
}

#[tokio::test]
async fn without_enough_nodes_the_body_is_not_read() {
    let mut verbs = vec![Verb::Says(503, vec![]); 6];
    verbs[2] = Verb::Takes;
    let fake = Fake::start(verbs).await;
    let error = store(&fake, untouched()).await.unwrap_err();
    assert!(matches!(error, PutError::NoQuorum(_)), "{error}");
    let mut put = put(&fake, untouched());
    (put.length, put.max_length) = (Some(11), 10);
    let error = fake.client.put_object(put).await.unwrap_err();
    assert!(matches!(error, PutError::Body(BodyError::TooLong(10))), "{error}");
}

#[tokio::test]
async fn what_exists_or_is_newer_stays() {
    let fake = Fake::start(vec![Verb::Takes, Verb::Says(412, vec![]), Verb::Takes]).await;
    let error = store(&fake, untouched()).await.unwrap_err();
    assert!(matches!(error, PutError::Exists), "{error}");

    let newer = Verb::Says(409, vec![("x-backend-timestamp", "0000000009.00000")]);
    let fake = Fake::start(vec![Verb::Takes, Verb::Takes, newer]).await;
    let outcome = store(&fake, untouched()).await.unwrap();
    assert_eq!((outcome.status.as_u16(), outcome.etag), (202, None));
}

#[tokio::test]
async fn a_quorum_that_refuses_is_an_answer() {
    let fake = Fake::start(vec![Verb::Says(400, vec![]), Verb::Says(400, vec![]), Verb::Takes]).await;
    let error = store(&fake, untouched()).await.unwrap_err();
    assert!(matches!(&error, PutError::Refused(answer) if answer.status == 400), "{error}");
}

#[tokio::test]
async fn the_wrong_bytes_are_not_stored() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let etag = hex(b"other bytes");
    let wrong = PutObject { expect_etag: Some(&etag), ..put(&fake, body::full(DATA)) };
    let error = fake.client.put_object(wrong).await.unwrap_err();
    assert!(matches!(&error, PutError::EtagMismatch { actual } if *actual == hex(DATA.as_bytes())), "{error}");
    assert_given_up(&fake, 3).await;

    // The right ones are, however the MD5 is written.
    let etag = format!("\"{}\"", hex(DATA.as_bytes()).to_uppercase());
    let right = PutObject { expect_etag: Some(&etag), ..put(&fake, body::full(DATA)) };
    assert_eq!(fake.client.put_object(right).await.unwrap().status, 201);
}

#[tokio::test]
async fn a_sender_that_stalls_or_leaves_stores_nothing() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let error = store(&fake, failing(|| BodyError::Stalled(Duration::from_secs(60)))).await.unwrap_err();
    assert!(matches!(error, PutError::Body(BodyError::Stalled(_))), "{error}");
    assert_given_up(&fake, 3).await;

    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let too_few = PutObject { length: Some(1 << 20), ..put(&fake, body::full(DATA)) };
    let error = fake.client.put_object(too_few).await.unwrap_err();
    assert!(matches!(error, PutError::Body(BodyError::Disconnected(_))), "{error}");
    assert_given_up(&fake, 3).await;
}

#[tokio::test]
async fn a_caller_that_is_dropped_stores_nothing() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let (feed, fed) = mpsc::channel::<Result<Frame<Bytes>, BodyError>>(1);
    let frames = stream::unfold(fed, |mut fed| async { fed.recv().await.map(|frame| (frame, fed)) });
    let storing = store(&fake, StreamBody::new(frames).boxed_unsync());
    tokio::select! {
        stored = storing => panic!("{stored:?}"),
        // When the second frame is taken, the first one is on its way.
        () = async {
            feed.send(Ok(Frame::data(Bytes::from_static(b"x")))).await.unwrap();
            feed.send(Ok(Frame::data(Bytes::from_static(b"y")))).await.unwrap();
            feed.reserve().await.map(drop).unwrap();
        } => {}
    }
    assert_given_up(&fake, 3).await;
}

#[tokio::test]
async fn too_long_a_body_is_given_up() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let long = PutObject { max_length: DATA.len() as u64 - 1, ..put(&fake, body::full(DATA)) };
    let error = fake.client.put_object(long).await.unwrap_err();
    assert!(matches!(error, PutError::Body(BodyError::TooLong(_))), "{error}");
    assert_given_up(&fake, 3).await;
}

/// More than sockets and queues hold.
fn large() -> Body {
    let chunks = (0..256).map(|_| Ok(Frame::data(Bytes::from(vec![7; 128 * 1024]))));
    StreamBody::new(stream::iter(chunks)).boxed_unsync()
}

#[tokio::test]
async fn a_node_that_breaks_off_or_clogs_is_dropped() {
    let short = ClientConfig { node_timeout: Duration::from_secs(2), ..patient() };
    for bad in [Verb::TakesOnly(1000), Verb::Clogs] {
        let fake = Fake::with(vec![Verb::Takes, bad.clone(), Verb::Takes], short.clone()).await;
        let outcome = store(&fake, large()).await.unwrap();
        assert_eq!((outcome.status.as_u16(), outcome.length), (201, 32 << 20));
        assert!(fake.counts("apus_test_node_errors_total{server=\"object\"} 1"), "{}", fake.metrics.render());

        let fake = Fake::with(vec![Verb::Takes, bad.clone(), bad], short.clone()).await;
        let error = store(&fake, large()).await.unwrap_err();
        assert!(matches!(error, PutError::NoQuorum(_)), "{error}");
    }
}

#[tokio::test]
async fn a_replica_with_other_bytes_does_not_count() {
    let fake = Fake::start(vec![Verb::Takes, Verb::Damages, Verb::Takes]).await;
    assert_eq!(store(&fake, body::full(DATA)).await.unwrap().status, 201);
    let fake = Fake::start(vec![Verb::Takes, Verb::Damages, Verb::Damages]).await;
    let error = store(&fake, body::full(DATA)).await.unwrap_err();
    assert!(matches!(&error, PutError::NoQuorum(none) if none.statuses.contains(&503)), "{error}");
}

const EARLY: &str = "0000000005.00000";

/// All that the first node was asked but the first so many requests is later than a promise.
#[track_caller]
fn assert_later(fake: &Fake, fence: &str, early: usize) {
    let stamps = |seen: &super::fake::Seen| -> Vec<String> {
        seen.headers.get_all("x-timestamp").iter().map(|stamp| stamp.to_str().unwrap().to_owned()).collect()
    };
    let stamps: Vec<_> = fake.seen().iter().filter(|seen| seen.node == 0).map(stamps).collect();
    let (first, later) = stamps.split_at(early);
    assert!(first.iter().all(|stamps| stamps == &[EARLY]), "{stamps:?}");
    assert!(
        !later.is_empty() && later.iter().all(|stamps| stamps.len() == 1 && stamps[0].as_str() > fence),
        "{stamps:?}"
    );
}

#[tokio::test]
async fn a_deletion_that_is_nowhere_comes_again_later() {
    let fence = "4102444800.00000_0000000000000100";
    let refusal = Verb::Says(409, vec![("x-backend-timestamp", fence), ("x-backend-fence", fence)]);
    let fake = Fake::start(vec![refusal; 3]).await;
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-timestamp"), HeaderValue::from_static(EARLY))]);
    let deleted = fake.client.delete_object(fake.path(), headers, true).await;
    assert!(matches!(deleted, Err(PutError::Contended)), "{deleted:?}");
    assert_later(&fake, fence, 1);
}

#[tokio::test]
async fn who_is_kept_out_by_a_promise_comes_again_later() {
    let fence = "4102444800.00000_0000000000000100";
    let refusal = Verb::Says(409, vec![("x-backend-timestamp", fence), ("x-backend-fence", fence)]);
    let fake = Fake::start(vec![refusal, Verb::Takes, Verb::Takes]).await;
    // The one that must keep its version gets no other, and nothing of its body is asked for.
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-timestamp"), HeaderValue::from_static(EARLY))]);
    let put_it = || PutObject { headers: &headers, ..put(&fake, untouched()) };
    let fixed = PutObject { may_be_later: false, ..put_it() };
    assert!(matches!(fake.client.put_object(fixed).await, Err(PutError::NoQuorum(_))));
    // The other one is begun again, later than the promise each time, and given up in the end.
    assert!(matches!(fake.client.put_object(put_it()).await, Err(PutError::NoQuorum(_))));
    assert_later(&fake, fence, 2);

    // When the promise is kept, it is stored, and says as which version.
    fake.set(0, Verb::Takes);
    assert_eq!(store(&fake, body::full(DATA)).await.unwrap().written, None);
}
