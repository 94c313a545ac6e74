//! Metadata that was written while half of the replicas were away: data, metadata and content type are each the newest
//! that anybody wrote, whoever had what.

use apus_tests::{Request, Session};

use super::Halves;

fn put(tester: &Session, content_type: &str, body: &str) {
    tester.put("c/o").header("Content-Type", content_type).body(body).send().expect(201);
}

fn post(tester: &Session, with: impl FnOnce(Request) -> Request) {
    with(tester.post("c/o")).send().expect(202);
}

fn colour(value: &'static str) -> impl FnOnce(Request) -> Request {
    move |request| request.header("X-Object-Meta-Colour", value)
}

/// After the passes each primary, and the listing, has this.
#[track_caller]
fn expect_everywhere(halves: &mut Halves, body: &str, content_type: &str, colour: Option<&str>) {
    halves.heal();
    for node in [halves.first[0], halves.first[1], halves.second[0]] {
        let found = halves.direct(node).expect(200);
        assert_eq!(
            (&*found.text(), found.need("Content-Type"), found.header("X-Object-Meta-Colour")),
            (body, content_type, colour),
            "on node {node}"
        );
    }
    let row = halves.row();
    assert_eq!((&row["content_type"], &row["bytes"]), (&content_type.into(), &body.len().into()), "{row}");
}

#[test]
fn a_deletion_by_one_half_reaches_the_other_and_so_does_a_new_object() {
    let mut halves = Halves::start();
    put(&halves.tester, "a/a", "old");
    halves.without_first(|tester| put(tester, "a/a", "newer"));
    halves.without_second(|tester| drop(tester.delete("c/o").send().expect(204)));
    halves.heal();
    halves.without_first(|tester| tester.get("c/o").send().expect(404));
    halves.without_second(|tester| tester.get("c/o").send().expect(404));
    halves.without_second(|tester| put(tester, "a/a", "new again"));
    expect_everywhere(&mut halves, "new again", "a/a", None);
}

#[test]
fn a_post_to_all_goes_with_the_newer_data_of_some() {
    let mut halves = Halves::start();
    put(&halves.tester, "foo/a", "older");
    halves.without_first(|tester| put(tester, "bar/a", "newer"));
    post(&halves.tester, colour("red"));
    expect_everywhere(&mut halves, "newer", "bar/a", Some("red"));
}

#[test]
fn a_put_that_missed_a_post_has_none_of_its_metadata() {
    let mut halves = Halves::start();
    halves.without_first(|tester| put(tester, "foo/a", "older"));
    halves.without_first(|tester| post(tester, colour("red")));
    halves.without_second(|tester| put(tester, "bar/a", "newer"));
    expect_everywhere(&mut halves, "newer", "bar/a", None);
}

#[test]
fn a_content_type_posted_to_old_data_goes_with_the_new() {
    let mut halves = Halves::start();
    halves.without_second(|tester| put(tester, "foo/a", "older"));
    halves.without_first(|tester| put(tester, "bar/a", "newer"));
    halves.without_second(|tester| post(tester, |request| request.header("Content-Type", "baz/a")));
    expect_everywhere(&mut halves, "newer", "baz/a", None);
}

#[test]
fn a_post_without_a_content_type_leaves_that_of_data_it_never_saw() {
    let mut halves = Halves::start();
    halves.without_second(|tester| put(tester, "foo/a", "older"));
    halves.without_first(|tester| put(tester, "bar/a", "newer"));
    halves.without_second(|tester| post(tester, colour("blue")));
    expect_everywhere(&mut halves, "newer", "bar/a", Some("blue"));
}

#[test]
fn the_newest_content_type_and_the_newest_metadata_come_together() {
    let mut halves = Halves::start();
    halves.without_second(|tester| put(tester, "foo/a", "older"));
    halves.without_first(|tester| put(tester, "bar/a", "newer"));
    halves.without_second(|tester| post(tester, |request| request.header("Content-Type", "bif/a")));
    halves.without_first(|tester| post(tester, |r| colour("red")(r).header("Content-Type", "baz/a")));
    halves.without_second(|tester| post(tester, colour("blue")));
    expect_everywhere(&mut halves, "newer", "baz/a", Some("blue"));
}

#[test]
fn a_put_newer_than_a_posted_content_type_has_its_own() {
    let mut halves = Halves::start();
    halves.without_second(|tester| put(tester, "foo/a", "older"));
    halves.without_second(|tester| post(tester, |r| colour("red")(r).header("Content-Type", "bif/a")));
    halves.without_first(|tester| put(tester, "bar/a", "newer"));
    halves.without_second(|tester| post(tester, colour("blue")));
    expect_everywhere(&mut halves, "newer", "bar/a", Some("blue"));
}

#[test]
fn posted_metadata_outlives_a_put_before_it_and_an_older_content_type_does_not() {
    let mut halves = Halves::start();
    halves.without_first(|tester| put(tester, "oldest/a", "old"));
    halves.without_second(|tester| put(tester, "oldest/a", "old"));
    halves.without_first(|tester| post(tester, |r| colour("newer")(r).header("Content-Type", "newer/a")));
    halves.without_second(|tester| put(tester, "newest/a", "newest"));
    halves.without_first(|tester| post(tester, colour("newest")));
    expect_everywhere(&mut halves, "newest", "newest/a", Some("newest"));
}

#[test]
fn a_deletion_outdoes_a_later_post_to_data_that_is_older() {
    let mut halves = Halves::start();
    halves.without_first(|tester| put(tester, "oldest/a", "old"));
    halves.without_second(|tester| {
        put(tester, "oldest/a", "old");
        tester.delete("c/o").send().expect(204);
    });
    halves.without_first(|tester| {
        post(tester, |r| colour("newest")(r).header("Content-Type", "newest/a"));
        assert_eq!(tester.head("c/o").send().expect(200).need("X-Object-Meta-Colour"), "newest");
    });
    halves.heal();
    halves.tester.get("c/o").send().expect(404);
    assert_eq!(halves.listing(), 0);
}
