//! The journal of a device's listings: a group is on stable storage there before RocksDB has it.
//!
//! RocksDB's own log grows, and flushing a file that grows writes metadata of the filesystem as well. A journal is written over again and
//! again in its place, so flushing it is one write. Hence a group is appended to the journal and flushed there, and RocksDB's log
//! takes it without a flush; the log is flushed when the journal is full.
//!
//! ```text
//! <device>/listings/journal    one segment, whose records are RocksDB's batches in the order in which they were written
//! ```
//!
//! | step of a group | after a power cut here |
//! |---|---|
//! | 1. no room for it: the log is flushed, and the journal begins anew | the log has every group; whatever the journal still holds is the end of them |
//! | 2. it is appended to the journal, flushed | it is there or not; nobody was told |
//! | 3. RocksDB takes it, into a log that is not flushed | the log has all, some or none of the groups since step 1, which the journal has: all are written again |
//! | 4. who waits for it is answered | the same |
//!
//! Batches say what keys are from then on: values, deletions, ranges of deletions. So writing all since the last flush again, in their order,
//! gives the same whichever of them RocksDB had kept. For that the journal must have *every* group since then, or none: one
//! that does not fit empties it first, and is flushed in RocksDB's log.

use std::fs::File;
use std::io;
use std::path::Path;

use rocksdb::{DB, WriteBatch};

use crate::fs::journal::limit;
use crate::fs::journal::segment::{Batch, Segment, new_generation};

/// The file beside RocksDB's.
const FILE: &str = "journal";
/// How long it gets: some thousand small groups, between which one flush of the log is nothing.
const BYTES: u64 = 8 * 1024 * 1024;
/// The shortest batch: RocksDB's head of one.
const HEAD_BYTES: usize = 12;

/// The journal, which only the committer appends to.
pub(super) struct Journal {
    segment: Segment,
    limit: u64,
    place: u64,
    generation: u64,
}

impl Journal {
    /// Opens the journal in the folder of a database, and writes again what it holds. `None` where the device is too small for one.
    ///
    /// # Errors
    /// What the disk or RocksDB says.
    pub(super) fn open(folder: &Path, rocks: &DB) -> io::Result<Option<Self>> {
        let (path, limit) = (folder.join(FILE), limit(folder, BYTES)?);
        if limit == 0 && !path.exists() {
            return Ok(None);
        }
        let segment = Segment::open(&path)?;
        File::open(folder)?.sync_all()?;
        let generation = new_generation(segment.generation().unwrap_or(0));
        let mut journal = Self { segment, limit, place: 0, generation };
        if !journal.segment.is_empty() {
            journal.segment.read(&mut |group| again(rocks, group))?;
            journal.empty(rocks)?;
        }
        if limit == 0 {
            std::fs::remove_file(path)?;
            return Ok(None);
        }
        Ok(Some(journal))
    }

    /// Puts a group on stable storage before RocksDB gets it. Gives whether it is there: if it does not fit, the journal is empty then
    /// and RocksDB has to flush it.
    ///
    /// # Errors
    /// What the disk or RocksDB says; the group may be there or not then.
    pub(super) fn append(&mut self, group: &WriteBatch, rocks: &DB) -> io::Result<bool> {
        let mut batch = Batch::default();
        batch.push(&[group.data()]);
        let length = batch.sealed_bytes();
        if length > self.limit {
            return self.empty(rocks).map(|()| false);
        }
        if self.place + length > self.limit {
            self.begin_anew(rocks)?;
        }
        match self.segment.append(batch, self.generation, self.place) {
            Ok(length) => {
                self.place += length;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.empty(rocks).map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Has RocksDB flush what the journal holds, and forgets it.
    ///
    /// # Errors
    /// What the disk or RocksDB says; it stays then.
    pub(super) fn empty(&mut self, rocks: &DB) -> io::Result<()> {
        self.begin_anew(rocks)?;
        self.segment.clear()
    }

    /// What is there is not needed any more, and the next group is written over it.
    fn begin_anew(&mut self, rocks: &DB) -> io::Result<()> {
        rocks.flush_wal(true).map_err(io::Error::other)?;
        (self.place, self.generation) = (0, self.generation + 1);
        Ok(())
    }
}

fn again(rocks: &DB, group: &[u8]) -> io::Result<()> {
    if group.len() < HEAD_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a group in the journal is too short"));
    }
    rocks.write(WriteBatch::from_data(group)).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
