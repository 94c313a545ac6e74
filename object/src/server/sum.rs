//! The sum that tells a reader whether a body still is what was written.
//!
//! A CRC-32 costs a twentieth of an MD5 and finds what disks do to bytes: any burst of up to 32 bits, and all else but one in four
//! thousand million. Every PUT of our proxies brings one along ([`upload`](super::upload)), and it is kept with the object. What has none, such as
//! an object that Swift wrote, is held to its ETag. The auditor always computes the MD5.

use apus_base::hex::hex;
use md5::{Digest as _, Md5};

use crate::store::Metadata;
use crate::store::metadata::{CRC, ETAG};

/// A sum that grows with the bytes, and what has to come out.
#[derive(Debug)]
pub(super) enum Check {
    /// A CRC-32.
    Crc(crc32fast::Hasher, u32),
    /// An MD5, in hexadecimal digits.
    Md5(Box<Md5>, String),
}

impl Check {
    /// What a `.data` file's metadata says of its body.
    pub(super) fn of(written: &Metadata) -> Self {
        let etag = written.text(ETAG).unwrap_or_default();
        // A sum of bytes with another ETag says nothing about these.
        let crc = written.text(CRC).and_then(|kept| kept.split_once('-')).filter(|(_, of)| *of == etag);
        match crc.and_then(|(crc, _)| u32::from_str_radix(crc, 16).ok()) {
            Some(crc) => Self::Crc(crc32fast::Hasher::new(), crc),
            None => Self::Md5(Box::default(), etag.to_owned()),
        }
    }

    /// Adds bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(crc, _) => crc.update(bytes),
            Self::Md5(md5, _) => md5.update(bytes),
        }
    }

    /// # Errors
    /// What is wrong.
    pub(super) fn finish(self) -> Result<(), String> {
        match self {
            Self::Crc(crc, expected) => match crc.finalize() {
                found if found == expected => Ok(()),
                found => Err(format!("its CRC-32 is {found:08x}, not {expected:08x}")),
            },
            Self::Md5(md5, etag) => match hex(&md5.finalize()) {
                found if found == etag => Ok(()),
                found => Err(format!("its MD5 is {found}, its ETag {etag}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = b"what was written";

    fn metadata(crc: Option<u32>) -> Metadata {
        let (mut metadata, etag) = (Metadata::default(), hex(&Md5::digest(BODY)));
        crc.into_iter().for_each(|crc| metadata.set(CRC, format!("{crc:08x}-{etag}")));
        metadata.set(ETAG, etag);
        metadata
    }

    fn judged(metadata: &Metadata, body: &[u8]) -> bool {
        let mut check = Check::of(metadata);
        body.chunks(5).for_each(|chunk| check.update(chunk));
        check.finish().is_ok()
    }

    #[test]
    fn a_body_is_held_to_what_was_kept_of_it() {
        let crc = crc32fast::hash(BODY);
        // With a sum, without one, and with some that are none.
        let mut odd = metadata(None);
        for kept in ["", "-", "soon", "00000000", "00000000-d41d8cd98f00b204e9800998ecf8427e"] {
            odd.set(CRC, kept);
            assert!(judged(&odd, BODY), "{kept}");
        }
        assert!(judged(&metadata(Some(crc)), BODY) && judged(&metadata(None), BODY));
        assert!(!judged(&metadata(Some(!crc)), BODY) && !judged(&Metadata::default(), BODY));

        // An ETag that is not that of the bytes is found, though their sum is right.
        let mut lying = metadata(Some(crc));
        lying.set(ETAG, "d41d8cd98f00b204e9800998ecf8427e");
        assert!(!judged(&lying, BODY));
    }

    proptest! {
        #[test]
        fn a_bit_that_flips_is_found(at in 0..BODY.len() * 8, has_crc: bool) {
            let mut body = BODY.to_vec();
            body[at / 8] ^= 1 << (at % 8);
            let crc = has_crc.then(|| crc32fast::hash(BODY));
            prop_assert!(!judged(&metadata(crc), &body));
        }
    }
}
