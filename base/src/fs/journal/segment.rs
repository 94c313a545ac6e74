//! One file of a journal: batches of records, one behind the other, each at the beginning of a block.
//!
//! ```text
//! "apus\0jn1"  generation  place  length  CRC-32 of all else     8, 8, 8, 4 and 4 bytes
//! length of a record, record, length of a record, record, ...    4 bytes and so many
//! zeros up to the next block
//! ```
//!
//! Numbers are little endian. A segment is overwritten from its beginning again and again, since a file that does not grow is flushed
//! without its metadata; so behind the last batch there may be old ones, which have another generation. A batch that is not whole
//! is the end: it was torn while it was written, and nobody was told that it is there. Blocks are not shared by
//! batches, so that tearing one leaves those before it alone.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const MAGIC: [u8; 8] = *b"apus\0jn1";
const HEADER_BYTES: usize = 32;
/// Where the CRC-32 stands, the last of the header.
const CRC_AT: usize = HEADER_BYTES - 4;
/// What a disk writes at once.
const BLOCK_BYTES: usize = 4096;
/// How much is filled with zeros at once, ahead of what is appended.
const AHEAD_BYTES: u64 = 1024 * 1024;
/// The longest batch that is read: far more than is ever in flight on one device.
const MAX_BATCH_BYTES: u32 = 64 * 1024 * 1024;

/// Records that are to be written together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Room for the header, and the records.
    bytes: Vec<u8>,
    records: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER_BYTES], records: 0 }
    }
}

impl Batch {
    /// Adds a record, the pieces one behind the other.
    pub(crate) fn push(&mut self, record: &[&[u8]]) {
        let length: usize = record.iter().map(|piece| piece.len()).sum();
        // A longer one makes a batch that is too long for any segment.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        record.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.records += 1;
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// How many bytes it takes in a segment.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.bytes.len().next_multiple_of(BLOCK_BYTES) as u64
    }

    fn sealed(mut self, generation: u64, place: u64) -> io::Result<Vec<u8>> {
        let length = u32::try_from(self.bytes.len() - HEADER_BYTES).map_err(io::Error::other)?;
        self.bytes[..8].copy_from_slice(&MAGIC);
        self.bytes[8..16].copy_from_slice(&generation.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&place.to_le_bytes());
        self.bytes[24..CRC_AT].copy_from_slice(&length.to_le_bytes());
        let crc = checksum(&self.bytes[..CRC_AT], &self.bytes[HEADER_BYTES..]);
        self.bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        Ok(self.bytes)
    }
}

fn checksum(header: &[u8], records: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(records);
    crc.finalize()
}

/// A header as it was read.
struct Header {
    generation: u64,
    place: u64,
    length: u32,
    crc: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (place, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let crc = u32::from_le_bytes(rest.try_into().ok()?);
        let (generation, place) = (u64::from_le_bytes(*generation), u64::from_le_bytes(*place));
        let length = u32::from_le_bytes(*length);
        (*magic == MAGIC && length <= MAX_BATCH_BYTES).then_some(Self { generation, place, length, crc })
    }
}

/// The records of a batch; those before the first that does not fit into it.
fn records(mut batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = batch.split_first_chunk()?;
        let (record, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        batch = rest;
        Some(record)
    })
}

/// One that no batch of an earlier life has, the last of which had `last`: those behind the last batch are told from it by that.
pub(crate) fn new_generation(last: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(now).unwrap_or(0).max(last + 1)
}

/// A file of a journal, and who still makes what its records describe.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    applying: usize,
    /// Whether there is no record that somebody may need.
    pub(super) is_empty: bool,
}

impl Segment {
    /// The file at `path`, which is made if need be.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.sync_all()?;
        let segment = Self { file, state: Mutex::new(State { applying: 0, is_empty: true }), changed: Condvar::new() };
        let is_empty = segment.generation().is_none();
        segment.change(|state| state.is_empty = is_empty);
        Ok(segment)
    }

    /// The generation of its first batch; `None` if there is none.
    pub(crate) fn generation(&self) -> Option<u64> {
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, 0).ok()?;
        Header::parse(&header).map(|header| header.generation)
    }

    /// Hands every record to `each`, in the order in which they were written.
    pub(crate) fn read(&self, each: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut file, mut place, mut generation) = (&self.file, 0, None);
        let (mut header, mut batch) = ([0; HEADER_BYTES], Vec::new());
        loop {
            file.seek(SeekFrom::Start(place))?;
            match file.read_exact(&mut header) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            let Some(found) = Header::parse(&header) else { return Ok(()) };
            let is_next = found.place == place && *generation.get_or_insert(found.generation) == found.generation;
            batch.clear();
            let length = u64::from(found.length);
            if !is_next || file.take(length).read_to_end(&mut batch)? as u64 != length {
                return Ok(());
            }
            if checksum(&header[..CRC_AT], &batch) != found.crc {
                return Ok(());
            }
            records(&batch).try_for_each(&mut *each)?;
            place += (HEADER_BYTES as u64 + length).next_multiple_of(BLOCK_BYTES as u64);
        }
    }

    /// Appends a batch and flushes it; gives its length.
    pub(crate) fn append(&self, batch: Batch, generation: u64, place: u64) -> io::Result<u64> {
        let sealed = batch.sealed(generation, place)?;
        let length = sealed.len() as u64;
        self.fill_until(place + length)?;
        self.file.write_all_at(&sealed, place)?;
        self.file.sync_data()?;
        Ok(length)
    }

    /// Sees to it that the file has blocks of its own so far. They are written rather than reserved: the first write to a reserved
    /// block changes metadata.
    fn fill_until(&self, end: u64) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if end <= length {
            return Ok(());
        }
        let filled = end.next_multiple_of(AHEAD_BYTES);
        for place in (length..filled).step_by(BLOCK_BYTES) {
            self.file.write_all_at(&[0; BLOCK_BYTES], place)?;
        }
        self.file.sync_all()
    }

    /// So many records are about to be there.
    pub(super) fn begin(&self, records: usize) {
        self.change(|state| {
            state.applying += records;
            state.is_empty = false;
        });
    }

    /// So many records are not being applied any more.
    pub(super) fn applied(&self, records: usize) {
        self.change(|state| state.applying -= records);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().is_empty
    }

    pub(super) fn wait_until_applied(&self) {
        let applied = self.changed.wait_while(self.state(), |state| state.applying > 0);
        drop(applied.unwrap_or_else(PoisonError::into_inner));
    }

    /// Forgets all records. The file keeps its blocks.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.file.write_all_at(&[0; BLOCK_BYTES], 0)?;
        self.file.sync_data()?;
        self.change(|state| state.is_empty = true);
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
