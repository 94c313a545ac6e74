//! Accounts: they come into being by themselves, count what is in them, and carry metadata.

use apus_tests::swift::{RESELLER, TESTER};
use apus_tests::{Session, Target};

/// An account that no other story touches.
fn account(target: &Target, name: &str) -> Session {
    target.swift().login(RESELLER).on(name)
}

#[test]
fn an_account_nobody_wrote_to_looks_empty() {
    let target = Target::start();
    let fresh = account(&target, "AUTH_fresh");

    // The real Swift says 200 of an account that it only imagines, and 204 of one that is there.
    let head = fresh.head("").send();
    assert!(matches!(head.status, 200 | 204), "{head:?}");
    for count in ["X-Account-Container-Count", "X-Account-Object-Count", "X-Account-Bytes-Used"] {
        assert_eq!(head.need(count), "0");
    }
    assert!(fresh.get("").send().text().is_empty());
    assert_eq!(fresh.get("").query("format=json").send().expect(200).text(), "[]");
}

#[test]
fn an_account_counts_its_containers_by_policy() {
    let target = Target::start();
    let fresh = account(&target, "AUTH_counted");
    fresh.put("a").send().expect(201);
    fresh.put("b").header("X-Storage-Policy", "silver").send().expect(201);
    fresh.put("b").send().expect(202);

    let head = fresh.head("").send().expect(204);
    assert_eq!(head.need("X-Account-Container-Count"), "2");
    assert_eq!(head.need("X-Account-Storage-Policy-Gold-Container-Count"), "1");
    assert_eq!(head.need("X-Account-Storage-Policy-Silver-Container-Count"), "1");
    assert!(head.need("X-Timestamp").contains('.'));

    // A deleted container no longer counts.
    fresh.delete("b").send().expect(204);
    assert_eq!(fresh.head("").send().expect(204).need("X-Account-Container-Count"), "1");
    assert_eq!(fresh.list(""), ["a"]);
}

#[test]
fn account_metadata_merges_and_empties() {
    let target = Target::start();
    let fresh = account(&target, "AUTH_meta");

    // Each POST adds to what is there.
    fresh.post("").header("X-Account-Meta-Colour", "red").send().expect(204);
    fresh.post("").header("X-Account-Meta-Size", "big").send().expect(204);
    let head = fresh.head("").send().expect(204);
    assert_eq!((head.need("X-Account-Meta-Colour"), head.need("X-Account-Meta-Size")), ("red", "big"));

    // An empty value and X-Remove- take an item away.
    fresh.post("").header("X-Account-Meta-Colour", "").header("X-Remove-Account-Meta-Size", "x").send().expect(204);
    let head = fresh.head("").send().expect(204);
    assert_eq!((head.header("X-Account-Meta-Colour"), head.header("X-Account-Meta-Size")), (None, None));
}

#[test]
fn only_a_reseller_deletes_an_account_and_then_it_is_gone() {
    let target = Target::start();
    let reseller = account(&target, "AUTH_doomed");
    reseller.put("").send().expect(201);
    reseller.put("").send().expect(202);
    target.swift().login(TESTER).on("AUTH_doomed").delete("").send().expect(403);
    // A query string is a bulk delete that lost its middleware, so nothing is deleted.
    reseller.delete("").query("oops").send().expect(400);

    reseller.delete("").send().expect(204);
    let gone = reseller.get("").send().expect(410);
    assert_eq!(gone.need("X-Account-Status"), "Deleted");
}

#[test]
fn only_resellers_manage_accounts() {
    let target = Target::start();
    let tester = target.swift().login(TESTER);
    tester.put("").send().expect(403);
    tester.request("COPY", "").send().expect(405);
}
