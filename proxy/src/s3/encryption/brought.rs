//! The key that a client brings along: three headers of a request. Pure.

use apus_base::crypto::CustomerKey;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest as _, Md5};

use super::AES256;
use crate::s3::auth::header;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::metadata::set;

const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm");
const MD5: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5");

/// A key that came with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) key: CustomerKey,
    /// As the client computed it.
    md5: String,
}

impl Brought {
    /// That of what is written, or read if nothing is copied.
    ///
    /// # Errors
    /// When something of it is missing, or not what it should be.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        Self::behind("x-amz-server-side-encryption-customer", headers)
    }

    /// That of what is copied.
    pub(super) fn of_source(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        Self::behind("x-amz-copy-source-server-side-encryption-customer", headers)
    }

    fn behind(prefix: &str, headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let names = ["algorithm", "key", "key-md5"].map(|name| format!("{prefix}-{name}"));
        if names.iter().all(|name| !headers.contains_key(name)) {
            return Ok(None);
        }
        let [algorithm, key, md5] = [0, 1, 2].map(|at| header(headers, &names[at]));
        let refuse = |name: &str, rest: &str| {
            let sentence = "Requests specifying Server Side Encryption with Customer provided keys must provide";
            Fault::argument(name, "", format!("{sentence} {rest}"))
        };
        if algorithm.is_empty() {
            return Err(refuse(&names[0], "a valid encryption algorithm."));
        }
        if algorithm != AES256 {
            return Err(Fault::new(Code::InvalidEncryptionAlgorithm).with("ArgumentName", &names[0]));
        }
        if key.is_empty() {
            return Err(refuse(&names[1], "an appropriate secret key."));
        }
        if md5.is_empty() {
            return Err(refuse(&names[2], "the client calculated MD5 of the secret key."));
        }
        let bytes: Option<[u8; 32]> = BASE64_STANDARD.decode(key).ok().and_then(|bytes| bytes.try_into().ok());
        let unfit = "The secret key was invalid for the specified algorithm.";
        let bytes = bytes.ok_or_else(|| Fault::argument(&names[1], "", unfit))?;
        if BASE64_STANDARD.decode(md5).ok().is_none_or(|md5| md5[..] != Md5::digest(bytes)[..]) {
            let sentence = "The calculated MD5 hash of the key did not match the hash that was provided.";
            return Err(Fault::argument(&names[2], md5, sentence));
        }
        Ok(Some(Self { key: CustomerKey::new(bytes), md5: md5.to_owned() }))
    }

    pub(super) fn show(&self, headers: &mut HeaderMap) {
        headers.insert(ALGORITHM, HeaderValue::from_static(AES256));
        set(headers, MD5, &self.md5);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PREFIX: &str = "x-amz-server-side-encryption-customer";

    fn brought(algorithm: &str, key: &str, md5: &str) -> Result<Option<Brought>, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in [("algorithm", algorithm), ("key", key), ("key-md5", md5)] {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
                headers.insert(format!("{PREFIX}-{name}").parse::<HeaderName>().unwrap(), value);
            }
        }
        Brought::of(&headers).map_err(|fault| fault.code)
    }

    #[test]
    fn a_key_comes_with_its_algorithm_and_its_md5() {
        let key = BASE64_STANDARD.encode([7; 32]);
        let md5 = BASE64_STANDARD.encode(Md5::digest([7; 32]));
        let right = brought(AES256, &key, &md5).unwrap().unwrap();
        assert_eq!(right.key, CustomerKey::new([7; 32]));
        assert!(!format!("{right:?}").contains(&key));
        assert_eq!(brought("", "", ""), Ok(None));
        for (algorithm, key, md5) in [
            ("", key.as_str(), md5.as_str()),
            (AES256, "", &md5),
            (AES256, &key, ""),
            (AES256, "c2hvcnQ=", &md5),
            (AES256, "!", &md5),
            (AES256, &key, "AAAAAAAAAAAAAAAAAAAAAA=="),
        ] {
            assert_eq!(brought(algorithm, key, md5), Err(Code::InvalidArgument), "{algorithm} {key} {md5}");
        }
        assert_eq!(brought("AES128", &key, &md5), Err(Code::InvalidEncryptionAlgorithm));
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused(key in "[ -~]{0,60}", md5 in "[ -~]{0,30}") {
            prop_assert!(!matches!(brought(AES256, &key, &md5), Ok(Some(_))));
        }
    }
}
