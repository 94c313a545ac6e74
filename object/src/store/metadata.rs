//! An object's metadata: names and values as bytes, and their form on disk.
//!
//! On disk it is Swift's: a pickle (protocol 2) of a dict of bytes. Swift for Python 3 holds a header in memory as text
//! whose characters are the header's bytes and writes that text as UTF-8, so a byte above 127 takes two on disk; only the
//! object's own path under `name` is plain UTF-8. Swift for Python 2 wrote the bytes as they were. Which of the two wrote
//! a pickle shows at its beginning, as in Swift's `_decode_metadata`. In memory there are only the bytes of the headers.

use std::collections::BTreeMap;

use apus_base::pickle::{self, Value};
use apus_base::timestamp::Timestamp;

/// The key of the object's path, `/account/container/object`; the only one that is not title-cased.
pub const NAME: &str = "name";
/// The key of the timestamp.
pub const TIMESTAMP: &str = "X-Timestamp";
/// The key of the body's MD5; not title-cased either.
pub const ETAG: &str = "ETag";
/// The key of the body's CRC-32 (IEEE) in eight hexadecimal digits, a hyphen, and the ETag of the bytes that have it. Readers compute it
/// instead of the MD5. Ours: Swift has none, and shows clients no keys that it does not know.
pub const CRC: &str = "X-Apus-Crc32";
/// The key of the body's length.
pub const CONTENT_LENGTH: &str = "Content-Length";
/// The key of the content type.
pub const CONTENT_TYPE: &str = "Content-Type";
/// The key, in a `.meta`, of when the content type was set.
pub const CONTENT_TYPE_TIMESTAMP: &str = "Content-Type-Timestamp";
/// The key of the time from which on the object is gone.
pub const DELETE_AT: &str = "X-Delete-At";
/// The key that marks a static large object's manifest.
pub const STATIC_LARGE_OBJECT: &str = "X-Static-Large-Object";

/// The callable by which Python 3 writes bytes in protocol 2; Swift looks for it in the first 32 bytes.
const PYTHON3_MARK: &[u8] = b"_codecs\nencode";

/// Names and values, by name. Names are title-cased as Swift does it, except `name` and `ETag`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<Vec<u8>, Vec<u8>>);

/// Why bytes are not an object's metadata.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMetadata {
    /// Not a pickle, or one with anything but data in it.
    #[error(transparent)]
    Pickle(#[from] pickle::Error),
    /// Not a dict of bytes or text.
    #[error("the pickled metadata is not a dict of strings")]
    Shape,
}

impl Metadata {
    /// The value under `key`, which is written as on disk.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key.as_bytes()).map(Vec::as_slice)
    }

    /// As [`Metadata::get`], when it is UTF-8.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// The timestamp under `key`, if there is one and it can be read.
    pub fn timestamp(&self, key: &str) -> Option<Timestamp> {
        self.text(key)?.parse().ok()
    }

    /// The body's length.
    pub fn content_length(&self) -> Option<u64> {
        self.text(CONTENT_LENGTH)?.parse().ok()
    }

    /// Sets one item. The key is taken as it is.
    pub fn set(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.insert(key.into(), value.into());
    }

    /// Removes one item.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key.as_bytes());
    }

    /// Takes over all items of another, over those that are here.
    pub fn extend(&mut self, other: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) {
        self.0.extend(other);
    }

    /// All items, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))
    }

    /// The pickle that goes on disk.
    pub fn to_pickle(&self) -> Vec<u8> {
        let on_disk = |key: &[u8], value: &[u8]| {
            let value = if key == NAME.as_bytes() { value.to_vec() } else { widened(value) };
            (Value::Bytes(widened(key)), Value::Bytes(value))
        };
        pickle::dumps(&Value::Dict(self.iter().map(|(k, v)| on_disk(k, v)).collect()))
    }

    /// Reads a pickle of Swift's or ours.
    ///
    /// # Errors
    /// When it is none, or holds anything but strings.
    pub fn from_pickle(bytes: &[u8]) -> Result<Self, InvalidMetadata> {
        let Value::Dict(items) = pickle::loads(bytes)? else {
            return Err(InvalidMetadata::Shape);
        };
        let head = &bytes[..bytes.len().min(32)];
        let python3 = head.windows(PYTHON3_MARK.len()).any(|w| w == PYTHON3_MARK);
        let mut metadata = Self::default();
        for (key, value) in &items {
            let (Some(key), Some(value)) = (key.as_bytes(), value.as_bytes()) else {
                return Err(InvalidMetadata::Shape);
            };
            let plain = !python3 || key == NAME.as_bytes();
            let value = if plain { value.to_vec() } else { narrowed(value) };
            metadata.set(if python3 { narrowed(key) } else { key.to_vec() }, value);
        }
        Ok(metadata)
    }
}

impl IntoIterator for Metadata {
    type Item = (Vec<u8>, Vec<u8>);
    type IntoIter = std::collections::btree_map::IntoIter<Vec<u8>, Vec<u8>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(Vec<u8>, Vec<u8>)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

/// Each byte as the character of that number, in UTF-8.
fn widened(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| char::from(*b)).collect::<String>().into_bytes()
}

/// The way back; bytes that did not come from [`widened`] stay as they are.
fn narrowed(bytes: &[u8]) -> Vec<u8> {
    let narrow = |text: &str| text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<_>>>();
    std::str::from_utf8(bytes).ok().and_then(narrow).unwrap_or_else(|| bytes.to_vec())
}

/// `x-object-meta-a1b` as `X-Object-Meta-A1B`: each run of letters begins with a capital, as Python's `str.title`.
pub fn title_cased(name: &str) -> String {
    let mut after_letter = false;
    let cased = |c: char| {
        let c = if after_letter { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
        after_letter = c.is_ascii_alphabetic();
        c
    };
    name.chars().map(cased).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_cased_as_python_does() {
        assert_eq!(title_cased("x-object-meta-a1b_cD"), "X-Object-Meta-A1B_Cd");
    }

    #[test]
    fn a_header_takes_two_bytes_and_the_path_one() {
        let mut metadata = Metadata::default();
        metadata.set(NAME, "/a/c/é");
        metadata.set("X-Object-Meta-E", "é");
        let Value::Dict(items) = pickle::loads(&metadata.to_pickle()).unwrap() else { panic!("a dict") };
        let dict = Value::Dict(items);
        assert_eq!(dict.get("name").unwrap().as_bytes(), Some("/a/c/é".as_bytes()));
        assert_eq!(dict.get("X-Object-Meta-E").unwrap().as_bytes(), Some("Ã©".as_bytes()));
    }

    #[test]
    fn python_2_wrote_the_bytes_as_they_are() {
        // pickle.dumps({'name': '/a/c/\xc3\xa9', 'X': '\xc3\xa9'}, 2) under Python 2.
        let pickled = b"\x80\x02}q\x01(U\x04nameq\x02U\x07/a/c/\xc3\xa9q\x03U\x01Xq\x04U\x02\xc3\xa9q\x05u.";
        let metadata = Metadata::from_pickle(pickled).unwrap();
        assert_eq!((metadata.text(NAME), metadata.text("X")), (Some("/a/c/é"), Some("é")));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(items in prop::collection::btree_map("[A-Z][a-z]{0,9}", prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
            let metadata: Metadata = items.into_iter().map(|(k, v)| (k.into_bytes(), v)).collect();
            prop_assert_eq!(Metadata::from_pickle(&metadata.to_pickle()).unwrap(), metadata);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Metadata::from_pickle(&bytes);
        }
    }
}
