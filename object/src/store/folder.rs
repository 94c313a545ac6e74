//! The folder of one object, open: its files are listed and opened by it, without walking its path again.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, RawDir, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::inode::InodeState;
use super::location::Location;
use super::names::FileSet;

/// Enough for the names that an object has, so that one look gives them all; more are listed by further looks.
const LISTED_BYTES: usize = 2048;

/// An object's folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens it; `None` when there is none. Blocking.
    pub(super) fn open(location: &Location) -> io::Result<Option<Self>> {
        match openat(CWD, location.folder(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens it to look at its state and to open files, if the kernel has its path in memory. Does not wait for the disk. `None` also before
    /// Linux 5.12, which cannot say.
    pub(super) fn open_cached(location: &Location) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(CWD, location.folder(), flags, Mode::empty(), ResolveFlags::CACHED).ok().map(Self)
    }

    /// How it is now. Does not wait for the disk: the kernel keeps that as long as the folder is open.
    pub(super) fn state(&self) -> io::Result<InodeState> {
        InodeState::of(&self.0)
    }

    /// The files that count. Blocking.
    pub(super) fn files(&self) -> io::Result<FileSet> {
        let mut buffer = [MaybeUninit::uninit(); LISTED_BYTES];
        let mut entries = RawDir::new(&self.0, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            // What is not UTF-8 is no file of an object's.
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(FileSet::choose(&names))
    }

    /// Opens one of its files to be read. Blocking.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        Ok(openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
    }

    /// The same, if the kernel has the file in memory. Does not wait for the disk.
    pub(super) fn cached_file(&self, name: &str) -> Option<File> {
        let opened =
            openat2(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED).ok()?;
        Some(opened.into())
    }
}
