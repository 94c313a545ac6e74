//! Requests that are answered before their body has been read: refusals, mostly.
//!
//! What is left is read and forgotten, if it is little and comes at once; then the connection goes on. Otherwise it ends. Most clients read the answer only when they have sent everything. If the socket were closed at once, what they still send would be
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
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// So much is read for the next request on a connection.
const LITTLE_BYTES: usize = 64 * 1024;
/// And for so long the answer waits for that.
const AT_ONCE: Duration = Duration::from_millis(100);
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

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request's body that is given back when it is dropped before its end.
pub(super) struct Watched<B: http_body::Body> {
    /// Until it is dropped.
    inner: Option<B>,
    back: Option<oneshot::Sender<B>>,
    unread: Unread,
}

/// What comes back of a body.
pub(super) struct Rest<B> {
    back: oneshot::Receiver<B>,
    unread: Unread,
}

impl<B: http_body::Body> Watched<B> {
    pub(super) fn new(inner: B, unread: &Unread) -> (Self, Rest<B>) {
        let (give, back) = oneshot::channel();
        let body = Self { inner: Some(inner), back: Some(give), unread: unread.clone() };
        (body, Rest { back, unread: unread.clone() })
    }
}

impl<B: http_body::Body> Drop for Watched<B> {
    fn drop(&mut self) {
        let Some(left) = self.inner.take().filter(|inner| !inner.is_end_stream()) else { return };
        // Once it is answered nobody takes it back.
        if self.back.take().is_none_or(|back| back.send(left).is_err()) {
            self.unread.set();
        }
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> Rest<B> {
    /// Reads what was left, unless the client waits to be asked for it.
    pub(super) async fn forget(mut self, is_awaited: bool) {
        let Ok(mut left) = self.back.try_recv() else { return };
        let reading = async {
            let mut bytes = 0;
            while let Some(frame) = left.frame().await {
                bytes += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
                if frame.is_err() || bytes > LITTLE_BYTES {
                    return false;
                }
            }
            true
        };
        if is_awaited || !tokio::time::timeout(AT_ONCE, reading).await.unwrap_or_default() {
            self.unread.set();
        }
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), B::size_hint)
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
