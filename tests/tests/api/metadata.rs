//! Object metadata: what a PUT keeps, what a POST replaces.

use apus_tests::Target;

#[test]
fn a_post_replaces_all_of_an_objects_metadata() {
    let target = Target::start();
    let tester = target.with_container("m");
    let put = tester.put("m/o").body("x").header("X-Object-Meta-Colour", "red").header("X-Object-Meta-Size", "big");
    put.header("Content-Disposition", "attachment").send().expect(201);

    tester.post("m/o").header("X-Object-Meta-Shape", "round").header("Cache-Control", "no-store").send().expect(202);

    let head = tester.head("m/o").send().expect(200);
    assert_eq!(head.need("X-Object-Meta-Shape"), "round");
    assert_eq!(head.need("Cache-Control"), "no-store");
    for gone in ["X-Object-Meta-Colour", "X-Object-Meta-Size", "Content-Disposition"] {
        assert_eq!(head.header(gone), None, "{gone}");
    }
    // The data is untouched.
    assert_eq!(tester.get("m/o").send().expect(200).text(), "x");
}

#[test]
fn the_headers_of_http_are_kept_as_they_were() {
    let target = Target::start();
    let tester = target.with_container("m");
    let kept = [
        ("Content-Encoding", "gzip"),
        ("Content-Disposition", "inline; filename=\"ä.txt\""),
        ("Cache-Control", "max-age=7"),
        ("Content-Language", "de"),
        ("Expires", "Thu, 01 Jan 2037 00:00:00 GMT"),
        ("X-Robots-Tag", "noindex"),
        ("X-Object-Meta-Title", "späte Vögel"),
    ];
    let put = kept.iter().fold(tester.put("m/o").body("x"), |put, (name, value)| put.header(name, value));
    put.send().expect(201);
    let get = tester.get("m/o").send().expect(200);
    for (name, value) in kept {
        assert_eq!(get.need(name), value);
    }
}

#[test]
fn a_put_forgets_the_metadata_of_the_object_it_replaces() {
    let target = Target::start();
    let tester = target.with_container("m");
    tester.put("m/o").body("x").header("X-Object-Meta-Put", "1").send().expect(201);
    tester.post("m/o").header("X-Object-Meta-Post", "1").send().expect(202);
    tester.store("m/o", "y");
    let head = tester.head("m/o").send().expect(200);
    assert_eq!((head.header("X-Object-Meta-Put"), head.header("X-Object-Meta-Post")), (None, None));
}

#[test]
fn what_is_internal_stays_inside() {
    let target = Target::start();
    let tester = target.with_container("m");
    let put = tester.put("m/o").body("x");
    let put = put.header("X-Object-Sysmeta-Secret", "1").header("X-Object-Transient-Sysmeta-Secret", "1");
    let put = put.header("X-Backend-Storage-Policy-Index", "1").header("X-Timestamp", "0000000001.00000");
    put.header("X-Container-Host", "127.0.0.1:1").send().expect(201);

    let get = tester.get("m/o").send().expect(200);
    assert_eq!(get.text(), "x");
    assert!(get.need("X-Timestamp") > "1000000000.00000", "the client chose the timestamp");
    let leaked = get.headers.iter().find(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name.contains("sysmeta") || name.starts_with("x-backend")
    });
    assert_eq!(leaked, None);
    assert_eq!(tester.list("m"), ["o"]);
}

#[test]
fn a_manifests_header_must_be_sent_again() {
    let target = Target::start();
    let tester = target.with_container("m");
    tester.put("m/o").header("X-Object-Manifest", "m/parts").send().expect(201);
    assert_eq!(
        tester.head("m/o").query("multipart-manifest=get").send().expect(200).need("X-Object-Manifest"),
        "m/parts"
    );
    tester.post("m/o").header("X-Object-Meta-A", "b").send().expect(202);
    assert_eq!(tester.head("m/o").send().expect(200).header("X-Object-Manifest"), None);
}
