//! A listing's body, row by row.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use apus_base::body::{Body, BodyError};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::{BadListing, Rows};
use crate::error::Error;

/// Changes rows: what it writes takes the place of the row it is given; nothing, if it writes nothing. After the last row
/// it is given none, and may write some more. Rows that it writes by itself are put between commas.
pub(in crate::ops) trait Change:
    FnMut(Option<&[u8]>, &mut Written) -> Result<(), BadListing> + Send
{
}

impl<F: FnMut(Option<&[u8]>, &mut Written) -> Result<(), BadListing> + Send> Change for F {}

/// Rows that are to be sent.
#[derive(Default)]
pub(in crate::ops) struct Written {
    out: Vec<u8>,
    rows: usize,
}

impl Written {
    /// How many there are, those already sent included.
    pub(in crate::ops) fn count(&self) -> usize {
        self.rows
    }

    /// Adds one, which `write` writes.
    pub(in crate::ops) fn row(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), BadListing>,
    ) -> Result<(), BadListing> {
        self.out.push(if self.rows == 0 { b'[' } else { b',' });
        self.rows += 1;
        write(&mut self.out)
    }

    /// Adds one as it is.
    pub(in crate::ops) fn text(&mut self, text: &[u8]) -> Result<(), BadListing> {
        self.row(|out| {
            out.extend_from_slice(text);
            Ok(())
        })
    }
}

/// The listing with its rows changed, as they arrive.
pub(in crate::ops) fn map(body: Body, change: impl Change + Unpin + 'static) -> Body {
    Mapped { body, rows: Rows::default(), written: Written::default(), change, ended: false }.boxed_unsync()
}

struct Mapped<C> {
    body: Body,
    rows: Rows,
    written: Written,
    change: C,
    ended: bool,
}

impl<C: Change + Unpin> Mapped<C> {
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        use http_body::Body as _;
        let Self { body, rows, written, change, ended } = self;
        Poll::Ready(match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(piece) => rows.feed(piece, |row| change(Some(row), written)).map_err(source),
                None => Ok(()),
            },
            Some(Err(error)) => Err(error),
            None => {
                *ended = true;
                rows.end().and_then(|()| change(None, written)).map(|()| close(written)).map_err(source)
            }
        })
    }
}

fn close(written: &mut Written) {
    written.out.extend_from_slice(if written.rows == 0 { b"[]" } else { b"]" });
}

fn source(error: BadListing) -> BodyError {
    BodyError::Source(Box::new(error))
}

impl<C: Change + Unpin> http_body::Body for Mapped<C> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while self.written.out.is_empty() && !self.ended {
            if let Err(error) = ready!(self.poll_more(cx)) {
                self.ended = true;
                self.written.out.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
        let out = std::mem::take(&mut self.written.out);
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(Bytes::from(out)))))
    }
}

/// What `read` makes of each row, at most `most` of them: who needs all rows at once says how many that may be.
///
/// # Errors
/// When the listing breaks off or is none.
pub(crate) async fn collect<T>(
    body: Body,
    most: usize,
    read: impl FnMut(&[u8]) -> Result<T, BadListing>,
) -> Result<Vec<T>, Error> {
    collected(body, most, read).await.map_err(|error| {
        tracing::warn!(%error, "a listing broke off");
        Error::Unavailable
    })
}

async fn collected<T>(
    mut body: Body,
    most: usize,
    mut read: impl FnMut(&[u8]) -> Result<T, BadListing>,
) -> Result<Vec<T>, BodyError> {
    let (mut rows, mut found) = (Rows::default(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(piece) = frame.data_ref() else { continue };
        rows.feed(piece, |row| {
            if found.len() < most {
                found.push(read(row)?);
            }
            Ok(())
        })
        .map_err(source)?;
    }
    rows.end().map_err(source)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::body;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn pieces(text: &str, size: usize) -> Body {
        let pieces: Vec<_> =
            text.as_bytes().chunks(size.max(1)).map(|c| Ok(Frame::data(Bytes::copy_from_slice(c)))).collect();
        http_body_util::StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn rows_are_changed_left_out_and_added(names in proptest::collection::vec("[a-cx\"\\]]{0,4}", 0..9), size in 1usize..50) {
            let listed: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            let change = |row: Option<&[u8]>, to: &mut Written| match row {
                None => to.text(b"{\"name\":\"end\"}"),
                Some(row) if row.contains(&b'x') => Ok(()),
                Some(row) => to.text(row),
            };
            let body = map(pieces(&json!(listed).to_string(), size), change);
            let text = run(body::read_to_end(body, 1 << 20)).unwrap();
            let mut expected: Vec<Value> = listed.iter().filter(|row| !row.to_string().contains('x')).cloned().collect();
            expected.push(json!({ "name": "end" }));
            prop_assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), json!(expected));
            let all = run(collect(pieces(&json!(listed).to_string(), size), 5, |row| Ok(row.len()))).unwrap();
            prop_assert_eq!(all.len(), names.len().min(5));
        }
    }

    #[test]
    fn a_broken_listing_stays_broken() {
        let body = map(pieces("[{\"name\":\"a\"}", 4), |row, to| row.map_or(Ok(()), |row| to.text(row)));
        assert!(run(body::read_to_end(body, 1 << 20)).is_err());
        assert!(run(collect(pieces("[1]", 4), 5, |_| Ok(()))).is_err());
    }
}
