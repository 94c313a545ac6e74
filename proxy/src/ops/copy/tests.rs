use super::*;
use http::HeaderName;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
}

fn source() -> HeaderMap {
    headers(&[
        ("content-type", "text/source"),
        ("content-encoding", "gzip"),
        ("etag", "aa"),
        ("x-timestamp", "1.00000"),
        ("x-delete-at", "2000000000"),
        ("x-object-meta-color", "red"),
        ("x-object-meta-shape", "round"),
        ("x-object-sysmeta-own", "s"),
        ("x-object-manifest", "c/segments"),
    ])
}

fn get<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("-", |value| value.to_str().unwrap())
}

#[test]
fn the_source_is_kept_where_the_request_says_nothing() {
    let request = headers(&[("x-object-meta-color", "blue"), ("content-length", "0"), ("etag", "ff")]);
    let copy = destination_headers(&source(), &request, true, false);
    assert_eq!(get(&copy, "content-type"), "text/source");
    assert_eq!(get(&copy, "content-encoding"), "gzip");
    assert_eq!(get(&copy, "x-delete-at"), "2000000000");
    assert_eq!(get(&copy, "x-object-meta-color"), "blue");
    assert_eq!(get(&copy, "x-object-meta-shape"), "round");
    assert_eq!(get(&copy, "x-object-sysmeta-own"), "s");
    assert_eq!(get(&copy, "x-timestamp"), "-");
    assert_eq!(get(&copy, "content-length"), "-");
    // What a manifest stands for is copied, not the manifest; its MD5 is not that of the source.
    assert_eq!((get(&copy, "x-object-manifest"), get(&copy, "etag")), ("-", "ff"));
}

#[test]
fn fresh_metadata_takes_the_type_only() {
    let request = headers(&[("x-fresh-metadata", "true"), ("x-object-meta-color", "blue")]);
    let copy = destination_headers(&source(), &request, true, false);
    assert_eq!((get(&copy, "x-object-meta-color"), get(&copy, "x-object-meta-shape")), ("blue", "-"));
    assert_eq!((get(&copy, "x-delete-at"), get(&copy, "content-encoding")), ("-", "-"));
    assert_eq!((get(&copy, "content-type"), get(&copy, "x-object-sysmeta-own")), ("text/source", "s"));
}

#[test]
fn a_manifest_is_copied_as_one_when_asked() {
    let copy = destination_headers(&source(), &HeaderMap::new(), true, true);
    assert_eq!((get(&copy, "x-object-manifest"), get(&copy, "etag")), ("c/segments", "aa"));
}

#[test]
fn a_part_has_another_md5() {
    let mut plain = source();
    plain.remove(DYNAMIC);
    assert_eq!(get(&destination_headers(&plain, &HeaderMap::new(), false, false), "etag"), "-");
    assert_eq!(get(&destination_headers(&plain, &HeaderMap::new(), true, false), "etag"), "aa");
    // Nor is what the listing shows of the whole true of a part.
    plain.insert("x-object-sysmeta-container-update-override-size", HeaderValue::from_static("7"));
    let listed = |whole| {
        let copy = destination_headers(&plain, &HeaderMap::new(), whole, false);
        get(&copy, "x-object-sysmeta-container-update-override-size").to_owned()
    };
    assert_eq!((listed(true).as_str(), listed(false).as_str()), ("7", "-"));
    let typed = headers(&[("content-type", "text/mine")]);
    assert_eq!(get(&destination_headers(&plain, &typed, true, false), "content-type"), "text/mine");
}
