//! A connection whose first bytes may already have been received, and whose requests' targets are made fit for hyper on
//! the way ([`Heads`]).
//!
//! Bodies are read straight into the reader's buffer. Heads and the sizes of chunks pass through a buffer of our own,
//! which holds at most one head beyond what the reader takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio_util::io::poll_read_buf;

use super::heads::Heads;

/// Read at once where the bytes must be looked at.
const READ_BYTES: usize = 8 * 1024;

/// The connection. What is written goes out as it is.
pub(super) struct Stream<T> {
    inner: Take<T>,
    heads: Heads,
    /// Received and not yet judged.
    received: BytesMut,
    /// Judged and not yet read.
    ready: BytesMut,
}

impl<T: AsyncRead + Unpin> Stream<T> {
    /// A connection that begins with `received`, of which nothing is changed.
    pub(super) fn opaque(inner: T, received: BytesMut) -> Self {
        Self::with(inner, received, Heads::opaque())
    }

    /// A connection of HTTP/1 requests that begins with `received`.
    pub(super) fn of_requests(inner: T, received: BytesMut) -> Self {
        Self::with(inner, received, Heads::new())
    }

    fn with(inner: T, received: BytesMut, heads: Heads) -> Self {
        Self { inner: inner.take(u64::MAX), heads, received, ready: BytesMut::new() }
    }

    /// Reads what is ready, and makes more of it ready as long as there is room.
    fn read_ready(&mut self, buf: &mut ReadBuf<'_>) {
        while buf.remaining() > 0 {
            if self.ready.is_empty() {
                match self.heads.next(&mut self.received) {
                    Some(piece) => self.ready = piece,
                    None => return,
                }
            }
            let len = self.ready.len().min(buf.remaining());
            buf.put_slice(&self.ready[..len]);
            self.ready.advance(len);
        }
    }

    /// Reads from the connection into the reader's own buffer.
    fn poll_read_unseen(&mut self, limit: u64, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        self.inner.set_limit(limit);
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.heads.passed(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }

    /// Receives bytes to be looked at; `false` at the end of the connection.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.inner.set_limit(u64::MAX);
        self.received.reserve(READ_BYTES);
        let len = ready!(poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.received))?;
        Poll::Ready(Ok(len > 0))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            self.read_ready(buf);
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(limit) = self.heads.unseen() {
                return self.poll_read_unseen(limit, cx, buf);
            }
            if !ready!(self.poll_receive(cx))? {
                // The end came in the middle of something: the reader shall see how much there was.
                let this = &mut *self;
                match this.heads.give_up(&mut this.received) {
                    Some(rest) => this.ready = rest,
                    None => return Poll::Ready(Ok(())),
                }
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
