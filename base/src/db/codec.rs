//! How values are written: a version byte, then fields one after another.
//!
//! Numbers are varints (seven bits a byte, low first, LEB128), texts and byte strings their length and bytes, a timestamp
//! its ticks and its offset. A reader that meets a version it does not know, a cut-off or an overlong value says so.
//! Checksums are RocksDB's, over every block and every record of the log.

use crate::timestamp::Timestamp;

/// Why a stored value is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Written by a newer Apus, or not by Apus.
    #[error("a value has the version {0}, which this program does not know")]
    Version(u8),
    /// It ends too early, or goes on too long.
    #[error("a value has the wrong length")]
    Length,
    /// A field that makes no sense.
    #[error("a value holds nonsense")]
    Field,
}

/// Writes one value.
#[derive(Debug)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins a value of that version.
    pub fn new(version: u8) -> Self {
        Self(vec![version])
    }

    /// A number.
    pub fn number(&mut self, mut n: u64) -> &mut Self {
        while n >= 0x80 {
            self.0.push(n.to_le_bytes()[0] | 0x80);
            n >>= 7;
        }
        self.0.push(n.to_le_bytes()[0]);
        self
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A timestamp.
    pub fn timestamp(&mut self, t: Timestamp) -> &mut Self {
        self.number(t.ticks()).number(t.offset())
    }

    /// A yes or no.
    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.number(u64::from(flag))
    }

    /// The value.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one value.
#[derive(Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Begins to read a value of that version.
    ///
    /// # Errors
    /// When the value is empty or of another version.
    pub fn new(value: &'a [u8], version: u8) -> Result<Self, Malformed> {
        let (first, rest) = value.split_first().ok_or(Malformed::Length)?;
        if *first == version { Ok(Self(rest)) } else { Err(Malformed::Version(*first)) }
    }

    /// A number.
    ///
    /// # Errors
    /// When it is cut off or does not fit.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut n: u64 = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed::Length)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                return Err(Malformed::Field);
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Malformed::Field)
    }

    /// A byte string.
    ///
    /// # Errors
    /// When it is cut off.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed::Length)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A text.
    ///
    /// # Errors
    /// When it is cut off or not UTF-8.
    pub fn text(&mut self) -> Result<String, Malformed> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Malformed::Field)
    }

    /// A timestamp.
    ///
    /// # Errors
    /// When it is cut off or later than a timestamp can be.
    pub fn timestamp(&mut self) -> Result<Timestamp, Malformed> {
        let (ticks, offset) = (self.number()?, self.number()?);
        let t = Timestamp::from_ticks(ticks);
        if t.ticks() == ticks { Ok(t.with_offset(offset)) } else { Err(Malformed::Field) }
    }

    /// A yes or no.
    ///
    /// # Errors
    /// When it is neither.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Field),
        }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Checks that all was read.
    ///
    /// # Errors
    /// When something is left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(value: &[u8]) -> Result<(u64, String, Timestamp, bool), Malformed> {
        let mut from = Decoder::new(value, 3)?;
        let fields = (from.number()?, from.text()?, from.timestamp()?, from.flag()?);
        from.finish()?;
        Ok(fields)
    }

    #[test]
    fn nonsense_is_told_apart() {
        assert_eq!(decode(&[]), Err(Malformed::Length));
        assert_eq!(decode(&[4]), Err(Malformed::Version(4)));
        assert_eq!(decode(&[3, 0xff]), Err(Malformed::Length));
        assert_eq!(decode(&[&[3][..], &[0xff; 10]].concat()), Err(Malformed::Field));
        assert_eq!(decode(&[3, 1, 1, 0xff]), Err(Malformed::Field));
        assert_eq!(decode(&[3, 1, 200]), Err(Malformed::Length));
    }

    proptest! {
        #[test]
        fn fields_come_back(n: u64, text in "\\PC{0,20}", ticks in 0u64..1 << 49, offset: u64, flag: bool) {
            let t = Timestamp::from_ticks(ticks).with_offset(offset);
            let mut to = Encoder::new(3);
            to.number(n).text(&text).timestamp(t).flag(flag);
            prop_assert_eq!(decode(&to.finish()), Ok((n, text, t, flag)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
            let _ = decode(&[&[3], bytes.as_slice()].concat());
        }
    }
}
