//! Which headers pass with a signed URL, and what its answer says of how to show and keep it. Pure.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{CONTENT_DISPOSITION, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::asked::Asked;
use crate::swift::response::QUOTED;

/// What stands between the quotes of a file name: there, a space is one.
const FILE_NAME: &AsciiSet = &QUOTED.remove(b' ');
/// The last second that a date of HTTP can name.
const LAST_SECOND: u64 = 253_402_300_799;

/// Removes the headers that `removed` names, but not those that `allowed` names; a `*` at a name's end stands for any
/// ending.
pub(super) fn clean(headers: &mut HeaderMap, removed: &[String], allowed: &[String]) {
    let is_named = |names: &[String], header: &HeaderName| names.iter().any(|name| names_header(name, header.as_str()));
    let goes = |header: &&HeaderName| is_named(removed, header) && !is_named(allowed, header);
    let gone: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

fn names_header(name: &str, header: &str) -> bool {
    match name.strip_suffix('*') {
        Some(start) => header.get(..start.len()).is_some_and(|h| h.eq_ignore_ascii_case(start)),
        None => name.eq_ignore_ascii_case(header),
    }
}

/// Says that the answer is a file to be kept (or shown, where the URL or what made the answer wants that), and until
/// when. `name` is the file's own.
pub(super) fn dress(headers: &mut HeaderMap, asked: &Asked, inline: bool, name: &str, expires: u64) {
    let given = asked.filename.as_deref().filter(|name| !name.is_empty());
    let disposition = match (inline, given) {
        (true, None) => Some("inline".to_owned()),
        (true, Some(name)) => Some(disposition("inline", name)),
        (false, Some(name)) => Some(disposition("attachment", name)),
        (false, None) if headers.contains_key(CONTENT_DISPOSITION) => None,
        (false, None) => Some(disposition("attachment", name)),
    };
    // Percent-encoded, any name fits a header.
    if let Some(Ok(value)) = disposition.map(HeaderValue::try_from) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    let expires = UNIX_EPOCH + Duration::from_secs(expires.min(LAST_SECOND));
    if let Ok(value) = HeaderValue::try_from(httpdate::fmt_http_date(expires)) {
        headers.insert(EXPIRES, value);
    }
}

/// RFC 6266, for clients that read UTF-8 names and for those that do not.
fn disposition(kind: &str, name: &str) -> String {
    let (plain, extended) = (utf8_percent_encode(name, FILE_NAME), utf8_percent_encode(name, QUOTED));
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{extended}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_beginnings() {
        for (name, header, named) in [
            ("x-object-meta-*", "x-object-meta-color", true),
            ("X-Object-Meta-*", "x-object-meta-", true),
            ("x-object-meta-*", "x-object-met", false),
            ("*", "etag", true),
            ("ETag", "etag", true),
            ("etag", "etags", false),
            ("☃*", "etag", false),
        ] {
            assert_eq!(names_header(name, header), named, "{name} {header}");
        }
    }

    #[test]
    fn what_is_allowed_stays() {
        let names = ["x-object-meta-a", "x-object-meta-public-b", "etag"];
        let mut headers: HeaderMap =
            names.iter().map(|n| (HeaderName::from_static(n), HeaderValue::from_static("1"))).collect();
        clean(&mut headers, &["x-object-meta-*".into()], &["x-object-meta-public-*".into()]);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["etag", "x-object-meta-public-b"]);
    }

    /// (query, what the object says, inline, the answer).
    #[test]
    fn dispositions_are_swifts() {
        let attached = |name: &str| format!("attachment; filename=\"{name}\"; filename*=UTF-8''{name}");
        for (query, stored, inline, expected) in [
            ("", None, false, attached("o.txt")),
            ("", Some("inline; x"), false, "inline; x".into()),
            ("", Some("attachment"), true, "inline".into()),
            ("filename=", None, false, attached("o.txt")),
            ("filename=a.b", Some("inline"), false, attached("a.b")),
            ("filename=a.b", None, true, "inline; filename=\"a.b\"; filename*=UTF-8''a.b".into()),
            (
                "filename=a%0A%22/%E2%98%83+b",
                None,
                false,
                "attachment; filename=\"a%0A%22/%E2%98%83 b\"; filename*=UTF-8''a%0A%22/%E2%98%83%20b".into(),
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(stored) = stored {
                headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(stored));
            }
            dress(&mut headers, &Asked::parse(query), inline, "o.txt", 1_512_508_563);
            assert_eq!(headers[CONTENT_DISPOSITION], expected, "{query}");
            assert_eq!(headers[EXPIRES], "Tue, 05 Dec 2017 21:16:03 GMT");
        }
    }

    #[test]
    fn the_end_of_time_is_a_date() {
        let mut headers = HeaderMap::new();
        dress(&mut headers, &Asked::default(), true, "o", u64::MAX);
        assert_eq!(headers[EXPIRES], "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
