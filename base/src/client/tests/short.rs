//! Stories of a short object's PUT.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::fake::{Fake, Verb, hex, patient};
use crate::body::{self, Body, BodyError};
use crate::client::{ClientConfig, Footers, PutError, PutObject, PutOutcome};

const DATA: &str = "short and sweet";
const EARLY: &str = "0000000005.00000";
const FENCE: &str = "4102444800.00000_0000000000000100";

fn put<'a>(fake: &'a Fake, headers: &'a HeaderMap, body: Body) -> PutObject<'a> {
    PutObject {
        path: fake.path(),
        headers,
        body,
        length: Some(DATA.len() as u64),
        max_length: 1 << 30,
        expect_etag: None,
        footers: None,
        may_be_later: true,
    }
}

fn early() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-timestamp"), HeaderValue::from_static(EARLY))])
}

async fn store(fake: &Fake) -> Result<PutOutcome, PutError> {
    fake.client.put_object(put(fake, &early(), body::full(DATA))).await
}

fn refusal() -> Verb {
    Verb::Says(409, vec![("x-backend-timestamp", FENCE), ("x-backend-fence", FENCE)])
}

#[tokio::test]
async fn every_replica_gets_all_of_it_at_once() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    // It comes in pieces, and what is known only at its end is said before it.
    let pieces = DATA.as_bytes().chunks(4).map(|piece| Ok::<_, BodyError>(Frame::data(Bytes::from_static(piece))));
    let pieces: Vec<_> = pieces.collect();
    let footer = HeaderName::from_static("x-object-sysmeta-a");
    let made = HeaderMap::from_iter([(footer, HeaderValue::from_static("b"))]);
    let footers = Footers { names: vec!["x-object-sysmeta-a"], make: Box::new(|| Ok(made)) };
    let headers = early();
    let put = put(&fake, &headers, StreamBody::new(stream::iter(pieces)).boxed_unsync());
    let outcome = fake.client.put_object(PutObject { footers: Some(footers), ..put }).await.unwrap();
    assert_eq!((outcome.status.as_u16(), outcome.length, outcome.written), (201, DATA.len() as u64, None));
    assert_eq!(outcome.etag.unwrap(), hex(DATA.as_bytes()));
    for seen in fake.wait_seen(3).await {
        assert_eq!((seen.method.as_str(), seen.body.as_deref()), ("PUT", Ok(DATA.as_bytes())));
        assert_eq!(seen.headers[header::CONTENT_LENGTH], DATA.len().to_string());
        assert_eq!(seen.headers["x-backend-etag"], hex(DATA.as_bytes()));
        assert_eq!(seen.headers["x-backend-crc32"], format!("{:08x}", crc32fast::hash(DATA.as_bytes())));
        assert_eq!(seen.headers["x-object-sysmeta-a"], "b");
        assert!(!seen.headers.contains_key(header::EXPECT) && !seen.headers.contains_key(header::TRAILER));
    }
}

#[tokio::test]
async fn an_empty_object_says_its_length() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let headers = early();
    let empty = PutObject { length: Some(0), ..put(&fake, &headers, body::empty()) };
    let outcome = fake.client.put_object(empty).await.unwrap();
    assert_eq!((outcome.status.as_u16(), outcome.etag.as_deref()), (201, Some("d41d8cd98f00b204e9800998ecf8427e")));
    assert!(fake.wait_seen(3).await.iter().all(|seen| seen.headers[header::CONTENT_LENGTH] == "0"));
}

#[tokio::test]
async fn what_is_not_whole_or_not_right_is_sent_to_nobody() {
    let fake = Fake::start(vec![Verb::Takes; 3]).await;
    let headers = early();
    let longer = PutObject { length: Some(DATA.len() as u64 + 1), ..put(&fake, &headers, body::full(DATA)) };
    let error = fake.client.put_object(longer).await.unwrap_err();
    assert!(matches!(error, PutError::Body(BodyError::Disconnected(_))), "{error}");

    let etag = hex(b"other bytes");
    let other = PutObject { expect_etag: Some(&etag), ..put(&fake, &headers, body::full(DATA)) };
    let error = fake.client.put_object(other).await.unwrap_err();
    assert!(matches!(&error, PutError::EtagMismatch { actual } if *actual == hex(DATA.as_bytes())), "{error}");
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn another_node_gets_what_one_does_not_take() {
    let mut verbs = vec![Verb::Takes; 6];
    verbs[0] = Verb::Says(507, vec![]);
    verbs[1] = Verb::Hangs;
    let fake = Fake::with(verbs, ClientConfig { node_timeout: Duration::from_secs(1), ..patient() }).await;
    assert_eq!(store(&fake).await.unwrap().status, 201);
    let whole = fake.wait_seen(5).await.into_iter().filter(|seen| seen.body.as_deref() == Ok(DATA.as_bytes()));
    assert_eq!(whole.filter(|seen| seen.node >= 2).count(), 3);
}

#[tokio::test]
async fn a_newer_version_stays() {
    let newer = Verb::Says(409, vec![("x-backend-timestamp", "0000000009.00000")]);
    let fake = Fake::start(vec![Verb::Takes, newer, Verb::Takes]).await;
    let outcome = store(&fake).await.unwrap();
    assert_eq!((outcome.status.as_u16(), outcome.etag), (202, None));
    assert_eq!(outcome.headers["x-backend-timestamp"], "0000000009.00000");
}

#[tokio::test]
async fn a_replica_with_other_bytes_does_not_count() {
    let fake = Fake::start(vec![Verb::Takes, Verb::Damages, Verb::Takes]).await;
    assert_eq!(store(&fake).await.unwrap().status, 201);
    let fake = Fake::start(vec![Verb::Takes, Verb::Damages, Verb::Damages]).await;
    assert!(matches!(store(&fake).await, Err(PutError::NoQuorum(none)) if none.statuses.contains(&503)));
}

#[tokio::test]
async fn who_is_kept_out_by_all_comes_again_later() {
    let fake = Fake::start(vec![refusal(); 3]).await;
    let headers = early();
    let fixed = PutObject { may_be_later: false, ..put(&fake, &headers, body::full(DATA)) };
    assert!(matches!(fake.client.put_object(fixed).await, Err(PutError::NoQuorum(_))));
    assert_eq!(fake.wait_seen(3).await.len(), 3);

    assert!(matches!(store(&fake).await, Err(PutError::NoQuorum(_))));
    let stamps = |seen: &super::fake::Seen| seen.headers["x-timestamp"].to_str().unwrap().to_owned();
    let seen: Vec<_> = fake.seen().iter().filter(|seen| seen.node == 0).map(stamps).collect();
    assert!(seen.len() > 3 && seen[2..].iter().all(|stamp| stamp.as_str() > FENCE), "{seen:?}");
}

#[tokio::test]
async fn what_one_has_taken_is_never_written_as_another_version() {
    // Two of three are promised to a conditional write, which may have seen what the third one took.
    let fake = Fake::start(vec![Verb::Takes, refusal(), refusal()]).await;
    assert!(matches!(store(&fake).await, Err(PutError::NoQuorum(_))));
    // One that does not answer may have taken it, too.
    let mut verbs = vec![refusal(); 4];
    verbs[0] = Verb::TakesOnly(3);
    let other = Fake::start(verbs).await;
    assert!(matches!(store(&other).await, Err(PutError::NoQuorum(_))));
    // With one promise only, the quorum has it.
    fake.set(1, Verb::Takes);
    assert_eq!(store(&fake).await.unwrap().written, None);
    for fake in [fake, other] {
        assert!(fake.seen().iter().all(|seen| seen.headers["x-timestamp"] == EARLY));
    }
}
