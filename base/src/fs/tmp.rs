//! Files that have no name until they are complete.
//!
//! On filesystems that can (`O_TMPFILE`: ext4, XFS, btrfs, tmpfs) such a file has no name at all and is gone by itself
//! when the process dies. On others it lies in the device's `tmp` folder, is removed when it is dropped, and
//! [`sweep`] removes what a killed process left.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

/// The folder, on each device, of files whose filesystem cannot do without a name.
pub const TMP_DIR: &str = "tmp";
/// Most leftovers removed at one start, so that a start takes seconds however many there are.
const MAX_SWEPT: usize = 100_000;

/// A file without a name, or without its final one. Dropped, it is gone.
#[derive(Debug)]
pub struct TmpFile {
    file: File,
    named: Option<PathBuf>,
}

impl TmpFile {
    /// A new empty file on the device whose folder is `device`.
    ///
    /// # Errors
    /// What the system says; `NotFound` when the device is gone.
    pub fn create(device: &Path) -> io::Result<Self> {
        let flags = i32::try_from(rustix::fs::OFlags::TMPFILE.bits()).map_err(io::Error::other)?;
        let unnamed = OpenOptions::new().read(true).write(true).custom_flags(flags).open(device);
        match unnamed {
            Ok(file) => Ok(Self { file, named: None }),
            Err(error) if cannot_unnamed(&error) => Self::create_named(device),
            Err(error) => Err(error),
        }
    }

    fn create_named(device: &Path) -> io::Result<Self> {
        let path = free_name(device)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, named: Some(path) })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file the name of another, which it replaces in one step. The folder has to be flushed afterwards.
    ///
    /// # Errors
    /// What the system says; then the other file stays.
    pub fn replace(&self, device: &Path, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.named {
            return std::fs::rename(path, target);
        }
        // What has no name cannot be renamed.
        let path = free_name(device)?;
        let renamed = self.link(&path).and_then(|()| std::fs::rename(&path, target));
        if renamed.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        renamed
    }

    /// Gives the file its name, which must be free. The folder has to be flushed afterwards.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, or what the system says.
    pub fn link(&self, target: &Path) -> io::Result<()> {
        let by_fd = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let (from, flags) = match &self.named {
            Some(path) => (path, AtFlags::empty()),
            None => (&by_fd, AtFlags::SYMLINK_FOLLOW),
        };
        rustix::fs::linkat(CWD, from, CWD, target, flags).map_err(io::Error::from)
    }
}

/// A name in the device's `tmp` folder that nobody else takes.
fn free_name(device: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let dir = device.join(TMP_DIR);
    if let Err(error) = std::fs::create_dir(&dir)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    Ok(dir.join(format!("{}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))))
}

impl Drop for TmpFile {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn cannot_unnamed(error: &io::Error) -> bool {
    let unsupported = [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL];
    unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Removes what a killed process left in a device's `tmp` folder, and says how much that was.
///
/// Only for a process that is about to start serving the device: files in use would go too.
///
/// # Errors
/// What the system says when the folder cannot be read.
pub fn sweep(device: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(device.join(TMP_DIR)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let removed = |entry: io::Result<std::fs::DirEntry>| entry.is_ok_and(|e| std::fs::remove_file(e.path()).is_ok());
    Ok(entries.take(MAX_SWEPT).filter_map(|entry| removed(entry).then_some(())).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_dropped_file_leaves_nothing() {
        for create in [TmpFile::create, TmpFile::create_named] {
            let device = tempfile::tempdir().unwrap();
            let tmp = create(device.path()).unwrap();
            tmp.file().write_all(b"half").unwrap();
            drop(tmp);
            assert_eq!(sweep(device.path()).unwrap(), 0);
        }
    }

    #[test]
    fn a_linked_file_stays_and_names_are_not_taken_twice() {
        for create in [TmpFile::create, TmpFile::create_named] {
            let device = tempfile::tempdir().unwrap();
            let target = device.path().join("done");
            let tmp = create(device.path()).unwrap();
            tmp.file().write_all(b"whole").unwrap();
            tmp.link(&target).unwrap();
            drop(tmp);
            assert_eq!(std::fs::read(&target).unwrap(), b"whole");

            let again = create(device.path()).unwrap().link(&target).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(sweep(device.path()).unwrap(), 0);
        }
    }

    #[test]
    fn leftovers_are_swept_and_a_device_is_never_made() {
        let root = tempfile::tempdir().unwrap();
        assert!(TmpFile::create(&root.path().join("gone")).is_err());
        let device = root.path().join("d1");
        std::fs::create_dir_all(device.join(TMP_DIR)).unwrap();
        std::fs::write(device.join(TMP_DIR).join("1-0"), b"left").unwrap();
        assert_eq!(sweep(&device).unwrap(), 1);
    }
}
