//! What a form says of the files that follow, and whether it was signed. Pure.

use std::collections::BTreeMap;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::context::Grant;
use crate::middleware::signature::{Digest, Key, Signature, integer};

/// All that a form can say; what else it has is not kept.
const NAMES: [&str; 9] = [
    "redirect",
    "max_file_size",
    "max_file_count",
    "expires",
    "signature",
    "x_delete_at",
    "x_delete_after",
    "content-type",
    "content-encoding",
];
const NO_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Why a form is not followed; the text is the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// 400.
    #[error("{0}")]
    Invalid(&'static str),
    /// 401.
    #[error("{0}")]
    Unauthorized(&'static str),
}

const FORGED: Refused = Refused::Unauthorized("Invalid Signature");

/// The fields of a form before a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    fields: BTreeMap<&'static str, String>,
}

impl Attributes {
    /// Keeps a field, if it means something. As in Swift, dashes and line ends at its end are no part of it.
    pub(super) fn set(&mut self, name: &str, value: &[u8]) {
        let name = name.to_lowercase();
        if let Some(name) = NAMES.into_iter().find(|known| *known == name) {
            let value = String::from_utf8_lossy(value);
            self.fields.insert(name, value.trim_end_matches(['\r', '\n', '-']).to_owned());
        }
    }

    /// Empty where it is not set.
    pub(super) fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn or_zero(&self, name: &str) -> &str {
        Some(self.get(name)).filter(|value| !value.is_empty()).unwrap_or("0")
    }

    fn number(&self, name: &str, wrong: &'static str) -> Result<i64, Refused> {
        integer(self.or_zero(name)).ok_or(Refused::Invalid(wrong))
    }

    /// How many files there may be.
    pub(super) fn max_file_count(&self) -> Result<i64, Refused> {
        self.number("max_file_count", "max_file_count not an integer")
    }

    /// How long each may be; `None` if not even an empty one may.
    pub(super) fn max_file_size(&self) -> Result<Option<u64>, Refused> {
        Ok(u64::try_from(self.number("max_file_size", "max_file_size not an integer")?).ok())
    }

    /// What is stored with a file, whose part of the form has that head: the form's own fields come first.
    pub(super) fn headers(&self, head: &HeaderMap) -> Result<HeaderMap, Refused> {
        let mut headers = HeaderMap::new();
        let expiries = [
            ("x_delete_at", "x-delete-at", "x_delete_at not an integer: Unix timestamp required."),
            ("x_delete_after", "x-delete-after", "x_delete_after not an integer: Number of seconds required."),
        ];
        for (field, name, wrong) in expiries {
            if let Some(value) = self.fields.get(field) {
                let value = integer(value).ok_or(Refused::Invalid(wrong))?;
                headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
            }
        }
        for (field, name) in [("content-type", CONTENT_TYPE), ("content-encoding", CONTENT_ENCODING)] {
            let given = match self.fields.get(field) {
                Some(value) => Some(
                    HeaderValue::from_str(value)
                        .map_err(|_| Refused::Invalid("content-type or content-encoding not a header value"))?,
                ),
                None => head.get(&name).cloned(),
            };
            if let Some(value) = given {
                let is_missing_type = name == CONTENT_TYPE && value.is_empty();
                headers.insert(name, if is_missing_type { NO_TYPE } else { value });
            }
        }
        Ok(headers)
    }

    /// What the form's signature lets it do: `path` is where it was sent.
    pub(super) fn grant(&self, path: &str, keys: &[Key], allowed: &[Digest], now_secs: u64) -> Result<Grant, Refused> {
        let expires = self.number("expires", "expired not an integer")?;
        if u64::try_from(expires).map_or(true, |expires| expires < now_secs) {
            return Err(Refused::Unauthorized("Form Expired"));
        }
        let signed = [
            path,
            self.get("redirect"),
            self.or_zero("max_file_size"),
            self.or_zero("max_file_count"),
            self.or_zero("expires"),
        ]
        .join("\n");
        let signature = Signature::parse(self.get("signature"), allowed).ok_or(FORGED)?;
        let key = keys.iter().find(|(key, _)| signature.signs(signed.as_bytes(), key.as_bytes()));
        key.map(|(_, grant)| grant.clone()).ok_or(FORGED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(fields: &[(&str, &str)]) -> Attributes {
        let mut attributes = Attributes::default();
        fields.iter().for_each(|(name, value)| attributes.set(name, value.as_bytes()));
        attributes
    }

    /// HMAC-SHA256 under `key` of `/v1/AUTH_a/c`, `http://x`, 10, 2, 2000, from Python's `hmac`.
    const SIGNED: &str = "24b1ff1a336c58668f972e02a4122e07ffdbf8263b24e5baed93bd180fdf3c55";

    #[test]
    fn fields_are_known_by_name_and_end_before_dashes() {
        let form = attributes(&[("Max_File_Size", "10\r\n--"), ("color", "red"), ("redirect", "http://x/-y")]);
        assert_eq!((form.get("max_file_size"), form.get("color"), form.get("redirect")), ("10", "", "http://x/-y"));
        assert_eq!(form.max_file_size(), Ok(Some(10)));
        assert_eq!(form.max_file_count(), Ok(0));
        assert_eq!(attributes(&[("max_file_size", "-1")]).max_file_size(), Ok(None));
        let wrong = attributes(&[("max_file_size", "x"), ("max_file_count", "1.0")]);
        assert_eq!(wrong.max_file_size(), Err(Refused::Invalid("max_file_size not an integer")));
        assert_eq!(wrong.max_file_count(), Err(Refused::Invalid("max_file_count not an integer")));
    }

    #[test]
    fn headers_are_the_forms_or_the_files() {
        let head = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        let plain = attributes(&[("x_delete_after", " 60 ")]).headers(&head).unwrap();
        assert_eq!(
            (&plain["x-delete-after"], &plain[CONTENT_TYPE]),
            (&"60".parse().unwrap(), &"text/plain".parse().unwrap())
        );
        let form = attributes(&[("content-type", ""), ("content-encoding", "gzip"), ("x_delete_at", "5")]);
        let headers = form.headers(&head).unwrap();
        assert_eq!(headers[CONTENT_TYPE], "application/octet-stream");
        assert_eq!((&headers[CONTENT_ENCODING], &headers["x-delete-at"]), (&"gzip".parse().unwrap(), &5.into()));
        for (name, value) in [("x_delete_at", ""), ("x_delete_after", "soon"), ("content-type", "a\nb")] {
            assert!(matches!(attributes(&[(name, value)]).headers(&head), Err(Refused::Invalid(_))), "{name}");
        }
    }

    #[test]
    fn only_what_was_signed_in_time_is_granted() {
        let grant = Grant::Account("AUTH_a".into());
        let keys = [("other".to_owned(), Grant::Account("x".into())), ("key".to_owned(), grant.clone())];
        let ask = |path: &str, expires: &str, signature: &str, keys: &[Key], now| {
            let form = [("redirect", "http://x"), ("max_file_size", "10"), ("max_file_count", "2")];
            let mut form = attributes(&form);
            form.set("expires", expires.as_bytes());
            form.set("signature", signature.as_bytes());
            form.grant(path, keys, &Digest::all(), now)
        };
        assert_eq!(ask("/v1/AUTH_a/c", "2000", SIGNED, &keys, 2000), Ok(grant));
        assert_eq!(ask("/v1/AUTH_a/c", "2000", SIGNED, &keys, 2001), Err(Refused::Unauthorized("Form Expired")));
        assert_eq!(ask("/v1/AUTH_a/c", "-1", SIGNED, &keys, 2001), Err(Refused::Unauthorized("Form Expired")));
        assert_eq!(ask("/v1/AUTH_a/c", "x", SIGNED, &keys, 0), Err(Refused::Invalid("expired not an integer")));
        assert_eq!(ask("/v1/AUTH_a/d", "2000", SIGNED, &keys, 0), Err(FORGED));
        assert_eq!(ask("/v1/AUTH_a/c", "2000", SIGNED, &keys[..1], 0), Err(FORGED));
        assert_eq!(ask("/v1/AUTH_a/c", "2000", "", &keys, 0), Err(FORGED));
    }
}
