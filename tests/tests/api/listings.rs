//! Listings: formats, pages, prefixes and delimiters, in the byte order of names.

use apus_tests::{Session, Target};

const NAMES: &[&str] = &["a/1", "a/2", "a/b/3", "b", "b/4", "c-5", "c/6", "ä", "☃/7"];

fn listed(target: &Target) -> Session {
    let tester = target.with_container("l");
    for name in NAMES {
        tester.store(&format!("l/{name}"), name);
    }
    tester
}

fn names(tester: &Session, query: &str) -> Vec<String> {
    let answer = tester.get("l").query(query).send();
    assert!(matches!(answer.status, 200 | 204), "{query}: {answer:?}");
    answer.lines()
}

#[test]
fn pages_follow_each_other() {
    let target = Target::start();
    let tester = listed(&target);
    assert_eq!(tester.list("l"), NAMES);

    // A client walks by limit and marker.
    let mut walked = Vec::new();
    loop {
        let marker = walked
            .last()
            .map_or(String::new(), |name: &String| tester.target(name)[tester.account.len() + 1..].to_owned());
        let page = names(&tester, &format!("limit=2&marker={marker}"));
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        walked.extend(page);
    }
    assert_eq!(walked, NAMES);

    // Both ends are left out.
    assert_eq!(names(&tester, "marker=a/b/3&end_marker=c-5"), ["b", "b/4"]);
    // Empty pages are 204.
    tester.get("l").query("marker=zzz%E2%98%83").send();
    tester.get("l").query("prefix=nothing").send().expect(204);
    // No limit at all is a limit of zero.
    tester.get("l").query("limit=0").send().expect(204);
}

#[test]
fn listings_go_backwards() {
    let target = Target::start();
    let tester = listed(&target);
    let mut backwards = NAMES.to_vec();
    backwards.reverse();
    assert_eq!(names(&tester, "reverse=on"), backwards);
    assert_eq!(names(&tester, "reverse=true&marker=c-5&end_marker=a/2"), ["b/4", "b", "a/b/3"]);
    assert_eq!(names(&tester, "reverse=on&prefix=a/&delimiter=/"), ["a/b/", "a/2", "a/1"]);
    assert_eq!(names(&tester, "reverse=no&limit=1"), ["a/1"]);
}

#[test]
fn delimiters_fold_names() {
    let target = Target::start();
    let tester = listed(&target);
    assert_eq!(names(&tester, "delimiter=/"), ["a/", "b", "b/", "c-5", "c/", "ä", "☃/"]);
    assert_eq!(names(&tester, "delimiter=/&prefix=a/"), ["a/1", "a/2", "a/b/"]);
    assert_eq!(names(&tester, "delimiter=/&marker=a/&limit=2"), ["b", "b/"]);
    assert_eq!(names(&tester, "prefix=b"), ["b", "b/4"]);
    // More than one character, and more than one byte.
    assert_eq!(names(&tester, "delimiter=/b/"), ["a/1", "a/2", "a/b/", "b", "b/4", "c-5", "c/6", "ä", "☃/7"]);
    assert_eq!(
        names(&tester, "delimiter=%E2%98%83&prefix="),
        ["a/1", "a/2", "a/b/3", "b", "b/4", "c-5", "c/6", "ä", "☃"]
    );
    // The old way: only what is directly in a folder.
    assert_eq!(names(&tester, "path=a"), ["a/1", "a/2"]);
    assert_eq!(names(&tester, "path=a/b"), ["a/b/3"]);
}

#[test]
fn json_has_all_columns() {
    let target = Target::start();
    let tester = listed(&target);
    let answer = tester.get("l").query("format=json&delimiter=/&prefix=a/").send().expect(200);
    assert_eq!(answer.need("Content-Type"), "application/json; charset=utf-8");
    let rows = answer.json();
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["name"], "a/1");
    assert_eq!(rows[0]["bytes"], 3);
    assert_eq!(rows[0]["hash"], apus_tests::md5_hex(b"a/1"));
    assert_eq!(rows[0]["content_type"], "application/octet-stream");
    // 2026-11-21T04:05:06.123450
    assert_eq!(rows[0]["last_modified"].as_str().map(str::len), Some(26));
    assert_eq!(rows[2], serde_json::json!({"subdir": "a/b/"}));
}

#[test]
fn xml_has_all_columns() {
    let target = Target::start();
    let tester = target.with_container("l");
    tester.put("l/a<&>\"b").body("x").header("Content-Type", "text/<&>").send().expect(201);
    tester.store("l/d/e", "");
    let answer = tester.get("l").query("format=xml&delimiter=/").send().expect(200);
    assert_eq!(answer.need("Content-Type"), "application/xml; charset=utf-8");
    let text = answer.text();
    let head =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container name=\"l\"><object><name>a&lt;&amp;&gt;\"b</name>";
    assert!(text.starts_with(head), "{text}");
    assert!(text.contains("<bytes>1</bytes><content_type>text/&lt;&amp;&gt;</content_type><last_modified>"), "{text}");
    assert!(text.ends_with("<subdir name=\"d/\"><name>d/</name></subdir></container>"), "{text}");

    let account = tester.get("").query("format=xml").send().expect(200).text();
    assert!(account.contains("<account name=\"AUTH_test\">"), "{account}");
    assert!(account.contains("<container><name>l</name><count>"), "{account}");
}

#[test]
fn a_client_says_what_it_accepts() {
    let target = Target::start();
    let tester = listed(&target);
    let accept = |value: &str| tester.get("l").header("Accept", value).send();
    for (value, kind) in [
        ("application/json", "application/json; charset=utf-8"),
        ("text/xml", "text/xml; charset=utf-8"),
        ("application/xml", "application/xml; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("application/xml;q=0.5, application/json", "application/json; charset=utf-8"),
    ] {
        assert_eq!(accept(value).expect(200).need("Content-Type"), kind, "{value}");
    }
    accept("image/png").expect(406);
    // The query goes before the header.
    let both = tester.get("l").query("format=json").header("Accept", "text/xml").send().expect(200);
    assert_eq!(both.need("Content-Type"), "application/json; charset=utf-8");
    assert!(accept("text/xml").need("Vary").contains("Accept"));
}

#[test]
fn an_accounts_containers_are_listed_the_same_ways() {
    let target = Target::start();
    let account = target.swift().login(apus_tests::swift::RESELLER).on("AUTH_listed");
    for container in ["one", "three-a", "three-b", "two"] {
        account.put(container).send().expect(201);
    }
    account.store("two/o", "12345");
    let list = |query: &str| account.get("").query(query).send().lines();
    assert_eq!(list("prefix=t&delimiter=-"), ["three-", "two"]);
    assert_eq!(list("marker=one&end_marker=two"), ["three-a", "three-b"]);
    assert_eq!(list("reverse=1&limit=2"), ["two", "three-b"]);

    let rows = account.get("").query("format=json").send().expect(200).json();
    assert_eq!(rows[0]["name"], "one");
    assert_eq!(rows[0]["count"], 0);
    assert_eq!(rows[0]["last_modified"].as_str().map(str::len), Some(26));
}

#[test]
fn absurd_pages_are_refused() {
    let target = Target::start();
    let tester = target.with_container("l");
    for place in ["l", ""] {
        let refused = tester.get(place).query("limit=10001").send().expect(412);
        assert_eq!(refused.text(), "Maximum limit is 10000");
        tester.get(place).query("limit=10000&format=json").send().expect(200);
        tester.get(place).query("limit=many&format=json").send().expect(200);
        tester.get(place).query("limit=-1&format=json").send().expect(200);
        tester.get(place).query("delimiter=%ff").send().expect(400);
        tester.get(place).query("marker=%ff").send().expect(400);
    }
}
