//! The query of a listing: its parameters, checked as Swift's `validate_params` and `constrain_req_limit` do.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::request::Refusal;
use crate::wire::is_yes;

/// The most rows of one listing, which is also the number given when none is asked for.
pub const LISTING_LIMIT: usize = 10_000;

/// Which names a listing shows, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The most entries.
    pub limit: usize,
    /// Only names after this one; before it in a reversed listing. Empty means none.
    pub marker: String,
    /// Only names before this one; after it in a reversed listing. Empty means none.
    pub end_marker: String,
    /// Only names that begin so.
    pub prefix: String,
    /// Names that go on past it after the prefix are rolled up into one `subdir`. Empty means none.
    pub delimiter: String,
    /// The pseudo-directory whose children are shown, without `subdir` entries; it takes the place of prefix and
    /// delimiter.
    pub path: Option<String>,
    /// From the last name to the first.
    pub reverse: bool,
    /// Whether names that begin with NUL, which belong to the proxy, are shown.
    pub reserved: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            limit: LISTING_LIMIT,
            marker: String::new(),
            end_marker: String::new(),
            prefix: String::new(),
            delimiter: String::new(),
            path: None,
            reverse: false,
            reserved: false,
        }
    }
}

impl Query {
    /// Reads a query string. Unknown parameters are ignored; of one that is repeated the last counts.
    ///
    /// # Errors
    /// 400 for a value that is not UTF-8, 412 for a limit above [`LISTING_LIMIT`].
    pub fn parse(query: &str, reserved: bool) -> Result<Self, Refusal> {
        let mut parsed = Self { reserved, ..Self::default() };
        let mut limit = String::new();
        for (name, value) in pairs(query) {
            let text = || utf8(&name, &value);
            match &*name {
                b"limit" => limit = text()?,
                b"marker" => parsed.marker = text()?,
                b"end_marker" => parsed.end_marker = text()?,
                b"prefix" => parsed.prefix = text()?,
                b"delimiter" => parsed.delimiter = text()?,
                b"path" => parsed.path = Some(text()?),
                b"reverse" => parsed.reverse = is_yes(&text()?),
                b"format" => drop(text()?),
                _ => {}
            }
        }
        parsed.limit = checked_limit(&limit)?;
        Ok(parsed)
    }
}

/// The decoded names and values of a query string (`+` is a space), which may be any bytes.
fn pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let decode = |text: &str| -> Vec<u8> {
        let spaced = text.replace('+', " ");
        Cow::from(percent_decode(spaced.as_bytes())).into_owned()
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn utf8(name: &[u8], value: &[u8]) -> Result<String, Refusal> {
    let refuse = |_| Refusal::BadRequest(format!("\"{}\" parameter not valid UTF-8", String::from_utf8_lossy(name)));
    String::from_utf8(value.to_vec()).map_err(refuse)
}

/// A limit that is not a number counts as none, as in Swift.
fn checked_limit(text: &str) -> Result<usize, Refusal> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(LISTING_LIMIT);
    }
    let too_large = || Refusal::Precondition(format!("Maximum limit is {LISTING_LIMIT}"));
    text.parse().ok().filter(|limit| *limit <= LISTING_LIMIT).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters() {
        let query =
            Query::parse("limit=5&marker=a%20b&marker=c+d&prefix=%C3%A9&reverse=Yes&path=&x=%ff", false).unwrap();
        assert_eq!((query.limit, query.marker.as_str(), query.prefix.as_str()), (5, "c d", "é"));
        assert!(query.reverse && query.path.as_deref() == Some(""));
        assert_eq!(Query::parse("limit=-1", false).unwrap().limit, LISTING_LIMIT);
        assert_eq!(Query::parse("limit=", false).unwrap().limit, LISTING_LIMIT);
        assert_eq!(Query::parse("limit=10000", false).unwrap().limit, 10_000);
    }

    #[test]
    fn refusals() {
        let refused = |query: &str| Query::parse(query, false).unwrap_err().status().as_u16();
        assert_eq!(refused("limit=10001"), 412);
        assert_eq!(refused("limit=99999999999999999999999"), 412);
        for name in ["marker", "end_marker", "prefix", "delimiter", "path", "limit", "reverse", "format"] {
            assert_eq!(refused(&format!("{name}=%ff")), 400, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "\\PC{0,40}|([a-z_]{1,10}=[a-z0-9%+]{0,9}&){0,5}") {
            let _ = Query::parse(&query, true);
        }
    }
}
