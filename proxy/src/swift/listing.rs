//! Reading the query of a listing. Pure.

use percent_encoding::percent_decode;

use crate::constraints::is_yes;
use crate::ops::listing::Listing;

/// Why a listing is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadListing {
    /// 400.
    #[error("\"{0}\" parameter not valid UTF-8")]
    Utf8(String),
    /// 412.
    #[error("Maximum limit is {0}")]
    Limit(u64),
}

/// Reads the query of a listing whose limit is `most`; a limit that is no number counts as none.
///
/// # Errors
/// When a parameter is not UTF-8 or the limit is past `most`.
pub fn parse(query: Option<&str>, most: u64) -> Result<Listing, BadListing> {
    let mut listing = Listing { limit: most, ..Listing::default() };
    for (name, value) in parameters(query.unwrap_or_default()) {
        let value = || String::from_utf8(value.clone()).map_err(|_| BadListing::Utf8(name.clone()));
        match name.as_str() {
            "limit" => listing.limit = limit(&value()?, most)?,
            "marker" => listing.marker = value()?,
            "end_marker" => listing.end_marker = value()?,
            "prefix" => listing.prefix = value()?,
            "delimiter" => listing.delimiter = value()?,
            "path" => listing.path = Some(value()?),
            "reverse" => listing.reverse = is_yes(&value()?),
            _ => {}
        }
    }
    Ok(listing)
}

fn limit(value: &str, most: u64) -> Result<u64, BadListing> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(most);
    }
    // What does not fit is past every limit.
    let limit = value.parse().unwrap_or(u64::MAX);
    if limit > most { Err(BadListing::Limit(most)) } else { Ok(limit) }
}

/// Names and values of a query, decoded as forms are (`+` is a space).
pub fn parameters(query: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
    let decoded = |text: &str| percent_decode(text.replace('+', " ").as_bytes()).collect::<Vec<u8>>();
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (String::from_utf8_lossy(&decoded(name)).into_owned(), decoded(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_parameter() {
        let query = "limit=7&marker=a%20b&end_marker=c+d&prefix=%e2%98%83&delimiter=//&path=&reverse=On&format=xml&x";
        let expected = Listing {
            limit: 7,
            marker: "a b".into(),
            end_marker: "c d".into(),
            prefix: "☃".into(),
            delimiter: "//".into(),
            path: Some(String::new()),
            reverse: true,
        };
        assert_eq!(parse(Some(query), 10_000), Ok(expected));
    }

    #[test]
    fn limits() {
        let limit = |v: &str| parse(Some(&format!("limit={v}")), 10_000).map(|l| l.limit).map_err(|e| e.to_string());
        assert_eq!(limit("10000"), Ok(10_000));
        assert_eq!(limit("10001"), Err("Maximum limit is 10000".into()));
        assert_eq!(limit(&"9".repeat(40)), Err("Maximum limit is 10000".into()));
        assert_eq!(limit("0"), Ok(0));
        for none in ["", "-1", "many", "1e3"] {
            assert_eq!(limit(none), Ok(10_000), "{none}");
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let refused = parse(Some("prefix=%ff"), 1).unwrap_err();
        assert_eq!(refused.to_string(), "\"prefix\" parameter not valid UTF-8");
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "\\PC{0,60}|[a-z_=&%0-9+]{0,60}") {
            let _ = parse(Some(&query), 10_000);
        }
    }
}
