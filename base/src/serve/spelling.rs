//! The spelling of header names in answers of HTTP/1.
//!
//! Old clients of Swift, and many a script, look for `X-Storage-Url` and `X-Object-Meta-Color`, so names are in title case. Clients
//! of S3 take the part of a name behind `x-amz-meta-` for the key of an item, as it stands, and S3 spells it in small
//! letters. hyper spells all names of a connection in the same way; so names that begin with `X-Amz-` are made small
//! here, on their way out. No length changes, and no byte outside of a head.
//!
//! For that the answers are told apart by their framing, as hyper writes it: no body (to HEAD, 1xx, 204, 304), a length, chunks,
//! or all that comes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a head, and of what follows in the same write, that are spelled and written at once.
const WRITE_BYTES: usize = 16 * 1024;
/// No name that matters is longer.
const KNOWN_BYTES: usize = 20;
const SMALL: &[u8] = b"x-amz-";

/// What answers are to, in order: whether to HEAD. hyper answers one request after the other, so there are one or two.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<Mutex<VecDeque<bool>>>);

impl Asked {
    /// An answer to this method comes next.
    pub(super) fn push(&self, method: &Method) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(*method == Method::HEAD);
    }

    fn pop(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or_default()
    }
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first line of a head.
    Status,
    /// A name, or the end of the head.
    Name,
    Value,
    /// So many more bytes of a body or a chunk.
    Data {
        left: u64,
        chunked: bool,
    },
    /// A line with the size of a chunk.
    Size,
    /// Trailers, at the beginning of a line or within one.
    Trailers {
        begins: bool,
    },
    /// All that comes is body.
    Endless,
}

/// Where the writer is among the answers of one connection.
#[derive(Clone, Copy, Debug)]
struct Answers {
    place: Place,
    /// Bytes of the line, or of the name, so far; the first of them in small letters.
    known: [u8; KNOWN_BYTES],
    seen: usize,
    status: u16,
    length: Option<u64>,
    chunked: bool,
    /// The number that is being read.
    number: u64,
}

impl Answers {
    const START: Self = Self {
        place: Place::Status,
        known: [0; KNOWN_BYTES],
        seen: 0,
        status: 0,
        length: None,
        chunked: false,
        number: 0,
    };

    /// Goes on over bytes that are written. Makes names small if it may change them.
    fn pass(&mut self, bytes: &mut [u8], asked: &mut dyn FnMut() -> bool) {
        let mut at = 0;
        while at < bytes.len() {
            match self.place {
                Place::Endless => return,
                Place::Data { left, chunked } => {
                    let step = usize::try_from(left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                    at += step;
                    self.data(left - step as u64, chunked);
                }
                _ => {
                    self.byte(bytes, at, asked);
                    at += 1;
                }
            }
        }
    }

    fn data(&mut self, left: u64, chunked: bool) {
        self.place = match (left, chunked) {
            (0, false) => return *self = Self::START,
            (0, true) => {
                (self.number, self.seen) = (0, 0);
                Place::Size
            }
            _ => Place::Data { left, chunked },
        };
    }

    fn byte(&mut self, bytes: &mut [u8], at: usize, asked: &mut dyn FnMut() -> bool) {
        let byte = bytes[at];
        match self.place {
            Place::Status => self.status_line(byte),
            Place::Name if byte == b'\n' && self.seen <= 1 => self.head_ends(asked),
            Place::Name if byte == b':' => self.name_ends(&mut bytes[..at]),
            Place::Name => self.know(byte),
            Place::Value => self.value(byte),
            Place::Size => self.size(byte),
            Place::Trailers { begins: true } if byte == b'\n' => *self = Self::START,
            Place::Trailers { begins } => {
                self.place = Place::Trailers { begins: byte == b'\n' || begins && byte == b'\r' };
            }
            Place::Data { .. } | Place::Endless => {}
        }
    }

    fn know(&mut self, byte: u8) {
        if let Some(place) = self.known.get_mut(self.seen) {
            *place = byte.to_ascii_lowercase();
        }
        self.seen += 1;
    }

    fn known(&self) -> &[u8] {
        &self.known[..self.seen.min(KNOWN_BYTES)]
    }

    /// `HTTP/1.1 200 OK`: the number is behind the first space.
    fn status_line(&mut self, byte: u8) {
        if byte == b'\n' {
            let digits = self.known().get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
            self.status = digits.and_then(|digits| digits.parse().ok()).unwrap_or_default();
            (self.place, self.seen) = (Place::Name, 0);
        } else {
            self.know(byte);
        }
    }

    fn name_ends(&mut self, before: &mut [u8]) {
        if self.known().starts_with(SMALL) {
            // What was written of it before was seen to its end then.
            let here = before.len().saturating_sub(self.seen);
            before[here..].make_ascii_lowercase();
        }
        (self.place, self.number) = (Place::Value, 0);
    }

    fn value(&mut self, byte: u8) {
        if byte == b'\n' {
            match self.known() {
                b"content-length" => self.length = Some(self.number),
                b"transfer-encoding" => self.chunked = true,
                _ => {}
            }
            (self.place, self.seen) = (Place::Name, 0);
        } else if byte.is_ascii_digit() {
            self.number = self.number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        }
    }

    fn head_ends(&mut self, asked: &mut dyn FnMut() -> bool) {
        let is_interim = matches!(self.status, 100..200);
        let is_bare = !is_interim && asked() || matches!(self.status, 100..200 | 204 | 304);
        self.place = match (self.chunked, self.length) {
            _ if is_bare => Place::Status,
            (true, _) => Place::Size,
            (false, Some(0)) => Place::Status,
            (false, Some(left)) => Place::Data { left, chunked: false },
            (false, None) => Place::Endless,
        };
        *self = Self { place: self.place, ..Self::START };
    }

    fn size(&mut self, byte: u8) {
        match (byte, char::from(byte).to_digit(16)) {
            (b'\n', _) if self.number == 0 => self.place = Place::Trailers { begins: true },
            // And the end of its line.
            (b'\n', _) => self.place = Place::Data { left: self.number.saturating_add(2), chunked: true },
            (_, Some(digit)) => self.number = self.number.wrapping_mul(16).wrapping_add(u64::from(digit)),
            _ => {}
        }
    }
}

/// A connection whose answers are spelled.
pub(super) struct Spelled<T> {
    inner: T,
    answers: Answers,
    asked: Asked,
    /// What is being written.
    scratch: Vec<u8>,
}

impl<T: AsyncWrite + Unpin> Spelled<T> {
    pub(super) fn new(inner: T, asked: Asked) -> Self {
        Self { inner, answers: Answers::START, asked, scratch: Vec::new() }
    }

    /// Whether so many bytes are part of a body and may go as they are.
    fn are_data(&self, len: usize) -> bool {
        match self.answers.place {
            Place::Endless => true,
            Place::Data { left, .. } => len as u64 <= left,
            _ => false,
        }
    }

    fn passed(&mut self, len: usize) {
        if let Place::Data { left, chunked } = self.answers.place {
            self.answers.data(left - len as u64, chunked);
        }
    }

    /// Writes a first piece, spelled.
    fn poll_write_spelled<'b>(
        &mut self,
        cx: &mut Context<'_>,
        bufs: impl Iterator<Item = &'b [u8]>,
    ) -> Poll<io::Result<usize>> {
        self.scratch.clear();
        for buf in bufs {
            let room = WRITE_BYTES - self.scratch.len();
            self.scratch.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        // What the writer is at now, and where it will be if only a part of it goes.
        let (before, mut heads) = (self.answers, Vec::new());
        let asked = &self.asked;
        let mut answers = before;
        answers.pass(&mut self.scratch, &mut || {
            let head = asked.pop();
            heads.push(head);
            head
        });
        // A name that is cut goes with what follows it.
        let whole = match answers.place {
            Place::Name if answers.seen < self.scratch.len() => self.scratch.len() - answers.seen,
            _ => self.scratch.len(),
        };
        let written = Pin::new(&mut self.inner).poll_write(cx, &self.scratch[..whole]);
        let len = if let Poll::Ready(Ok(len)) = written { len } else { 0 };
        let mut told = heads.iter().copied();
        let mut taken = 0;
        self.answers = before;
        self.answers.pass(&mut self.scratch[..len], &mut || {
            taken += 1;
            told.next().unwrap_or_default()
        });
        self.asked.give_back(&heads[taken.min(heads.len())..]);
        written
    }
}

impl Asked {
    fn give_back(&self, heads: &[bool]) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().rev().for_each(|head| asked.push_front(*head));
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Spelled<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Spelled<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.are_data(buf.len()) {
            return self.poll_write_spelled(cx, std::iter::once(buf));
        }
        let len = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.passed(len);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.are_data(bufs.iter().map(|buf| buf.len()).sum()) {
            return self.poll_write_spelled(cx, bufs.iter().map(|buf| &**buf));
        }
        let len = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.passed(len);
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
