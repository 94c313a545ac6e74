//! Where a site is seen from outside. Pure.

use serde::{Deserialize, Serialize};

/// As much of a URL as redirects shall have: `https://www.example.com:8080`, `https:` or `//www.example.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlBase {
    scheme: Option<String>,
    host: Option<String>,
}

/// Something that is no beginning of a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("url_base must be like \"https://www.example.com\", \"https:\" or \"//www.example.com:8080\", not {0:?}")]
pub struct BadUrlBase(String);

impl UrlBase {
    /// Puts what it has in the place of what `url`, with a scheme and a host, begins with.
    pub(super) fn replace(&self, url: &str) -> String {
        let (scheme, host) = url.split_once("://").unwrap_or(("http", url));
        format!("{}://{}", self.scheme.as_deref().unwrap_or(scheme), self.host.as_deref().unwrap_or(host))
    }
}

impl TryFrom<String> for UrlBase {
    type Error = BadUrlBase;

    fn try_from(text: String) -> Result<Self, BadUrlBase> {
        let (scheme, rest) = match text.split_once("//") {
            Some((scheme, rest)) => (scheme, rest),
            None => (text.as_str(), ""),
        };
        let host = rest.split('/').next().unwrap_or_default();
        let scheme_name = scheme.strip_suffix(':').unwrap_or(if scheme.is_empty() { "" } else { "?" });
        let fits = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]+".contains(&b));
        let given = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
        let base = Self { scheme: given(scheme_name), host: given(host) };
        if fits(scheme_name) && fits(host) && base != Self::default() { Ok(base) } else { Err(BadUrlBase(text)) }
    }
}

impl From<UrlBase> for String {
    fn from(base: UrlBase) -> Self {
        let scheme = base.scheme.map(|scheme| format!("{scheme}:")).unwrap_or_default();
        let host = base.host.map(|host| format!("//{host}")).unwrap_or_default();
        format!("{scheme}{host}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_given_replace() {
        for (base, written, seen) in [
            ("http://www.example.com", "http://www.example.com", "http://www.example.com"),
            ("https:", "https:", "https://h:80"),
            ("https://", "https:", "https://h:80"),
            ("//www.example.com:8080/ignored", "//www.example.com:8080", "http://www.example.com:8080"),
        ] {
            let read = UrlBase::try_from(base.to_owned()).unwrap();
            assert_eq!(read.replace("http://h:80"), seen, "{base}");
            assert_eq!(String::from(read), written);
        }
        for nonsense in ["", "//", "www.example.com", "ht tp://x", "//a\"b"] {
            assert!(UrlBase::try_from(nonsense.to_owned()).is_err(), "{nonsense}");
        }
    }
}
