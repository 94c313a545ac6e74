//! A table of digests in a file.
//!
//! `APUSIDX1`, then for each entry in order 4 bytes of key, 16 of digest and 8 of the oldest tombstone's time in ticks (all
//! ones: none), then the CRC-32 (IEEE) of all before; numbers are little endian. What does not match is no table, and is made
//! anew. It is written whole and renamed, and flushed by who writes many.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use apus_base::timestamp::Timestamp;
use md5::{Digest as _, Md5};

const MAGIC: &[u8; 8] = b"APUSIDX1";
const ENTRY_BYTES: usize = 28;
/// The largest file read: 4 million partitions, far more than a device can hold.
const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// What is known of one partition or suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of all that it holds.
    pub digest: [u8; 16],
    /// The time of its oldest tombstone.
    pub oldest_tombstone: Option<Timestamp>,
}

/// Partitions of a device or suffixes of a partition, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(pub BTreeMap<u32, Entry>);

impl Table {
    /// A digest of all, and the oldest tombstone of all; nothing for an empty table.
    pub fn summary(&self) -> Option<Entry> {
        let mut md5 = Md5::new();
        for (key, entry) in &self.0 {
            md5.update(key.to_le_bytes());
            md5.update(entry.digest);
        }
        let oldest_tombstone = self.0.values().filter_map(|entry| entry.oldest_tombstone).min();
        (!self.0.is_empty()).then(|| Entry { digest: md5.finalize().into(), oldest_tombstone })
    }

    /// Reads a file; `None` when there is none or it is no table. Blocking.
    pub fn load(path: &Path) -> Option<Self> {
        let length = std::fs::metadata(path).ok()?.len();
        if length > MAX_BYTES {
            return None;
        }
        Self::parse(&std::fs::read(path).ok()?)
    }

    /// Writes a file, or removes it when the table is empty. Not flushed. Blocking.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        if self.0.is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let partial = path.with_extension("partial");
        std::fs::write(&partial, self.to_bytes())?;
        std::fs::rename(partial, path)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.0.len() * ENTRY_BYTES + 4);
        bytes.extend_from_slice(MAGIC);
        for (key, entry) in &self.0 {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&entry.digest);
            let oldest = entry.oldest_tombstone.map_or(u64::MAX, Timestamp::ticks);
            bytes.extend_from_slice(&oldest.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk()?;
        let entries = content.strip_prefix(MAGIC)?;
        if u32::from_le_bytes(*crc) != crc32fast::hash(content) || entries.len() % ENTRY_BYTES != 0 {
            return None;
        }
        entries.chunks_exact(ENTRY_BYTES).map(entry).collect::<Option<_>>().map(Self)
    }
}

fn entry(bytes: &[u8]) -> Option<(u32, Entry)> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (digest, rest) = rest.split_first_chunk()?;
    let oldest = u64::from_le_bytes(rest.try_into().ok()?);
    let oldest_tombstone = (oldest != u64::MAX).then(|| Timestamp::from_ticks(oldest));
    Some((u32::from_le_bytes(*key), Entry { digest: *digest, oldest_tombstone }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_changed_bit_is_noticed(
            entries in proptest::collection::btree_map(any::<u32>(), (any::<[u8; 16]>(), any::<Option<u32>>()), 0..20),
            place: prop::sample::Index,
        ) {
            let entry = |(digest, secs): ([u8; 16], Option<u32>)| Entry {
                digest,
                oldest_tombstone: secs.map(|secs| Timestamp::from_secs(secs.into())),
            };
            let table = Table(entries.into_iter().map(|(key, value)| (key, entry(value))).collect());
            let mut bytes = table.to_bytes();
            prop_assert_eq!(Table::parse(&bytes), Some(table));
            let place = place.index(bytes.len() * 8);
            bytes[place / 8] ^= 1 << (place % 8);
            prop_assert_eq!(Table::parse(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Table::parse(&bytes);
        }
    }
}
