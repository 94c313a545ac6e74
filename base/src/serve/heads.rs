//! Where the heads of requests begin in the bytes of an HTTP/1 connection, and their targets made fit for hyper. Pure.
//!
//! Swift takes any byte in a request's target. hyper refuses some with a bare 400, which no pipeline sees, and cuts a
//! target at `#`, which would store `a#b` as `a`. So such bytes are percent-encoded before hyper reads them; whoever
//! decodes the target finds what the client sent.
//!
//! Only the target may change, never a byte of a body, or the two sides would count bodies differently and a client
//! could smuggle a request through whatever stands before us. Hence this protocol:
//!
//! ```text
//! Head ──complete──▶ no length, no coding          ──▶ Head
//!                    one plain Content-Length: n   ──▶ Data(n) ──▶ Head
//!                    the coding `chunked`, alone   ──▶ Size ──▶ Data ──▶ Size … ──0──▶ End ──▶ Head
//!                    anything else                 ──▶ Opaque
//! ```
//!
//! * A head is parsed by httparse, which is also hyper's parser, as it will be handed on. So both sides see the same end
//!   and the same headers.
//! * Its framing is understood only in the simplest spelling, the one that honest clients use. Everything else, whether
//!   hyper takes it or not (two lengths, a length beside a coding, other codings, chunk extensions, trailers, HTTP/1.0
//!   with a coding, CONNECT, a head that is too long or no head at all), makes the rest of the connection opaque: its
//!   bytes go on as they are, exactly as if this module were not there. That can cost an odd client the nicer answer to
//!   a raw byte in a later request; it cannot shift a byte.
//! * Nothing is added or left out but the `%XX` for a byte of a target, and empty lines in front of a head, which hyper
//!   skips too.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use bytes::{Buf as _, BytesMut};
use httparse::Status;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::{MAX_HEAD_BYTES, MAX_HEADERS};

/// What hyper refuses in a target or, `#`, cuts it at; beside the bytes that are no ASCII.
const REFUSED: &AsciiSet = &CONTROLS.add(b'"').add(b'#').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// The longest line with a chunk's size that is understood: fifteen digits, so that no sum overflows, and its end.
const MAX_SIZE_LINE: usize = 17;
/// Most digits of a `Content-Length` that is understood.
const MAX_LENGTH_DIGITS: usize = 18;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A head, of which so many bytes have been looked at.
    Head { seen: usize },
    /// So many more bytes of a body or a chunk, and what comes then.
    Data { left: u64, then: Then },
    /// A line with the size of a chunk.
    Size,
    /// The empty line behind the last chunk.
    End,
    /// Nobody here knows.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Head,
    Size,
}

const HEAD: State = State::Head { seen: 0 };

/// Judges the bytes of one connection in order.
#[derive(Debug)]
pub(super) struct Heads(State);

impl Heads {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self(HEAD)
    }

    /// Of a connection that is none of HTTP/1, or whose requests need no care.
    pub(super) fn opaque() -> Self {
        Self(State::Opaque)
    }

    /// Takes from the front of what was received the next piece that may go on; `None` when more has to be received.
    pub(super) fn next(&mut self, received: &mut BytesMut) -> Option<BytesMut> {
        if matches!(self.0, State::Head { .. }) {
            self.skip_empty_lines(received);
        }
        if received.is_empty() {
            return None;
        }
        match self.0 {
            State::Head { seen } => self.head(received, seen),
            State::Data { left, .. } => {
                let len = usize::try_from(left).map_or(received.len(), |left| left.min(received.len()));
                self.passed(len);
                Some(received.split_to(len))
            }
            State::Size => self.size(received),
            State::End => match received.starts_with(b"\r\n") {
                true => self.piece(received, 2, HEAD),
                false if &received[..] == b"\r" => None,
                false => self.give_up(received),
            },
            State::Opaque => Some(received.split()),
        }
    }

    /// How many of the bytes to come may go on unseen.
    pub(super) fn unseen(&self) -> Option<u64> {
        match self.0 {
            State::Opaque => Some(u64::MAX),
            State::Data { left, .. } => Some(left),
            _ => None,
        }
    }

    /// Notes that so many bytes went on unseen.
    pub(super) fn passed(&mut self, len: usize) {
        if let State::Data { left, then } = &mut self.0 {
            *left = left.saturating_sub(len as u64);
            if *left == 0 {
                self.0 = match then {
                    Then::Head => HEAD,
                    Then::Size => State::Size,
                };
            }
        }
    }

    /// Lets everything go on as it is from now on.
    pub(super) fn give_up(&mut self, received: &mut BytesMut) -> Option<BytesMut> {
        self.0 = State::Opaque;
        Some(received.split()).filter(|all| !all.is_empty())
    }

    fn piece(&mut self, received: &mut BytesMut, len: usize, then: State) -> Option<BytesMut> {
        self.0 = then;
        Some(received.split_to(len))
    }

    fn skip_empty_lines(&mut self, received: &mut BytesMut) {
        loop {
            let line_end = match &received[..] {
                [b'\r', b'\n', ..] => 2,
                [b'\n', ..] => 1,
                _ => return,
            };
            received.advance(line_end);
            self.0 = HEAD;
        }
    }

    fn head(&mut self, received: &mut BytesMut, seen: usize) -> Option<BytesMut> {
        let Some(end) = head_end(received, seen) else {
            if received.len() >= MAX_HEAD_BYTES {
                return self.give_up(received);
            }
            self.0 = State::Head { seen: received.len() };
            return None;
        };
        let head = with_clean_target(&received[..end]);
        let Some(state) = behind(&head) else {
            return self.give_up(received);
        };
        self.0 = state;
        Some(match head {
            Cow::Borrowed(_) => received.split_to(end),
            Cow::Owned(head) => {
                received.advance(end);
                BytesMut::from(&head[..])
            }
        })
    }

    fn size(&mut self, received: &mut BytesMut) -> Option<BytesMut> {
        let Some(end) = received.iter().take(MAX_SIZE_LINE).position(|b| *b == b'\n') else {
            return if received.len() < MAX_SIZE_LINE { None } else { self.give_up(received) };
        };
        match received[..end].strip_suffix(b"\r").and_then(|digits| number(digits, 16)) {
            Some(0) => self.piece(received, end + 1, State::End),
            // A chunk ends with an empty line, which hyper looks at.
            Some(size) => self.piece(received, end + 1, State::Data { left: size + 2, then: Then::Size }),
            None => self.give_up(received),
        }
    }
}

/// Where the first empty line ends, if its end is not among the bytes already looked at.
fn head_end(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(2);
    let ends = bytes[from..].iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| from + i);
    ends.map(|i| (i, &bytes[i + 1..])).find_map(|(i, rest)| match rest {
        [b'\n', ..] => Some(i + 2),
        [b'\r', b'\n', ..] => Some(i + 3),
        _ => None,
    })
}

/// The head with its target percent-encoded where hyper needs it. The target is the second of three words; a line of
/// other words, or with a stray carriage return, is nothing that hyper takes, and stays as it is.
fn with_clean_target(head: &[u8]) -> Cow<'_, [u8]> {
    let line = &head[..head.iter().position(|b| *b == b'\n').unwrap_or(head.len())];
    let mut words = line.splitn(3, |b| *b == b' ');
    let (Some(method), Some(target), Some(_)) = (words.next(), words.next(), words.next()) else {
        return Cow::Borrowed(head);
    };
    if target.contains(&b'\r') {
        return Cow::Borrowed(head);
    }
    match Cow::from(percent_encode(target, REFUSED)) {
        Cow::Borrowed(_) => Cow::Borrowed(head),
        Cow::Owned(clean) => {
            let (before, after) = (method.len() + 1, method.len() + 1 + target.len());
            Cow::Owned([&head[..before], clean.as_bytes(), &head[after..]].concat())
        }
    }
}

/// What follows a head, or `None` when that is not certain.
fn behind(head: &[u8]) -> Option<State> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(head, &mut headers);
    if parsed != Ok(Status::Complete(head.len())) || request.method == Some("CONNECT") {
        return None;
    }
    let (mut length, mut coding) = (None, None);
    for header in request.headers.iter() {
        let known = match header.name {
            name if name.eq_ignore_ascii_case("content-length") => &mut length,
            name if name.eq_ignore_ascii_case("transfer-encoding") => &mut coding,
            _ => continue,
        };
        if known.replace(header.value).is_some() {
            return None;
        }
    }
    match (length, coding) {
        (None, None) => Some(HEAD),
        (Some(length), None) if length.len() <= MAX_LENGTH_DIGITS => match number(length, 10)? {
            0 => Some(HEAD),
            left => Some(State::Data { left, then: Then::Head }),
        },
        (None, Some(b"chunked")) if request.version == Some(1) => Some(State::Size),
        _ => None,
    }
}

/// A number of digits only.
fn number(digits: &[u8], base: u32) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| plain)?, base).ok()
}

#[cfg(test)]
mod tests;
