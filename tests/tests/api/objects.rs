//! Objects: storing, reading, replacing and deleting them.

use apus_tests::{Connection, Target, bytes, md5_hex};

#[test]
fn what_is_stored_is_what_is_read() {
    let target = Target::start();
    let tester = target.with_container("o");

    // Around the sizes of buffers.
    for length in [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, (3 << 20) + 7] {
        let body = bytes(length as u64, length);
        let put = tester.put("o/it").body(&body).send().expect(201);
        assert_eq!(put.need("Etag").trim_matches('"'), md5_hex(&body));
        assert!(put.need("Last-Modified").ends_with(" GMT"));

        let get = tester.get("o/it").send().expect(200);
        assert_eq!(get.need("Content-Length"), length.to_string());
        assert_eq!(get.need("Etag"), md5_hex(&body));
        assert_eq!(get.need("Accept-Ranges"), "bytes");
        assert!(get.body == body, "{length} bytes came back different");
        let head = tester.head("o/it").send().expect(200);
        assert_eq!(head.need("Content-Length"), length.to_string());
    }
}

#[test]
fn every_answer_names_its_transaction() {
    let target = Target::start();
    let tester = target.with_container("o");
    let answer = tester.get("o/absent").header("X-Trans-Id-Extra", "mine").send().expect(404);
    let id = answer.need("X-Trans-Id");
    assert!(id.starts_with("tx") && id.ends_with("mine") && id[23..].starts_with('-'), "{id}");
    assert_eq!(answer.need("X-Openstack-Request-Id"), id);
    assert_eq!(answer.text(), "<html><h1>Not Found</h1><p>The resource could not be found.</p></html>");
}

#[test]
fn timestamps_agree() {
    let target = Target::start();
    let tester = target.with_container("o");
    tester.store("o/it", "x");
    let head = tester.head("o/it").send().expect(200);
    let stamp = head.need("X-Timestamp");
    let (seconds, fraction) = stamp.split_once('.').expect("a timestamp");
    assert_eq!((seconds.len(), fraction.len()), (10, 5), "{stamp}");
    // The listing has the same moment in its own spelling, to the ten microseconds.
    let row = &tester.get("o").query("format=json").send().expect(200).json()[0];
    let modified = row["last_modified"].as_str().expect("a time");
    assert!(modified.ends_with(&format!(".{fraction}0")), "{modified} is not {stamp}");
}

#[test]
fn a_content_type_is_given_guessed_or_kept() {
    let target = Target::start();
    let tester = target.with_container("o");
    let kind = |name: &str| tester.head(name).send().expect(200).need("Content-Type").to_owned();

    tester.put("o/a.html").body("x").header("Content-Type", "text/x-mine; charset=utf-8").send().expect(201);
    assert_eq!(kind("o/a.html"), "text/x-mine; charset=utf-8");
    tester.store("o/b.html", "x");
    assert_eq!(kind("o/b.html"), "text/html");
    tester.store("o/nothing-known", "x");
    assert_eq!(kind("o/nothing-known"), "application/octet-stream");
    let detect =
        tester.put("o/c.txt").body("x").header("Content-Type", "image/png").header("X-Detect-Content-Type", "true");
    detect.send().expect(201);
    assert_eq!(kind("o/c.txt"), "text/plain");

    // A POST keeps it unless it names one.
    tester.post("o/a.html").header("X-Object-Meta-A", "b").send().expect(202);
    assert_eq!(kind("o/a.html"), "text/x-mine; charset=utf-8");
    tester.post("o/a.html").header("Content-Type", "text/changed").send().expect(202);
    assert_eq!(kind("o/a.html"), "text/changed");
    assert_eq!(tester.get("o").query("format=json").send().json()[0]["content_type"], "text/changed");
}

#[test]
fn a_body_may_come_in_chunks() {
    let target = Target::start();
    let tester = target.with_container("o");
    let mut wire = Connection::open(tester.address);
    let head = tester.put("o/chunked").unframed().header("Transfer-Encoding", "chunked").encode();
    wire.write(&head);
    wire.write(b"5\r\nhello\r\n");
    wire.write(b"7;extension=ignored\r\n, world\r\n0\r\n\r\n");
    assert_eq!(wire.response().expect(201).need("Etag").trim_matches('"'), md5_hex(b"hello, world"));
    assert_eq!(tester.get("o/chunked").send().expect(200).text(), "hello, world");
}

#[test]
fn a_client_may_ask_before_it_sends() {
    let target = Target::start();
    let tester = target.with_container("o");
    let ask = |path: &str| {
        tester.put(path).header("Expect", "100-continue").unframed().header("Content-Length", "5").encode()
    };

    // The 100 comes when the body is wanted.
    let mut wire = Connection::open(tester.address);
    wire.write(&ask("o/asked"));
    assert_eq!(wire.try_head().expect("an answer").status, 100);
    wire.write(b"hello");
    wire.response().expect(201);

    // Who may not write is told so without sending anything.
    let mut wire = Connection::open(tester.address);
    wire.write(&ask("no-such-container/asked"));
    assert_eq!(wire.try_head().expect("an answer").status, 404);
}

#[test]
fn a_deleted_object_is_gone_everywhere() {
    let target = Target::start();
    let tester = target.with_container("o");
    tester.store("o/it", "x");
    tester.delete("o/it").send().expect(204);
    tester.get("o/it").send().expect(404);
    tester.head("o/it").send().expect(404);
    tester.post("o/it").send().expect(404);
    tester.delete("o/it").send().expect(404);
    assert!(tester.list("o").is_empty());
    // And can be stored again.
    tester.store("o/it", "y");
    assert_eq!(tester.get("o/it").send().expect(200).text(), "y");
}

#[test]
fn an_object_needs_its_container() {
    let target = Target::start();
    let tester = target.with_container("o");
    tester.put("nowhere/o").body("x").send().expect(404);
    tester.get("nowhere/o").send().expect(404);
    tester.delete("nowhere/o").send().expect(404);
}

#[test]
fn the_newest_version_can_be_asked_for() {
    let target = Target::start();
    let tester = target.with_container("o");
    tester.store("o/it", "old");
    tester.store("o/it", "new");
    assert_eq!(tester.get("o/it").header("X-Newest", "true").send().expect(200).text(), "new");
    tester.head("o/it").header("X-Newest", "true").send().expect(200);
    tester.delete("o/it").send().expect(204);
    tester.get("o/it").header("X-Newest", "true").send().expect(404);
}

#[test]
fn a_connection_serves_many_requests() {
    let target = Target::start();
    let tester = target.with_container("o");
    let mut wire = Connection::open(tester.address);
    for i in 0..50 {
        let (path, body) = (format!("o/{i}"), format!("body {i}"));
        assert_eq!(tester.put(&path).body(&body).send_on(&mut wire).expect("an answer").status, 201);
        assert_eq!(tester.get(&path).send_on(&mut wire).expect("an answer").text(), body);
        assert_eq!(tester.head(&path).send_on(&mut wire).expect("an answer").status, 200);
    }
}

#[test]
fn what_nobody_implements_is_405() {
    let target = Target::start();
    let tester = target.with_container("o");
    for method in ["PATCH", "TRACE", "PROPFIND", "UPDATE", "REPLICATE"] {
        let answer = tester.request(method, "o/it").send().expect(405);
        assert!(answer.need("Allow").contains("GET"), "{method}");
    }
}
