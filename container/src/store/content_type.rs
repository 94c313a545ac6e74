//! The `swift_bytes` parameter of a content type, by which large objects tell their listing how long they really are.

/// A content type without `swift_bytes`, its other parameters written `;name=value` without spaces as Swift's listings
/// do, and the bytes, if it said a number of them.
pub(super) fn split(content_type: &str) -> (String, Option<u64>) {
    let Some((kind, rest)) = content_type.split_once(';') else {
        return (content_type.to_owned(), None);
    };
    let (mut plain, mut bytes) = (kind.to_owned(), None);
    for (name, value) in parameters(rest) {
        if name == "swift_bytes" {
            bytes = value.parse().ok();
        } else {
            plain.extend([";", name, "=", value]);
        }
    }
    (plain, bytes)
}

/// The opposite of [`split`].
pub(super) fn join(content_type: &str, swift_bytes: Option<u64>) -> String {
    swift_bytes.map_or_else(|| content_type.to_owned(), |bytes| format!("{content_type};swift_bytes={bytes}"))
}

/// Names and values of the parameters in `rest`, which begins after a semicolon. What is none is passed over.
fn parameters(mut rest: &str) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (name, after) = token(rest.trim_start());
            if name.is_empty() {
                rest = rest.split_once(';').map_or("", |(_, next)| next);
                continue;
            }
            let (value, after) = value(after.trim_start());
            rest = after.split_once(';').map_or("", |(_, next)| next);
            return Some((name, value));
        }
    })
}

/// The token that a text begins with, and the rest.
fn token(text: &str) -> (&str, &str) {
    let ends = |c: char| c <= ' ' || c == '\x7f' || "()<>@,;:\"/[]?={}".contains(c);
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// The value after `=`, a token or in quotes; empty when there is none.
fn value(text: &str) -> (&str, &str) {
    let Some(after) = text.strip_prefix('=').map(str::trim_start) else {
        return ("", text);
    };
    match after.strip_prefix('"').and_then(closing_quote) {
        Some(end) => after.split_at(end + 2),
        None => token(after),
    }
}

/// Where the quote that ends a quoted text is, after the one that begins it.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    let closes = |c: char| {
        let closing = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closing
    };
    text.find(closes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_swift_does() {
        let cases = [
            ("text/plain", "text/plain", None),
            ("text/plain; charset=UTF-8", "text/plain;charset=UTF-8", None),
            ("a/b;swift_bytes=12", "a/b", Some(12)),
            ("a/b; x=\"; swift_bytes=1\" ; swift_bytes=2;y", "a/b;x=\"; swift_bytes=1\";y=", Some(2)),
            ("a/b;swift_bytes=many", "a/b", None),
            ("a/b;;=;swift_bytes=3", "a/b", Some(3)),
            ("a/b;x=\"\\\"\";swift_bytes=4", "a/b;x=\"\\\"\"", Some(4)),
        ];
        for (given, plain, bytes) in cases {
            assert_eq!(split(given), (plain.to_owned(), bytes), "{given}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_then_stays(text in "[a/;=\" \\\\swift_bytes1é]{0,30}|\\PC{0,20}") {
            let (plain, _) = split(&text);
            prop_assert_eq!(split(&plain), (plain.clone(), None));
            prop_assert_eq!(split(&join(&plain, Some(7))).1, Some(7));
        }
    }
}
