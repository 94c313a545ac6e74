//! What a PUT or POST may say: Swift's constraints, with Swift's sentences.
//!
//! Pure. The proxy checks the same; an object server that is asked by other means must not store what cannot be served.

use apus_base::timestamp::Timestamp;
use apus_base::wire::header::OBJECT_CONTENT_LENGTH;
use http::{HeaderMap, StatusCode, header};

use super::refusal::Refusal;
use super::target::{is_true, text};

/// The longest value of any header, in bytes.
const MAX_HEADER_SIZE: usize = 8192;
/// The longest name of a metadata item, without its prefix.
const MAX_META_NAME_LENGTH: usize = 128;
/// The longest value of a metadata item.
const MAX_META_VALUE_LENGTH: usize = 256;
/// The most metadata items.
const MAX_META_COUNT: usize = 90;
/// The most bytes of all names and values of metadata together.
const MAX_META_OVERALL_SIZE: usize = 4096;
/// The longest name of an object, in bytes.
const MAX_OBJECT_NAME_LENGTH: usize = 1024;
/// The prefix of metadata items.
const META_PREFIX: &str = "x-object-meta-";

/// Checks a PUT's headers and gives its body's length, if that is known in advance.
pub(super) fn creation(headers: &HeaderMap, object: &str, max_file_size: u64) -> Result<Option<u64>, Refusal> {
    let length = length(headers)?;
    if length.is_some_and(|l| l > max_file_size) {
        return Err(Refusal::Plain(StatusCode::PAYLOAD_TOO_LARGE, "Your request is too large.".into()));
    }
    if object.len() > MAX_OBJECT_NAME_LENGTH {
        let found = object.len();
        return Err(Refusal::bad_request(format!(
            "Object name length of {found} longer than {MAX_OBJECT_NAME_LENGTH}"
        )));
    }
    let content_type = headers.get(header::CONTENT_TYPE).ok_or_else(|| Refusal::bad_request("No content type"))?;
    if std::str::from_utf8(content_type.as_bytes()).is_err() {
        return Err(Refusal::bad_request("Invalid Content-Type"));
    }
    metadata(headers)?;
    Ok(length)
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let number = |name: &str| {
        let invalid = |_| Refusal::bad_request(format!("Invalid {name} header value"));
        text(headers, name).map(|v| v.trim().parse().map_err(invalid)).transpose()
    };
    if text(headers, "transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        // The proxy may know the length all the same.
        return number(OBJECT_CONTENT_LENGTH);
    }
    let length = number("content-length")?;
    let missing = || Refusal::Plain(StatusCode::LENGTH_REQUIRED, "Missing Content-Length header.".into());
    length.map(Some).ok_or_else(missing)
}

/// Checks the metadata of a PUT or POST.
pub(super) fn metadata(headers: &HeaderMap) -> Result<(), Refusal> {
    let (mut count, mut size) = (0, 0);
    for (name, value) in headers {
        if value.len() > MAX_HEADER_SIZE {
            let name = &name.as_str()[..name.as_str().len().min(MAX_META_NAME_LENGTH)];
            return Err(Refusal::bad_request(format!("Header value too long: {name}")));
        }
        if let Some(item) = name.as_str().strip_prefix(META_PREFIX) {
            metadata_item(item, value.len())?;
            count += 1;
            size += item.len() + value.len();
        }
    }
    if count > MAX_META_COUNT {
        return Err(Refusal::bad_request(format!("Too many metadata items; max {MAX_META_COUNT}")));
    }
    if size > MAX_META_OVERALL_SIZE {
        return Err(Refusal::bad_request(format!("Total metadata too large; max {MAX_META_OVERALL_SIZE}")));
    }
    Ok(())
}

fn metadata_item(item: &str, value_length: usize) -> Result<(), Refusal> {
    if item.is_empty() {
        return Err(Refusal::bad_request("Metadata name cannot be empty"));
    }
    if item.len() > MAX_META_NAME_LENGTH {
        return Err(Refusal::bad_request(format!("Metadata name too long: {META_PREFIX}{item}")));
    }
    if value_length > MAX_META_VALUE_LENGTH {
        let text = format!("Metadata value longer than {MAX_META_VALUE_LENGTH}: {META_PREFIX}{item}");
        return Err(Refusal::bad_request(text));
    }
    Ok(())
}

/// `X-Delete-At` of a PUT: a number, and later than the request, unless replication brings an object that has expired.
pub(super) fn put_delete_at(headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
    match delete_at(headers)? {
        Some(time) if time <= now && !is_true(headers, "x-backend-replication") => Err(in_past()),
        _ => Ok(()),
    }
}

/// `X-Delete-At` of a POST, where Swift allows this very moment, and 0 as none.
pub(super) fn post_delete_at(headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
    match delete_at(headers)? {
        Some(time) if time < now && time != Timestamp::ZERO => Err(in_past()),
        _ => Ok(()),
    }
}

fn in_past() -> Refusal {
    Refusal::bad_request("X-Delete-At in past")
}

fn delete_at(headers: &HeaderMap) -> Result<Option<Timestamp>, Refusal> {
    let not_a_number = |_| Refusal::bad_request("Non-integer X-Delete-At");
    let secs = text(headers, "x-delete-at").map(|v| v.trim().parse()).transpose().map_err(not_a_number)?;
    Ok(secs.map(Timestamp::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(headers: &[(&str, &str)], object: &str) -> Option<String> {
        let headers: HeaderMap = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        creation(&headers, object, 100).err().map(|e| e.to_string())
    }

    #[test]
    fn limits_hold_and_one_past_is_refused() {
        let good = [("content-length", "100"), ("content-type", "a/b")];
        let with = |name: &str, value: &str| refusal(&[good[0], good[1], (name, value)], "o");
        assert_eq!(refusal(&good, &"o".repeat(1024)), None);
        assert_eq!(refusal(&good, &"o".repeat(1025)).unwrap(), "Object name length of 1025 longer than 1024");
        assert_eq!(refusal(&[("content-length", "101"), good[1]], "o").unwrap(), "Your request is too large.");
        assert_eq!(refusal(&good[..1], "o").unwrap(), "No content type");
        assert_eq!(refusal(&good[1..], "o").unwrap(), "Missing Content-Length header.");
        assert_eq!(with("x-object-meta-", "v").unwrap(), "Metadata name cannot be empty");
        assert_eq!(with(&format!("x-object-meta-{}", "n".repeat(128)), &"v".repeat(256)), None);
        assert!(
            with(&format!("x-object-meta-{}", "n".repeat(129)), "v").unwrap().starts_with("Metadata name too long")
        );
        assert!(with("x-object-meta-n", &"v".repeat(257)).unwrap().starts_with("Metadata value longer than 256"));
        assert_eq!(with("expires", &"v".repeat(8192)), None);
        assert_eq!(with("expires", &"v".repeat(8193)).unwrap(), "Header value too long: expires");
    }

    #[test]
    fn items_and_their_total_are_limited() {
        let items = |count: usize, length: usize| -> HeaderMap {
            let item = |n| (format!("x-object-meta-{n:03}").parse().unwrap(), "v".repeat(length).parse().unwrap());
            (0..count).map(item).collect()
        };
        assert!(metadata(&items(90, 40)).is_ok() && metadata(&items(16, 253)).is_ok());
        assert_eq!(metadata(&items(91, 1)).unwrap_err().to_string(), "Too many metadata items; max 90");
        assert_eq!(metadata(&items(17, 253)).unwrap_err().to_string(), "Total metadata too large; max 4096");
    }

    #[test]
    fn expiry_lies_in_the_future() {
        let (now, put, post) = (Timestamp::from_secs(10), put_delete_at, post_delete_at);
        let refusal = |check: fn(&HeaderMap, Timestamp) -> Result<(), Refusal>, value: &str| {
            let headers = [("x-delete-at".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            check(&headers, now).err().map(|e| e.to_string())
        };
        let in_past = Some("X-Delete-At in past".to_owned());
        assert_eq!(
            (refusal(put, "11"), refusal(post, "11"), refusal(post, "10"), refusal(post, "0")),
            (None, None, None, None)
        );
        assert_eq!((refusal(put, "10"), refusal(post, "9")), (in_past.clone(), in_past));
        assert_eq!(refusal(put, "soon").unwrap(), "Non-integer X-Delete-At");
    }
}
