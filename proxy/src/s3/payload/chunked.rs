//! `aws-chunked`: a body in pieces, each with its length and perhaps its signature before it, and trailers behind the last,
//! which is empty:
//!
//! ```text
//! 10000;chunk-signature=ad80…\r\n
//! <65536 bytes>\r\n
//! 0;chunk-signature=b6c6…\r\n
//! x-amz-checksum-crc32:sOO8/Q==\r\n
//! x-amz-trailer-signature:63bd…\r\n
//! \r\n
//! ```
//!
//! Pieces go on as they arrive; their signatures are checked at their ends. Only lines are kept, up to [`MAX_LINE_BYTES`].

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use apus_base::body::{Body, BodyError};
use bytes::{Buf as _, Bytes};
use http_body::Frame;
use sha2::{Digest as _, Sha256};

use super::{failed, sizes};
use crate::s3::auth::v4::Chain;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use apus_base::hex::hex;

/// The longest line before a piece or of a trailer: a length and a signature, or a name and a SHA-256, are a tenth of it.
const MAX_LINE_BYTES: usize = 1024;
/// Every piece but the last has at least so many bytes: a rule of S3.
const MIN_PIECE_BYTES: u64 = 8192;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// What came behind a body; empty before it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers(Arc<Mutex<BTreeMap<String, String>>>);

impl Trailers {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn set(&self, found: BTreeMap<String, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

/// Where in the body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the line before a piece.
    Head,
    /// In a piece of which so many bytes are to come.
    Piece(u64),
    /// Between a piece and the next line, where so many bytes of CR and LF have been.
    Gap(usize),
    /// In a line behind the last piece.
    Trailer,
    /// Behind all of it.
    End,
}

/// Cuts a body into its bytes. Pure: bytes in, bytes out.
struct Cutter {
    place: Place,
    line: Vec<u8>,
    /// Checks signatures, where there are any.
    chain: Option<Chain>,
    hash: Sha256,
    signature: String,
    /// How many bytes were promised.
    total: u64,
    left: u64,
    pieces: u64,
    last: Option<u64>,
    /// The trailers that have to come.
    expected: Vec<&'static str>,
    found: BTreeMap<String, String>,
    trailers: Trailers,
}

/// The body.
pub(super) struct Chunked {
    inner: Body,
    cutter: Cutter,
    rest: Bytes,
}

impl Chunked {
    pub(super) fn new(
        inner: Body,
        total: u64,
        chain: Option<Chain>,
        checksum: Option<&'static str>,
        signs_trailers: bool,
    ) -> Self {
        let mut expected: Vec<_> = checksum.into_iter().collect();
        expected.extend(signs_trailers.then_some(TRAILER_SIGNATURE));
        let cutter = Cutter {
            place: Place::Head,
            line: Vec::new(),
            chain,
            hash: Sha256::new(),
            signature: String::new(),
            total,
            left: total,
            pieces: 0,
            last: None,
            expected,
            found: BTreeMap::new(),
            trailers: Trailers::default(),
        };
        Self { inner, cutter, rest: Bytes::new() }
    }

    pub(super) fn trailers(&self) -> Trailers {
        self.cutter.trailers.clone()
    }
}

impl http_body::Body for Chunked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            while !this.rest.is_empty() {
                match this.cutter.cut(&mut this.rest) {
                    Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(None) => {}
                    Err(fault) => return Poll::Ready(Some(Err(failed(fault)))),
                }
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => this.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(this.cutter.end().err().map(|fault| Err(failed(fault)))),
            }
        }
    }
}

fn incomplete() -> Fault {
    Fault::saying(Code::IncompleteBody, "The request body terminated unexpectedly")
}

impl Cutter {
    /// Takes what it can from the front of `rest`; bytes of the body, if it came to some.
    fn cut(&mut self, rest: &mut Bytes) -> Result<Option<Bytes>, Fault> {
        match self.place {
            Place::Head => {
                if let Some(line) = self.line(rest)? {
                    self.head(&line)?;
                }
                Ok(None)
            }
            Place::Piece(left) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let data = rest.split_to(here);
                if self.chain.is_some() {
                    self.hash.update(&data);
                }
                let (taken, left) = (here as u64, left - here as u64);
                self.left -= taken;
                self.place = Place::Piece(left);
                if left == 0 {
                    self.end_of_piece()?;
                    self.place = Place::Gap(0);
                }
                Ok(Some(data))
            }
            Place::Gap(seen) => {
                if rest.get_u8() != b"\r\n"[seen] {
                    return Err(incomplete());
                }
                self.place = if seen == 0 { Place::Gap(1) } else { Place::Head };
                Ok(None)
            }
            Place::Trailer => {
                if let Some(line) = self.line(rest)? {
                    self.trailer(&line)?;
                }
                Ok(None)
            }
            // Swift and AWS do not look at what is behind the end.
            Place::End => {
                rest.clear();
                Ok(None)
            }
        }
    }

    /// A whole line without its end, once it is there.
    fn line(&mut self, rest: &mut Bytes) -> Result<Option<Vec<u8>>, Fault> {
        let end = rest.iter().position(|b| *b == b'\n');
        let piece = rest.split_to(end.map_or(rest.len(), |end| end + 1));
        if self.line.len() + piece.len() > MAX_LINE_BYTES {
            return Err(incomplete());
        }
        self.line.extend_from_slice(&piece);
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        if !line.ends_with(b"\r\n") {
            return Err(incomplete());
        }
        line.truncate(line.len() - 2);
        Ok(Some(line))
    }

    /// The line before a piece.
    fn head(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.pieces += 1;
        let line = std::str::from_utf8(line).map_err(|_| incomplete())?;
        let (size, parameters) = line.split_once(';').unwrap_or((line, ""));
        let size = size.trim();
        let is_number = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| is_number).ok_or_else(incomplete)?;
        if let Some(small) = self.last.filter(|last| *last < MIN_PIECE_BYTES && size != 0) {
            let fault = Fault::new(Code::InvalidChunkSize).with("Chunk", self.pieces.to_string());
            return Err(fault.with("BadChunkSize", small.to_string()));
        }
        self.last = Some(size);
        if size > self.left {
            return Err(sizes(self.total, (self.total - self.left).saturating_add(size)));
        }
        if let Some(chain) = &mut self.chain {
            self.signature = match signature(parameters)? {
                Some(signature) => signature,
                None => return chain.next("", ""),
            };
        }
        self.place = Place::Piece(size);
        if size == 0 {
            self.end_of_piece()?;
            self.place = Place::Trailer;
        }
        Ok(())
    }

    fn end_of_piece(&mut self) -> Result<(), Fault> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        chain.next(&self.signature, &hex(&self.hash.finalize_reset()))
    }

    /// A line behind the last piece; an empty one is the end.
    fn trailer(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.is_empty() {
            self.check_trailers()?;
            return self.finish();
        }
        if self.expected.is_empty() {
            return Err(incomplete());
        }
        let line = std::str::from_utf8(line).map_err(|_| Fault::new(Code::MalformedTrailer))?;
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let name = name.to_ascii_lowercase();
        if !self.expected.contains(&name.as_str()) {
            return Err(Fault::new(Code::MalformedTrailer));
        }
        self.found.insert(name.trim().to_owned(), value.trim().to_owned());
        Ok(())
    }

    fn check_trailers(&mut self) -> Result<(), Fault> {
        let signed = self.expected.contains(&TRAILER_SIGNATURE);
        let signature = self.found.get(TRAILER_SIGNATURE).cloned();
        if signed && signature.is_none() {
            return Err(incomplete());
        }
        if self.expected.iter().any(|name| !self.found.contains_key(*name)) {
            return Err(Fault::new(Code::MalformedTrailer));
        }
        if let Some((signature, chain)) = signature.zip(self.chain.as_mut()).filter(|_| signed) {
            let others = self.found.iter().filter(|(name, _)| *name != TRAILER_SIGNATURE);
            let text: String = others.map(|(name, value)| format!("{name}:{value}\n")).collect();
            chain.end(&signature, &text)?;
            if text.is_empty() {
                return Err(incomplete());
            }
        }
        self.trailers.set(std::mem::take(&mut self.found));
        Ok(())
    }

    /// There are no more bytes. Behind the last piece, the empty line may be missing.
    fn end(&mut self) -> Result<(), Fault> {
        match self.place {
            Place::End => return Ok(()),
            Place::Trailer if self.line.is_empty() => self.check_trailers()?,
            _ => return Err(incomplete()),
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.place = Place::End;
        if self.left == 0 { Ok(()) } else { Err(sizes(self.total, self.total - self.left)) }
    }
}

/// The signature of a piece; `None` if what stands in its place is something else.
fn signature(parameters: &str) -> Result<Option<String>, Fault> {
    if parameters.is_empty() {
        return Err(incomplete());
    }
    let (name, value) = parameters.split_once('=').unwrap_or((parameters, ""));
    if name.trim() != "chunk-signature" {
        return Ok(None);
    }
    let value = value.trim();
    if value.is_empty() || value.contains(';') { Err(incomplete()) } else { Ok(Some(value.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out of a body that arrives in pieces of `step` bytes.
    fn cut(text: &[u8], total: u64, trailer: Option<&'static str>, step: usize) -> Result<(Vec<u8>, Trailers), Fault> {
        let Chunked { mut cutter, .. } = Chunked::new(apus_base::body::empty(), total, None, trailer, false);
        let mut out = Vec::new();
        for piece in text.chunks(step.max(1)) {
            let mut rest = Bytes::copy_from_slice(piece);
            while !rest.is_empty() {
                out.extend(cutter.cut(&mut rest)?.into_iter().flatten());
            }
        }
        cutter.end().map(|()| (out, cutter.trailers))
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fault = |text: &str, total| cut(text.as_bytes(), total, Some("x-amz-checksum-crc32"), 3).unwrap_err();
        assert_eq!(fault("3\r\nabc\r\n", 3).message, "The request body terminated unexpectedly");
        assert_eq!(fault("3\r\nabcd", 3).code, Code::IncompleteBody);
        assert_eq!(fault("-3\r\nabc", 3).code, Code::IncompleteBody);
        assert_eq!(fault("4\r\nabcd", 3).details[1], ("NumberBytesProvided", "4".to_owned()));
        assert_eq!(fault("3\r\nabc\r\n3\r\n", 9).code, Code::InvalidChunkSize);
        assert_eq!(fault("0\r\nx:y\r\n\r\n", 0).code, Code::MalformedTrailer);
        assert_eq!(fault("0\r\n\r\n", 0).code, Code::MalformedTrailer);
        assert_eq!(fault(&"0".repeat(2000), 0).code, Code::IncompleteBody);
        assert!(cut(b"0\r\n\r\nx", 0, None, 3).is_ok());
        let short = fault("0\r\nx-amz-checksum-crc32:a\r\n\r\n", 5);
        assert_eq!(short.details[0], ("NumberBytesExpected", "5".to_owned()));
    }

    proptest! {
        #[test]
        fn bytes_come_out_however_they_arrive(pieces in proptest::collection::vec(8192usize..9000, 0..4), last in 1usize..50, step in 1usize..9000) {
            let lengths: Vec<usize> = pieces.into_iter().chain([last]).collect();
            let (mut text, mut whole) = (Vec::new(), Vec::new());
            for (at, length) in lengths.iter().enumerate() {
                let piece = vec![u8::try_from(at).unwrap(); *length];
                text.extend(format!("{length:x}\r\n").into_bytes());
                text.extend(&piece);
                text.extend(b"\r\n");
                whole.extend(piece);
            }
            text.extend(b"0\r\nx-amz-checksum-sha1: v \r\n\r\n");
            let (out, trailers) = cut(&text, whole.len() as u64, Some("x-amz-checksum-sha1"), step).unwrap();
            prop_assert_eq!(out, whole);
            prop_assert_eq!(trailers.get("x-amz-checksum-sha1").as_deref(), Some("v"));
        }

        #[test]
        fn anything_is_cut_or_refused(text in "(0|5|a|;|chunk-signature=|:|\r\n|x-amz-checksum-crc32|\\PC){0,30}", total in 0u64..9, step in 1usize..9) {
            let _ = cut(text.as_bytes(), total, Some("x-amz-checksum-crc32"), step);
        }
    }
}
