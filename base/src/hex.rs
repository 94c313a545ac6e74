//! Hexadecimal digits of digests and keys.

use std::fmt::Write as _;

/// Bytes as lower case digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(super::hex(&[0, 9, 0xab, 255]), "0009abff");
        assert_eq!(super::hex(&[]), "");
    }
}
