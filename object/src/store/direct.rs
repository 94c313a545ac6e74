//! Writing past the page cache: a large body goes from a buffer straight to the disk.
//!
//! Through the cache each byte is copied into a fresh page, and the pages of a large object are dropped as soon as it is flushed,
//! since they would push out many small ones. So the cache is of no use to it, and most of the processor time of writing goes
//! into it (`docs/performance.md`). Without it (`O_DIRECT`, open(2)) the disk takes whole blocks, from memory and to places that
//! begin at a block: bytes are gathered in a buffer, and those that are left at the end go through the cache, as all do
//! where the filesystem cannot do without.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// What a write begins at, in memory and on the disk: no disk has larger blocks.
const BLOCK_BYTES: usize = 4096;
/// Bytes gathered for one write. More is hardly faster, and each large PUT holds so much on each of its devices.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is being written from its beginning, and what is not written yet.
pub(super) struct Direct {
    /// The buffer is behind as many bytes as it takes to begin at a block.
    memory: Vec<u8>,
    begin: usize,
    filled: usize,
    /// Where in the file the buffer goes.
    place: u64,
}

impl Direct {
    /// Has an empty file written past the cache; `None` if that is not possible.
    pub(super) fn begin(file: &File) -> Option<Self> {
        set_direct(file, true).ok()?;
        let memory = vec![0; BUFFER_BYTES + BLOCK_BYTES];
        let begin = memory.as_ptr().align_offset(BLOCK_BYTES);
        (begin <= BLOCK_BYTES).then_some(Self { memory, begin, filled: 0, place: 0 })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn write(&mut self, file: &File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let from = self.begin + self.filled;
            let (now, rest) = bytes.split_at(bytes.len().min(BUFFER_BYTES - self.filled));
            self.memory[from..from + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = rest;
            if self.filled == BUFFER_BYTES {
                self.empty(file)?;
            }
        }
        Ok(())
    }

    /// Writes what is left, through the cache, which is used from then on.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn end(mut self, file: &File) -> io::Result<()> {
        set_direct(file, false)?;
        self.empty(file)
    }

    fn empty(&mut self, file: &File) -> io::Result<()> {
        let buffer = &self.memory[self.begin..self.begin + self.filled];
        match file.write_all_at(buffer, self.place) {
            // It takes no such writes, or wants larger blocks.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                set_direct(file, false)?;
                file.write_all_at(buffer, self.place)?;
            }
            written => written?,
        }
        self.place += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").field("place", &self.place).field("filled", &self.filled).finish_non_exhaustive()
    }
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_file_is_what_was_written(pieces in prop::collection::vec(0..BUFFER_BYTES * 3 / 2, 0..6)) {
            let folder = tempfile::tempdir().unwrap();
            let file = File::options().read(true).write(true).create_new(true).open(folder.path().join("f")).unwrap();
            let mut direct = Direct::begin(&file);
            // A prime number, so that no two blocks are alike.
            let bytes: Vec<u8> = (0..251).cycle().take(pieces.iter().sum()).collect();
            let mut rest = &bytes[..];
            for piece in pieces {
                let (now, later) = rest.split_at(piece);
                rest = later;
                match &mut direct {
                    Some(direct) => direct.write(&file, now).unwrap(),
                    None => return Err(TestCaseError::reject("the filesystem has no O_DIRECT")),
                }
            }
            direct.map(|direct| direct.end(&file)).transpose().unwrap();
            prop_assert!(!fcntl_getfl(&file).unwrap().contains(OFlags::DIRECT));
            let mut found = vec![0; bytes.len() + 1];
            prop_assert_eq!(file.read_at(&mut found, 0).unwrap(), bytes.len());
            prop_assert!(found[..bytes.len()] == bytes);
        }
    }
}
