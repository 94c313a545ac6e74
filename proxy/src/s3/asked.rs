//! What a request is about: its bucket, its key and its query. Pure.
//!
//! A bucket is the first part of the path, or the name below a storage domain in the host.

use http::header::HOST;
use http::request::Parts;
use percent_encoding::{percent_decode_str, percent_encode};

use super::code::Code;
use super::config::Config;
use super::fault::Fault;
use crate::swift::listing::parameters;
use crate::swift::response::QUOTED;

/// The largest number that a parameter may have.
const MAX_NUMBER: u64 = 2_147_483_647;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The account of the bucket, if the request says so: `account:bucket`. It stands without a reseller's prefix.
    pub account: Option<String>,
    /// The bucket; absent where the request is about all of them.
    pub bucket: Option<String>,
    /// The key in it; absent where the request is about the bucket.
    pub key: Option<String>,
    /// The bucket, if it is the host that names it.
    pub in_host: Option<String>,
    /// The path, decoded.
    pub path: String,
    /// The query.
    pub query: Query,
}

impl Asked {
    /// Reads a request's target.
    ///
    /// # Errors
    /// When the path is no text or names no bucket.
    pub fn of(parts: &Parts, query: Query, config: &Config) -> Result<Self, Fault> {
        let raw = parts.uri.path();
        let decoded = percent_decode_str(raw).decode_utf8();
        // Names with that byte are the cluster's own.
        let path = decoded.ok().filter(|path| !path.contains('\0')).map(|path| path.into_owned());
        let path = path.ok_or_else(|| Fault::new(Code::InvalidUri).with("Uri", raw))?;
        let rest = path.strip_prefix('/').unwrap_or(&path);
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        if let Some(bucket) = bucket_in_host(parts, config) {
            let key = some(rest);
            return Ok(Self { account: None, bucket: Some(bucket.clone()), key, in_host: Some(bucket), path, query });
        }
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() && !key.is_empty() {
            return Err(Fault::new(Code::InvalidUri).with("Uri", raw));
        }
        let (account, bucket) = match bucket.split_once(':') {
            Some((account, bucket)) if !account.is_empty() => (some(account), bucket),
            _ => (None, bucket),
        };
        let (bucket, key) = (some(bucket), some(key));
        if let Some(bucket) = bucket.as_deref().filter(|name| !is_bucket_name(name, config.dns_compliant_bucket_names))
        {
            return Err(Fault::new(Code::InvalidBucketName).with("BucketName", bucket));
        }
        Ok(Self { account, bucket, key, in_host: None, path, query })
    }
}

/// Whether a request names a bucket of an account, `/account:bucket`, so that it need not say who asks.
pub fn names_account(parts: &Parts, config: &Config) -> bool {
    let asked = Asked::of(parts, Query::default(), config);
    asked.is_ok_and(|asked| asked.account.is_some() && asked.bucket.is_some())
}

/// The bucket that a host names.
pub fn bucket_in_host(parts: &Parts, config: &Config) -> Option<String> {
    let bucket = below(parts.headers.get(HOST)?.to_str().ok()?, &config.storage_domain)?;
    Some(bucket.to_owned()).filter(|bucket| !bucket.is_empty())
}

/// What stands in a host, perhaps with a port, before one of these domains and a dot.
pub fn below<'a>(host: &'a str, domains: &[String]) -> Option<&'a str> {
    let host = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(host, _)| host);
    domains.iter().find_map(|domain| host.strip_suffix(domain.trim_start_matches('.'))?.strip_suffix('.'))
}

/// Whether a bucket may have that name: AWS's rules, or looser ones.
pub fn is_bucket_name(name: &str, dns_compliant: bool) -> bool {
    let longest = if dns_compliant { 63 } else { 255 };
    let known = |b: u8| match b {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' => true,
        b'A'..=b'Z' | b'_' => !dns_compliant,
        _ => false,
    };
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let fits = (3..=longest).contains(&name.len()) && is_end(bytes.first()) && bytes.iter().all(|b| known(*b));
    let neighbours = [".-", "-.", ".."].iter().any(|pair| name.contains(pair)) || !is_end(bytes.last());
    fits && !name.ends_with('.') && !(dns_compliant && neighbours) && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// A query: names and values in order, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Reads one.
    pub fn parse(query: Option<&str>) -> Self {
        Self(parameters(query.unwrap_or_default()).collect())
    }

    /// All of it.
    pub fn pairs(&self) -> &[(String, Vec<u8>)] {
        &self.0
    }

    /// Whether it has a parameter of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// The last value of that name; what is no text in it is replaced.
    pub fn get(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().rev().find(|(n, _)| n == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// The last value of that name.
    ///
    /// # Errors
    /// When it is no text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        let Some((_, value)) = self.0.iter().rev().find(|(n, _)| n == name) else {
            return Ok(None);
        };
        let text = String::from_utf8(value.clone()).ok().filter(|text| !text.contains('\0'));
        let shown = || percent_encode(value, QUOTED).to_string();
        text.map(Some).ok_or_else(|| Fault::argument(name, &shown(), Code::InvalidArgument.message()))
    }

    /// A number, or `default`; more than `most` is `most`.
    ///
    /// # Errors
    /// When it is none, or none that fits.
    pub fn number(&self, name: &str, default: u64, most: u64) -> Result<u64, Fault> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let digits = text.trim();
        if digits
            .strip_prefix('-')
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse() != Ok(0))
        {
            let sentence = format!("Argument {name} must be an integer between 0 and {MAX_NUMBER}");
            return Err(Fault::argument(name, &text, sentence));
        }
        let number = digits.parse::<u64>().ok().filter(|number| *number <= MAX_NUMBER);
        let sentence = || format!("Provided {name} not an integer or within integer range");
        number.map(|number| number.min(most)).ok_or_else(|| Fault::argument(name, &text, sentence()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn asked(host: &str, target: &str) -> Result<Asked, Code> {
        let config = Config { storage_domain: vec!["s3.example.com".into()], ..Config::default() };
        let (parts, ()) = Request::builder().uri(target).header(HOST, host).body(()).unwrap().into_parts();
        Asked::of(&parts, Query::parse(parts.uri.query()), &config).map_err(|fault| fault.code)
    }

    #[test]
    fn paths_and_hosts_name_buckets() {
        for (host, target, bucket, key) in [
            ("h", "/", None, None),
            ("h", "/buck", Some("buck"), None),
            ("h", "/buck/", Some("buck"), None),
            ("h", "/buck/a%2Fb//c", Some("buck"), Some("a/b//c")),
            ("h", "/buck//c", Some("buck"), Some("/c")),
            ("pail.s3.example.com:80", "/buck/key", Some("pail"), Some("buck/key")),
            ("s3.example.com", "/buck", Some("buck"), None),
        ] {
            let asked = asked(host, target).unwrap();
            assert_eq!((asked.bucket.as_deref(), asked.key.as_deref()), (bucket, key), "{host} {target}");
        }
        let other = asked("h", "/test:buck/a:b").unwrap();
        let named = (other.account.as_deref(), other.bucket.as_deref(), other.key.as_deref());
        assert_eq!(named, (Some("test"), Some("buck"), Some("a:b")));
        assert_eq!(
            (asked("h", "/:buck"), asked("h", "/a:b:buck")),
            (Err(Code::InvalidBucketName), Err(Code::InvalidBucketName))
        );
        assert_eq!(asked("h", "/b"), Err(Code::InvalidBucketName));
        assert_eq!((asked("h", "/%ff"), asked("h", "/buck/%00o")), (Err(Code::InvalidUri), Err(Code::InvalidUri)));
    }

    #[test]
    fn names_of_buckets() {
        for good in ["abc", "a-b.c", "1.2.3", "a2c"] {
            assert!(is_bucket_name(good, true), "{good}");
        }
        for bad in ["ab", "a..b", "a.-b", "-ab", "ab-", "a_b", "Abc", "1.2.3.4", "abc.", &"a".repeat(64)] {
            assert!(!is_bucket_name(bad, true), "{bad}");
        }
        assert!(is_bucket_name("A_b", false) && !is_bucket_name("A_b/", false));
    }

    #[test]
    fn numbers() {
        let number = |text: &str| Query::parse(Some(&format!("n={text}"))).number("n", 7, 1000).map_err(|f| f.message);
        assert_eq!((number("5"), number("5000"), number("0")), (Ok(5), Ok(1000), Ok(0)));
        assert_eq!(number("-1").unwrap_err(), "Argument n must be an integer between 0 and 2147483647");
        assert_eq!(number("2147483648").unwrap_err(), "Provided n not an integer or within integer range");
        assert!(number("").is_err() && number("x").is_err());
        assert_eq!(Query::default().number("n", 7, 5), Ok(7));
    }

    proptest! {
        #[test]
        fn any_target_is_read_or_refused(target in "/[a-z0-9%./?&=+-]{0,40}", host in "[a-z0-9.:-]{0,30}") {
            if target.parse::<http::Uri>().is_ok() {
                let _ = asked(&host, &target);
            }
        }
    }
}
