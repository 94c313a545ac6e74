use super::*;
use proptest::prelude::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair =
        |(k, v): &(&str, &str)| (HeaderName::from_bytes(k.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap());
    pairs.iter().map(pair).collect()
}

/// Each limit is met exactly, and one more is refused with Swift's text.
#[test]
fn metadata_at_and_past_each_limit() {
    let limits = Constraints::default();
    let check =
        |pairs: &[(&str, &str)]| limits.check_metadata(&headers(pairs), Level::Object).map_err(|e| e.to_string());
    let name = |n: usize| format!("x-object-meta-{}", "n".repeat(n));
    let value = |n: usize| "v".repeat(n);
    assert_eq!(check(&[(&name(128), "v")]), Ok(()));
    let long = format!("Metadata name too long: x-object-meta-N{}", "n".repeat(128));
    assert_eq!(check(&[(&name(129), "v")]), Err(long));
    assert_eq!(check(&[(&name(1), &value(256))]), Ok(()));
    let long = "Metadata value longer than 256: x-object-meta-N".to_owned();
    assert_eq!(check(&[(&name(1), &value(257))]), Err(long));
    assert_eq!(check(&[("x-object-meta-", "v")]), Err("Metadata name cannot be empty".into()));
    assert_eq!(check(&[("x-other", &value(8192))]), Ok(()));
    assert_eq!(check(&[("x-other", &value(8193))]), Err("Header value too long: X-Other".into()));
}

#[test]
fn metadata_in_sum() {
    let limits = Constraints::default();
    let items = |count: usize, value: usize| -> HeaderMap {
        let item = |i| (format!("x-container-meta-{i:04}").parse().unwrap(), "v".repeat(value).parse().unwrap());
        (0..count).map(item).collect::<HeaderMap>()
    };
    let check = |h: &HeaderMap| limits.check_metadata(h, Level::Container).map_err(|e| e.to_string());
    assert_eq!(check(&items(90, 1)), Ok(()));
    assert_eq!(check(&items(91, 1)), Err("Too many metadata items; max 90".into()));
    assert_eq!(check(&items(16, 252)), Ok(()));
    assert_eq!(check(&items(16, 253)), Err("Total metadata too large; max 4096".into()));
    // Another level's metadata does not count.
    assert_eq!(limits.check_metadata(&items(91, 1), Level::Object), Ok(()));
}

#[test]
fn metadata_that_is_not_text() {
    let limits = Constraints::default();
    let odd = |name: &str| {
        let name: HeaderName = name.parse().unwrap();
        HeaderMap::from_iter([(name, HeaderValue::from_bytes(b"\xff").unwrap())])
    };
    assert_eq!(limits.check_metadata(&odd("x-account-meta-a"), Level::Account), Err(Invalid::MetaUtf8));
    assert_eq!(limits.check_metadata(&odd("x-object-meta-a"), Level::Object), Ok(()));
}

#[test]
fn names() {
    let limits = Constraints::default();
    let text = |level, account: &str, n| limits.check_name(level, account, &"x".repeat(n)).map_err(|e| e.to_string());
    assert_eq!(text(Level::Container, "a", 256), Ok(()));
    let long = "Container name length of 257 longer than 256".to_owned();
    assert_eq!(text(Level::Container, "a", 257), Err(long));
    assert_eq!(text(Level::Container, ".expiring", 512), Ok(()));
    assert_eq!(text(Level::Account, "a", 257), Err("Account name length of 257 longer than 256".into()));
    assert_eq!(text(Level::Object, "a", 1025), Err("Object name length of 1025 longer than 1024".into()));
}

#[test]
fn expiry() {
    let now = Timestamp::from_ticks(100_050_000); // 1000.5 s
    let read = |name: &str, value: &str| delete_at(&headers(&[(name, value)]), now).map_err(|e| e.to_string());
    assert_eq!(read("x-delete-after", "1"), Ok(Some(1001)));
    assert_eq!(read("x-delete-after", "0"), Err("X-Delete-After in past".into()));
    assert_eq!(read("x-delete-after", "-5"), Err("X-Delete-After in past".into()));
    assert_eq!(read("x-delete-after", "abc"), Err("Non-integer X-Delete-After".into()));
    assert_eq!(read("x-delete-after", &"9".repeat(60)), Ok(Some(9_999_999_999)));
    assert_eq!(read("x-delete-at", "1001"), Ok(Some(1001)));
    assert_eq!(read("x-delete-at", "1000"), Err("X-Delete-At in past".into()));
    assert_eq!(read("x-delete-at", "-1"), Err("X-Delete-At in past".into()));
    assert_eq!(read("x-delete-at", "1001.5"), Err("Non-integer X-Delete-At".into()));
    assert_eq!(read("x-delete-at", ""), Err("Non-integer X-Delete-At".into()));
    let both = headers(&[("x-delete-at", "nonsense"), ("x-delete-after", "10")]);
    assert_eq!(delete_at(&both, now), Ok(Some(1010)));
}

#[test]
fn content_types() {
    let check = |v| check_content_type(&HeaderValue::from_bytes(v).unwrap());
    assert_eq!(check(b"text/plain; charset=utf-8"), Ok(()));
    assert_eq!(check(b"text/plain;swift_bytes=3"), Err(Invalid::ContentTypeReserved));
    assert_eq!(check(b"text/plain;a=b; swift_x=3"), Err(Invalid::ContentTypeReserved));
    assert_eq!(check(b"text/\xff"), Err(Invalid::ContentType));
}

#[test]
fn lengths() {
    assert_eq!(message_length(&headers(&[("content-length", "5")])), Ok(Some(5)));
    assert_eq!(message_length(&headers(&[("content-length", "5"), ("transfer-encoding", "Chunked")])), Ok(None));
    assert_eq!(message_length(&headers(&[])), Err(BadLength::Missing));
    assert_eq!(message_length(&headers(&[("content-length", "-5")])), Err(BadLength::Length));
    assert_eq!(message_length(&headers(&[("transfer-encoding", "gzip")])), Err(BadLength::Encoding));
    assert_eq!(message_length(&headers(&[("transfer-encoding", "gzip, chunked")])), Err(BadLength::Unsupported));
}

#[test]
fn unknown_limits_are_refused() {
    let read: Result<Constraints, _> = serde_json::from_str(r#"{"max_file_sise": 5}"#);
    assert!(read.unwrap_err().to_string().contains("max_file_sise"));
    let read: Constraints = serde_json::from_str(r#"{"max_file_size": 5}"#).unwrap();
    assert_eq!((read.max_file_size, read.max_meta_count), (5, 90));
}

proptest! {
    #[test]
    fn any_expiry_is_read_or_refused(value in "[ +-]?[0-9a-z. ]{0,45}", now in 0u64..9_999_999_999) {
        let now = Timestamp::from_secs(now);
        for name in ["x-delete-at", "x-delete-after"] {
            if let Ok(Some(at)) = delete_at(&headers(&[(name, &value)]), now) {
                prop_assert!(Timestamp::from_secs(at) > now);
            }
        }
    }
}
