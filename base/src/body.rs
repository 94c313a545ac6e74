//! Bodies of requests and responses: streams of chunks that know why they ended early.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};

/// A streamed body, of any origin.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender sent nothing for too long; a client gets 408.
    #[error("nothing arrived for {0:?}")]
    Stalled(Duration),
    /// The connection ended, or its framing broke; a client gets 499.
    #[error("the connection ended before the body did: {0}")]
    Disconnected(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body is longer than its limit; a client gets 413.
    #[error("the body is longer than {0} bytes")]
    TooLong(u64),
    /// What a server produces the body from failed (a disk, every replica).
    #[error("the source of the body failed: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A body of no bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is already in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body whose sender may not pause longer than `patience`.
///
/// Time counts only while somebody waits for the next chunk, so a slow reader is not the sender's fault.
pub struct Patient<B> {
    inner: B,
    patience: Duration,
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<B> Patient<B> {
    /// Wraps a body.
    pub fn new(inner: B, patience: Duration) -> Self {
        Self { inner, patience, alarm: None }
    }
}

impl<B> http_body::Body for Patient<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.alarm = None;
            return Poll::Ready(frame.map(|f| f.map_err(|e| BodyError::Disconnected(Box::new(e)))));
        }
        let patience = self.patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        alarm.as_mut().poll(cx).map(|()| Some(Err(BodyError::Stalled(patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a small body whole.
///
/// # Errors
/// `TooLong` past `limit` bytes, or what the body itself fails with.
pub async fn read_to_end(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut all = bytes::BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if all.len() + data.len() > limit {
                return Err(BodyError::TooLong(limit as u64));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}
