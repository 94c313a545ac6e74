//! What the access log says more and less than usual: headers on the one hand, digests in place of what tells who it was on
//! the other.

use apus_base::hex;
use http::HeaderMap;
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::constraints::title_case;

/// The `[proxy.access_log]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether requests' headers are logged.
    pub headers: bool,
    /// If any are named, only these.
    pub headers_only: Vec<String>,
    /// What is logged as a digest.
    pub anonymize: Vec<Field>,
    /// Of which digest.
    pub anonymization_method: Method,
    /// What goes before each value, so that nobody finds it by trying.
    pub anonymization_salt: String,
}

/// What may tell who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Whom the proxies in front of us ask for.
    ClientIp,
    /// The other end of the connection.
    RemoteAddr,
    /// Path and query.
    Path,
    /// `Referer`.
    Referer,
    /// `User-Agent`.
    UserAgent,
    /// `ETag` of the request.
    ClientEtag,
    /// The headers.
    Headers,
    /// Who showed their token.
    User,
}

/// A digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Method {
    #[default]
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Config {
    /// A value as the log shows it: as it is, or `{MD5}digest`, `{SMD5}digest` with a salt.
    pub(super) fn shown(&self, field: Field, value: String) -> String {
        if value.is_empty() || value == "-" || !self.anonymize.contains(&field) {
            return value;
        }
        let name = format!("{:?}", self.anonymization_method).to_uppercase();
        let salted = if self.anonymization_salt.is_empty() { "" } else { "S" };
        format!("{{{salted}{name}}}{}", self.digest(&value))
    }

    fn digest(&self, value: &str) -> String {
        let text = [self.anonymization_salt.as_bytes(), value.as_bytes()].concat();
        match self.anonymization_method {
            Method::Md5 => hex::<Md5>(&text),
            Method::Sha1 => hex::<Sha1>(&text),
            Method::Sha224 => hex::<Sha224>(&text),
            Method::Sha256 => hex::<Sha256>(&text),
            Method::Sha384 => hex::<Sha384>(&text),
            Method::Sha512 => hex::<Sha512>(&text),
        }
    }

    /// The headers of a request, one in a line; `-` if none are logged. Those that prove something are cut to `reveal`
    /// characters.
    pub(super) fn headers(&self, headers: &HeaderMap, reveal: usize) -> String {
        if !self.headers {
            return "-".into();
        }
        let is_wanted = |name: &str| {
            self.headers_only.is_empty() || self.headers_only.iter().any(|only| only.eq_ignore_ascii_case(name))
        };
        let shown = headers.iter().filter(|(name, _)| is_wanted(name.as_str())).map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let reveal = if is_key(name.as_str()) { 0 } else { reveal };
            let value = if is_secret(name.as_str()) { super::capped(&value, reveal) } else { value.into_owned() };
            format!("{}: {value}", title_case(name.as_str()))
        });
        shown.collect::<Vec<_>>().join("\n")
    }
}

/// A key that a client of S3 encrypts with: nothing of it is for any log.
fn is_key(name: &str) -> bool {
    name.ends_with("customer-key")
}

/// What proves who somebody is, or lets others do so.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 6] = ["token", "key", "pass", "authorization", "cookie", "sync-auth"];
    WORDS.iter().any(|word| name.contains(word))
}

fn hex<D: Digest>(text: &[u8]) -> String {
    hex::hex(&D::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn digests_are_swifts() {
        let mut config = Config { anonymize: vec![Field::ClientIp], ..Config::default() };
        let shown = |config: &Config, value: &str| config.shown(Field::ClientIp, value.into());
        assert_eq!(shown(&config, "a"), "{MD5}0cc175b9c0f1b6a831c399e269772661");
        config.anonymization_method = Method::Sha1;
        assert_eq!(shown(&config, "a"), "{SHA1}86f7e437faa5a7fce15d1ddcb9eaeaea377667b8");
        config.anonymization_salt = "b".into();
        assert_eq!(shown(&config, "a"), format!("{{SSHA1}}{}", hex::<Sha1>(b"ba")));
        assert_eq!((shown(&config, "-"), config.shown(Field::Path, "/".into())), ("-".into(), "/".into()));
    }

    #[test]
    fn headers_are_shown_but_no_secrets() {
        let pairs = [("x-auth-token", "0123456789"), ("accept", "a/b"), ("host", "h")];
        let pairs = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(pairs);
        let mut config = Config::default();
        assert_eq!(config.headers(&headers, 4), "-");
        config.headers = true;
        assert_eq!(config.headers(&headers, 4), "X-Auth-Token: 0123...\nAccept: a/b\nHost: h");
        config.headers_only = vec!["Accept".into()];
        assert_eq!(config.headers(&headers, 4), "Accept: a/b");
    }
}
