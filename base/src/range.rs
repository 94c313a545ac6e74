//! `Range` requests: which bytes a client asks for, and the multipart body that answers several ranges at once.
//!
//! Pure. The rules are Swift's (`swob.Range`): a header that is not well formed is ignored, as RFC 9110 wants, and a
//! well-formed one that asks for nothing there is, or for an egregious lot, is answered 416.

use std::ops::Range;

/// Most satisfiable ranges in one request; more are a way to make a server work hard for little.
const MAX_RANGES: usize = 50;
/// Most pairs of ranges that overlap.
const MAX_OVERLAPS: usize = 2;
/// From this many ranges on they have to ascend.
const MAX_NONASCENDING: usize = 8;

/// What a `Range` header means for a body of some length. All ranges are half open and lie within the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// The whole body with status 200: no header, one that is not well formed, or any suffix of an empty body.
    Whole,
    /// 416: nothing asked for is there, or too much is asked for.
    Unsatisfiable,
    /// One range: 206 with `Content-Range`.
    One(Range<u64>),
    /// Several: 206 with `multipart/byteranges`, in the order they were asked for.
    Many(Vec<Range<u64>>),
}

/// Reads a `Range` header for a body of `length` bytes.
pub fn resolve(header: Option<&str>, length: u64) -> Ranges {
    let Some(specs) = header.and_then(parse) else {
        return Ranges::Whole;
    };
    let mut ranges: Vec<_> = specs.iter().filter_map(|spec| spec.within(length)).collect();
    if ranges.is_empty() || is_egregious(&ranges) {
        return Ranges::Unsatisfiable;
    }
    if length == 0 {
        return Ranges::Whole;
    }
    if ranges.len() == 1 { Ranges::One(ranges.remove(0)) } else { Ranges::Many(ranges) }
}

/// One range as written: `5-9`, `5-` or `-9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// From this byte to the end.
    From(u64),
    /// From the first to the last, both included.
    FromTo(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

impl Spec {
    /// Reads one; `None` if it is not well formed.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (number(first)?, number(last)?) {
            (None, None) => None,
            (None, Some(count)) => Some(Self::Last(count)),
            (Some(first), None) => Some(Self::From(first)),
            (Some(first), Some(last)) => (first <= last).then_some(Self::FromTo(first, last)),
        }
    }

    /// The part of it that is there, if any. The last bytes of an empty body are an empty range.
    pub fn within(self, length: u64) -> Option<Range<u64>> {
        match self {
            Self::Last(0) => None,
            Self::Last(count) => Some(length.saturating_sub(count)..length),
            Self::From(first) => (first < length).then_some(first..length),
            Self::FromTo(first, last) => (first < length).then(|| first..last.saturating_add(1).min(length)),
        }
    }
}

/// Digits, or nothing; more than 64 bits count as the largest number, since no body is that long.
fn number(text: &str) -> Option<Option<u64>> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

/// The ranges of a `Range` header as they are written; `None` for one that is not well formed.
pub fn parse(header: &str) -> Option<Vec<Spec>> {
    let header: String = header.chars().filter(|c| *c != ' ').collect();
    let unit = header.get(..6)?;
    if !unit.eq_ignore_ascii_case("bytes=") {
        return None;
    }
    header[6..].split(',').map(Spec::parse).collect()
}

fn is_egregious(ranges: &[Range<u64>]) -> bool {
    if ranges.len() > MAX_RANGES {
        return true;
    }
    let ascending = ranges.windows(2).all(|w| (w[0].start, w[0].end) <= (w[1].start, w[1].end));
    if !ascending && ranges.len() >= MAX_NONASCENDING {
        return true;
    }
    let pairs = ranges.iter().enumerate().flat_map(|(i, a)| ranges[i + 1..].iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| overlap(a, b)).count() > MAX_OVERLAPS
}

/// Swift's notion: an end of one lies strictly inside the other, so two equal ranges do not overlap.
fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    let inside = |point: u64, range: &Range<u64>| range.start < point && point < range.end;
    inside(b.start, a) || inside(b.end, a) || inside(a.start, b) || inside(a.end, b)
}

/// The value of a `Content-Range` header.
pub fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1))
}

/// The value of the `Content-Range` header of a 416.
pub fn content_range_unsatisfiable(length: u64) -> String {
    format!("bytes */{length}")
}

/// A `multipart/byteranges` body, all of whose bytes but the object's are known in advance.
///
/// For each range: [`Multipart::part_head`], the object's bytes, [`Multipart::PART_END`]; then [`Multipart::end`].
#[derive(Clone, Debug)]
pub struct Multipart {
    boundary: String,
    content_type: String,
    length: u64,
    ranges: Vec<Range<u64>>,
}

impl Multipart {
    /// What follows each part's bytes.
    pub const PART_END: &'static str = "\r\n";

    /// For an object of `length` bytes. The boundary may not occur in the object; 32 random digits do not.
    pub fn new(boundary: String, content_type: String, length: u64, ranges: Vec<Range<u64>>) -> Self {
        Self { boundary, content_type, length, ranges }
    }

    /// The value of the response's `Content-Type`.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges;boundary={}", self.boundary)
    }

    /// The ranges, in their order.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// What precedes the bytes of one range.
    pub fn part_head(&self, range: &Range<u64>) -> String {
        let content_range = content_range(range, self.length);
        let (boundary, kind) = (&self.boundary, &self.content_type);
        format!("--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {content_range}\r\n\r\n")
    }

    /// What follows the last part.
    pub fn end(&self) -> String {
        format!("--{}--", self.boundary)
    }

    /// The length of the whole body in bytes.
    pub fn content_length(&self) -> u64 {
        let part = |r: &Range<u64>| (self.part_head(r).len() + Self::PART_END.len()) as u64 + (r.end - r.start);
        self.ranges.iter().map(part).sum::<u64>() + self.end().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_swift_reads_them() {
        let cases: [(&str, u64, Ranges); 13] = [
            ("bytes=0-4", 10, Ranges::One(0..5)),
            ("BYTES = 5 - ", 10, Ranges::One(5..10)),
            ("bytes=-3", 10, Ranges::One(7..10)),
            ("bytes=-30", 10, Ranges::One(0..10)),
            ("bytes=0-99999999999999999999999", 10, Ranges::One(0..10)),
            ("bytes=0-1,8-", 10, Ranges::Many(vec![0..2, 8..10])),
            ("bytes=10-", 10, Ranges::Unsatisfiable),
            ("bytes=-0", 10, Ranges::Unsatisfiable),
            ("bytes=5-3", 10, Ranges::Whole),
            ("bytes=", 10, Ranges::Whole),
            ("lines=1-2", 10, Ranges::Whole),
            ("bytes=-5", 0, Ranges::Whole),
            ("bytes=0-5", 0, Ranges::Unsatisfiable),
        ];
        for (header, length, expected) in cases {
            assert_eq!(resolve(Some(header), length), expected, "{header}");
        }
        assert_eq!(resolve(None, 10), Ranges::Whole);
    }

    #[test]
    fn egregious_requests_are_refused() {
        let header = |count: u64| {
            let specs: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(matches!(resolve(Some(&header(50)), 1000), Ranges::Many(r) if r.len() == 50));
        assert_eq!(resolve(Some(&header(51)), 1000), Ranges::Unsatisfiable);
        assert!(matches!(resolve(Some("bytes=0-5,4-9,8-12"), 1000), Ranges::Many(_)));
        assert_eq!(resolve(Some("bytes=0-5,1-6,2-7"), 1000), Ranges::Unsatisfiable);
        assert!(matches!(resolve(Some("bytes=9-9,0-0,2-2,3-3,4-4,5-5,6-6"), 99), Ranges::Many(_)));
        assert_eq!(resolve(Some("bytes=9-9,0-0,2-2,3-3,4-4,5-5,6-6,7-7"), 99), Ranges::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_ignored(header in "\\PC{0,40}|bytes=[-0-9, ]{0,40}", length: u64) {
            match resolve(Some(&header), length) {
                Ranges::One(r) => prop_assert!(r.start < r.end && r.end <= length),
                Ranges::Many(rs) => prop_assert!(rs.iter().all(|r| r.start < r.end && r.end <= length)),
                Ranges::Whole | Ranges::Unsatisfiable => {}
            }
        }

        /// Against asking each byte whether it is wanted.
        #[test]
        fn one_range_is_the_bytes_it_says(first in 0u64..40, last in 0u64..40, length in 1u64..30) {
            let asked = |header: String| match resolve(Some(&header), length) {
                Ranges::One(r) => r.collect(),
                Ranges::Whole => (0..length).collect(),
                _ => Vec::new(),
            };
            let expect = |want: &dyn Fn(u64) -> bool| (0..length).filter(|byte| want(*byte)).collect::<Vec<_>>();
            if first <= last {
                prop_assert_eq!(asked(format!("bytes={first}-{last}")), expect(&|b| first <= b && b <= last));
            }
            prop_assert_eq!(asked(format!("bytes={first}-")), expect(&|b| first <= b));
            prop_assert_eq!(asked(format!("bytes=-{last}")), expect(&|b| b + last >= length));
        }

        #[test]
        fn the_length_is_known_in_advance(starts in prop::collection::vec(0u64..90, 1..9), size in 1u64..10) {
            let ranges: Vec<_> = starts.into_iter().map(|s| s..s + size).collect();
            let multipart = Multipart::new("b".repeat(32), "text/plain".into(), 100, ranges);
            let mut body = String::new();
            for range in multipart.ranges() {
                body += &multipart.part_head(range);
                body.extend(range.clone().map(|_| 'x'));
                body += Multipart::PART_END;
            }
            body += &multipart.end();
            prop_assert_eq!(multipart.content_length(), body.len() as u64);
        }
    }
}
