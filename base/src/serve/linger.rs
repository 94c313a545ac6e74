//! The end of a connection whose last request was answered before its body had been read: a refusal, mostly.
//!
//! Most clients read the answer only when they have sent everything. If the socket were closed at once, what they still send would be
//! answered with a reset, and that throws away the answer on their side. So the answer says `Connection: close`, our
//! side of the connection is shut, and what still comes is read and forgotten for a moment, until the client closes too (RFC
//! 9112, 9.6). Reading here is below TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long it may be until something comes.
const PAUSE: Duration = Duration::from_secs(5);
/// How long it may go on. Whoever sends for longer does not get to know why it was refused.
const LONGEST: Duration = Duration::from_secs(30);
/// Read at once.
const READ_BYTES: usize = 64 * 1024;

/// Whether something was left unread on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request's body that tells when it is dropped before its end.
pub(super) struct Watched<B: http_body::Body> {
    inner: B,
    ended: bool,
    unread: Unread,
}

impl<B: http_body::Body> Watched<B> {
    pub(super) fn new(inner: B, unread: &Unread) -> Self {
        Self { inner, ended: false, unread: unread.clone() }
    }
}

impl<B: http_body::Body> Drop for Watched<B> {
    fn drop(&mut self) {
        if !self.ended && !self.inner.is_end_stream() {
            self.unread.0.store(true, Ordering::Relaxed);
        }
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection that reads on after it is shut, if something was left unread.
pub(super) struct Lingering<T> {
    inner: T,
    unread: Unread,
    shut: Option<Shut>,
}

/// Our side is shut.
struct Shut {
    until: Instant,
    pause: Pin<Box<Sleep>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Lingering<T> {
    pub(super) fn new(inner: T, unread: Unread) -> Self {
        Self { inner, unread, shut: None }
    }

    /// Reads until nothing comes any more.
    fn poll_forget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shut = self.shut.get_or_insert_with(|| Shut {
            until: Instant::now() + LONGEST,
            pause: Box::pin(tokio::time::sleep(PAUSE)),
        });
        let mut forgotten = vec![0; READ_BYTES];
        loop {
            let mut buf = ReadBuf::new(&mut forgotten);
            let read = Pin::new(&mut self.inner).poll_read(cx, &mut buf);
            let now = Instant::now();
            match read {
                Poll::Pending => return shut.pause.as_mut().poll(cx),
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && now < shut.until => {
                    shut.pause.as_mut().reset((now + PAUSE).min(shut.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Lingering<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shut.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        }
        if self.unread.get() {
            ready!(self.poll_forget(cx));
        }
        Poll::Ready(Ok(()))
    }
}
