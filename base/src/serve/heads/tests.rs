use proptest::prelude::*;

use super::*;

/// What goes on of these pieces, and whether the rest of the connection is still understood.
fn judged<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, State) {
    let (mut heads, mut received, mut out) = (Heads::new(), BytesMut::new(), Vec::new());
    for piece in pieces {
        received.extend_from_slice(piece);
        while let Some(piece) = heads.next(&mut received) {
            out.extend_from_slice(&piece);
        }
    }
    let state = heads.0;
    out.extend(heads.give_up(&mut received).into_iter().flatten());
    (out, state)
}

fn changed(sent: &[u8]) -> String {
    String::from_utf8(judged([sent]).0).unwrap()
}

#[test]
fn only_targets_are_encoded() {
    for (sent, goes_on) in [
        (&b"GET /v1/a/c/o?x=%ff HTTP/1.1\r\n\r\n"[..], "GET /v1/a/c/o?x=%ff HTTP/1.1\r\n\r\n"),
        (b"GET /\xff\xc3\xa9\x00\x7f HTTP/1.1\r\n\r\n", "GET /%FF%C3%A9%00%7F HTTP/1.1\r\n\r\n"),
        (b"GET /a#b?c=<\">`{} HTTP/1.1\r\n\r\n", "GET /a%23b?c=%3C%22%3E%60%7B%7D HTTP/1.1\r\n\r\n"),
        (b"\r\n\n\r\nGET /\xff HTTP/1.1\n\n", "GET /%FF HTTP/1.1\n\n"),
        // A second request, behind nothing and behind a body that looks like one.
        (b"GET / HTTP/1.1\r\n\r\nGET /< HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\nGET /%3C HTTP/1.1\r\n\r\n"),
        (
            b"PUT / HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /< HTTP/1.1\r\n\r\nGET /< HTTP/1.1\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /< HTTP/1.1\r\n\r\nGET /%3C HTTP/1.1\r\n\r\n",
        ),
        (
            b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n13\r\nGET /< HTTP/1.1\r\n\r\n\r\n0\r\n\r\nGET /< HTTP/1.1\r\n\r\n",
            "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n13\r\nGET /< HTTP/1.1\r\n\r\n\r\n0\r\n\r\nGET /%3C HTTP/1.1\r\n\r\n",
        ),
    ] {
        assert_eq!(changed(sent), goes_on);
    }
}

#[test]
fn what_is_no_request_of_three_words_stays() {
    for sent in [
        "GET /<\r\n\r\n",
        "GET /a< b HTTP/1.1\r\n\r\n",
        "GET /a\r< HTTP/1.1\r\n\r\n",
        "<\n\n",
        "G<T /< HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(changed(sent.as_bytes()), sent);
    }
}

#[test]
fn a_framing_in_doubt_makes_the_rest_opaque() {
    let framed = |headers: &str| judged([format!("PUT / HTTP/1.1\r\n{headers}\r\n").as_bytes()]).1;
    assert_eq!(framed("Host: a\r\n"), HEAD);
    assert_eq!(framed("Content-Length: 0\r\n"), HEAD);
    assert_eq!(framed("content-length: 012 \r\n"), State::Data { left: 12, then: Then::Head });
    assert_eq!(framed("Transfer-Encoding: chunked\r\n"), State::Size);
    for doubtful in [
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 9999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "Content-Length : 5\r\n",
        " folded: 1\r\n",
        "Bad\x01Name: 1\r\n",
    ] {
        assert_eq!(framed(doubtful), State::Opaque, "{doubtful}");
    }
    assert_eq!(judged([&b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"[..]]).1, State::Opaque);
    assert_eq!(judged([&b"CONNECT a:1 HTTP/1.1\r\n\r\n"[..]]).1, State::Opaque);
    assert_eq!(judged([&vec![b'A'; MAX_HEAD_BYTES][..]]).1, State::Opaque);
}

#[test]
fn chunks_in_doubt_make_the_rest_opaque() {
    let chunked = |body: &str| {
        judged(
            [format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /< HTTP/1.1\r\n\r\n").as_bytes()],
        )
    };
    assert_eq!(chunked("5\r\nhello\r\n0\r\n\r\n").1, HEAD);
    assert_eq!(chunked("00000\r\n\r\n").1, HEAD);
    for doubtful in [
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "0\r\nX: y\r\n\r\n",
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "0x5\r\n",
        "ffffffffffffffff\r\n",
    ] {
        let (out, state) = chunked(doubtful);
        assert_eq!(state, State::Opaque, "{doubtful}");
        assert!(out.ends_with(b"GET /< HTTP/1.1\r\n\r\n"), "{doubtful}");
    }
}

proptest! {
    /// However the network cuts the bytes, the same goes on.
    #[test]
    fn cuts_do_not_matter(parts in prop::collection::vec(part(), 0..12), step in 1_usize..40) {
        let sent = parts.concat();
        prop_assert_eq!(judged(sent.chunks(step)), judged([&sent[..]]));
    }

    /// Nothing changes but by percent-encoding, wherever it is.
    #[test]
    fn what_was_sent_comes_back_by_decoding(parts in prop::collection::vec(part(), 0..12)) {
        let plain = |bytes: &[u8]| {
            let decoded: Vec<u8> = percent_encoding::percent_decode(bytes).collect();
            decoded.into_iter().filter(|b| !matches!(b, b'\r' | b'\n')).collect::<Vec<_>>()
        };
        let sent = parts.concat();
        prop_assert_eq!(plain(&judged([&sent[..]]).0), plain(&sent));
    }
}

/// Pieces of requests, good and bad.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET /a HTTP/1.1\r\n",
        "PUT /<\u{e9} HTTP/1.1\r\n",
        "POST /{ HTTP/1.0\r\n",
        "Host: a\r\n",
        "Content-Length: 4\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n",
        "\n",
        "\r",
        "4\r\nGET \r\n",
        "0\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "body",
    ]);
    prop_oneof![9 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..9)]
}
