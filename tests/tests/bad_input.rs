//! Input that no honest client sends: each gets the right status, leaves nothing on the disks, and the processes live.

use std::path::PathBuf;
use std::time::Instant;

use apus_tests::{Cluster, Connection, PATIENCE, Request, Response, Session, disk, md5_hex};

/// How long this cluster waits for a silent client, in seconds.
const SHORT: &str = "client_timeout = 1";

/// A cluster with an empty container `bad`, and what is on its disks.
struct Victim {
    cluster: Cluster,
    tester: Session,
    before: Vec<PathBuf>,
}

impl Victim {
    #[track_caller]
    fn start() -> Self {
        Self::with(SHORT)
    }

    #[track_caller]
    fn with(proxy: &str) -> Self {
        let mut cluster = Cluster::builder().settings("proxy", proxy).start();
        let tester = cluster.tester();
        tester.make("bad");
        // A first object makes the folders that stay for ever.
        tester.store("bad/good", "good");
        let before = on_disk(&mut cluster);
        Self { cluster, tester, before }
    }

    fn wire(&self) -> Connection {
        Connection::open(self.tester.address)
    }

    /// Sends bytes and reads the one answer, if there is one.
    fn answer_to(&self, bytes: &[u8]) -> Option<Response> {
        let mut wire = self.wire();
        let _ = wire.try_write(bytes);
        wire.try_response(false).ok()
    }

    /// The head of a PUT of `bad/o` with these headers, which frame its body as the story likes.
    fn head(&self, headers: &[(&str, &str)]) -> Vec<u8> {
        let put = self.tester.put("bad/o").unframed();
        headers.iter().fold(put, |put, (name, value)| put.header(name, value)).encode()
    }

    /// Nothing is left behind, everything lives and works.
    #[track_caller]
    fn unharmed(mut self) {
        // What was abandoned is cleaned up soon after the answer.
        let deadline = Instant::now() + PATIENCE;
        while on_disk(&mut self.cluster) != self.before {
            assert!(
                Instant::now() < deadline,
                "left behind: {:?}, before {:?}",
                on_disk(&mut self.cluster),
                self.before
            );
            self.tester.get("bad/good").send().expect(200);
        }
        assert_eq!(self.tester.list("bad"), ["good"]);
        for i in 0..3 {
            assert!(self.cluster.node(i).process().is_alive());
        }
        assert!(self.cluster.proxy(0).process().is_alive());
        self.tester.store("bad/after", "works");
        assert_eq!(self.tester.get("bad/after").send().expect(200).text(), "works");
    }
}

fn on_disk(cluster: &mut Cluster) -> Vec<PathBuf> {
    cluster.nodes().iter().flat_map(|node| disk::object_files(&node.devices())).collect()
}

#[track_caller]
fn refused(answer: Option<Response>, statuses: &[u16]) {
    let answer = answer.expect("an answer before the end of the connection");
    assert!(statuses.contains(&answer.status), "{statuses:?} expected: {answer:?} {}", answer.text());
}

#[test]
fn header_bombs_burst_outside() {
    let victim = Victim::start();
    // One long value, one long name, many headers, much of it.
    let put = |name: &str, value: &str| victim.tester.put("bad/o").body("x").header(name, value).try_send().ok();
    refused(put("X-Object-Meta-A", &"v".repeat(9000)), &[400]);
    refused(put("X-Unknown", &"v".repeat(9000)), &[400]);
    refused(put(&"X".repeat(200_000), "v"), &[400, 431]);
    let many = (0..1000).fold(victim.tester.put("bad/o").body("x"), |put, i| put.header(&format!("X-Many-{i}"), "v"));
    refused(many.try_send().ok(), &[400, 431]);
    let much = (0..100)
        .fold(victim.tester.put("bad/o").body("x"), |put, i| put.header(&format!("X-Much-{i}"), "v".repeat(8000)));
    refused(much.try_send().ok(), &[400, 431]);
    // A request line without an end.
    let line = format!("GET /v1/AUTH_test/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9000));
    refused(victim.answer_to(line.as_bytes()), &[400, 412, 414]);
    refused(victim.answer_to(&vec![b'A'; 1 << 20]), &[400, 414, 431]);
    victim.unharmed();
}

#[test]
fn a_body_shorter_than_it_says_is_not_stored() {
    let victim = Victim::start();
    // The client hangs up in the middle.
    let mut wire = victim.wire();
    wire.write(&victim.head(&[("Content-Length", "100000")]));
    wire.write(&[b'x'; 50_000]);
    wire.finish_writing();
    if let Ok(answer) = wire.try_response(false) {
        assert_eq!(answer.status, 499);
    }
    // And at once.
    let mut wire = victim.wire();
    wire.write(&victim.head(&[("Content-Length", "100000")]));
    drop(wire);
    victim.tester.get("bad/o").send().expect(404);
    victim.unharmed();
}

#[test]
fn a_body_longer_than_it_says_ends_where_it_said() {
    let victim = Victim::start();
    let mut wire = victim.wire();
    wire.write(&victim.head(&[("Content-Length", "5")]));
    wire.write(b"12345GARBAGE\r\n\r\n");
    let stored = wire.response().expect(201);
    assert_eq!(stored.need("Etag").trim_matches('"'), md5_hex(b"12345"));
    // The rest is no request.
    if let Ok(answer) = wire.try_response(false) {
        assert_eq!(answer.status, 400);
    }
    assert_eq!(victim.tester.get("bad/o").send().expect(200).text(), "12345");
    assert_eq!(victim.tester.list("bad"), ["good", "o"]);
}

#[test]
fn a_silent_client_gets_408_and_holds_nothing() {
    let mut victim = Victim::start();
    let proxy = victim.cluster.proxy(0).process().id();
    let handles = disk::open_handles(proxy);

    // In the middle of a body, of a chunk, of a head, and after connecting.
    let mut stalled: Vec<_> = (0..5).map(|_| victim.wire()).collect();
    for wire in &mut stalled {
        wire.write(&victim.head(&[("Content-Length", "100000")]));
        wire.write(&[b'x'; 50_000]);
    }
    let mut chunked = victim.wire();
    chunked.write(&victim.head(&[("Transfer-Encoding", "chunked")]));
    chunked.write(b"10\r\nhalf");
    let mut headless = victim.wire();
    headless.write(b"GET /v1/AUTH_test/bad HTTP/1.1\r\nHost: x\r\nX-Slow");
    let mut mute = victim.wire();

    for wire in &mut stalled {
        wire.response().expect(408);
        wire.read_to_close();
    }
    chunked.response().expect(408);
    chunked.read_to_close();
    headless.read_to_close();
    mute.read_to_close();
    drop((stalled, chunked, headless, mute));

    // Sockets to clients and to storage nodes are given back.
    let deadline = Instant::now() + PATIENCE;
    while disk::open_handles(proxy) > handles + 8 {
        assert!(Instant::now() < deadline, "{} handles, {handles} before", disk::open_handles(proxy));
        victim.tester.get("bad/good").send().expect(200);
    }
    victim.unharmed();
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let mut victim = Victim::start();
    victim.tester.store("bad/large", vec![7; 64 << 20]);
    victim.before = on_disk(&mut victim.cluster);
    let ids: Vec<_> = victim.cluster.nodes().iter_mut().map(|node| node.process().id()).collect();
    let (head, wire) = victim.tester.get("bad/large").open();
    assert_eq!(head.status, 200);

    // No storage node keeps the file open for it.
    let deadline = Instant::now() + PATIENCE;
    while ids.iter().any(|&id| disk::has_open(id, ".data")) {
        assert!(Instant::now() < deadline, "the object is still open");
        victim.tester.get("bad/good").send().expect(200);
    }
    drop(wire);
    victim.tester.delete("bad/large").send().expect(204);
}

#[test]
fn names_that_are_no_text_are_refused() {
    let victim = Victim::start();
    for name in ["bad/%ff", "bad/a%00b", "bad/%c3%28", "%ff", "a%00", "bad/%ed%a0%80"] {
        for method in ["PUT", "GET", "HEAD", "POST", "DELETE"] {
            let answer = victim.tester.raw(method, &format!("/v1/AUTH_test/{name}")).send().expect(412);
            if method != "HEAD" {
                assert_eq!(answer.text(), "Invalid UTF8 or contains NULL", "{method} {name}");
            }
        }
    }
    // Metadata that is no text is stored or refused, and breaks neither the object nor its listing.
    let binary = victim.tester.put("bad/o").body("x").header("X-Object-Meta-A", b"\xff\xfe");
    refused(binary.try_send().ok(), &[201, 400]);
    assert!(victim.tester.head("bad/o").send().status < 500);
    victim.tester.get("bad").query("format=json").send().expect(200).json();
    victim.tester.delete("bad/o").send();
    let named = victim.tester.put("bad/o").body("x").header("X-Object-Meta-A\u{1}", "v");
    refused(named.try_send().ok(), &[400]);
    assert_eq!(victim.tester.list("bad"), ["good"]);
}

#[test]
fn dots_and_odd_escapes_are_only_names() {
    let victim = Victim::start();
    let target = |name: &str| format!("/v1/AUTH_test/bad/{name}");
    let names =
        ["../../../etc/passwd", "..", ".", "a/../b", "%2e%2e/%2e%2e/x", "..%2f..%2fetc%2fpasswd", "a//b", "/a", "a/"];
    for name in names {
        victim.tester.raw("PUT", &target(name)).body(name).send().expect(201);
        assert_eq!(victim.tester.raw("GET", &target(name)).send().expect(200).text(), name, "{name}");
    }
    let listed = victim.tester.list("bad");
    for name in ["../../../etc/passwd", "..", "../../x", "../../etc/passwd", "a//b", "/a", "a/"] {
        assert!(listed.contains(&name.to_owned()), "{name} in {listed:?}");
    }
    for name in names {
        victim.tester.raw("DELETE", &target(name)).send();
    }
    // A percent sign with no digits behind it is not taken for a crash, whatever it is taken for.
    for name in ["%", "%zz", "%2", "%%%", "a%"] {
        let put = victim.tester.raw("PUT", &target(name)).body("x").send();
        assert!(matches!(put.status, 201 | 400 | 412), "{name}: {put:?}");
        let get = victim.tester.raw("GET", &target(name)).send();
        assert_eq!(get.status == 200, put.status == 201, "{name}: {get:?}");
    }
    let outside = victim.cluster.swift().anonymous("GET", "/v1/../../etc/passwd").send();
    assert!((400..500).contains(&outside.status), "{outside:?}");
}

#[test]
fn a_lying_etag_is_422() {
    let victim = Victim::start();
    for length in [0, 1, 100_000] {
        let put = victim.tester.put("bad/o").body(vec![1; length]).header("ETag", md5_hex(b"something else"));
        put.send().expect(422);
    }
    victim.tester.get("bad/o").send().expect(404);
    victim.unharmed();
}

#[test]
fn chunks_that_are_none_are_refused() {
    let victim = Victim::start();
    let garbage: [&[u8]; 9] = [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5hello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello, world\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"5;ext=\x00\x01\nhello\r\n0\r\n\r\n",
    ];
    for body in garbage {
        let mut wire = victim.wire();
        wire.write(&victim.head(&[("Transfer-Encoding", "chunked")]));
        let _ = wire.try_write(body);
        wire.finish_writing();
        if let Ok(answer) = wire.try_response(false) {
            assert!((400..500).contains(&answer.status), "{body:?}: {answer:?}");
        }
        victim.tester.get("bad/o").send().expect(404);
    }
    // A chunked body that just ends.
    let mut wire = victim.wire();
    wire.write(&victim.head(&[("Transfer-Encoding", "chunked")]));
    wire.write(b"5\r\nhello\r\n");
    wire.finish_writing();
    if let Ok(answer) = wire.try_response(false) {
        assert_eq!(answer.status, 499);
    }
    victim.unharmed();
}

#[test]
fn what_is_too_large_is_refused_before_it_is_stored() {
    let victim = Victim::start();
    let too_large = (5_u64 * 1024 * 1024 * 1024 + 3).to_string();
    // Not a byte of it is sent.
    let answer = victim.answer_to(&victim.head(&[("Content-Length", &too_large)])).expect("an answer");
    assert_eq!(answer.expect(413).text(), "Your request is too large.");
    let asked = victim.head(&[("Content-Length", &too_large), ("Expect", "100-continue")]);
    refused(victim.answer_to(&asked), &[413]);
    for absurd in ["99999999999999999999", "-1", "ten", "", "0x10", "1 1", "+5"] {
        refused(victim.answer_to(&victim.head(&[("Content-Length", absurd)])), &[400, 413]);
    }
    // No length at all.
    let answer = victim.answer_to(&victim.head(&[])).expect("an answer");
    assert_eq!(answer.expect(411).text(), "Missing Content-Length header.");
    victim.unharmed();
}

#[test]
fn chunks_beyond_the_limit_are_refused_on_the_way() {
    let victim = Victim::with("constraints = { max_file_size = 100000 }");
    let mut wire = victim.wire();
    wire.write(&victim.head(&[("Transfer-Encoding", "chunked")]));
    for _ in 0..3 {
        let _ = wire.try_write(format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000)).as_bytes());
    }
    let _ = wire.try_write(b"0\r\n\r\n");
    wire.response().expect(413);
    victim.tester.get("bad/o").send().expect(404);
    victim.tester.put("bad/o").body("x".repeat(100_001)).send().expect(413);
    victim.unharmed();
}

#[test]
fn nothing_is_smuggled_behind_contradictory_lengths() {
    let victim = Victim::start();
    let smuggled = victim.tester.put("bad/smuggled").body("x").encode();
    let frames: [&[(&str, &str)]; 8] = [
        &[("Content-Length", "5"), ("Content-Length", "6")],
        &[("Content-Length", "5, 6")],
        &[("Content-Length", "4"), ("Transfer-Encoding", "chunked")],
        &[("Transfer-Encoding", "chunked"), ("Content-Length", "4")],
        &[("Transfer-Encoding", "identity, chunked"), ("Content-Length", "4")],
        &[("Transfer-Encoding", "xchunked")],
        &[("Transfer-Encoding", "chunked, identity")],
        &[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
    ];
    for frame in frames {
        let mut wire = victim.wire();
        wire.write(&victim.head(frame));
        let _ = wire.try_write(b"0\r\n\r\n");
        let _ = wire.try_write(&smuggled);
        wire.finish_writing();
        let first = wire.try_response(false);
        // Either refused, or taken as chunked and the connection closed behind it, as RFC 9112 has it.
        assert!(first.as_ref().is_ok_and(|a| matches!(a.status, 201 | 400..=499 | 501)), "{frame:?}: {first:?}");
        wire.read_to_close();
        victim.tester.get("bad/smuggled").send().expect(404);
        victim.tester.delete("bad/o").send();
    }
    assert_eq!(victim.tester.list("bad"), ["good"]);
}

#[test]
fn other_protocols_are_turned_away() {
    let victim = Victim::start();
    let preambles: [&[u8]; 9] = [
        b"GET /v1/AUTH_test\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n",
        b"G\xffT / HTTP/1.1\r\n\r\n",
        b"GET /v1/AUTH_test HTTP/1.1\r\nNo colon here\r\n\r\n",
    ];
    for preamble in preambles {
        let mut wire = victim.wire();
        wire.write(preamble);
        wire.finish_writing();
        if let Ok(answer) = wire.try_response(false) {
            assert!((400..600).contains(&answer.status) && answer.status != 500, "{preamble:?}: {answer:?}");
        }
    }
    // Odd but legal targets.
    for (method, target) in [("OPTIONS", "*"), ("CONNECT", "example.com:80"), ("GET", "http://elsewhere/v1/AUTH_test")]
    {
        let answer = Request::new(victim.tester.address, method, target).try_send();
        assert!(answer.as_ref().is_ok_and(|a| a.status < 500), "{method} {target}: {answer:?}");
    }
    // HTTP/1.0 is still spoken.
    refused(victim.answer_to(b"GET /healthcheck HTTP/1.0\r\n\r\n"), &[200]);
    victim.unharmed();
}

#[test]
fn absurd_headers_do_no_harm() {
    let victim = Victim::start();
    let get = |name: &str, value: &str| victim.tester.get("bad/good").header(name, value).send().status;
    for range in ["bytes=18446744073709551615-", "bytes=0-18446744073709551616", "bytes=-18446744073709551616"] {
        assert!(matches!(get("Range", range), 200 | 206 | 416), "{range}");
    }
    assert!(matches!(get("Range", &format!("bytes={}", "0-0,".repeat(2000))), 200 | 206 | 416));
    assert!(matches!(get("Range", &format!("bytes={}", ",".repeat(8000))), 200 | 416));
    assert!(matches!(get("If-None-Match", &"\"x\",".repeat(1600)), 200));
    assert_eq!(get("If-Modified-Since", "Mon, 99 Foo 99999 99:99:99 GMT"), 200);
    assert_eq!(get("X-Newest", "perhaps"), 200);
    // Timestamps of the client's own are not taken.
    for stamp in ["garbage", "-1", "99999999999999999999", "NaN", "1e400"] {
        victim.tester.put("bad/good").body("good").header("X-Timestamp", stamp).send().expect(201);
    }
    for moment in ["NaN", "1e10", " ", "0x10", "-1"] {
        let put = victim.tester.put("bad/o").body("x").header("X-Delete-At", moment).send();
        assert!(matches!(put.status, 400), "{moment:?}: {put:?}");
    }
    // A query that is none.
    for query in ["%", "limit=%", "&&&=&", "format=%00", "marker=%zz", "limit=99999999999999999999"] {
        let list = victim.tester.get("bad").query(query).send();
        assert!(list.status < 500, "{query}: {list:?}");
    }
    assert_eq!(victim.tester.list("bad"), ["good"]);
}

#[test]
fn storage_servers_too_take_nonsense_calmly() {
    let mut victim = Victim::start();
    for (role, names) in [("account", "a"), ("container", "a/c"), ("object", "a/c/o")] {
        let address = victim.cluster.node(0).address(role);
        for target in ["/", "/no", "/d0/x/a", "/../1/a/c/o", "/d0/1/%ff/c/o", "/d0/99999999999/a/c/o", "//1/a/c/o"] {
            for method in ["PUT", "GET", "HEAD", "POST", "DELETE", "UPDATE"] {
                let answer = Request::new(address, method, target).send();
                assert!(
                    (400..508).contains(&answer.status) && answer.status != 500,
                    "{role} {method} {target}: {answer:?}"
                );
            }
        }
        // A device that is not there, a timestamp that is none, a policy that is none.
        let put = |path: &str| Request::new(address, "PUT", path).header("Content-Type", "a/b");
        put(&format!("/nothing/1/{names}")).header("X-Timestamp", "1700000000.00000").send().expect(507);
        for stamp in ["", "x", "-1", "99999999999999999999.00000"] {
            put(&format!("/d0/1/{names}")).header("X-Timestamp", stamp).send().expect(400);
        }
    }
    victim.unharmed();
}
