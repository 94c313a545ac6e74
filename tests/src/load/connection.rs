//! One connection of the load generator: heads by `httparse`, bodies looked at where they lie, in one buffer that is kept.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// What is read or written at once, in bytes: a small body is one call, a large one few.
pub(super) const PIECE: usize = 256 << 10;
/// Most headers of an answer.
const MOST_HEADERS: usize = 64;
/// Most bytes of an answer's head.
const MOST_HEAD: usize = 64 << 10;

/// A kept connection with what it needs for one request after the other.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    /// The request, or the piece of it, that is written.
    pub(super) output: Vec<u8>,
    /// The head of the answer.
    line: Vec<u8>,
    kept: bool,
}

/// What matters of the head of an answer.
pub(super) struct Head {
    pub(super) status: u16,
    /// `Content-Length`; without it, the body comes in chunks.
    pub(super) length: Option<usize>,
    pub(super) etag: Option<[u8; 32]>,
    /// `Retry-After`, in seconds.
    pub(super) retry_after: Option<usize>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let stream = BufReader::with_capacity(PIECE, stream);
        Ok(Self { stream, output: Vec::with_capacity(PIECE + MOST_HEAD), line: Vec::new(), kept: true })
    }

    /// Whether another request may be sent.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Writes what is in `output`, and empties it.
    pub(super) async fn send(&mut self) -> Result<(), String> {
        self.stream.get_mut().write_all(&self.output).await.map_err(|e| format!("while sending: {e}"))?;
        self.output.clear();
        Ok(())
    }

    /// The head of the answer.
    pub(super) async fn head(&mut self) -> Result<Head, String> {
        self.line.clear();
        while !self.line.ends_with(b"\r\n\r\n") {
            let read = self.stream.read_until(b'\n', &mut self.line).await.map_err(|e| e.to_string())?;
            if read == 0 || self.line.len() > MOST_HEAD {
                return Err("the connection ended before an answer".to_owned());
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        answer.parse(&self.line).map_err(|e| e.to_string())?;
        let mut head = Head { status: answer.code.unwrap_or_default(), length: None, etag: None, retry_after: None };
        for header in answer.headers.iter() {
            match header.name {
                name if name.eq_ignore_ascii_case("content-length") => head.length = number(header.value, 10),
                name if name.eq_ignore_ascii_case("etag") => head.etag = etag(header.value),
                name if name.eq_ignore_ascii_case("retry-after") => head.retry_after = number(header.value, 10),
                name if name.eq_ignore_ascii_case("connection") => self.kept = header.value != b"close",
                _ => {}
            }
        }
        Ok(head)
    }

    /// Shows the body, piece by piece; returns its length.
    pub(super) async fn body(&mut self, head: &Head, mut see: impl FnMut(&[u8])) -> Result<usize, String> {
        if let Some(length) = head.length {
            return self.take(length, &mut see).await;
        }
        let mut whole = 0;
        loop {
            self.line.clear();
            self.stream.read_until(b'\n', &mut self.line).await.map_err(|e| e.to_string())?;
            let length = number(self.line.trim_ascii(), 16).ok_or("no length of a chunk")?;
            whole += self.take(length, &mut see).await?;
            self.stream.read_until(b'\n', &mut self.line).await.map_err(|e| e.to_string())?;
            if length == 0 {
                return Ok(whole);
            }
        }
    }

    /// Shows so many bytes, piece by piece.
    pub(super) async fn take(&mut self, length: usize, see: &mut impl FnMut(&[u8])) -> Result<usize, String> {
        let mut left = length;
        while left > 0 {
            let bytes = self.stream.fill_buf().await.map_err(|e| e.to_string())?;
            if bytes.is_empty() {
                return Err(format!("a body ended {left} bytes early"));
            }
            let many = bytes.len().min(left);
            see(&bytes[..many]);
            self.stream.consume(many);
            left -= many;
        }
        Ok(length)
    }
}

fn number(text: &[u8], radix: u32) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

/// An MD5, in quotes or without.
fn etag(value: &[u8]) -> Option<[u8; 32]> {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value).try_into().ok()
}
