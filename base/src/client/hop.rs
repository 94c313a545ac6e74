//! One replica's share of an object's PUT: the request that waits for `100 Continue`, then the chunks, then the answer.
//!
//! ```text
//! open ── 100 ──> Ready ── send* ── finish ──> answer
//!   │                └── dropped: the body breaks off and the object server stores nothing
//!   ├── 409, 412, other 4xx ──> Answered
//!   └── 5xx, 507, no answer ──> the next node
//! ```

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

use super::Answer;
use super::nodes::{Node, NodeIter};
use super::pool::NodeError;
use super::route::{Route, collect};
use crate::body::{self, Body, BodyError};

type Awaited = Pin<Box<dyn Future<Output = Result<Response<Body>, NodeError>> + Send>>;

/// A node that has agreed to take the object.
pub(super) struct Hop {
    node: Node,
    feed: mpsc::Sender<Frame<Bytes>>,
    answer: Awaited,
}

/// How a node has answered the head of a PUT.
pub(super) enum Opened {
    /// It wants the body.
    Ready(Hop),
    /// It does not need it.
    Answered(Answer),
}

/// What a hop's request sends: what is fed, and an error instead of an end if the last frame is not the trailers.
struct Feed {
    frames: mpsc::Receiver<Frame<Bytes>>,
    is_whole: bool,
    /// Who is told, once, that the first frame is asked for.
    wanted: Option<Arc<Notify>>,
}

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(wanted) = self.wanted.take() {
            wanted.notify_one();
        }
        self.frames.poll_recv(cx).map(|fed| match fed {
            Some(frame) => {
                self.is_whole = frame.is_trailers();
                Some(Ok(frame))
            }
            None if self.is_whole => None,
            None => Some(Err(BodyError::Disconnected("the PUT was given up".into()))),
        })
    }
}

/// Asks one node after the other until one wants the body or has no need of it. `None` if none is left.
pub(super) async fn open(route: &Arc<Route>, nodes: &Mutex<NodeIter>, headers: HeaderMap) -> Option<Opened> {
    loop {
        let node = nodes.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        match open_at(route, node.clone(), headers.clone()).await {
            Ok(Opened::Answered(answer)) if !route.check(&node, answer.status) => {}
            Ok(opened) => return Some(opened),
            Err(error) => route.failed(&node, &error),
        }
    }
}

/// Asks one node whether it wants the body.
pub(super) async fn open_at(route: &Arc<Route>, node: Node, headers: HeaderMap) -> Result<Opened, NodeError> {
    let config = &route.inner.config;
    let (feed, frames) = mpsc::channel(config.put_queue_depth.max(1));
    let (wanted, pool) = (Arc::new(Notify::new()), route.inner.pool.clone());
    let mut request = route.request(&node, headers, body::empty())?;
    let (is_near, tell) = (pool.is_near(&request), Arc::clone(&wanted));
    // A server of this process asks for the body when it wants it; a connection does at once, and the server says so.
    let first = is_near.then(|| Arc::clone(&wanted));
    *request.body_mut() = Feed { frames, is_whole: false, wanted: first }.boxed_unsync();
    if !is_near {
        hyper::ext::on_informational(&mut request, move |info| {
            if info.status() == http::StatusCode::CONTINUE {
                tell.notify_one();
            }
        });
    }
    let mut answer: Awaited = Box::pin(async move { pool.send_untimed(request).await });
    let started = std::time::Instant::now();
    let opened = async {
        tokio::select! {
            biased;
            answered = &mut answer => answered.map(Some),
            () = wanted.notified() => Ok(None),
        }
    };
    let opened = tokio::time::timeout(config.node_timeout, opened).await;
    match opened.map_err(|_| NodeError::TimedOut(config.node_timeout))?? {
        Some(response) => Ok(Opened::Answered(collect(response).await)),
        None => {
            route.inner.measured(&node, started.elapsed());
            Ok(Opened::Ready(Hop { node, feed, answer }))
        }
    }
}

/// A node took nothing for too long.
#[derive(Debug, thiserror::Error)]
#[error("the node broke off, or took no data for {0:?}")]
struct Slow(Duration);

impl Hop {
    /// The node.
    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Feeds one frame to each hop, and waits for the slow ones. Those that broke off, or do not take it in time, are dropped.
    pub(super) async fn feed_all(route: &Route, hops: Vec<Hop>, frame: impl Fn() -> Frame<Bytes>) -> Vec<Hop> {
        let late: Vec<_> = hops.iter().map(|hop| hop.feed.try_send(frame()).err()).collect();
        if late.iter().all(Option::is_none) {
            return hops;
        }
        let fed = hops.into_iter().zip(late).map(|(hop, late)| hop.feed_slowly(route, late));
        futures_util::future::join_all(fed).await.into_iter().flatten().collect()
    }

    async fn feed_slowly(mut self, route: &Route, late: Option<TrySendError<Frame<Bytes>>>) -> Option<Self> {
        let Some(TrySendError::Full(frame) | TrySendError::Closed(frame)) = late else { return Some(self) };
        let patience = route.inner.config.node_timeout;
        if let Ok(Ok(())) = tokio::time::timeout(patience, self.feed.send(frame)).await {
            return Some(self);
        }
        // It may have said why.
        match (&mut self.answer).now_or_never() {
            Some(Ok(response)) if !route.check(&self.node, response.status()) => {}
            Some(Err(error)) => route.failed(&self.node, &error),
            _ => route.failed(&self.node, &Slow(patience)),
        }
        None
    }

    /// Waits for the answer to the whole body. `None` if it is a server error or does not come.
    pub(super) async fn answer(self, route: &Route) -> Option<Answer> {
        let patience = route.inner.config.node_timeout;
        drop(self.feed);
        match tokio::time::timeout(patience, self.answer).await {
            Ok(Ok(response)) => route.check(&self.node, response.status()).then_some(collect(response).await),
            Ok(Err(error)) => {
                route.failed(&self.node, &error);
                None
            }
            Err(_) => {
                route.failed(&self.node, &NodeError::TimedOut(patience));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_feed_ends_in_an_error_unless_it_got_its_trailers() {
        let (feed, frames) = mpsc::channel(2);
        let mut body = Feed { frames, is_whole: false, wanted: None };
        feed.try_send(Frame::data(Bytes::from_static(b"x"))).unwrap();
        drop(feed);
        assert!(body.frame().await.unwrap().unwrap().is_data());
        assert!(body.frame().await.unwrap().is_err());

        let (feed, frames) = mpsc::channel(2);
        let mut body = Feed { frames, is_whole: false, wanted: None };
        feed.try_send(Frame::trailers(HeaderMap::new())).unwrap();
        drop(feed);
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        assert!(body.frame().await.is_none());
    }
}
