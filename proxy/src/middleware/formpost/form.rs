//! A form of `multipart/form-data`, read as it arrives.
//!
//! The parser is multer's. It takes all that its source has ready before it gives anything back, and looks for the end
//! of a part's head in as much as there is; so its source is [`Metered`], which gives one piece at a time and no more
//! than a head's worth of them in a row that nobody takes.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Poller, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use multer::{Field, Multipart};

use apus_base::body::{Body, BodyError};

/// What a part's head, or what stands before the first part, may be long.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Why a form, or a file of one, could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// It does not begin as a form does.
    #[error("invalid starting boundary")]
    Start,
    /// A file is longer than the form allows.
    #[error("max_file_size exceeded")]
    TooLarge,
    /// The bytes are no form, or end in the midst of it.
    #[error("{0}")]
    Form(multer::Error),
    /// The client did not send all.
    #[error(transparent)]
    Body(BodyError),
}

impl From<multer::Error> for Broken {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamReadFailed(source) => match source.downcast::<BodyError>() {
                Ok(error) => Self::Body(*error),
                Err(other) => Self::Form(multer::Error::StreamReadFailed(other)),
            },
            other => Self::Form(other),
        }
    }
}

/// A form, part by part.
pub(crate) struct Form {
    parts: Multipart<'static>,
    /// What was read and not yet taken.
    untaken: Arc<AtomicUsize>,
    begun: bool,
}

impl Form {
    pub(crate) fn new(body: Body, boundary: &str) -> Self {
        let untaken = Arc::<AtomicUsize>::default();
        let source = Metered { body, untaken: Arc::clone(&untaken), rests: false };
        Self { parts: Multipart::new(source, boundary), untaken, begun: false }
    }

    /// The next part, when the one before has been dropped; `None` at the form's end.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Broken> {
        let field = self.parts.next_field().await.map_err(Broken::from);
        self.untaken.store(0, Ordering::Relaxed);
        let field = match field {
            Err(Broken::Form(_)) if !self.begun => return Err(Broken::Start),
            other => other?,
        };
        self.begun = true;
        Ok(field.map(|field| Part { field, untaken: Arc::clone(&self.untaken) }))
    }
}

/// A part of a form.
pub(crate) struct Part {
    field: Field<'static>,
    untaken: Arc<AtomicUsize>,
}

impl Part {
    /// Its head.
    pub(crate) fn field(&self) -> &Field<'static> {
        &self.field
    }

    /// As much of it as `limit`, after reading all.
    pub(crate) async fn text(mut self, limit: usize) -> Result<Vec<u8>, Broken> {
        let mut text = Vec::new();
        while let Some(piece) = std::future::poll_fn(|cx| self.poll_piece(cx)).await {
            let piece = piece?;
            text.extend_from_slice(&piece[..piece.len().min(limit - text.len())]);
        }
        Ok(text)
    }

    /// Makes of it the body of a request that is at most so long. If it breaks, `reason` will say why.
    pub(crate) fn into_file(self, max_bytes: u64, reason: Reason) -> Body {
        File { part: self, left: max_bytes, reason }.boxed_unsync()
    }

    fn poll_piece(&mut self, cx: &mut Poller<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let piece = ready!(Pin::new(&mut self.field).poll_next(cx));
        self.untaken.store(0, Ordering::Relaxed);
        Poll::Ready(piece.map(|piece| piece.map_err(Broken::from)))
    }
}

/// Why a file broke, for whoever reads the form; who stores it learns only that there is no whole file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reason(Arc<Mutex<Option<Broken>>>);

impl Reason {
    fn set(&self, broken: Broken) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(broken);
    }

    /// Takes it, if the file broke.
    pub(crate) fn take(&self) -> Option<Broken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A file of a form, on its way to be stored.
struct File {
    part: Part,
    left: u64,
    reason: Reason,
}

impl http_body::Body for File {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let broken = match ready!(self.part.poll_piece(cx)) {
            None => return Poll::Ready(None),
            Some(Ok(piece)) => match self.left.checked_sub(piece.len() as u64) {
                Some(left) => {
                    self.left = left;
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                None => Broken::TooLarge,
            },
            Some(Err(broken)) => broken,
        };
        let error = BodyError::Source(broken.to_string().into());
        self.reason.set(broken);
        Poll::Ready(Some(Err(error)))
    }
}

/// What the parser reads from.
struct Metered {
    body: Body,
    untaken: Arc<AtomicUsize>,
    /// Whether it just gave a piece, and so lets the parser go on with that first.
    rests: bool,
}

impl Stream for Metered {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.untaken.load(Ordering::Relaxed) > MAX_HEAD_BYTES {
                return Poll::Ready(Some(Err(BodyError::TooLong(MAX_HEAD_BYTES as u64))));
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            if let Ok(piece) = frame?.into_data() {
                self.untaken.fetch_add(piece.len(), Ordering::Relaxed);
                self.rests = true;
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
