//! Who may do what: tokens, ACLs, and what each user sees.

use apus_tests::swift::{GUEST, OTHER, RESELLER, TESTER};
use apus_tests::{Session, Target};

#[test]
fn a_token_is_given_for_the_right_key_only() {
    let target = Target::start();
    let swift = target.swift();
    let answer = swift.auth("test:tester", "testing").expect(200);
    assert_eq!(answer.need("X-Storage-Url"), format!("http://{}/v1/AUTH_test", swift.address));
    assert_eq!(answer.need("X-Auth-Token"), answer.need("X-Storage-Token"));
    assert!(answer.need("X-Auth-Token").starts_with("AUTH_tk"));
    assert!(answer.need("X-Auth-Token-Expires").parse::<u64>().is_ok_and(|life| life > 86_000));

    for (user, key) in [
        ("test:tester", "wrong"),
        ("test:nobody", "testing"),
        ("nowhere:tester", "testing"),
        ("test", "testing"),
        ("", ""),
    ] {
        swift.auth(user, key).expect(401);
    }
    // The older spellings.
    let old = swift
        .anonymous("GET", "/auth/v1/test/auth")
        .header("X-Storage-User", "tester")
        .header("X-Storage-Pass", "testing");
    old.send().expect(200);
}

#[test]
fn without_a_token_or_with_a_false_one_there_is_nothing() {
    let target = Target::start();
    let tester = target.with_container("a");
    tester.store("a/o", "x");
    for token in ["", "AUTH_tk", "AUTH_tk0123456789abcdef0123456789abcdef", "nonsense", &"x".repeat(4000)] {
        let intruder = Session { token: token.to_owned(), ..tester.clone() };
        for (method, path) in
            [("GET", ""), ("GET", "a"), ("PUT", "a"), ("GET", "a/o"), ("PUT", "a/o"), ("DELETE", "a/o"), ("POST", "a")]
        {
            let answer = intruder.request(method, path).send().expect(401);
            assert_eq!(answer.need("Www-Authenticate"), "Swift realm=\"AUTH_test\"", "{method} {path}");
        }
    }
    assert_eq!(tester.get("a/o").send().expect(200).text(), "x");
}

#[test]
fn accounts_are_apart() {
    let target = Target::start();
    let tester = target.with_container("a");
    tester.store("a/o", "x");
    let other = target.swift().login(OTHER).on("AUTH_test");
    let guest = target.swift().login(GUEST);
    for stranger in [&other, &guest] {
        for (method, path) in
            [("GET", ""), ("HEAD", ""), ("GET", "a"), ("PUT", "b"), ("GET", "a/o"), ("PUT", "a/o"), ("DELETE", "a/o")]
        {
            stranger.request(method, path).send().expect(403);
        }
    }
    target.swift().login(RESELLER).on("AUTH_test").get("a/o").send().expect(200);
}

#[test]
fn a_container_opens_to_the_users_its_acl_names() {
    let target = Target::start();
    let tester = target.with_container("a");
    tester.store("a/o", "x");
    let other = target.swift().login(OTHER).on("AUTH_test");
    let guest = target.swift().login(GUEST);

    // Reading is not writing.
    tester.post("a").header("X-Container-Read", "test:tester3").send().expect(204);
    guest.get("a/o").send().expect(200);
    guest.get("a").send().expect(200);
    guest.put("a/p").body("y").send().expect(403);
    other.get("a/o").send().expect(403);

    // A whole account, and writing.
    tester
        .post("a")
        .header("X-Container-Read", "test2")
        .header("X-Container-Write", "test2:tester2")
        .send()
        .expect(204);
    other.get("a/o").send().expect(200);
    other.put("a/p").body("y").send().expect(201);
    other.delete("a/p").send().expect(204);
    guest.get("a/o").send().expect(403);
    // Nobody but the owner touches the container itself, or sees who may.
    other.post("a").header("X-Container-Read", "test2").send().expect(403);
    other.delete("a").send().expect(403);
    assert_eq!(other.head("a").send().expect(204).header("X-Container-Read"), None);
    assert_eq!(tester.head("a").send().expect(204).need("X-Container-Read"), "test2");

    tester.post("a").header("X-Remove-Container-Read", "x").send().expect(204);
    other.get("a/o").send().expect(403);
}

#[test]
fn a_container_opens_to_everybody_or_to_a_site() {
    let target = Target::start();
    let tester = target.with_container("a");
    tester.store("a/o", "x");
    let anybody = |path: &str| target.swift().anonymous("GET", &tester.target(path));
    anybody("a/o").send().expect(401);

    // Objects for all, the listing only with .rlistings.
    tester.post("a").header("X-Container-Read", ".r:*").send().expect(204);
    anybody("a/o").send().expect(200);
    anybody("a").send().expect(401);
    tester.post("a").header("X-Container-Read", ".r:*,.rlistings").send().expect(204);
    anybody("a").send().expect(200);
    target.swift().anonymous("PUT", &tester.target("a/o")).body("y").send().expect(401);

    // By the page that links to it.
    tester.post("a").header("X-Container-Read", ".r:.example.com,.r:-bad.example.com").send().expect(204);
    anybody("a/o").header("Referer", "http://www.example.com/page").send().expect(200);
    anybody("a/o").header("Referer", "http://bad.example.com/page").send().expect(401);
    anybody("a/o").header("Referer", "http://elsewhere.com/").send().expect(401);
    anybody("a/o").send().expect(401);
}

#[test]
fn acls_are_cleaned_or_refused() {
    let target = Target::start();
    let tester = target.with_container("a");
    tester.post("a").header("X-Container-Read", " .referrer : *.example.com , test : tester3,.rlistings ").send();
    tester.post("a").header("X-Container-Read", ".ref:*, bob").send().expect(204);
    assert_eq!(tester.head("a").send().expect(204).need("X-Container-Read"), ".r:*,bob");
    tester.post("a").header("X-Container-Read", ".referrer:*.example.com,.r:-*.bad.com").send().expect(204);
    assert_eq!(tester.head("a").send().expect(204).need("X-Container-Read"), ".r:.example.com,.r:-.bad.com");

    for (header, acl) in [
        ("X-Container-Write", ".r:*"),
        ("X-Container-Read", ".unknown:x"),
        ("X-Container-Read", ".r:"),
        ("X-Container-Read", ".r:-"),
    ] {
        tester.post("a").header(header, acl).send().expect(400);
    }
    assert_eq!(tester.head("a").send().expect(204).need("X-Container-Read"), ".r:.example.com,.r:-.bad.com");
}

#[test]
fn account_acls_share_an_account() {
    let target = Target::start();
    let owner = target.swift().login(TESTER);
    let reseller = target.swift().login(RESELLER);
    owner.make("shared");
    owner.store("shared/o", "x");
    let other = target.swift().login(OTHER).on("AUTH_test");

    owner.post("").header("X-Account-Access-Control", r#"{"read-only":["test2:tester2"]}"#).send().expect(204);
    other.get("shared/o").send().expect(200);
    other.put("shared/p").body("y").send().expect(403);
    owner.post("").header("X-Account-Access-Control", r#"{"read-write":["test2:tester2"]}"#).send().expect(204);
    other.put("shared/p").body("y").send().expect(201);
    other.post("").header("X-Account-Meta-A", "b").send().expect(403);
    owner.post("").header("X-Account-Access-Control", "not json").send().expect(400);
    assert!(owner.head("").send().expect(204).need("X-Account-Access-Control").contains("read-write"));
    reseller.on("AUTH_test").post("").header("X-Account-Access-Control", "{}").send().expect(204);
    other.get("shared/o").send().expect(403);
}
