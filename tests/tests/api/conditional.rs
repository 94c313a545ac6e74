//! Conditional requests, evaluated in Swift's order.

use apus_tests::{Session, Target, md5_hex};

const PAST: &str = "Thu, 01 Jan 2015 00:00:00 GMT";
const FUTURE: &str = "Fri, 01 Jan 2038 00:00:00 GMT";

fn status(tester: &Session, headers: &[(&str, &str)]) -> u16 {
    let get = headers.iter().fold(tester.get("c/o"), |get, (name, value)| get.header(name, value));
    let head = headers.iter().fold(tester.head("c/o"), |head, (name, value)| head.header(name, value));
    let (get, head) = (get.send(), head.send());
    assert_eq!(get.status, head.status, "GET and HEAD differ for {headers:?}");
    if get.status == 304 {
        assert!(get.body.is_empty());
        assert!(get.header("Etag").is_some());
    }
    get.status
}

#[test]
fn etags_decide() {
    let target = Target::start();
    let tester = target.with_container("c");
    tester.store("c/o", "body");
    let (own, other) = (md5_hex(b"body"), md5_hex(b"other"));
    let (quoted, both) = (format!("\"{own}\""), format!("\"{other}\", \"{own}\""));

    for (wanted, if_match, if_none_match) in
        [(&*own, 200, 304), (&*quoted, 200, 304), (&*both, 200, 304), ("*", 200, 304), (&*other, 412, 200)]
    {
        assert_eq!(status(&tester, &[("If-Match", wanted)]), if_match, "If-Match: {wanted}");
        assert_eq!(status(&tester, &[("If-None-Match", wanted)]), if_none_match, "If-None-Match: {wanted}");
    }
    // Not there at all: If-Match has nothing to match.
    tester.get("c/absent").header("If-Match", "*").send().expect(412);
    tester.get("c/absent").header("If-None-Match", "*").send().expect(404);
}

#[test]
fn dates_decide_and_nonsense_is_ignored() {
    let target = Target::start();
    let tester = target.with_container("c");
    tester.store("c/o", "body");
    assert_eq!(status(&tester, &[("If-Modified-Since", PAST)]), 200);
    assert_eq!(status(&tester, &[("If-Modified-Since", FUTURE)]), 304);
    assert_eq!(status(&tester, &[("If-Unmodified-Since", PAST)]), 412);
    assert_eq!(status(&tester, &[("If-Unmodified-Since", FUTURE)]), 200);
    assert_eq!(status(&tester, &[("If-Modified-Since", "yesterday")]), 200);

    // The moment that Last-Modified tells is not later than itself.
    let modified = tester.head("c/o").send().expect(200).need("Last-Modified").to_owned();
    assert_eq!(status(&tester, &[("If-Modified-Since", &modified)]), 304);
    assert_eq!(status(&tester, &[("If-Unmodified-Since", &modified)]), 200);
}

#[test]
fn an_object_is_created_only_where_none_is() {
    let target = Target::start();
    let tester = target.with_container("c");
    tester.put("c/o").body("first").header("If-None-Match", "*").send().expect(201);
    tester.put("c/o").body("second").header("If-None-Match", "*").send().expect(412);
    assert_eq!(tester.get("c/o").send().expect(200).text(), "first");
    let refused = tester.put("c/o").body("third").header("If-None-Match", "\"abc\"").send().expect(400);
    assert_eq!(refused.text(), "If-None-Match only supports *");
    // Deleted counts as none.
    tester.delete("c/o").send().expect(204);
    tester.put("c/o").body("fourth").header("If-None-Match", "*").send().expect(201);
}

#[test]
fn an_etag_sent_along_is_checked() {
    let target = Target::start();
    let tester = target.with_container("c");
    tester.put("c/o").body("body").header("ETag", md5_hex(b"body")).send().expect(201);
    tester.put("c/o").body("body").header("ETag", format!("\"{}\"", md5_hex(b"body"))).send().expect(201);
    tester.put("c/o").body("liar").header("ETag", md5_hex(b"body")).send().expect(422);
    assert_eq!(tester.get("c/o").send().expect(200).text(), "body");
}
