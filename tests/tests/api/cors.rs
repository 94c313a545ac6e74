//! CORS: what a browser asks before, and sees in the answer.

use apus_tests::{Session, Target};

fn open_to(target: &Target, origins: &str) -> Session {
    let tester = target.with_container("cors");
    let post = tester.post("cors").header("X-Container-Meta-Access-Control-Allow-Origin", origins);
    let post = post.header("X-Container-Meta-Access-Control-Max-Age", "60");
    post.header("X-Container-Meta-Access-Control-Expose-Headers", "X-Mine").send().expect(204);
    tester.store("cors/o", "x");
    tester
}

fn preflight(target: &Target, tester: &Session, origin: &str) -> apus_tests::Response {
    let options = target.swift().anonymous("OPTIONS", &tester.target("cors/o")).header("Origin", origin);
    options
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "x-auth-token, x-mine")
        .send()
}

#[test]
fn a_preflight_needs_no_token() {
    let target = Target::start();
    let tester = open_to(&target, "http://good.example http://also.example");

    let good = preflight(&target, &tester, "http://good.example").expect(200);
    assert_eq!(good.need("Access-Control-Allow-Origin"), "http://good.example");
    assert_eq!(good.need("Access-Control-Max-Age"), "60");
    assert!(good.need("Access-Control-Allow-Methods").contains("GET"));
    let allowed = good.need("Access-Control-Allow-Headers");
    assert!(["x-auth-token", "x-mine"].iter().all(|wanted| allowed.split(", ").any(|h| h == *wanted)), "{allowed}");
    preflight(&target, &tester, "http://bad.example").expect(401);

    // Without the two headers it is no preflight but a question for the verbs.
    let plain = target.swift().anonymous("OPTIONS", &tester.target("cors/o")).send().expect(200);
    for verb in ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS"] {
        assert!(plain.need("Allow").contains(verb), "{verb}");
    }
}

#[test]
fn answers_to_an_allowed_origin_say_so() {
    let target = Target::start();
    let tester = open_to(&target, "http://good.example");
    let good = tester.get("cors/o").header("Origin", "http://good.example").send().expect(200);
    assert_eq!(good.need("Access-Control-Allow-Origin"), "http://good.example");
    let exposed = good.need("Access-Control-Expose-Headers").to_ascii_lowercase();
    for header in ["x-mine", "etag", "x-timestamp", "x-trans-id", "content-type", "last-modified"] {
        assert!(exposed.split(", ").any(|h| h == header), "{header} in {exposed}");
    }
    assert!(good.need("Vary").contains("Origin"), "{good:?}");
    let bad = tester.get("cors/o").header("Origin", "http://bad.example").send().expect(200);
    assert_eq!(bad.header("Access-Control-Allow-Origin"), None);
}

#[test]
fn a_star_opens_to_all_origins() {
    let target = Target::start();
    let tester = open_to(&target, "*");
    assert_eq!(preflight(&target, &tester, "http://any.example").expect(200).need("Access-Control-Allow-Origin"), "*");
    let get = tester.get("cors/o").header("Origin", "http://any.example").send().expect(200);
    assert_eq!(get.need("Access-Control-Allow-Origin"), "*");
}
