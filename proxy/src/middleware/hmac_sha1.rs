//! HMAC-SHA1, as Swift's operators sign with it between clusters and for `/info`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// Whether these digits (hexadecimal, lower case) are the signature of `message` under `key`, in a time that tells nothing
/// of where they differ.
pub fn signs(digits: &str, message: &[u8], key: &[u8]) -> bool {
    let Some(mac) = from_hex(digits) else { return false };
    Hmac::<Sha1>::new_from_slice(key).is_ok_and(|hmac| hmac.chain_update(message).verify_slice(&mac).is_ok())
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 2202, test case 2.
    #[test]
    fn the_one_of_the_rfc() {
        let digits = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
        let message = b"what do ya want for nothing?";
        assert!(signs(digits, message, b"Jefe"));
        for (wrong, key) in [(&digits[1..], "Jefe"), (&digits[2..], "Jefe"), (digits, "jefe"), ("", "Jefe")] {
            assert!(!signs(wrong, message, key.as_bytes()));
        }
        assert!(!signs(&digits.to_uppercase(), message, b"Jefe"));
    }

    proptest! {
        #[test]
        fn any_digits_are_read(digits in "\\PC{0,44}") {
            prop_assert!(!signs(&digits, b"message", b"key"));
        }
    }
}
