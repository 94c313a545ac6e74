//! Reading `/v1/account/container/object`. Pure.
//!
//! As in Swift the whole path is percent-decoded first and cut at slashes afterwards, so `%2F` is a slash like any
//! other and only an object's name may hold one.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::ops::resource::{ObjectName, Resource};

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It is no text, or holds the byte that Swift keeps for its own names.
    #[error("Invalid UTF8 or contains NULL")]
    Utf8,
    /// It does not begin like a path of the API, or a part in its middle is empty.
    #[error("not a path of the API")]
    Unknown,
    /// The version is none of the API's.
    #[error("not a version of the API")]
    Version,
    /// An account or container is missing.
    #[error("Bad URL")]
    Url,
}

/// Reads a path as it came in the request line.
///
/// # Errors
/// When it names no account, container or object.
pub fn parse(path: &str, versions: &[String]) -> Result<Resource, BadPath> {
    let decoded = decode(path).ok_or(BadPath::Utf8)?;
    let rest = decoded.strip_prefix('/').ok_or(BadPath::Unknown)?;
    let mut parts = rest.splitn(4, '/');
    let parts: [Option<&str>; 4] = std::array::from_fn(|_| parts.next());
    let count = parts.iter().flatten().count();
    if rest.is_empty() || parts.iter().flatten().take(count - 1).any(|part| part.is_empty()) {
        return Err(BadPath::Unknown);
    }
    let [version, account, container, object] = parts.map(|part| part.filter(|part| !part.is_empty()));
    let account = account.ok_or(BadPath::Url)?;
    if !versions.iter().any(|v| Some(v.as_str()) == version) {
        return Err(BadPath::Version);
    }
    match (container, object) {
        (None, None) => Ok(Resource::Account(account.to_owned())),
        (Some(container), None) => Ok(Resource::Container(account.to_owned(), container.to_owned())),
        (Some(container), Some(object)) => Ok(Resource::Object(ObjectName {
            account: account.into(),
            container: container.into(),
            object: object.into(),
        })),
        (None, Some(_)) => Err(BadPath::Unknown),
    }
}

/// Reads `container/object` with or without a slash in front, percent-encoded, as copies name it in their headers.
pub fn parse_object(value: &[u8]) -> Option<(String, String)> {
    let decoded = percent_encoding::percent_decode(value).decode_utf8().ok().filter(|s| !s.contains('\0'))?;
    let (container, object) = decoded.strip_prefix('/').unwrap_or(&decoded).split_once('/')?;
    let whole = !container.is_empty() && !object.is_empty();
    whole.then(|| (container.to_owned(), object.to_owned()))
}

fn decode(path: &str) -> Option<Cow<'_, str>> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    (!decoded.is_empty() && !decoded.contains('\0')).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(path: &str) -> Result<String, BadPath> {
        let versions = ["v1".to_owned(), "v1.0".to_owned()];
        parse(path, &versions).map(|resource| match resource {
            Resource::Account(a) => format!("[{a}]"),
            Resource::Container(a, c) => format!("[{a}] [{c}]"),
            Resource::Object(p) => format!("[{}] [{}] [{}]", p.account, p.container, p.object),
        })
    }

    #[test]
    fn resources() {
        for (path, names) in [
            ("/v1/a", "[a]"),
            ("/v1/a/", "[a]"),
            ("/v1.0/a/c", "[a] [c]"),
            ("/v1/a/c/", "[a] [c]"),
            ("/v1/a/c/o", "[a] [c] [o]"),
            ("/v1/a/c//", "[a] [c] [/]"),
            ("/v1/a/c/o/p/", "[a] [c] [o/p/]"),
            ("/v1/a/c%2Fo", "[a] [c] [o]"),
            ("/v1/a/c/../o", "[a] [c] [../o]"),
            ("/v1/%e2%98%83/100%/%25", "[☃] [100%] [%]"),
        ] {
            assert_eq!(read(path).as_deref(), Ok(names), "{path}");
        }
    }

    #[test]
    fn what_names_nothing() {
        for (path, why) in [
            ("/v1", BadPath::Url),
            ("/v1/", BadPath::Url),
            ("/info2", BadPath::Url),
            ("/v1//c", BadPath::Unknown),
            ("/v1/a//", BadPath::Unknown),
            ("/v1/a//o", BadPath::Unknown),
            ("/", BadPath::Unknown),
            ("//v1/a", BadPath::Unknown),
            ("*", BadPath::Unknown),
            ("", BadPath::Utf8),
            ("/v2/a", BadPath::Version),
            ("/v1/a/%00", BadPath::Utf8),
            ("/v1/a/%ff", BadPath::Utf8),
            ("/v1/a/c/%ed%a0%80", BadPath::Utf8),
        ] {
            assert_eq!(read(path), Err(why), "{path}");
        }
    }

    #[test]
    fn objects_in_headers() {
        let read = |v: &str| parse_object(v.as_bytes()).map(|(c, o)| format!("{c} {o}"));
        assert_eq!(read("/c/o").as_deref(), Some("c o"));
        assert_eq!(read("c/o/p%20q").as_deref(), Some("c o/p q"));
        assert_eq!(read("c%2Fo").as_deref(), Some("c o"));
        for bad in ["", "/", "c", "/c/", "//o", "c/%ff", "c/%00"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "\\PC{0,60}|/v1[a%0-9/.]{0,40}") {
            let _ = read(&path);
            let _ = parse_object(path.as_bytes());
        }

        #[test]
        fn names_come_back(account in "[^/\0]{1,9}", container in "[^/\0]{1,9}", object in "[^\0]{1,20}") {
            let encode = |s: &str| percent_encoding::utf8_percent_encode(s, percent_encoding::NON_ALPHANUMERIC).to_string();
            let path = format!("/v1/{}/{}/{}", encode(&account), encode(&container), encode(&object));
            let versions = ["v1".to_owned()];
            prop_assert_eq!(parse(&path, &versions), Ok(Resource::Object(ObjectName {
                account: account.into(), container: container.into(), object: object.into() })));
        }
    }
}
