//! Conditional requests: `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`.
//!
//! Pure. Swift's order, which clients see when several are sent: `If-None-Match` (304), `If-Match` (412),
//! `If-Modified-Since` (304), `If-Unmodified-Since` (412). Dates that cannot be read are ignored.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderMap, HeaderName};

/// The conditions of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<SystemTime>,
    if_unmodified_since: Option<SystemTime>,
}

/// What the conditions say about the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were no conditions.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// What the conditions are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// The ETag, with or without quotes; empty when there is none.
    pub etag: &'a str,
    /// Whole seconds since 1970, as `Last-Modified` shows them.
    pub last_modified_secs: u64,
}

impl Conditions {
    /// Reads them from a request's headers.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self {
            if_match: tags(headers, &header::IF_MATCH),
            if_none_match: tags(headers, &header::IF_NONE_MATCH),
            if_modified_since: date(headers, &header::IF_MODIFIED_SINCE),
            if_unmodified_since: date(headers, &header::IF_UNMODIFIED_SINCE),
        }
    }

    /// Decides for an object that is there.
    pub fn check(&self, current: Current<'_>) -> Verdict {
        let has_etag = !current.etag.is_empty();
        let modified = UNIX_EPOCH + Duration::from_secs(current.last_modified_secs);
        if has_etag && self.if_none_match.as_ref().is_some_and(|t| t.contain(current.etag)) {
            Verdict::NotModified
        } else if has_etag && self.if_match.as_ref().is_some_and(|t| !t.contain(current.etag)) {
            Verdict::Failed
        } else if self.if_modified_since.is_some_and(|since| modified <= since) {
            Verdict::NotModified
        } else if self.if_unmodified_since.is_some_and(|since| modified > since) {
            Verdict::Failed
        } else {
            Verdict::Proceed
        }
    }

    /// Decides for an object that is not there: `If-Match: *` fails, nothing else matters.
    pub fn check_absent(&self) -> Verdict {
        if self.if_match.as_ref().is_some_and(|t| t.any) { Verdict::Failed } else { Verdict::Proceed }
    }

    /// Whether there is an `If-Match` or an `If-None-Match`.
    pub fn is_about_etags(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Decides for a write where an object has that ETag, or where there is none: dates do not matter, and `If-Match` wants
    /// something that matches (RFC 9110, 13.1).
    pub fn permit_write(&self, etag: Option<&str>) -> bool {
        let matches = |tags: &Option<Tags>| tags.as_ref().map(|tags| etag.is_some_and(|etag| tags.contain(etag)));
        matches(&self.if_match) != Some(false) && matches(&self.if_none_match) != Some(true)
    }

    /// Whether a PUT that creates only (`If-None-Match: *` or the ETag of what is there) has to fail with 412.
    pub fn forbid_overwriting(&self, etag: &str) -> bool {
        self.if_none_match.as_ref().is_some_and(|t| t.contain(etag))
    }

    /// Whether a PUT may only create: `If-None-Match: *`.
    pub fn creates_only(&self) -> bool {
        self.if_none_match.as_ref().is_some_and(|t| t.any)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tags {
    any: bool,
    tags: Vec<String>,
}

impl Tags {
    fn contain(&self, etag: &str) -> bool {
        self.any || self.tags.iter().any(|t| t == unquoted(etag))
    }
}

/// An ETag without its quotes, if it has them at both ends.
pub fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|e| e.strip_suffix('"')).unwrap_or(etag)
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Tags> {
    let values = headers.get_all(name).iter().filter_map(|v| std::str::from_utf8(v.as_bytes()).ok());
    let mut found = Tags::default();
    for tag in values.flat_map(|v| v.split(',')).map(str::trim).filter(|t| !t.is_empty()) {
        match unquoted(tag) {
            "*" => found.any = true,
            tag => found.tags.push(tag.to_owned()),
        }
    }
    (found.any || !found.tags.is_empty()).then_some(found)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn conditions(pairs: &[(HeaderName, String)]) -> Conditions {
        Conditions::from_headers(&pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect())
    }

    fn http_date(secs: u64) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs))
    }

    #[test]
    fn an_absent_object_fails_only_a_star() {
        assert_eq!(conditions(&[(header::IF_MATCH, "*".into())]).check_absent(), Verdict::Failed);
        assert_eq!(conditions(&[(header::IF_MATCH, "a".into())]).check_absent(), Verdict::Proceed);
        assert_eq!(conditions(&[(header::IF_NONE_MATCH, "*".into())]).check_absent(), Verdict::Proceed);
    }

    #[test]
    fn a_write_wants_a_match_or_none() {
        let permits =
            |name: HeaderName, value: &str, etag: Option<&str>| conditions(&[(name, value.into())]).permit_write(etag);
        let cases = [(None, [false, false, true, true]), (Some("a"), [true, true, false, false])];
        for (etag, expected) in cases.into_iter().chain([(Some("b"), [true, false, false, true])]) {
            let of = |name: &HeaderName| [permits(name.clone(), "*", etag), permits(name.clone(), "\"a\"", etag)];
            let ([any, one], [not_any, not_one]) = (of(&header::IF_MATCH), of(&header::IF_NONE_MATCH));
            assert_eq!([any, one, not_any, not_one], expected, "{etag:?}");
        }
        assert!(Conditions::default().permit_write(None) && !Conditions::default().is_about_etags());
    }

    #[test]
    fn nonsense_is_ignored() {
        let nonsense = [(header::IF_MODIFIED_SINCE, "yesterday".into()), (header::IF_MATCH, " , ".into())];
        assert_eq!(conditions(&nonsense), Conditions::default());
    }

    proptest! {
        /// Against the four rules written one below the other, over all combinations that can matter.
        #[test]
        fn first_failing_rule_decides(
            none_match in prop::option::of("\"?[ab*](\", ?\"[ab])?\"?"), matches in prop::option::of("[ab*]( , [ab])?"),
            since in prop::option::of(1_000_000u64..1_000_003), unmodified in prop::option::of(1_000_000u64..1_000_003),
        ) {
            let modified = 1_000_001;
            let has = |list: &Option<String>| list.as_ref().map(|l| {
                l.split(',').any(|t| matches!(unquoted(t.trim()), "a" | "*"))
            });
            let mut pairs = Vec::new();
            pairs.extend(none_match.clone().map(|v| (header::IF_NONE_MATCH, v)));
            pairs.extend(matches.clone().map(|v| (header::IF_MATCH, v)));
            pairs.extend(since.map(|s| (header::IF_MODIFIED_SINCE, http_date(s))));
            pairs.extend(unmodified.map(|s| (header::IF_UNMODIFIED_SINCE, http_date(s))));
            let rules = [
                (has(&none_match) == Some(true), Verdict::NotModified),
                (has(&matches) == Some(false), Verdict::Failed),
                (since.is_some_and(|s| modified <= s), Verdict::NotModified),
                (unmodified.is_some_and(|s| modified > s), Verdict::Failed),
                (true, Verdict::Proceed),
            ];
            let expected = rules.iter().find(|(fires, _)| *fires).unwrap().1;
            let current = Current { etag: "\"a\"", last_modified_secs: modified };
            prop_assert_eq!(conditions(&pairs).check(current), expected);
        }
    }
}
