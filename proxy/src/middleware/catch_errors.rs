//! The outermost step: whatever happens inside, the client gets an answer with a transaction id, or a broken connection;
//! never a body that looks whole and is not.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context as Poller, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

use apus_base::body::{Body, BodyError};

use crate::Proxy;
use crate::context::Context;
use crate::pipeline::{Answer, Next};
use crate::swift::response::text_plain;

const TRANS_ID: HeaderName = HeaderName::from_static("x-trans-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// The step.
pub fn step<'a>(_proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    Box::pin(async move {
        let is_head = request.method() == Method::HEAD;
        let trans_id =
            request.extensions().get::<Context>().map(|context| context.trans_id.clone()).unwrap_or_default();
        // A request that panicked is gone with all it held, and what requests share is guarded against half-done changes
        // by its own locks, so that the next request may go on.
        let mut response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|panic| {
            tracing::error!(trans_id, panic = panic_text(&*panic), "a request panicked");
            text_plain(StatusCode::INTERNAL_SERVER_ERROR, "An error occurred")
        });
        if let Ok(trans_id) = HeaderValue::try_from(trans_id) {
            response.headers_mut().insert(TRANS_ID, trans_id.clone());
            response.headers_mut().insert(REQUEST_ID, trans_id);
        }
        if is_head { response } else { with_exact_body(response) }
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

/// The length that a response promises, where it has one and its body is sent.
pub(super) fn promised_length(status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    headers.get(CONTENT_LENGTH).filter(|_| !bodiless)?.to_str().ok()?.parse().ok()
}

fn with_exact_body(response: Response<Body>) -> Response<Body> {
    match promised_length(response.status(), response.headers()) {
        Some(left) => response.map(|inner| Exact { inner, left }.boxed_unsync()),
        None => response,
    }
}

/// A body that fails unless it has exactly the length that its head promised; the failure breaks the connection.
struct Exact {
    inner: Body,
    left: u64,
}

/// A body of another length than its head promised.
#[derive(Debug, thiserror::Error)]
enum WrongLength {
    #[error("the body ended {0} bytes early")]
    Short(u64),
    #[error("the body is at least {0} bytes too long")]
    Long(u64),
}

impl http_body::Body for Exact {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let wrong = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                if len <= self.left {
                    self.left -= len;
                    return Poll::Ready(Some(Ok(frame)));
                }
                WrongLength::Long(len - self.left)
            }
            None if self.left > 0 => WrongLength::Short(self.left),
            ended => return Poll::Ready(ended),
        };
        self.left = 0;
        Poll::Ready(Some(Err(BodyError::Source(Box::new(wrong)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::body::{full, read_to_end};

    async fn sent(promised: u64, body: &'static str) -> Result<Bytes, BodyError> {
        let mut response = Response::new(full(body));
        response.headers_mut().insert(CONTENT_LENGTH, promised.into());
        read_to_end(with_exact_body(response).into_body(), 100).await
    }

    #[tokio::test]
    async fn only_the_promised_length_passes() {
        assert_eq!(sent(4, "body").await.unwrap(), "body");
        assert_eq!(sent(0, "").await.unwrap(), "");
        for (promised, wrong) in [(5, "ended 1 bytes early"), (3, "1 bytes too long")] {
            assert!(sent(promised, "body").await.unwrap_err().to_string().contains(wrong));
        }
    }

    #[test]
    fn answers_without_a_body_promise_none() {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(7))]);
        assert_eq!(promised_length(StatusCode::OK, &headers), Some(7));
        assert_eq!(promised_length(StatusCode::NOT_MODIFIED, &headers), None);
        assert_eq!(promised_length(StatusCode::OK, &HeaderMap::new()), None);
    }
}
