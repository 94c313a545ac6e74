//! The body of a GET: pieces of a file, and the text between them, read ahead in large chunks.
//!
//! A task reads through the device's queue, what is in memory without it, and stays one chunk in front of the client; when the client reads
//! no more, neither does the task. When the whole object is sent its [sum](super::sum) is checked before the last chunk is let go, so that a
//! damaged one never looks complete: the connection is cut short instead, and the object goes to quarantine.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apus_base::body::{Body, BodyError};
use apus_base::timestamp::Timestamp;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use rustix::buffer::spare_capacity;
use rustix::io::{pread, retry_on_intr};
use tokio::sync::mpsc;

use super::metrics::Counters;
use super::sum::Check;
use crate::store::audit::is_damage;
use crate::store::quarantine::{Finder, quarantine};
use crate::store::{Location, cached};

/// Chunks that wait for the client while the next is read. More would not be faster, and a slow client would hold them.
const READ_AHEAD: usize = 1;

/// The longest body that one of Tokio's threads reads and checks by itself: some 20 us, or 100 where it is held to its MD5.
const MAX_WHOLE_CACHED: usize = 64 * 1024;

/// One piece of a body.
#[derive(Debug)]
pub(super) enum Piece {
    /// Text of a multipart body.
    Text(Bytes),
    /// Bytes of the object.
    File(Range<u64>),
}

/// A body that is still to be read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) location: Location,
    /// The timestamp of the file.
    pub(super) version: Timestamp,
    pub(super) file: File,
    pub(super) pieces: VecDeque<Piece>,
    pub(super) chunk_size: usize,
    /// When all of the object is sent: whether it still is what was written.
    pub(super) check: Option<Check>,
}

/// Why a body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The object is not what was written; it has been moved to quarantine.
    #[error("the object is damaged: {0}")]
    Damaged(String),
    /// The disk's trouble.
    #[error("cannot read the object: {0}")]
    Disk(#[from] io::Error),
}

impl Source {
    /// The bytes of the object that are still to be read.
    pub(super) fn file_bytes(&self) -> u64 {
        self.pieces.iter().map(|p| if let Piece::File(range) = p { range.end - range.start } else { 0 }).sum()
    }

    /// Whether it is more than one chunk.
    pub(super) fn is_long(&self) -> bool {
        self.file_bytes() > self.chunk_size as u64
    }

    /// All of a short body of one piece, if it is in memory and sound. Does not wait for the disk.
    pub(super) fn whole_cached(mut self) -> Option<Bytes> {
        let (Some(Piece::File(range)), None) = (self.pieces.pop_front(), self.pieces.front()) else { return None };
        let length = usize::try_from(range.end - range.start).ok().filter(|length| *length <= MAX_WHOLE_CACHED)?;
        let bytes = Bytes::from(cached::read(&self.file, range.start, length)?);
        if let Some(mut check) = self.check {
            check.update(&bytes);
            // Whoever asks the disk finds out, too, and moves it to quarantine.
            check.finish().ok()?;
        }
        Some(bytes)
    }

    /// The next chunk, if it is in memory and not the last of its piece, after which there may be a sum to look at. Does not wait for the disk.
    fn next_cached(&mut self) -> Option<Bytes> {
        let Some(Piece::File(range)) = self.pieces.front_mut() else { return None };
        let next = range.start + self.chunk_size as u64;
        if next >= range.end {
            return None;
        }
        let chunk = Bytes::from(cached::read(&self.file, range.start, self.chunk_size)?);
        range.start = next;
        if let Some(check) = &mut self.check {
            check.update(&chunk);
        }
        Some(chunk)
    }

    /// Reads all of a short body. Blocking.
    pub(super) fn read_whole(&mut self) -> Result<Bytes, SourceError> {
        let first = self.read_next()?.unwrap_or_default();
        let Some(second) = self.read_next()? else {
            return Ok(first);
        };
        let mut whole = [first, second].concat();
        while let Some(chunk) = self.read_next()? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }

    /// Reads the next chunk; `None` after the last. Blocking.
    pub(super) fn read_next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let Some(piece) = self.pieces.pop_front() else {
            // An object of no bytes has no piece, but a sum all the same.
            return self.verify().map(|()| None);
        };
        let range = match piece {
            Piece::Text(text) => return Ok(Some(text)),
            Piece::File(range) => range,
        };
        let chunk = self.read_chunk(&range)?;
        let next = range.start + chunk.len() as u64;
        if next < range.end {
            self.pieces.push_front(Piece::File(next..range.end));
        }
        if let Some(check) = &mut self.check {
            check.update(&chunk);
        }
        if self.pieces.is_empty() {
            self.verify()?;
        }
        Ok(Some(chunk))
    }

    fn read_chunk(&mut self, range: &Range<u64>) -> Result<Bytes, SourceError> {
        let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(self.chunk_size);
        match read_exactly(&self.file, range.start, wanted) {
            Ok(chunk) => Ok(chunk),
            Err(error) if is_damage(&error) => Err(self.damaged(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks at the sum, once.
    fn verify(&mut self) -> Result<(), SourceError> {
        self.check.take().map_or(Ok(()), Check::finish).map_err(|why| self.damaged(why))
    }

    fn damaged(&self, why: String) -> SourceError {
        if let Err(error) = quarantine(&self.location, self.version, Finder::Request, &why) {
            tracing::error!(%error, object = self.location.name, "a damaged object stays where it is");
        }
        SourceError::Damaged(why)
    }

    /// Reads and sends until the end, the first failure, or nobody listening.
    async fn send(mut self, to: mpsc::Sender<Result<Bytes, BodyError>>, counters: Counters) {
        let queue = self.location.device.queue().clone();
        loop {
            if let Some(chunk) = self.next_cached() {
                if to.send(Ok(chunk)).await.is_err() {
                    return;
                }
                continue;
            }
            let read = queue.go_on(move || {
                let chunk = self.read_next();
                (self, chunk)
            });
            let chunk = match read.await {
                Ok((source, Ok(Some(chunk)))) => {
                    self = source;
                    Ok(chunk)
                }
                Ok((_, Ok(None))) => return,
                Ok((source, Err(error))) => {
                    tracing::error!(%error, object = source.location.name, "a body is cut short");
                    if matches!(error, SourceError::Damaged(_)) {
                        counters.quarantines.inc();
                    }
                    let _ = to.send(Err(BodyError::Source(Box::new(error)))).await;
                    return;
                }
                Err(error) => {
                    let _ = to.send(Err(BodyError::Source(Box::new(error)))).await;
                    return;
                }
            };
            if to.send(chunk).await.is_err() {
                return;
            }
        }
    }

    /// The body, which a task of its own reads.
    pub(super) fn into_body(self, counters: Counters) -> Body {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let sent = Arc::new(counters.clone());
        tokio::spawn(self.send(sender, counters));
        Received { receiver, sent }.boxed_unsync()
    }
}

fn read_exactly(file: &File, from: u64, wanted: usize) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(wanted);
    while chunk.len() < wanted {
        let at = from + chunk.len() as u64;
        if retry_on_intr(|| pread(file, spare_capacity(&mut chunk), at))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    chunk.truncate(wanted);
    Ok(chunk.into())
}

struct Received {
    receiver: mpsc::Receiver<Result<Bytes, BodyError>>,
    sent: Arc<Counters>,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let chunk = std::task::ready!(self.receiver.poll_recv(cx));
        if let Some(Ok(chunk)) = &chunk {
            self.sent.bytes_out.inc_by(chunk.len() as u64);
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
