//! What objects are made of: a pattern, the same for all of a size, and the number of the object at the end.
//!
//! The number tells the objects apart, so that an answer with the bytes of another one is found out; as it comes last, the MD5 of
//! an object is that of the pattern, known beforehand, and one block more.

use md5::{Digest as _, Md5};

/// The number of the object, in bytes.
const STAMP: usize = 8;
/// After so many bytes the pattern begins again: no multiple of a power of two, so that no two buffers of a server hold the same.
const PERIOD: usize = (1 << 20) + 13;

/// The bytes of all objects of one size.
pub struct Body {
    pattern: Vec<u8>,
    /// Bytes before the number.
    plain: usize,
    length: usize,
    md5: Md5,
}

impl Body {
    /// For objects of so many bytes; those too short for a number are all the same.
    pub fn new(length: usize) -> Self {
        let plain = if length < STAMP { length } else { length - STAMP };
        let body = Self { pattern: crate::bytes(length as u64, plain.min(PERIOD)), plain, length, md5: Md5::new() };
        let (mut md5, mut at) = (Md5::new(), 0);
        while at < plain {
            md5.update(body.pattern_from(at));
            at += body.pattern_from(at).len();
        }
        Self { md5, ..body }
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The MD5 of an object in hexadecimal digits.
    pub fn etag(&self, number: u64) -> [u8; 32] {
        let digest = self.md5.clone().chain_update(&self.stamp(number)[..self.length - self.plain]).finalize();
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        std::array::from_fn(|i| digit(if i % 2 == 0 { digest[i / 2] >> 4 } else { digest[i / 2] & 15 }))
    }

    /// Appends the bytes of an object from `at` on, at most so many; returns how many.
    pub fn fill(&self, into: &mut Vec<u8>, number: u64, at: usize, most: usize) -> usize {
        let (before, end) = (into.len(), (at + most).min(self.length));
        let mut at = at;
        while at < end.min(self.plain) {
            let piece = self.pattern_from(at);
            let piece = &piece[..piece.len().min(end - at)];
            into.extend_from_slice(piece);
            at += piece.len();
        }
        if at < end {
            into.extend_from_slice(&self.stamp(number)[at - self.plain..end - self.plain]);
        }
        into.len() - before
    }

    /// Whether these are the bytes of an object from `at` on.
    pub fn holds(&self, number: u64, mut at: usize, mut bytes: &[u8]) -> bool {
        if at + bytes.len() > self.length {
            return false;
        }
        while !bytes.is_empty() && at < self.plain {
            let piece = self.pattern_from(at);
            let many = piece.len().min(bytes.len());
            if piece[..many] != bytes[..many] {
                return false;
            }
            (at, bytes) = (at + many, &bytes[many..]);
        }
        bytes.is_empty() || bytes == &self.stamp(number)[at - self.plain..][..bytes.len()]
    }

    /// What of the pattern stands at a place, up to its end or that of the period.
    fn pattern_from(&self, at: usize) -> &[u8] {
        let start = at % PERIOD;
        &self.pattern[start..self.pattern.len().min(start + self.plain - at)]
    }

    fn stamp(&self, number: u64) -> [u8; STAMP] {
        number.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::md5_hex;

    fn whole(body: &Body, number: u64, step: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < body.len() {
            at += body.fill(&mut bytes, number, at, step);
        }
        bytes
    }

    #[test]
    fn an_object_is_the_same_in_whatever_pieces() {
        for length in [0, 3, 8, 9, 4096, PERIOD, PERIOD + 4, PERIOD + STAMP, 3 * PERIOD + 77] {
            let body = Body::new(length);
            let bytes = whole(&body, 7, 1 << 16);
            assert_eq!(bytes.len(), length);
            assert!(bytes == whole(&body, 7, 65_521), "{length}");
            assert_eq!(body.etag(7), md5_hex(&bytes).as_bytes(), "{length}");
            let mut at = 0;
            for piece in bytes.chunks(99_991) {
                assert!(body.holds(7, at, piece), "{length} from {at}");
                at += piece.len();
            }
        }
    }

    #[test]
    fn what_is_not_the_object_is_found_out() {
        let body = Body::new(4096);
        let bytes = whole(&body, 7, 4096);
        assert!(!body.holds(8, 0, &bytes), "another object");
        assert!(!body.holds(7, 1, &bytes[..4095]), "another place");
        assert!(!body.holds(7, 0, &[&bytes[..], b"x"].concat()), "too long");
        let mut changed = bytes;
        changed[2000] ^= 1;
        assert!(!body.holds(7, 0, &changed), "a bit");
        assert_ne!(body.etag(7), body.etag(8));
    }
}
