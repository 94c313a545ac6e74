//! What the head of an answer says of a large object: lengths, ranges, conditions. Its ETag and its length are not those
//! of what is stored, so the storage servers cannot decide on them.

use std::ops::Range;

use apus_base::conditional::{Conditions, Current, Verdict};
use apus_base::range::{Multipart, Ranges, content_range, content_range_unsatisfiable};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What stands between the ranges of an answer that has several.
    Text(Bytes),
    /// Bytes of the large object.
    Range(Range<u64>),
}

/// The status and the body of an answer that has these ranges of an object of `length` bytes; writes into its head how
/// long it is and what of the object it has.
pub(super) fn cut(headers: &mut HeaderMap, ranges: Ranges, length: u64) -> (StatusCode, Vec<Step>) {
    headers.remove(CONTENT_RANGE);
    match ranges {
        Ranges::Whole => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            (StatusCode::OK, vec![Step::Range(0..length)])
        }
        Ranges::Unsatisfiable => {
            headers.remove(CONTENT_LENGTH);
            set(headers, CONTENT_RANGE, content_range_unsatisfiable(length));
            (StatusCode::RANGE_NOT_SATISFIABLE, Vec::new())
        }
        Ranges::One(range) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
            set(headers, CONTENT_RANGE, content_range(&range, length));
            (StatusCode::PARTIAL_CONTENT, vec![Step::Range(range)])
        }
        Ranges::Many(ranges) => {
            let kind = headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
            let multipart = Multipart::new(boundary(), kind.unwrap_or_default(), length, ranges);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(multipart.content_length()));
            set(headers, CONTENT_TYPE, multipart.content_type());
            (StatusCode::PARTIAL_CONTENT, parts(&multipart))
        }
    }
}

fn parts(multipart: &Multipart) -> Vec<Step> {
    let part = |range: &Range<u64>| {
        let head = Step::Text(multipart.part_head(range).into());
        [head, Step::Range(range.clone()), Step::Text(Bytes::from_static(Multipart::PART_END.as_bytes()))]
    };
    let mut steps: Vec<Step> = multipart.ranges().iter().flat_map(part).collect();
    steps.push(Step::Text(multipart.end().into()));
    steps
}

fn boundary() -> String {
    let mut random = [0; 16];
    // Without randomness the boundary is merely the same each time.
    let _ = getrandom::fill(&mut random);
    apus_base::hash_path::PathHash(random).hex()
}

/// Writes a header whose value always fits one: numbers, quoted digests.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// The status of an answer whose conditions are not met by an object with this head and ETag.
pub(super) fn unmet(request: &HeaderMap, head: &HeaderMap, etag: &str) -> Option<StatusCode> {
    let modified = head.get(LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let since = modified.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    let current = Current { etag, last_modified_secs: since.map_or(0, |since| since.as_secs()) };
    match Conditions::from_headers(request).check(current) {
        Verdict::Proceed => None,
        Verdict::NotModified => Some(StatusCode::NOT_MODIFIED),
        Verdict::Failed => Some(StatusCode::PRECONDITION_FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_what_comes() {
        let head = |ranges| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("a/b"));
            headers.insert(CONTENT_RANGE, HeaderValue::from_static("bytes 0-1/2"));
            let (status, steps) = cut(&mut headers, ranges, 100);
            let text = |name| headers.get(name).map_or("-", |value: &HeaderValue| value.to_str().unwrap()).to_owned();
            (status.as_u16(), steps, text(CONTENT_LENGTH), text(CONTENT_RANGE))
        };
        assert_eq!(head(Ranges::Whole), (200, vec![Step::Range(0..100)], "100".into(), "-".into()));
        assert_eq!(head(Ranges::Unsatisfiable), (416, Vec::new(), "-".into(), "bytes */100".into()));
        assert_eq!(head(Ranges::One(5..9)), (206, vec![Step::Range(5..9)], "4".into(), "bytes 5-8/100".into()));
        let (status, steps, length, range) = head(Ranges::Many(vec![0..2, 90..100]));
        assert_eq!((status, steps.len(), range.as_str()), (206, 7, "-"));
        let bytes = |step: &Step| match step {
            Step::Text(text) => text.len() as u64,
            Step::Range(range) => range.end - range.start,
        };
        assert_eq!(steps.iter().map(bytes).sum::<u64>().to_string(), length);
    }
}
