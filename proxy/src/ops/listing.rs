//! Which part of a listing is wanted.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A part of an account's or a container's listing. Rows are in the byte order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// At most so many rows.
    pub limit: u64,
    /// Only names after this one (before it when `reverse`); empty means from the start.
    pub marker: String,
    /// Only names before this one (after it when `reverse`); empty means to the end.
    pub end_marker: String,
    /// Only names that begin so.
    pub prefix: String,
    /// Names that hold this after the prefix are shown once, cut behind it.
    pub delimiter: String,
    /// Only what is directly below this pseudo-directory.
    pub path: Option<String>,
    /// From the last name to the first.
    pub reverse: bool,
}

impl Listing {
    /// The query by which a storage server is asked for it, as JSON.
    pub fn query(&self) -> String {
        let mut query = format!("format=json&limit={}", self.limit);
        let mut add = |name: &str, value: &str| {
            query.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        };
        let texts = [
            ("marker", &self.marker),
            ("end_marker", &self.end_marker),
            ("prefix", &self.prefix),
            ("delimiter", &self.delimiter),
        ];
        for (name, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            add(name, value);
        }
        if let Some(path) = &self.path {
            add("path", path);
        }
        if self.reverse {
            add("reverse", "true");
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_is_sent() {
        assert_eq!(Listing { limit: 5, ..Listing::default() }.query(), "format=json&limit=5");
        let all = Listing {
            limit: 5,
            marker: "a b".into(),
            end_marker: "c&d".into(),
            prefix: "☃".into(),
            delimiter: "/".into(),
            path: Some(String::new()),
            reverse: true,
        };
        let query =
            "format=json&limit=5&marker=a%20b&end_marker=c%26d&prefix=%E2%98%83&delimiter=%2F&path=&reverse=true";
        assert_eq!(all.query(), query);
    }
}
