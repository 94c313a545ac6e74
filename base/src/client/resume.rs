//! An object's body that goes on at another replica when one breaks off.
//!
//! A single range goes on by asking for the rest of it. A multi-range body is asked for again, with the same boundary
//! between its parts, and so is a whole one; the bytes that the client has already are skipped. Only a replica with the same
//! ETag, length and place will do: two versions are never mixed.
//!
//! A whole body is read again because what broke off may have been damage: an object server finds a wrong MD5 only at the
//! end, when it keeps back the last bytes, and the rest of a good copy would make the bad bytes look complete. The replica that
//! goes on checks its own MD5, and the bytes that are skipped must have the CRC-32 of those that were sent, or the
//! client's connection is cut. It costs a read of what was sent, only when a node fails in the middle of a download.

use std::sync::Arc;

use bytes::Bytes;
use crc32fast::Hasher;
use futures_util::stream;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::nodes::Node;
use super::read::Search;
use crate::body::{Body, BodyError};

/// Told by a proxy's middleware to ignore a range; the rest of a body is a range that must not be ignored.
const IGNORE_RANGE: &str = "x-backend-ignore-range-if-metadata-present";

/// The bytes that a response's body stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    etag: HeaderValue,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// All of the object.
    Whole { length: u64 },
    /// The object's bytes from `start` to `end`, both included.
    Range { start: u64, end: u64, total: u64 },
    /// Several ranges with text between them.
    Multipart { content_type: HeaderValue, length: u64 },
}

impl Piece {
    /// What a response's head announces, if its body could go on elsewhere: its length and ETag are known.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let etag = head.headers.get(header::ETAG)?.clone();
        let length = content_length(&head.headers).filter(|length| *length > 0)?;
        let shape = match head.status {
            StatusCode::OK => Shape::Whole { length },
            StatusCode::PARTIAL_CONTENT => match head.headers.get(header::CONTENT_RANGE) {
                Some(range) => {
                    let (start, end, total) = content_range(range.to_str().ok()?)?;
                    (end - start == length - 1).then_some(Shape::Range { start, end, total })?
                }
                None => Shape::Multipart { content_type: head.headers.get(header::CONTENT_TYPE)?.clone(), length },
            },
            _ => return None,
        };
        Some(Self { etag, shape })
    }

    /// How many bytes the body has.
    fn length(&self) -> u64 {
        match &self.shape {
            Shape::Range { start, end, .. } => end - start + 1,
            Shape::Whole { length } | Shape::Multipart { length, .. } => *length,
        }
    }

    /// What is left of it after its first `sent` bytes, and how many bytes of the next body to skip.
    fn rest(&self, sent: u64) -> (Self, u64) {
        match &self.shape {
            Shape::Range { start, end, total } => {
                let shape = Shape::Range { start: start + sent, end: *end, total: *total };
                (Self { etag: self.etag.clone(), shape }, 0)
            }
            Shape::Whole { .. } | Shape::Multipart { .. } => (self.clone(), sent),
        }
    }

    /// Changes a request's headers so that it asks for this piece of the version whose ETag is known.
    fn ask_in(&self, headers: &mut HeaderMap) {
        // These have been answered once; the ETag is compared when the answer comes.
        let conditions = [
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
            header::IF_RANGE,
        ];
        for condition in conditions {
            headers.remove(condition);
        }
        headers.remove(IGNORE_RANGE);
        if let Shape::Range { start, end, .. } = self.shape
            && let Ok(range) = HeaderValue::try_from(format!("bytes={start}-{end}"))
        {
            headers.insert(header::RANGE, range);
        }
    }

    /// Whether a response has exactly this piece.
    pub(super) fn goes_on_in(&self, head: &Parts) -> bool {
        Self::of(head).is_some_and(|piece| piece == *self)
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `bytes 5-9/20` as start, end and total; only if they make sense.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end, total) = (start.parse().ok()?, end.parse().ok()?, total.parse().ok()?);
    (start <= end && end < total).then_some((start, end, total))
}

/// A body that `search` goes on with when `node` breaks off.
pub(super) fn body(search: Search, piece: Piece, node: Node, body: Body) -> Body {
    let length = piece.length();
    // In a box, because the state moves with each chunk.
    let (seen, again) = (Hasher::new(), Hasher::new());
    let reading = Box::new(Reading { search, piece, node, body, length, sent: 0, seen, skip: 0, again });
    let chunks = stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await? {
            Ok(chunk) => Some((Ok(Frame::data(chunk)), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    });
    StreamBody::new(chunks).boxed_unsync()
}

struct Reading {
    search: Search,
    piece: Piece,
    node: Node,
    body: Body,
    length: u64,
    sent: u64,
    /// The CRC-32 of the bytes that were sent.
    seen: Hasher,
    /// Bytes of the present body that the client has already.
    skip: u64,
    /// The CRC-32 of those that were skipped so far.
    again: Hasher,
}

/// No replica is left to go on with.
#[derive(Debug, thiserror::Error)]
#[error("the object broke off after {sent} of {length} bytes and no other replica has the rest: {last}")]
struct BrokeOff {
    sent: u64,
    length: u64,
    last: BodyError,
}

/// Two replicas of one version begin differently: one of them is damaged, and the client may have bytes of that one.
#[derive(Debug, thiserror::Error)]
#[error("the first {sent} bytes of the object differ between two replicas")]
struct Differs {
    sent: u64,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let broken = match self.body.frame().await {
                Some(Ok(frame)) => match self.take(frame.into_data().unwrap_or_default()) {
                    Ok(chunk) if chunk.is_empty() => continue,
                    taken => return Some(taken),
                },
                _ if self.sent == self.length => return None,
                Some(Err(error)) => error,
                None => BodyError::Source("the body is shorter than its Content-Length".into()),
            };
            if let Err(error) = self.resume(broken).await {
                return Some(Err(error));
            }
        }
    }

    /// What is new of a chunk; what is not must be the same as before.
    fn take(&mut self, mut chunk: Bytes) -> Result<Bytes, BodyError> {
        let known = chunk.split_to(usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len()));
        self.again.update(&known);
        self.skip -= known.len() as u64;
        if self.skip == 0 && !known.is_empty() && self.again.clone().finalize() != self.seen.clone().finalize() {
            let differs = Differs { sent: self.sent };
            tracing::error!(node = self.node.name, %differs, "a read is cut short");
            return Err(BodyError::Source(Box::new(differs)));
        }
        self.sent += chunk.len() as u64;
        // Behind the last byte nothing goes on that would have to be compared.
        if self.sent < self.length {
            self.seen.update(&chunk);
        }
        Ok(chunk)
    }

    async fn resume(&mut self, broken: BodyError) -> Result<(), BodyError> {
        let route = Arc::clone(&self.search.route);
        route.failed(&self.node, &broken);
        let (rest, skip) = self.piece.rest(self.sent);
        rest.ask_in(&mut self.search.headers);
        self.search.wanted = Some(rest);
        let Some(source) = self.search.find().await else {
            let broken = BrokeOff { sent: self.sent, length: self.length, last: broken };
            return Err(BodyError::Source(Box::new(broken)));
        };
        tracing::info!(
            from = self.node.name,
            to = source.node.name,
            sent = self.sent,
            "a read goes on at another replica"
        );
        route.inner.stats.resumed();
        (self.node, self.body, self.skip, self.again) = (source.node, source.body, skip, Hasher::new());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
        let response = headers.iter().fold(http::Response::builder().status(status), |r, (n, v)| r.header(*n, *v));
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_rest_of_a_range() {
        let first = head(206, &[("etag", "x"), ("content-length", "5"), ("content-range", "bytes 5-9/20")]);
        let (rest, skip) = Piece::of(&first).unwrap().rest(2);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("y"));
        rest.ask_in(&mut headers);
        assert_eq!((headers[header::RANGE].to_str().unwrap(), skip), ("bytes=7-9", 0));
        assert!(!headers.contains_key(header::IF_NONE_MATCH));

        let good = head(206, &[("etag", "x"), ("content-length", "3"), ("content-range", "bytes 7-9/20")]);
        assert!(rest.goes_on_in(&good));
        for (etag, range) in [("y", "bytes 7-9/20"), ("x", "bytes 6-8/20"), ("x", "bytes 7-9/21")] {
            let other = head(206, &[("etag", etag), ("content-length", "3"), ("content-range", range)]);
            assert!(!rest.goes_on_in(&other), "{etag} {range}");
        }
        assert!(!rest.goes_on_in(&head(200, &[("etag", "x"), ("content-length", "20")])));
    }

    #[test]
    fn a_whole_body_is_asked_for_again() {
        let whole = |etag, length| head(200, &[("etag", etag), ("content-length", length)]);
        let (rest, skip) = Piece::of(&whole("x", "20")).unwrap().rest(7);
        let mut headers = HeaderMap::new();
        rest.ask_in(&mut headers);
        assert_eq!((headers.get(header::RANGE), skip), (None, 7));
        assert!(rest.goes_on_in(&whole("x", "20")));
        assert!(!rest.goes_on_in(&whole("y", "20")) && !rest.goes_on_in(&whole("x", "21")));
        assert!(
            !rest
                .goes_on_in(&head(206, &[("etag", "x"), ("content-length", "20"), ("content-range", "bytes 0-19/20")]))
        );
    }

    #[test]
    fn a_multipart_body_is_asked_for_again() {
        let parts = [("etag", "x"), ("content-length", "99"), ("content-type", "multipart/byteranges;boundary=b")];
        let piece = Piece::of(&head(206, &parts)).unwrap();
        let (rest, skip) = piece.rest(42);
        assert_eq!(skip, 42);
        assert!(rest.goes_on_in(&head(206, &parts)));
        let other = [parts[0], parts[1], ("content-type", "multipart/byteranges;boundary=c")];
        assert!(!rest.goes_on_in(&head(206, &other)));
    }

    #[test]
    fn lies_are_not_resumed() {
        assert_eq!(
            Piece::of(&head(206, &[("etag", "x"), ("content-length", "6"), ("content-range", "bytes 5-9/20")])),
            None
        );
        assert_eq!(Piece::of(&head(200, &[("content-length", "6")])), None);
        assert_eq!(Piece::of(&head(200, &[("etag", "x")])), None);
    }

    proptest! {
        #[test]
        fn any_content_range_is_read_or_refused(text in "bytes [0-9]{0,22}-[0-9]{0,22}/[0-9*]{0,22}|\\PC{0,20}") {
            if let Some((start, end, total)) = content_range(&text) {
                prop_assert!(start <= end && end < total);
            }
        }
    }
}
