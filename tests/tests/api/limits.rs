//! Names and metadata at each limit, and one past it.

use apus_tests::Target;

#[test]
fn names_have_lengths() {
    let target = Target::start();
    let tester = target.with_container("n");
    let (longest, too_long) = ("c".repeat(256), "c".repeat(257));
    tester.put(&longest).send().expect(201);
    let refused = tester.put(&too_long).send().expect(400);
    assert_eq!(refused.text(), "Container name length of 257 longer than 256");

    let (longest, too_long) = ("o/".repeat(512), "o/".repeat(512) + "o");
    tester.store(&format!("n/{longest}"), "x");
    tester.get(&format!("n/{longest}")).send().expect(200);
    let refused = tester.put(&format!("n/{too_long}")).body("x").send().expect(400);
    assert_eq!(refused.text(), "Object name length of 1025 longer than 1024");
    assert_eq!(tester.list("n"), [longest]);
}

#[test]
fn metadata_names_and_values_have_lengths() {
    let target = Target::start();
    let tester = target.with_container("n");
    tester.store("n/o", "x");
    for (path, prefix, done) in
        [("", "X-Account-Meta-", 204), ("n", "X-Container-Meta-", 204), ("n/o", "X-Object-Meta-", 202)]
    {
        let post = |name: &str, value: &str| tester.post(path).header(&format!("{prefix}{name}"), value).send();
        post(&"k".repeat(128), "v").expect(done);
        assert!(post(&"k".repeat(129), "v").expect(400).text().starts_with("Metadata name too long: "), "{prefix}");
        post("k", &"v".repeat(256)).expect(done);
        let refused = post("k", &"v".repeat(257)).expect(400).text();
        assert_eq!(
            refused.to_ascii_lowercase(),
            format!("metadata value longer than 256: {prefix}k").to_ascii_lowercase()
        );
        assert_eq!(post("", "v").expect(400).text(), "Metadata name cannot be empty");
    }
}

#[test]
fn metadata_items_are_counted() {
    let target = Target::start();
    let tester = target.with_container("n");
    let put = |count: usize| {
        (0..count).fold(tester.put("n/o").body("x"), |put, i| put.header(&format!("X-Object-Meta-{i}"), "v")).send()
    };
    put(90).expect(201);
    let stored = tester.head("n/o").send().expect(200);
    assert_eq!(
        stored.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-object-meta-")).count(),
        90
    );
    assert_eq!(put(91).expect(400).text(), "Too many metadata items; max 90");
}

#[test]
fn metadata_is_weighed() {
    let target = Target::start();
    let tester = target.with_container("n");
    // 15 items of 17 + 256 bytes, and the last one's name fills up 4,096.
    assert_eq!(15 * (17 + 256), 4095);
    let put = |name: &str| {
        let full = (0..15)
            .fold(tester.put("n/o").body("x"), |put, i| put.header(&format!("X-Object-Meta-{i:017}"), "v".repeat(256)));
        full.header(&format!("X-Object-Meta-{name}"), "").send()
    };
    put("A").expect(201);
    assert_eq!(put("AA").expect(400).text(), "Total metadata too large; max 4096");

    // What was accepted is read again, every byte.
    let stored = tester.head("n/o").send().expect(200);
    for i in 0..15 {
        assert_eq!(stored.need(&format!("X-Object-Meta-{i:017}")), "v".repeat(256));
    }
}
