//! What a cluster says of itself to anybody who asks.

use apus_tests::Target;

#[test]
fn the_capabilities_are_public() {
    let target = Target::start();
    let info = target.swift().anonymous("GET", "/info").send().expect(200);
    assert_eq!(info.need("Content-Type"), "application/json; charset=UTF-8");
    let info = info.json();
    let swift = &info["swift"];
    for (limit, value) in [
        ("max_file_size", 5_368_709_122_u64),
        ("max_meta_name_length", 128),
        ("max_meta_value_length", 256),
        ("max_meta_count", 90),
        ("max_meta_overall_size", 4096),
        ("max_header_size", 8192),
        ("max_object_name_length", 1024),
        ("max_container_name_length", 256),
        ("max_account_name_length", 256),
        ("account_listing_limit", 10_000),
        ("container_listing_limit", 10_000),
    ] {
        assert_eq!(swift[limit], value, "{limit}");
    }
    let policies = swift["policies"].as_array().expect("policies");
    assert_eq!(policies[0]["name"], "gold");
    assert_eq!(policies[0]["default"], true);
    assert_eq!(policies[1]["name"], "silver");
    assert!(info["tempauth"].is_object());
    target.swift().anonymous("HEAD", "/info").send().expect(200);
    target.swift().anonymous("OPTIONS", "/info").send().expect(200);
    target.swift().anonymous("PUT", "/info").send().expect(405);
}

#[test]
fn health_needs_no_token() {
    let target = Target::start();
    let health = target.swift().anonymous("GET", "/healthcheck").send().expect(200);
    assert_eq!(health.text(), "OK");
    target.swift().anonymous("HEAD", "/healthcheck").send().expect(200);
}

#[test]
fn other_versions_of_the_api_are_not_there() {
    let target = Target::start();
    let tester = target.with_container("i");
    for path in ["/v3/AUTH_test", "/", "/v1", "/v1/"] {
        let answer = tester.raw("GET", path).send();
        assert!(matches!(answer.status, 400 | 401 | 404 | 412), "{path}: {answer:?}");
    }
    tester.raw("GET", "/v1.0/AUTH_test/i").send().expect(204);
}
