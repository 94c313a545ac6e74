//! The PROXY protocol, versions 1 and 2: what a load balancer says of the client before the client's own bytes.
//!
//! The format is HAProxy's (`doc/proxy-protocol.txt`). Where it is required, a connection without it is refused: it came
//! past the balancer, and could claim any address.

use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest header that is taken: version 2 may carry certificates' names and the like, which are a few hundred bytes.
const MAX_HEADER_BYTES: usize = 4096;
const CONFIG: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };

/// Both ends of the connection that the balancer accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("the connection does not begin with a PROXY header")]
    Invalid,
    #[error("the PROXY header is longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    #[error("the connection ended in its PROXY header")]
    Ended,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads the header and leaves in `received` what came behind it. `None` is a connection of the balancer's own, or one
/// of a family that has no addresses here.
pub(super) async fn read(
    io: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> Result<Option<Announced>, Refused> {
    loop {
        if let Some((announced, len)) = parse(received)? {
            received.advance(len);
            return Ok(announced);
        }
        if received.len() >= MAX_HEADER_BYTES {
            return Err(Refused::TooLong);
        }
        if io.read_buf(received).await? == 0 {
            return Err(Refused::Ended);
        }
    }
}

/// The header and its length, or `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Option<Announced>, usize)>, Refused> {
    match ProxyHeader::parse(bytes, CONFIG) {
        Ok((header, len)) => {
            let announced = header.proxied_address();
            Ok(Some((announced.map(|a| Announced { source: a.source, destination: a.destination }), len)))
        }
        Err(Error::BufferTooShort) if may_become_one(bytes) => Ok(None),
        Err(_) => Err(Refused::Invalid),
    }
}

/// Whether more bytes can help: the parser would wait for parts of a line that has already ended.
fn may_become_one(bytes: &[u8]) -> bool {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    begins(b"\r\n\r\n\0\r\nQUIT\n") || begins(b"PROXY ") && !bytes.contains(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proxy_header::ProxiedAddress;

    const V1: &str = "PROXY TCP4 203.0.113.7 10.0.0.1 51234 443\r\n";

    async fn read_all(bytes: &[u8]) -> Result<(Option<Announced>, Vec<u8>), Refused> {
        let (mut io, mut received) = (bytes, BytesMut::new());
        let announced = read(&mut io, &mut received).await?;
        Ok((announced, [&received[..], io].concat()))
    }

    fn v2(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
        let len = header.encode_to_slice_v2(&mut bytes).unwrap();
        bytes.truncate(len);
        bytes
    }

    #[tokio::test]
    async fn both_versions_say_who_asks_and_leave_the_rest() {
        let announced =
            Announced { source: "203.0.113.7:51234".parse().unwrap(), destination: "10.0.0.1:443".parse().unwrap() };
        for header in [V1.as_bytes().to_vec(), v2(announced.source, announced.destination)] {
            let sent = [&header[..], b"GET /"].concat();
            assert_eq!(read_all(&sent).await.unwrap(), (Some(announced), b"GET /".to_vec()));
        }
    }

    #[tokio::test]
    async fn a_balancer_may_speak_for_itself() {
        let local = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00";
        for header in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ffff:: what ever\r\n", local] {
            assert_eq!(read_all(header).await.unwrap(), (None, Vec::new()), "{header:?}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 51234\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 51234 99999\r\n",
            b"PUT /",
            b"\r\nGET",
            b"PROXY TCP5 203.0.113.7 10.0.0.1 51234 443\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c123456789012",
        ] {
            assert!(matches!(read_all(bad).await, Err(Refused::Invalid)), "{bad:?}");
        }
        assert!(matches!(read_all(b"PROXY TCP4 203").await, Err(Refused::Ended)));
        let mut long = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff".to_vec();
        long.resize(70_000, 0);
        assert!(matches!(read_all(&long).await, Err(Refused::TooLong | Refused::Invalid)));
    }

    proptest! {
        /// However a header is cut into packets, it is the same; and no bytes break the parser.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0_usize..60) {
            let _ = parse(&bytes);
            for header in [V1.as_bytes().to_vec(), v2("[::1]:1".parse().unwrap(), "[::2]:2".parse().unwrap())] {
                let keep = keep.min(header.len() - 1);
                prop_assert!(parse(&header[..keep]).unwrap().is_none());
                let mut odd = header.clone();
                odd.truncate(keep);
                odd.extend(&bytes);
                let _ = parse(&odd);
            }
        }
    }
}
