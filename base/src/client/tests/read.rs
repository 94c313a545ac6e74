//! Stories of reads.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};

use super::fake::{Fake, Fault, Verb, patient};
use crate::body::{BodyError, read_to_end};
use crate::client::ClientConfig;

const DATA: &str = "the quick brown fox jumps over the lazy dog";
const OLD: &str = "0000000001.00000";
const NEW: &str = "0000000002.00000";

fn range(value: &'static str) -> HeaderMap {
    [(header::RANGE, value.parse().unwrap())].into_iter().collect()
}

/// Reads and returns the status and the body, if there is one.
async fn get(fake: &Fake, headers: &HeaderMap, newest: bool) -> (u16, Result<String, BodyError>) {
    let response = fake.client.read(Method::GET, &fake.target(), None, headers, newest).await.unwrap();
    let status = response.status().as_u16();
    let body = read_to_end(response.into_body(), 1 << 20).await;
    (status, body.map(|body| String::from_utf8(body.to_vec()).unwrap()))
}

async fn whole(fake: &Fake) -> (u16, String) {
    let (status, body) = get(fake, &HeaderMap::new(), false).await;
    (status, body.unwrap())
}

#[tokio::test]
async fn the_first_replica_answers() {
    let fake = Fake::start(vec![Verb::has(DATA, OLD), Verb::has(DATA, OLD), Verb::has(DATA, OLD)]).await;
    assert_eq!(whole(&fake).await, (200, DATA.into()));
    let seen = fake.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, format!("/d0/0/a/c/{}", fake.object));
    assert_eq!(seen[0].headers["x-backend-storage-policy-index"], "0");
}

#[tokio::test]
async fn an_error_is_passed_over_and_a_full_disk_is_left_alone() {
    let fake = Fake::start(vec![Verb::Says(507, vec![]), Verb::has(DATA, OLD)]).await;
    assert_eq!(whole(&fake).await, (200, DATA.into()));
    assert_eq!(whole(&fake).await, (200, DATA.into()));
    assert_eq!(fake.asked(), [0, 1, 1]);
    assert!(fake.counts("apus_test_node_errors_total{server=\"object\"} 1"), "{}", fake.metrics.render());
}

#[tokio::test]
async fn what_only_a_handoff_has_is_found() {
    let hung_up = ClientConfig { node_timeout: Duration::from_secs(1), ..patient() };
    let fake = Fake::with(vec![Verb::Says(503, vec![]), Verb::Hangs, Verb::Says(404, vec![])], hung_up).await;
    for handoff in 3..6 {
        fake.set(handoff, Verb::has(DATA, OLD));
    }
    assert_eq!(whole(&fake).await, (200, DATA.into()));
    assert_eq!(fake.asked()[..3], [0, 1, 2]);
    assert!(fake.counts("apus_test_handoffs_total{server=\"object\"} 1"));
}

#[tokio::test]
async fn what_nobody_has_is_missing() {
    let fake = Fake::start(vec![]).await;
    assert_eq!(whole(&fake).await, (404, "said".into()));
    assert_eq!(fake.asked().len(), 6);
}

#[tokio::test]
async fn nobody_answers() {
    let fake = Fake::start(vec![Verb::Says(503, vec![]); 6]).await;
    let error = fake.client.read(Method::HEAD, &fake.target(), None, &HeaderMap::new(), false).await.unwrap_err();
    assert_eq!(error.statuses, [503, 503, 503]);
}

#[tokio::test]
async fn a_tombstone_outranks_an_older_object() {
    let deleted = Verb::Says(404, vec![("x-backend-timestamp", NEW)]);
    let fake = Fake::start(vec![deleted, Verb::has(DATA, OLD)]).await;
    assert_eq!(whole(&fake).await.0, 404);
    // But not a newer one.
    let deleted = Verb::Says(404, vec![("x-backend-timestamp", OLD)]);
    let fake = Fake::start(vec![deleted, Verb::has(DATA, NEW)]).await;
    assert_eq!(whole(&fake).await.0, 200);
}

#[tokio::test]
async fn the_newest_of_all() {
    let fake = Fake::start(vec![Verb::has("old", OLD), Verb::has("new", NEW), Verb::has("old", OLD)]).await;
    let (status, body) = get(&fake, &HeaderMap::new(), true).await;
    assert_eq!((status, body.unwrap()), (200, "new".into()));
    // A newer deletion, wherever it is.
    fake.set(2, Verb::Says(404, vec![("x-backend-timestamp", "0000000003.00000")]));
    assert_eq!(get(&fake, &HeaderMap::new(), true).await.0, 404);
}

#[tokio::test]
async fn a_slow_replica_does_not_hold_up_a_concurrent_read() {
    let concurrent = ClientConfig { concurrent_gets: true, concurrency_timeout: Duration::from_millis(5), ..patient() };
    let fake = Fake::with(vec![Verb::Hangs, Verb::has(DATA, OLD)], concurrent).await;
    assert_eq!(whole(&fake).await, (200, DATA.into()));
}

#[tokio::test]
async fn a_broken_body_goes_on_at_the_next_replica() {
    let broken = Verb::with_fault(DATA, OLD, Fault::Breaks(10));
    let lying = Verb::with_fault(DATA, OLD, Fault::Lies(5));
    let fake = Fake::start(vec![broken, lying, Verb::has(DATA, OLD)]).await;
    assert_eq!(whole(&fake).await, (200, DATA.into()));
    assert_eq!(fake.asked(), [0, 1, 2]);
    assert!(fake.seen().iter().all(|seen| !seen.headers.contains_key(header::RANGE)));
    assert!(fake.counts("apus_test_resumed_reads_total 2"), "{}", fake.metrics.render());
}

#[tokio::test]
async fn bytes_of_a_damaged_replica_are_not_completed_by_a_good_one() {
    let rotten = Verb::with_fault(DATA, OLD, Fault::Rots(10));
    let fake = Fake::start(vec![rotten, Verb::has(DATA, OLD), Verb::has(DATA, OLD)]).await;
    let (status, body) = get(&fake, &HeaderMap::new(), false).await;
    assert_eq!((status, fake.asked().len()), (200, 2));
    assert!(body.unwrap_err().to_string().contains("differ"));
}

#[tokio::test]
async fn a_stalled_range_goes_on_at_the_next_replica() {
    let short = ClientConfig { recoverable_node_timeout: Some(Duration::from_secs(1)), ..patient() };
    let stalled = Verb::with_fault(DATA, OLD, Fault::Stalls(3));
    let fake = Fake::with(vec![stalled, Verb::has(DATA, OLD)], short).await;
    let (status, body) = get(&fake, &range("bytes=4-18"), false).await;
    assert_eq!((status, body.unwrap()), (206, DATA[4..=18].into()));
    assert_eq!(fake.seen()[1].headers[header::RANGE], "bytes=7-18");
}

#[tokio::test]
async fn several_ranges_go_on_byte_for_byte() {
    let broken = Verb::with_fault(DATA, OLD, Fault::Breaks(60));
    let fake = Fake::start(vec![broken, Verb::has(DATA, OLD)]).await;
    let (status, body) = get(&fake, &range("bytes=0-3,10-19"), false).await;
    let body = body.unwrap();
    let boundary = fake.seen()[0].headers["x-backend-multipart-boundary"].to_str().unwrap().to_owned();
    let part = |start: usize, end: usize| {
        format!("--{boundary}\r\nContent-Range: bytes {start}-{end}/{}\r\n\r\n{}\r\n", DATA.len(), &DATA[start..=end])
    };
    assert_eq!((status, body), (206, format!("{}{}--{boundary}--", part(0, 3), part(10, 19))));
    assert_eq!(fake.asked(), [0, 1]);
}

#[tokio::test]
async fn two_versions_are_never_mixed() {
    let broken = Verb::with_fault(DATA, OLD, Fault::Breaks(10));
    let other = Verb::has("THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG", NEW);
    let fake = Fake::start(vec![broken, other.clone(), other]).await;
    let (status, body) = get(&fake, &HeaderMap::new(), false).await;
    let error = body.unwrap_err();
    assert_eq!(status, 200);
    assert!(matches!(error, BodyError::Source(_)), "{error}");
}

#[tokio::test]
async fn a_range_past_the_end_is_an_answer() {
    let fake = Fake::start(vec![Verb::Says(416, vec![("content-range", "bytes */43")])]).await;
    let response = fake.client.read(Method::GET, &fake.target(), None, &range("bytes=99-"), false).await.unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(fake.asked(), [0]);
}

#[tokio::test]
async fn queries_reach_the_node() {
    let fake = Fake::start(vec![Verb::Says(200, vec![("x-put-timestamp", "0")]), Verb::Says(200, vec![])]).await;
    let target = crate::client::Target::Container { account: "a", container: "c" };
    let headers = HeaderMap::new();
    let response =
        fake.client.read(Method::GET, &target, Some("format=json&prefix=%2F"), &headers, false).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // The first one has only an empty shell.
    assert_eq!(fake.asked(), [0, 1]);
    assert_eq!(fake.seen()[1].path, "/d1/0/a/c?format=json&prefix=%2F");
}
