//! Containers: their verbs, metadata and policies.

use apus_tests::Target;

#[test]
fn a_container_is_made_once_and_deleted_when_empty() {
    let target = Target::start();
    let tester = target.with_container("life");

    // Again is 202; somebody in it is 409.
    tester.put("life").send().expect(202);
    tester.store("life/o", "1");
    let refused = tester.delete("life").send().expect(409);
    assert!(refused.text().contains("<h1>Conflict</h1>"), "{}", refused.text());
    tester.delete("life/o").send().expect(204);

    tester.delete("life").send().expect(204);
    tester.delete("life").send().expect(404);
    tester.head("life").send().expect(404);
    tester.get("life").send().expect(404);
    tester.post("life").send().expect(404);
}

#[test]
fn a_container_tells_what_is_in_it() {
    let target = Target::start();
    let tester = target.with_container("counted");
    tester.store("counted/a", "12345");
    tester.store("counted/b", "123");
    tester.store("counted/b", "1");

    let head = tester.head("counted").send().expect(204);
    assert_eq!(head.need("X-Container-Object-Count"), "2");
    assert_eq!(head.need("X-Container-Bytes-Used"), "6");
    assert_eq!(head.need("X-Storage-Policy"), "gold");
    assert!(head.need("Last-Modified").ends_with(" GMT"));
    assert_eq!(head.need("Accept-Ranges"), "bytes");
    // An empty one answers a text listing with 204.
    tester.make("counted-empty");
    tester.get("counted-empty").send().expect(204);
}

#[test]
fn container_metadata_merges() {
    let target = Target::start();
    let tester = target.with_container("merged");
    tester.post("merged").header("X-Container-Meta-One", "1").send().expect(204);
    tester.put("merged").header("X-Container-Meta-Two", "2").send().expect(202);
    let head = tester.head("merged").send().expect(204);
    assert_eq!((head.need("X-Container-Meta-One"), head.need("X-Container-Meta-Two")), ("1", "2"));

    tester.post("merged").header("X-Remove-Container-Meta-One", "x").send().expect(204);
    tester.post("merged").header("X-Container-Meta-Two", "").send().expect(204);
    let head = tester.head("merged").send().expect(204);
    assert_eq!((head.header("X-Container-Meta-One"), head.header("X-Container-Meta-Two")), (None, None));
}

#[test]
fn a_policy_is_chosen_once() {
    let target = Target::start();
    let tester = target.with_container("plain");

    // In any case, by name; an unknown one is the client's mistake.
    tester.put("policy").header("X-Storage-Policy", "SILVER").send().expect(201);
    assert_eq!(tester.head("policy").send().expect(204).need("X-Storage-Policy"), "silver");
    let unknown = tester.put("policy2").header("X-Storage-Policy", "bronze").send().expect(400);
    assert!(unknown.text().contains("bronze"), "{}", unknown.text());

    // A container keeps its policy.
    tester.put("policy").header("X-Storage-Policy", "gold").send().expect(409);
    tester.put("policy").header("X-Storage-Policy", "silver").send().expect(202);
    tester.put("policy").send().expect(202);

    // Its objects are stored and counted under it.
    tester.store("policy/o", "silver bytes");
    assert_eq!(tester.get("policy/o").send().expect(200).text(), "silver bytes");
    assert_eq!(tester.list("policy"), ["o"]);
}

#[test]
fn names_may_be_any_utf8_but_no_slash() {
    let target = Target::start();
    for name in ["späte Vögel", "空", "a%20b", "q?x=1&y", "tab\there", "back\\slash", "😀", "..", "."] {
        let tester = target.with_container(name);
        let object = format!("{name}/{name}/{name}");
        tester.store(&object, name);
        assert_eq!(tester.get(&object).send().expect(200).text(), name);
        assert_eq!(tester.list(name), [format!("{name}/{name}")]);
        assert!(tester.list("").contains(&name.to_owned()), "{name}");
    }
}
