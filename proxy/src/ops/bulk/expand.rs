//! Unpacking a compressed body as it comes in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder};
use futures_util::TryStreamExt as _;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::StreamReader;

use apus_base::body::Body;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`.
    Gzip,
    /// `.bz2`.
    Bzip2,
}

/// As much as deflate can make of one byte is 1032. Bzip2 makes more only of what is next to empty.
const MOST_PER_BYTE: u64 = 1100;
/// Below this nobody asks.
const FREE_BYTES: u64 = 64 << 20;

/// The bytes that a compressed body stands for. Those of a bomb end with an error.
pub struct Expanded {
    inner: Pin<Box<dyn AsyncRead + Send>>,
    taken: Arc<AtomicU64>,
    given: u64,
}

impl Expanded {
    /// Of a body.
    pub fn new(body: Body, compression: Compression) -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&taken);
        let chunks = body.into_data_stream().map_err(io::Error::other).inspect_ok(move |chunk| {
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        });
        let reader = StreamReader::new(chunks);
        let inner: Pin<Box<dyn AsyncRead + Send>> = match compression {
            Compression::None => Box::pin(reader),
            Compression::Gzip => {
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Compression::Bzip2 => {
                let mut decoder = BzDecoder::new(reader);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        };
        Self { inner, taken, given: 0 }
    }
}

impl AsyncRead for Expanded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.inner.as_mut().poll_read(cx, buf))?;
        self.given += (buf.filled().len() - before) as u64;
        let most = self.taken.load(Ordering::Relaxed).saturating_mul(MOST_PER_BYTE).saturating_add(FREE_BYTES);
        let is_bomb = self.given > most;
        Poll::Ready(if is_bomb { Err(io::Error::other("it expands to too much")) } else { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::body;
    use async_compression::tokio::write::{BzEncoder, GzipEncoder};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    async fn bzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = BzEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    async fn expand(bytes: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Expanded::new(body::full(bytes), compression).read_to_end(&mut out).await.map(|_| out)
    }

    #[tokio::test]
    async fn each_kind_comes_out() {
        let text = b"swifts sleep on the wing".repeat(9000);
        assert_eq!(expand(text.clone(), Compression::None).await.unwrap(), text);
        // Two streams in a row, as parallel packers write them.
        let mut gz = gzipped(&text[..1000]).await;
        gz.extend(gzipped(&text[1000..]).await);
        assert_eq!(expand(gz, Compression::Gzip).await.unwrap(), text);
        let mut bz = bzipped(&text[..1000]).await;
        bz.extend(bzipped(&text[1000..]).await);
        assert_eq!(expand(bz, Compression::Bzip2).await.unwrap(), text);
    }

    #[tokio::test]
    async fn what_is_cut_or_no_archive_is_an_error() {
        let mut gz = gzipped(b"swifts sleep on the wing").await;
        gz.truncate(20);
        assert!(expand(gz, Compression::Gzip).await.is_err());
        for compression in [Compression::Gzip, Compression::Bzip2] {
            assert!(expand(b"no archive at all".to_vec(), compression).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_bomb_does_not_go_off() {
        let bomb = bzipped(&vec![0; 80 << 20]).await;
        assert!(bomb.len() < 1000);
        let error = expand(bomb, Compression::Bzip2).await.unwrap_err();
        assert_eq!(error.to_string(), "it expands to too much");
    }
}
