//! hyper behind a [`Stream`] against hyper alone.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::serve::{MAX_HEAD_BYTES, MAX_HEADERS};

/// What a service sees of a request; the body is `None` if it broke off.
type Seen = (String, Vec<u8>, Option<Vec<u8>>);

/// What hyper makes of these bytes, in front of which there is a [`Stream`] or not. They come `step` at a time.
fn seen(sent: &[u8], step: usize, guarded: bool) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let all = Mutex::new(Vec::new());
        let (mut client, server) = tokio::io::duplex(step);
        let service = hyper::service::service_fn(|request: Request<Incoming>| async {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
            let target = percent_decode_str(target).collect();
            all.lock().unwrap().push((parts.method.to_string(), target, body));
            Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.half_close(true).max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_BYTES).header_read_timeout(None);
        let serving = async {
            if guarded {
                let stream = Stream::of_requests(server, BytesMut::new());
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            } else {
                let _ = http.serve_connection(TokioIo::new(server), service).await;
            }
        };
        let asking = async {
            let (mut answers, mut requests) = tokio::io::split(&mut client);
            let write = async {
                let _ = requests.write_all(sent).await;
                let _ = requests.shutdown().await;
            };
            let mut sink = Vec::new();
            let _ = tokio::join!(write, answers.read_to_end(&mut sink));
        };
        tokio::join!(serving, asking);
        all.into_inner().unwrap()
    })
}

/// A request as a client may mean it.
#[derive(Clone, Debug)]
struct Meant {
    target: Vec<u8>,
    body: Vec<u8>,
    /// The sizes of its chunks, if it is sent in chunks.
    chunks: Option<usize>,
}

impl Meant {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = [b"PUT /", &self.target[..], b" HTTP/1.1\r\nHost: a\r\n"].concat();
        match self.chunks {
            None => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).bytes());
                bytes.extend(&self.body);
            }
            Some(size) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in self.body.chunks(size) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        bytes
    }

    fn seen(&self) -> Seen {
        ("PUT".into(), [b"/", &self.target[..]].concat(), Some(self.body.clone()))
    }
}

fn meant() -> impl Strategy<Value = Meant> {
    let byte = any::<u8>().prop_filter("no byte of a target", |b| !b"\r\n %".contains(b));
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        Just(b"GET /<\xff HTTP/1.1\r\n\r\n".to_vec()),
        Just(b"0\r\n\r\nGET /<\xff HTTP/1.1\r\n\r\n".to_vec()),
    ];
    (prop::collection::vec(byte, 0..20), body, prop::option::of(1_usize..20)).prop_map(|(target, body, chunks)| Meant {
        target,
        body,
        chunks,
    })
}

/// Pieces of streams that try to be read in two ways. `#` is left out, since hyper alone cuts a target there.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        &b"PUT /a HTTP/1.1\r\nHost: a\r\n"[..],
        b"PUT /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n",
        b"GET /<\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\"{} HTTP/1.1\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"Content-Length: 29\r\n\r\n",
        b"Content-Length: 4\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 05\r\n\r\n",
        b"Content-Length: +5\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n\r\n",
        b"Transfer-Encoding:\tchunked \r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"1d\r\nGET /<\xff HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        b"5\r\nhello\r\n",
        b"5;x=\"\r\n\"\r\nhello\r\n",
        b"0\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"0000000000000000005\r\nhello\r\n",
        b"5\nhello\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"hello",
    ]);
    prop_oneof![known.prop_map(<[u8]>::to_vec), doubtful()]
}

/// A request framed in some way or several, whose body looks like a request to whoever counts it otherwise.
fn doubtful() -> impl Strategy<Value = Vec<u8>> {
    let framing = prop::sample::select(vec![
        "Content-Length: 4\r\n",
        "Content-Length: 29\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: CHUNKED\r\n",
    ]);
    let body = prop::sample::select(vec![
        &b"1d\r\nGET /<\xff HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n"[..],
        b"1d;x\r\nGET /<\xff HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        b"GET /<\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
    (prop::collection::vec(framing, 0..3), body)
        .prop_map(|(framing, body)| [b"PUT /a HTTP/1.1\r\n", framing.concat().as_bytes(), b"\r\n", body].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every target with any bytes, every body with any bytes: what the client meant is what the service sees.
    #[test]
    fn what_is_meant_is_seen(requests in prop::collection::vec(meant(), 0..6), step in 1_usize..300) {
        let sent: Vec<u8> = requests.iter().flat_map(Meant::encode).collect();
        let meant: Vec<_> = requests.iter().map(Meant::seen).collect();
        prop_assert_eq!(seen(&sent, step, true), meant);
    }

    /// Whatever hyper alone takes for requests and bodies are the same requests and bodies behind a stream; it may go on
    /// where hyper alone gives up at a target.
    #[test]
    fn hyper_is_never_misled(parts in prop::collection::vec(nasty(), 0..14), step in 1_usize..300) {
        let sent = parts.concat();
        let (alone, behind) = (seen(&sent, step, false), seen(&sent, step, true));
        prop_assert!(behind.starts_with(&alone), "alone {:?}, behind a stream {:?}", alone, behind);
        if !sent.windows(2).any(|pair| pair == b"/<") {
            prop_assert_eq!(alone, behind);
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_early_is_read_to_its_end() {
    for sent in ["GET / HT", "PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort", ""] {
        let mut stream = Stream::of_requests(sent.as_bytes(), BytesMut::new());
        let mut read = String::new();
        stream.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, sent);
    }
}

#[tokio::test]
async fn what_was_received_before_comes_first() {
    for stream in [Stream::opaque, Stream::of_requests] {
        let mut read = Vec::new();
        stream(&b"P/1.1\r\n\r\n"[..], BytesMut::from("GET / HTT")).read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"GET / HTTP/1.1\r\n\r\n");
    }
}
