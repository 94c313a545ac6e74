//! A load that is answered by a fake server, rightly and wrongly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::Session;

const SIZE: usize = 10_000;

/// Answers every request on every connection with what `answer` makes of its first line and its body, and closes where that says so.
fn serve(answer: fn(&str, &[u8]) -> Vec<u8>) -> Session {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || answer_all(stream, answer));
        }
    });
    Session { address, account: "/v1/a".into(), token: "t".into() }
}

fn answer_all(mut stream: TcpStream, answer: fn(&str, &[u8]) -> Vec<u8>) {
    let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if input.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            input.read_line(&mut line).expect("a header");
            length =
                line.strip_prefix("Content-Length: ").map_or(length, |value| value.trim().parse().expect("a number"));
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).expect("a body");
        let answer = answer(&first, &body);
        let is_last = String::from_utf8_lossy(&answer).contains("Connection: close");
        if stream.write_all(&answer).is_err() || is_last {
            return;
        }
    }
}

fn object(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Body::new(SIZE).fill(&mut bytes, number, 0, SIZE);
    bytes
}

/// Stores nothing, but answers as if, in chunks where it can; of GET and HEAD, always with the object of number 3.
fn three(first: &str, body: &[u8]) -> Vec<u8> {
    match first.split(' ').next() {
        Some("PUT") => {
            format!("HTTP/1.1 201 Created\r\nETag: \"{}\"\r\nContent-Length: 0\r\n\r\n", crate::md5_hex(body)).into()
        }
        Some("HEAD") => {
            let etag = crate::md5_hex(&object(3));
            format!("HTTP/1.1 200 OK\r\netag: {etag}\r\nContent-Length: {SIZE}\r\n\r\n").into()
        }
        Some("DELETE") => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngone".to_vec(),
        _ => {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in object(3).chunks(4096) {
                answer.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            answer.extend(b"0\r\n\r\n");
            answer
        }
    }
}

fn ask(session: &Session, ask: Ask, times: usize) -> Outcome {
    let mut left = times;
    run(&Objects::new(session, "c", Body::new(SIZE)), 4, |_| {
        left = left.checked_sub(1)?;
        Some(ask)
    })
}

#[test]
fn right_answers_count() {
    let session = serve(three);
    for right in [Ask::Put(5), Ask::Get(3), Ask::Head(3)] {
        let outcome = ask(&session, right, 50).expect_clean("right answers");
        assert_eq!(outcome.count(), 50);
        assert_eq!(outcome.bytes, if matches!(right, Ask::Head(_)) { 0 } else { 50 * SIZE as u64 });
    }
}

#[test]
fn wrong_answers_are_told_and_no_part_of_the_figures() {
    let session = serve(three);
    for (wrong, why) in
        [(Ask::Get(4), "other bytes"), (Ask::Head(4), "a wrong ETag"), (Ask::Delete(1), "status 404, gone")]
    {
        let outcome = ask(&session, wrong, 9);
        assert_eq!((outcome.count(), outcome.failures), (0, 9));
        let told = outcome.first_failure.expect("a failure");
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn a_body_that_breaks_off_is_a_failure() {
    let session = serve(|_, _| b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nshort".to_vec());
    let outcome = ask(&session, Ask::Get(1), 1);
    assert_eq!(outcome.failures, 1, "{outcome:?}");
}
