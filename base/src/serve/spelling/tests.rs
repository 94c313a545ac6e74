use http::Method;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Spells what is written, through a socket that takes only so much at once.
async fn spelled(writes: &[&[u8]], heads: &[bool], room: usize) -> Vec<u8> {
    let (near, mut far) = tokio::io::duplex(room.max(1));
    let asked = Asked::default();
    heads.iter().for_each(|head| asked.push(if *head { &Method::HEAD } else { &Method::GET }));
    let mut io = Spelled::new(near, asked);
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        read
    });
    for write in writes {
        io.write_all(write).await.unwrap();
    }
    io.shutdown().await.unwrap();
    drop(io);
    reading.await.unwrap()
}

/// The head of an answer as hyper writes it, as it is to be, the body, and whether it is to HEAD.
fn answer(framing: usize, body: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>, bool) {
    let names = "X-Amz-Meta-Some-Color: X-Amz-Meta-Red\r\nX-Object-Meta-X-Amz-Y: 1\r\nX-Amzn: 2\r\nX-Amz-Id-2: 3";
    let small = names.replace("X-Amz-Meta-Some-Color", "x-amz-meta-some-color").replace("X-Amz-Id-2", "x-amz-id-2");
    let (status, header, body, is_head) = match framing {
        0 => ("200 OK", format!("Content-Length: {}\r\n", body.len()), body.to_vec(), false),
        1 => ("206 Partial Content", "Transfer-Encoding: chunked\r\n".to_owned(), chunked(body), false),
        2 => ("200 OK", format!("Content-Length: {}\r\n", body.len()), Vec::new(), true),
        3 => ("204 No Content", "Content-Length: 0\r\n".to_owned(), Vec::new(), false),
        _ => ("304 Not Modified", String::new(), Vec::new(), false),
    };
    let whole = |names: &str| {
        let interim = if framing == 0 { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
        format!("{interim}HTTP/1.1 {status}\r\n{names}\r\n{header}Date: Sat, 21 Nov 2026\r\n\r\n").into_bytes()
    };
    (whole(names), whole(&small), body, is_head)
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(700) {
        out.extend(format!("{:X}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
    }
    out.extend(b"0\r\nX-Amz-Trailer: 1\r\n\r\n");
    out
}

#[tokio::test]
async fn names_of_s3_are_small_and_all_others_as_they_were() {
    let (head, expected, body, _) = answer(0, b"X-Amz-Meta-Of-A-Body: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Amz-A: 1\r\n\r\n");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let whole = [&head[..], &body].concat();
    assert_eq!(text(spelled(&[&whole], &[false], 1 << 20).await), text([expected, body].concat()));
}

#[tokio::test]
async fn what_ends_with_the_connection_is_a_body() {
    let given = b"HTTP/1.1 200 OK\r\nX-Amz-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Amz-A: 1\r\n\r\n";
    let expected = b"HTTP/1.1 200 OK\r\nx-amz-a: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Amz-A: 1\r\n\r\n";
    assert_eq!(spelled(&[given], &[false], 100).await, expected);
}

proptest! {
    #[test]
    fn answers_are_told_apart_however_they_are_written(
        answers in proptest::collection::vec((0usize..5, 0usize..40_000), 1..6),
        piece in 1usize..30_000,
        room in 1usize..40_000,
    ) {
        let text = b"\r\n\r\nHTTP/1.1 200 OK\r\nX-Amz-Meta-A: 1\r\nContent-Length: 9\r\n\r\n".repeat(700);
        let answers = answers.iter().map(|(framing, length)| answer(*framing, &text[..*length.min(&text.len())]));
        let answers: Vec<_> = answers.collect();
        let (mut writes, mut expected): (Vec<Vec<u8>>, _) = (Vec::new(), Vec::new());
        for (head, small, body, _) in &answers {
            // hyper writes a head at once, and some of the body with it; the rest may be cut anywhere.
            let (first, rest) = body.split_at(body.len().min(piece));
            writes.push([&head[..], first].concat());
            writes.extend(rest.chunks(piece).map(<[u8]>::to_vec));
            expected.extend([&small[..], body].concat());
        }
        let heads: Vec<_> = answers.iter().map(|(.., is_head)| *is_head).collect();
        let writes: Vec<_> = writes.iter().map(Vec::as_slice).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let spelled = runtime.block_on(spelled(&writes, &heads, room));
        prop_assert!(spelled == expected, "{}", String::from_utf8_lossy(&spelled));
    }

    #[test]
    fn whatever_is_written_keeps_its_length(given in proptest::collection::vec(any::<u8>(), 0..2000), room in 1usize..300) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let spelled = runtime.block_on(spelled(&[&given], &[], room));
        prop_assert!(spelled.eq_ignore_ascii_case(&given));
    }
}
