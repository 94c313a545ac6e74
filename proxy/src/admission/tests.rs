use std::pin::pin;

use apus_base::body::BodyError;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use super::*;

/// What Prometheus is told: working, waiting, refused.
fn told(admission: &Admission) -> (i64, i64, u64) {
    (admission.working.get(), admission.waiting.get(), admission.refused.get())
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_turn_and_not_for_longer_than_it_can_bear() {
    let admission = Admission::new(1, 1);
    let first = admission.enter().await.unwrap();
    let mut second = pin!(admission.enter());
    assert!(second.as_mut().now_or_never().is_none());
    // The line is full.
    let started = Instant::now();
    assert_eq!(admission.enter().await.unwrap_err(), Refused);
    assert_eq!((started.elapsed(), told(&admission)), (Duration::ZERO, (1, 1, 1)));
    drop(first);
    let second = second.await.unwrap();
    assert_eq!(told(&admission), (1, 0, 1));
    // Nobody leaves any more.
    assert_eq!(admission.enter().await.unwrap_err(), Refused);
    assert_eq!(started.elapsed().as_secs(), PATIENCE.as_secs());
    drop(second);
    assert!(admission.enter().await.is_ok());
    assert_eq!(told(&admission), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_the_line() {
    let admission = Admission::new(1, 2);
    let place = admission.enter().await.unwrap();
    let mut gone = Box::pin(admission.enter());
    let mut stays = pin!(admission.enter());
    assert!(gone.as_mut().now_or_never().is_none() && stays.as_mut().now_or_never().is_none());
    drop(gone);
    assert_eq!(told(&admission), (1, 1, 0));
    drop(place);
    let place = stays.await.unwrap();
    // One that goes away in the moment in which it is called gives its place on.
    let (mut gone, mut stays) = (Box::pin(admission.enter()), pin!(admission.enter()));
    assert!(gone.as_mut().now_or_never().is_none() && stays.as_mut().now_or_never().is_none());
    drop(place);
    drop(gone);
    assert!(stays.await.is_ok());
    assert_eq!(told(&admission), (0, 0, 0));
}

/// A body that comes piece by piece.
fn pieces() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (send, mut come) = mpsc::unbounded_channel::<Bytes>();
    let stream = futures_util::stream::poll_fn(move |cx| {
        come.poll_recv(cx).map(|piece| piece.map(|piece| Ok::<_, BodyError>(Frame::data(piece))))
    });
    (send, StreamBody::new(stream).boxed_unsync())
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_holds_no_place_while_it_is_waited_for() {
    let admission = Admission::new(1, 1);
    let slow = admission.enter().await.unwrap();
    let (send, body) = pieces();
    let mut body = slow.upload(body);
    assert!(body.frame().now_or_never().is_none());
    // At once it is nobody's turn.
    let mut other = pin!(admission.enter());
    assert!(other.as_mut().now_or_never().is_none());
    tokio::time::advance(GRACE * 2).await;
    assert!(body.frame().now_or_never().is_none());
    let other = other.await.unwrap();
    // What comes is taken, without a line, and counts.
    send.send(Bytes::from_static(b"piece")).unwrap();
    assert!(body.frame().await.is_some());
    assert_eq!(told(&admission), (2, 0, 0));
    drop(other);
    assert_eq!(told(&admission), (1, 0, 0));
    // It gives the place back once, also if it pauses at its end and its body outlives it.
    assert!(body.frame().now_or_never().is_none());
    tokio::time::advance(GRACE * 2).await;
    assert!(body.frame().now_or_never().is_none());
    assert_eq!(told(&admission), (0, 0, 0));
    drop(slow);
    drop(send);
    assert!(body.frame().await.is_none());
    assert_eq!(told(&admission), (0, 0, 0));
    assert!(admission.enter().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_quick_upload_keeps_its_place() {
    let admission = Admission::new(1, 1);
    let place = admission.enter().await.unwrap();
    let (send, body) = pieces();
    let mut body = place.upload(body);
    for _ in 0..100 {
        assert!(body.frame().now_or_never().is_none());
        tokio::time::advance(GRACE / 2).await;
        send.send(Bytes::from_static(b"piece")).unwrap();
        assert!(body.frame().await.is_some());
        assert_eq!(told(&admission), (1, 0, 0));
    }
}
