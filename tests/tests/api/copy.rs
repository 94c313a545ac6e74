//! COPY, and PUT with X-Copy-From.

use apus_tests::Target;
use apus_tests::swift::{OTHER, RESELLER};

#[test]
fn a_copy_has_the_bytes_and_the_metadata() {
    let target = Target::start();
    let tester = target.with_container("from");
    tester.make("to");
    let put = tester.put("from/o").body("body").header("Content-Type", "text/mine").header("X-Object-Meta-Kept", "1");
    put.header("Content-Encoding", "gzip").send().expect(201);

    let copied = tester.request("COPY", "from/o").header("Destination", "to/p/q").header("X-Object-Meta-New", "2");
    let copied = copied.send().expect(201);
    assert_eq!(copied.need("X-Copied-From"), "from/o");
    assert_eq!(copied.need("X-Copied-From-Account"), "AUTH_test");
    assert!(copied.need("X-Copied-From-Last-Modified").ends_with(" GMT"));

    let get = tester.get("to/p/q").send().expect(200);
    assert_eq!((get.text().as_str(), get.need("Content-Type")), ("body", "text/mine"));
    assert_eq!((get.need("X-Object-Meta-Kept"), get.need("X-Object-Meta-New")), ("1", "2"));
    assert_eq!(get.need("Content-Encoding"), "gzip");
    assert_eq!(tester.list("to"), ["p/q"]);
}

#[test]
fn a_put_can_copy_too() {
    let target = Target::start();
    let tester = target.with_container("from");
    tester.put("from/späte Vögel").body("0123456789").header("X-Object-Meta-Old", "1").send().expect(201);
    let from = "/from/sp%C3%A4te%20V%C3%B6gel";

    // Fresh metadata leaves the old behind, a range copies a part.
    let put = tester.put("from/new").header("X-Copy-From", from).header("X-Fresh-Metadata", "true");
    put.send().expect(201);
    let get = tester.get("from/new").send().expect(200);
    assert_eq!((get.text().as_str(), get.header("X-Object-Meta-Old")), ("0123456789", None));
    tester.put("from/part").header("X-Copy-From", from).header("Range", "bytes=2-4").send().expect(201);
    assert_eq!(tester.get("from/part").send().expect(200).text(), "234");

    // A body and a source at once make no sense.
    tester.put("from/both").header("X-Copy-From", from).body("x").send().expect(400);
}

#[test]
fn a_copy_onto_itself_changes_metadata() {
    let target = Target::start();
    let tester = target.with_container("from");
    tester.put("from/o").body("body").header("X-Object-Meta-Old", "1").send().expect(201);
    let copy = tester.request("COPY", "from/o").header("Destination", "/from/o").header("Content-Type", "text/new");
    copy.send().expect(201);
    let get = tester.get("from/o").send().expect(200);
    assert_eq!(
        (get.text().as_str(), get.need("Content-Type"), get.need("X-Object-Meta-Old")),
        ("body", "text/new", "1")
    );
}

#[test]
fn a_copy_that_cannot_be() {
    let target = Target::start();
    let tester = target.with_container("from");
    tester.store("from/o", "body");
    tester.request("COPY", "from/absent").header("Destination", "from/x").send().expect(404);
    tester.request("COPY", "from/o").header("Destination", "nowhere/x").send().expect(404);
    tester.request("COPY", "from/o").send().expect(412);
    tester.request("COPY", "from/o").header("Destination", "no-object").send().expect(412);
    tester.request("COPY", "from").header("Destination", "from/x").send().expect(405);
    tester.put("from/x").header("X-Copy-From", "no-object").send().expect(412);
    tester.get("from/x").send().expect(404);
}

#[test]
fn a_copy_into_another_account_needs_both_owners_leave() {
    let target = Target::start();
    let tester = target.with_container("across");
    tester.store("across/o", "body");
    let other = target.swift().login(OTHER);
    other.make("across");
    let copy = |session: &apus_tests::Session| {
        let copy = session.on("AUTH_test").request("COPY", "across/o");
        copy.header("Destination", "across/o").header("Destination-Account", "AUTH_test2").send().status
    };

    assert_eq!(copy(&tester), 403);
    assert_eq!(copy(&other), 403);
    assert_eq!(copy(&target.swift().login(RESELLER)), 201);
    assert_eq!(other.get("across/o").send().expect(200).text(), "body");
    // With an ACL, the other account's owner may.
    tester.post("across").header("X-Container-Read", "test2:tester2").send().expect(204);
    assert_eq!(copy(&other), 201);
}
