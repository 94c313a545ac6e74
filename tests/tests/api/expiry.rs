//! Objects that expire: they are gone the moment they say.

use apus_tests::moment::{now, soon};
use apus_tests::{Target, wait_until};

#[test]
fn an_expired_object_is_a_404_at_once() {
    let target = Target::start();
    let tester = target.with_container("e");
    let at = soon();
    tester.put("e/o").body("x").header("X-Delete-At", at.to_string()).send().expect(201);
    assert_eq!(tester.get("e/o").send().expect(200).need("X-Delete-At"), at.to_string());

    // Ask until it is gone: it may not be before its time.
    wait_until("it is gone", || tester.get("e/o").send().status == 404);
    assert!(now() >= at, "it expired too early");
    tester.head("e/o").send().expect(404);
    tester.post("e/o").header("X-Object-Meta-A", "b").send().expect(404);
    // The name is free again.
    tester.store("e/o", "y");
    assert_eq!(tester.get("e/o").send().expect(200).text(), "y");
}

#[test]
fn a_delay_becomes_a_moment() {
    let target = Target::start();
    let tester = target.with_container("e");
    tester.put("e/o").body("x").header("X-Delete-After", "3600").send().expect(201);
    let at: u64 = tester.head("e/o").send().expect(200).need("X-Delete-At").parse().expect("a number");
    assert!((now() + 3590..=now() + 3600).contains(&at), "{at}");

    // A POST moves it, a POST without it takes it away, a copy keeps it.
    tester.post("e/o").header("X-Delete-At", (at + 100).to_string()).send().expect(202);
    assert_eq!(tester.head("e/o").send().expect(200).need("X-Delete-At"), (at + 100).to_string());
    tester.request("COPY", "e/o").header("Destination", "e/copy").send().expect(201);
    assert_eq!(tester.head("e/copy").send().expect(200).need("X-Delete-At"), (at + 100).to_string());
    tester.post("e/o").header("X-Object-Meta-A", "b").send().expect(202);
    assert_eq!(tester.head("e/o").send().expect(200).header("X-Delete-At"), None);
}

#[test]
fn a_moment_must_be_a_number_in_the_future() {
    let target = Target::start();
    let tester = target.with_container("e");
    tester.store("e/o", "x");
    let cases = [
        ("X-Delete-At", "soon", "Non-integer X-Delete-At"),
        ("X-Delete-At", "1000000000", "X-Delete-At in past"),
        ("X-Delete-At", "-1", "X-Delete-At in past"),
        ("X-Delete-After", "soon", "Non-integer X-Delete-After"),
        ("X-Delete-After", "-1", "X-Delete-After in past"),
        ("X-Delete-After", "0", "X-Delete-After in past"),
    ];
    for (header, value, reason) in cases {
        assert_eq!(
            tester.put("e/p").body("x").header(header, value).send().expect(400).text(),
            reason,
            "{header}: {value}"
        );
        assert_eq!(tester.post("e/o").header(header, value).send().expect(400).text(), reason, "{header}: {value}");
    }
    assert_eq!(tester.list("e"), ["o"]);
}
