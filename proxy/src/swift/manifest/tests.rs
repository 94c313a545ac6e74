use super::*;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use serde_json::json;

fn name() -> ObjectName {
    ObjectName { account: "a".into(), container: "c".into(), object: "あ/man".into() }
}

fn read(manifest: &Value) -> Result<Vec<Asked>, String> {
    parse(manifest.to_string().as_bytes(), &name()).map_err(|bad| bad.to_string())
}

#[test]
fn segments() {
    let asked = read(&json!([
        { "path": "/c/o", "etag": "x", "size_bytes": 10, "range": "1-4" },
        { "data": "aGk" .to_owned() + "=====" },
        { "path": "c//o", "etag": null, "size_bytes": "12", "range": " -4 " },
        { "path": "/c/o", "size_bytes": 12.9, "range": "" },
        { "path": "/c/last", "size_bytes": 0 },
    ]))
    .unwrap();
    let object = |path: &str, etag: Option<&str>, size, range| {
        Asked::Object(AskedObject { path: path.into(), etag: etag.map(str::to_owned), size: Some(size), range })
    };
    let expected = [
        object("/c/o", Some("x"), 10, Some(range::Spec::FromTo(1, 4))),
        Asked::Data(Bytes::from_static(b"hi")),
        object("c//o", None, 12, Some(range::Spec::Last(4))),
        object("/c/o", None, 12, None),
        object("/c/last", None, 0, None),
    ];
    assert_eq!(asked, expected);
    assert_eq!(read(&json!([])), Ok(Vec::new()));
}

#[test]
fn what_is_no_list() {
    for json in ["", "{", "[1", "[] x", "[\"\\ud800\"]", &"[".repeat(100_000)] {
        assert_eq!(parse(json.as_bytes(), &name()), Err(BadManifest::Json), "{json:.20}");
    }
    for json in ["{}", "1", "-1", "1.5", "\"a\"", "null", "true", "{\"path\": [1]}"] {
        assert_eq!(parse(json.as_bytes(), &name()), Err(BadManifest::NotAList), "{json}");
    }
}

/// The sentences of Swift's own tests.
#[test]
fn every_wrong_entry_has_its_line() {
    let path = "path does not refer to an object. Path must be of the form /container/object.";
    let small = "too small; each segment must be at least 1 byte.";
    let cases = [
        (json!("zombocom"), "not a JSON object"),
        (json!(null), "not a JSON object"),
        (json!({}), "expected keys to include one of 'data' or 'path'"),
        (json!({ "path": "/c/o", "foo": 1, "baz": 2 }), "extraneous keys \"baz\", \"foo\""),
        (json!({ "path": "/c/o", "data": "YQ==" }), "extraneous keys \"path\""),
        (json!({ "path": 1 }), "\"path\" must be a string"),
        (json!({ "path": "/c/o", "etag": 1 }), "\"etag\" must be a string or null (if provided)"),
        (json!({ "path": "/c/" }), path),
        (json!({ "path": "" }), path),
        (json!({ "path": "/c/o", "size_bytes": "fht" }), "invalid size_bytes"),
        (json!({ "path": "/c/o", "size_bytes": [] }), "invalid size_bytes"),
        (json!({ "path": "/c/o", "size_bytes": 0 }), small),
        (json!({ "path": "/c/o", "size_bytes": -5 }), small),
        (json!({ "path": "//c/あ/man" }), "manifest must not include itself as a segment"),
        (json!({ "path": "/c/o", "range": "non-range value" }), "invalid range"),
        (json!({ "path": "/c/o", "range": true }), "invalid range"),
        (json!({ "path": "/c/o", "range": "5-3" }), "invalid range"),
        (json!({ "path": "/c/o", "range": "1-20,30-40" }), "multiple ranges (only one allowed)"),
        (json!({ "path": "/c/o", "size_bytes": 100, "range": "8888-9999" }), "unsatisfiable range"),
        (json!({ "data": 1 }), "data must be valid base64"),
        (json!({ "data": "aGk" }), "data must be valid base64"),
        (json!({ "data": "a" }), "data must be valid base64"),
        (json!({ "data": "aG!=" }), "data must be valid base64"),
        (json!({ "data": "" }), small),
    ];
    let mut all: Vec<Value> = cases.iter().map(|(entry, _)| entry.clone()).collect();
    all.push(json!({ "path": "/c/fine" }));
    let lines = cases.iter().enumerate().map(|(index, (_, line))| format!("Index {index}: {line}\n"));
    assert_eq!(read(&json!(all)), Err(lines.collect()));
    let only_data = "Inline data segments require at least one object-backed segment.\n";
    assert_eq!(read(&json!([{ "data": "YQ==" }])), Err(only_data.into()));
}

#[test]
fn nonsense_without_end_has_an_answer_with_one() {
    let zeros = format!("[{}0]", "0,".repeat(1_000_000));
    let BadManifest::Entries(lines) = parse(zeros.as_bytes(), &name()).unwrap_err() else { unreachable!() };
    assert_eq!(lines.lines().count(), MAX_ERRORS);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(json in "\\PC{0,40}|[\\[\\]{}\",:0-9.a-z/-]{0,60}", bytes: Vec<u8>) {
        let _ = (parse(json.as_bytes(), &name()), parse(&bytes, &name()));
    }

    #[test]
    fn any_entry_is_read_or_refused(path in "/?c?/?\\PC{0,9}", range in "[0-9, -]{0,9}", size: i64, last: bool) {
        let entry = json!({ "path": path, "range": range, "size_bytes": size });
        let fine = json!({ "path": "/c/o" });
        let manifest = if last { json!([fine, entry]) } else { json!([entry, fine]) };
        if let Ok(asked) = read(&manifest) {
            prop_assert_eq!(asked.len(), 2);
        }
    }

    /// Against the decoder that wants it all right.
    #[test]
    fn data_is_what_was_encoded(bytes in prop::collection::vec(any::<u8>(), 1..20), more in 0..3_usize) {
        let text = BASE64_STANDARD.encode(&bytes) + &"=".repeat(more);
        prop_assert_eq!(data(&json!(text)), Ok(Asked::Data(bytes.into())));
    }
}
