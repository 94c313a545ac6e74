//! The folder of one object, open: its files are listed and opened by it, without walking its path again.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

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
}
