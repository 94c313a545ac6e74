//! The body of a request that has a place: it gives the place back while the client lets us wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use apus_base::body::{Body, BodyError};

use super::{GRACE, Held};

/// The body.
pub(super) struct Upload {
    inner: Body,
    held: Arc<Held>,
    /// While something is waited for and the place is held.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    pub(super) fn new(inner: Body, held: Arc<Held>) -> Self {
        Self { inner, held, alarm: None }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.alarm = None;
            this.held.go_on();
            return Poll::Ready(frame);
        }
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep(GRACE)));
        if alarm.as_mut().poll(cx).is_ready() {
            this.held.pause();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
