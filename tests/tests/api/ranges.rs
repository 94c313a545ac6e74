//! Ranges: one, several, and those that cannot be had.

use apus_tests::{Response, Session, Target};

const BODY: &str = "0123456789abcdefghij";

fn stored(target: &Target) -> Session {
    let tester = target.with_container("r");
    tester.put("r/o").body(BODY).header("Content-Type", "text/plain").send().expect(201);
    tester
}

fn range(tester: &Session, range: &str) -> Response {
    tester.get("r/o").header("Range", range).send()
}

#[test]
fn one_range_is_cut_out() {
    let target = Target::start();
    let tester = stored(&target);
    let cases = [
        ("bytes=0-4", 0, 4),
        ("bytes=5-5", 5, 5),
        ("bytes=15-", 15, 19),
        ("bytes=-3", 17, 19),
        ("bytes=-99", 0, 19),
        ("bytes=18-999", 18, 19),
    ];
    for (asked, first, last) in cases {
        let answer = range(&tester, asked).expect(206);
        assert_eq!(answer.text(), BODY[first..=last], "{asked}");
        assert_eq!(answer.need("Content-Range"), format!("bytes {first}-{last}/20"));
        assert_eq!(answer.need("Content-Length"), (last - first + 1).to_string());
    }
}

#[test]
fn a_range_that_makes_no_sense_is_ignored() {
    let target = Target::start();
    let tester = stored(&target);
    for nonsense in ["bytes=", "bytes=abc", "bytes=5-4", "bytes=--1", "lines=1-2", "bytes=-", "1-2", "bytes=a-b,1-2"] {
        assert_eq!(range(&tester, nonsense).expect(200).text(), BODY, "{nonsense}");
    }
}

#[test]
fn a_range_beyond_the_end_is_416() {
    let target = Target::start();
    let tester = stored(&target);
    for beyond in ["bytes=20-", "bytes=20-30", "bytes=99999999999999999999-", "bytes=-0", "bytes=20-21,30-31"] {
        assert_eq!(range(&tester, beyond).expect(416).need("Content-Range"), "bytes */20", "{beyond}");
    }
    // The end of nothing is nothing.
    tester.store("r/empty", "");
    tester.get("r/empty").header("Range", "bytes=-5").send().expect(200);
    tester.get("r/empty").header("Range", "bytes=0-").send().expect(416);
}

#[test]
fn several_ranges_come_as_parts() {
    let target = Target::start();
    let tester = stored(&target);
    let answer = range(&tester, "bytes=0-1,5-6,-2,50-60").expect(206);
    let boundary =
        answer.need("Content-Type").strip_prefix("multipart/byteranges;boundary=").expect("a boundary").to_owned();
    assert_eq!(answer.need("Content-Length"), answer.body.len().to_string());

    let text = answer.text();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    // Before the first, three parts, and the closing "--"; the range beyond the end is left out.
    assert_eq!(parts.len(), 5, "{text}");
    for (part, (first, last)) in parts[1..4].iter().zip([(0, 1), (5, 6), (18, 19)]) {
        assert!(part.contains("Content-Type: text/plain\r\n"), "{part}");
        assert!(part.contains(&format!("Content-Range: bytes {first}-{last}/20\r\n")), "{part}");
        assert!(part.ends_with(&format!("\r\n\r\n{}\r\n", &BODY[first..=last])), "{part}");
    }
    assert!(parts[4].starts_with("--"));
}

#[test]
fn ranges_meant_to_hurt_are_refused() {
    let target = Target::start();
    let tester = stored(&target);
    let many = (0..51).map(|i| format!("{0}-{0}", i % 20)).collect::<Vec<_>>().join(",");
    range(&tester, &format!("bytes={many}")).expect(416);
    // More than two pairs that overlap.
    range(&tester, "bytes=0-10,1-11,2-12").expect(416);
    // Eight that go backwards.
    range(&tester, "bytes=18-18,16-16,14-14,12-12,10-10,8-8,6-6,4-4,2-2").expect(416);
}

#[test]
fn a_range_only_of_the_version_it_was_asked_for() {
    let target = Target::start();
    let tester = stored(&target);
    let etag = tester.head("r/o").send().expect(200).need("Etag").to_owned();
    assert_eq!(
        tester.get("r/o").header("Range", "bytes=0-1").header("If-Match", &etag).send().expect(206).text(),
        "01"
    );
    tester.get("r/o").header("Range", "bytes=0-1").header("If-None-Match", &etag).send().expect(304);
}
