//! By which a change of a file or a folder shows.

use std::io;
use std::os::fd::AsFd;

use apus_base::timestamp::Timestamp;
use rustix::fs::fstat;

/// What a file or a folder was like. Writing to a file, or to its attributes, sets its times; so does each name that comes into a folder, goes or is
/// replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeState {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl InodeState {
    /// That of an open file or folder. Does not wait for the disk: the kernel keeps it as long as that is open.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        let stat = fstat(file)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    /// The length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whole seconds since the last change, as of `now`; `None` when that is yet to come.
    pub fn rested(&self, now: Timestamp) -> Option<u64> {
        let last = u64::try_from(self.modified.0.max(self.changed.0)).ok()?;
        now.secs().checked_sub(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_change_shows_and_is_so_long_ago() {
        let mut file = tempfile::tempfile().unwrap();
        let before = InodeState::of(&file).unwrap();
        assert_eq!(InodeState::of(&file).unwrap(), before);
        file.write_all(b"more").unwrap();
        let after = InodeState::of(&file).unwrap();
        assert_ne!(after, before);

        let changed = u64::try_from(after.changed.0).unwrap();
        assert_eq!(after.rested(Timestamp::from_secs(changed + 3)), Some(3));
        assert_eq!(after.rested(Timestamp::from_secs(changed - 1)), None);
    }
}
