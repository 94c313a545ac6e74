//! Bodies on their way through the cipher, chunk by chunk, without a copy where the chunk is ours alone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use apus_base::body::{Body, BodyError};
use apus_base::crypto::{BodyKey, Cipher};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

/// The longest head of a part of a multi-range body: its boundary, content type and range, each a short line.
const MAX_PART_HEAD_BYTES: usize = 16 * 1024;

/// The bytes of a chunk, to be changed.
pub(super) fn own(chunk: Bytes) -> BytesMut {
    chunk.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

/// An object server's body.
pub(super) struct Decrypting {
    inner: Body,
    layout: Layout,
}

enum Layout {
    /// The object from some byte on.
    Bytes(Box<Cipher>),
    /// Several ranges, each behind a head that says where it is from.
    Parts(Parts),
}

/// An object server's body makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadBody {
    #[error("a Content-Range of an encrypted object cannot be read")]
    Range,
    #[error("the head of a part of an encrypted object's ranges is too long")]
    LongHead,
}

impl Decrypting {
    /// The plaintext of a response that has these headers.
    pub(super) fn wrap(inner: Body, headers: &HeaderMap, key: BodyKey) -> Result<Body, BadBody> {
        let is_multipart = |kind: &HeaderValue| kind.as_bytes().starts_with(b"multipart/byteranges");
        let layout = match headers.get(CONTENT_RANGE) {
            Some(range) => {
                let (start, _) = range.to_str().ok().and_then(content_range).ok_or(BadBody::Range)?;
                Layout::Bytes(Box::new(Cipher::at(&key.key, &key.iv, start)))
            }
            None => Layout::Bytes(Box::new(Cipher::new(&key.key, &key.iv))),
        };
        let layout = match headers.get(CONTENT_TYPE) {
            // An object may be of this type by itself.
            Some(kind) if is_multipart(kind) && headers.get(CONTENT_RANGE).is_none() => Layout::Parts(Parts::new(key)),
            _ => layout,
        };
        Ok(Self { inner, layout }.boxed_unsync())
    }
}

impl http_body::Body for Decrypting {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let Ok(chunk) = frame.into_data() else { return Poll::Ready(None) };
        let mut chunk = own(chunk);
        let applied = match &mut self.layout {
            Layout::Bytes(cipher) => {
                cipher.apply(&mut chunk);
                Ok(())
            }
            Layout::Parts(parts) => parts.apply(&mut chunk),
        };
        let opened = applied.map(|()| Frame::data(chunk.freeze())).map_err(|bad| BodyError::Source(Box::new(bad)));
        Poll::Ready(Some(opened))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// `bytes 5-9/20` as the first byte and the number of bytes.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, _) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

/// A `multipart/byteranges` body.
pub(super) struct Parts {
    key: BodyKey,
    place: Place,
}

enum Place {
    /// In a head, or after the last part; with what has come of it.
    Head(Vec<u8>),
    /// In a part's bytes, and how many are left.
    Data(Box<Cipher>, u64),
}

impl Parts {
    pub(super) fn new(key: BodyKey) -> Self {
        Self { key, place: Place::Head(Vec::new()) }
    }

    /// Decrypts what is the object's in the next piece, in place.
    pub(super) fn apply(&mut self, mut piece: &mut [u8]) -> Result<(), BadBody> {
        while !piece.is_empty() {
            let taken = match &mut self.place {
                Place::Head(head) => {
                    let (taken, ended) = read_head(head, piece)?;
                    if ended {
                        let (first, length) = part_range(head).ok_or(BadBody::Range)?;
                        let cipher = Cipher::at(&self.key.key, &self.key.iv, first);
                        self.place = Place::Data(Box::new(cipher), length);
                    }
                    taken
                }
                Place::Data(cipher, left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                    cipher.apply(&mut piece[..taken]);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.place = Place::Head(Vec::new());
                    }
                    taken
                }
            };
            piece = &mut piece[taken..];
        }
        Ok(())
    }
}

/// Takes bytes up to the empty line, and says how many and whether it came.
fn read_head(head: &mut Vec<u8>, piece: &[u8]) -> Result<(usize, bool), BadBody> {
    for (at, byte) in piece.iter().enumerate() {
        head.push(*byte);
        if head.ends_with(b"\r\n\r\n") {
            return Ok((at + 1, true));
        }
        if head.len() > MAX_PART_HEAD_BYTES {
            return Err(BadBody::LongHead);
        }
    }
    Ok((piece.len(), false))
}

fn part_range(head: &[u8]) -> Option<(u64, u64)> {
    let lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let headers = lines.filter_map(|line| line.split_once(':'));
    let mut ranges = headers.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-range"));
    ranges.next().and_then(|(_, value)| content_range(value))
}
