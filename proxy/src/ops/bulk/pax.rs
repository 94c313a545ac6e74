//! The records of a pax extended header (POSIX.1-2001, `pax` utility): `LENGTH KEY=VALUE\n`, one after the other, where
//! the length counts the whole record. A value may hold any byte. Pure.

use super::tar::Broken;

/// What a file's extended header may say and is of use here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// The file's name.
    pub path: Option<Vec<u8>>,
    /// Its size, where the header has no room for it.
    pub size: Option<u64>,
    /// `user.mime_type` of its extended attributes.
    pub mime_type: Option<Vec<u8>>,
    /// `user.meta.*` of its extended attributes, without that beginning.
    pub meta: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether GNU tar left the file's holes out, in a form that only the extended header tells.
    pub is_sparse: bool,
}

/// More than any file system has room for, and fewer than a set of headers can hold.
const MAX_ATTRIBUTES: usize = 1000;

/// What GNU tar, and what BSD tar puts before the name of an extended attribute.
const XATTRS: [&[u8]; 2] = [b"SCHILY.xattr.user.", b"LIBARCHIVE.xattr.user."];

impl Extension {
    /// Reads the records over what is here already.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn read(&mut self, mut records: &[u8]) -> Result<(), Broken> {
        // The last record may be followed by padding.
        while !records.is_empty() && records[0] != 0 {
            let (key, value, rest) = record(records).ok_or(Broken::Extension)?;
            self.take(key, value)?;
            records = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Broken> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"size" => self.size = Some(number(value).ok_or(Broken::Extension)?),
            _ => return self.take_attribute(key, value),
        }
        Ok(())
    }

    fn take_attribute(&mut self, key: &[u8], value: &[u8]) -> Result<(), Broken> {
        self.is_sparse |= key.starts_with(b"GNU.sparse.");
        let Some(name) = XATTRS.iter().find_map(|prefix| key.strip_prefix(*prefix)) else {
            return Ok(());
        };
        if name == b"mime_type" {
            self.mime_type = Some(value.to_vec());
        } else if let Some(name) = name.strip_prefix(b"meta.") {
            self.meta.retain(|(other, _)| other != name);
            self.meta.push((name.to_vec(), value.to_vec()));
        }
        if self.meta.len() > MAX_ATTRIBUTES { Err(Broken::LongExtension) } else { Ok(()) }
    }

    /// The bytes that it keeps in memory.
    pub fn len(&self) -> usize {
        let of = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let meta: usize = self.meta.iter().map(|(name, value)| name.len() + value.len()).sum();
        of(&self.path) + of(&self.mime_type) + meta
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Key and value of the first record, and what follows it.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|b| *b == b' ')?;
    let length = usize::try_from(number(&records[..space])?).ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A record as tar writes it.
    pub(in super::super) fn written(key: &str, value: &[u8]) -> Vec<u8> {
        let bare = key.len() + value.len() + 3;
        let length = (1..).map(|digits| bare + digits).find(|n| n.to_string().len() + bare == *n).unwrap();
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn what_is_of_use_is_read() {
        let records = [
            written("mtime", b"1350244992.0"),
            written("path", "dir/ü".as_bytes()),
            written("size", b"9999999999"),
            written("SCHILY.xattr.user.mime_type", b"food/diced"),
            written("LIBARCHIVE.xattr.user.meta.lunch", b"sopa\nde=albondigas"),
            written("SCHILY.xattr.user.meta.lunch", b"soup"),
            written("SCHILY.xattr.user.stuff", b"x"),
            vec![0; 300],
        ];
        let mut read = Extension::default();
        read.read(&records.concat()).unwrap();
        let expected = Extension {
            path: Some("dir/ü".into()),
            size: Some(9_999_999_999),
            mime_type: Some(b"food/diced".to_vec()),
            meta: vec![(b"lunch".to_vec(), b"soup".to_vec())],
            is_sparse: false,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_nobody_needs_is_refused() {
        let records: Vec<u8> = (0..1001).flat_map(|i| written(&format!("SCHILY.xattr.user.meta.{i}"), b"x")).collect();
        assert_eq!(Extension::default().read(&records), Err(Broken::LongExtension));
        let mut sparse = Extension::default();
        sparse.read(&written("GNU.sparse.major", b"1")).unwrap();
        assert!(sparse.is_sparse);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for records in
            ["5 a=b", "99 a=b\n", "x a=b\n", "2 a=b\n", "6 abc\n", "-1 a=b\n", "7 a=b\n8", " a=b\n", "12 size=abc\n"]
        {
            assert_eq!(Extension::default().read(records.as_bytes()), Err(Broken::Extension), "{records:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(records in proptest::collection::vec(any::<u8>(), 0..60), text in "[0-9 a=\n]{0,30}") {
            let _ = Extension::default().read(&records);
            let _ = Extension::default().read(text.as_bytes());
        }

        #[test]
        fn what_was_written_comes_back(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut read = Extension::default();
            read.read(&[written("a", b"b"), written("path", &value), written("c", b"")].concat()).unwrap();
            prop_assert_eq!(read.path, Some(value));
        }
    }
}
