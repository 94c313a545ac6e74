//! Folders whose existence is on stable storage.
//!
//! A file is durable only when every folder on the way to it is, and a folder is when the one it was made in was
//! flushed after that. That it exists says nothing: another request may have made it just now, or a process that was
//! killed before it flushed. So a device remembers which folders it has seen flushed since it was opened, and flushes the
//! parents of all others once. On some filesystems a flush of the folder that somebody works in [reaches](super::ordered) those that
//! lead to it; then that is left to it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;

use super::ordered::Reach;

/// Folders remembered; when more are met all are forgotten, which costs one flush each. About 2 MB for each device.
const MAX_KNOWN: usize = 16 * 1024;

/// The folders of one device that are known to be durable, by their paths below it.
#[derive(Debug, Default)]
pub(super) struct DurableDirs {
    known: Mutex<HashSet<PathBuf>>,
    flushes: Counter,
    /// What is flushed with a folder.
    reach: Reach,
}

/// Folders that exist and may not be durable yet.
#[derive(Debug)]
#[must_use = "flush them before anything in them is acknowledged"]
pub struct NewDirs {
    /// The whole path of the last one.
    pub path: PathBuf,
    /// Each with its parent, from the device downwards.
    unflushed: Vec<(PathBuf, PathBuf)>,
    made_last: bool,
}

impl NewDirs {
    /// Removes the last folder if this call made it and it is still empty: for writes that fail.
    pub fn undo(&self) {
        if self.made_last {
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

impl DurableDirs {
    /// None known; `flushes` counts.
    pub(super) fn new(flushes: Counter, reach: Reach) -> Self {
        Self { known: Mutex::default(), flushes, reach }
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Makes the folders of `relative` below `device`, which itself is never made.
    pub(super) fn make(&self, device: &Path, relative: &Path) -> io::Result<NewDirs> {
        let mut dirs = NewDirs { path: device.to_owned(), unflushed: Vec::new(), made_last: false };
        let mut below = PathBuf::new();
        for component in relative.components() {
            let Component::Normal(name) = component else {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            };
            below.push(name);
            let parent = dirs.path.clone();
            dirs.path.push(name);
            dirs.made_last = make_one(&dirs.path)?;
            if dirs.made_last {
                self.forget(&below);
            }
            if !self.is_left_to_the_last(dirs.made_last) && !self.is_known(&below) {
                dirs.unflushed.push((below.clone(), parent));
            }
        }
        Ok(dirs)
    }

    /// Flushes what is not known to be durable, and will not be by a flush of the last folder itself.
    pub(super) fn flush(&self, dirs: &NewDirs) -> io::Result<()> {
        for (below, parent) in &dirs.unflushed {
            self.flushes.inc();
            File::open(parent)?.sync_all()?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(below.clone());
        }
        Ok(())
    }

    /// Forgets a folder that is removed or renamed.
    pub(super) fn forget(&self, below: &Path) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(below);
    }

    /// Whether a flush of the last folder is one of this folder's entry in its parent.
    fn is_left_to_the_last(&self, made: bool) -> bool {
        match self.reach {
            Reach::All => true,
            Reach::New => made,
            Reach::Itself => false,
        }
    }

    fn is_known(&self, below: &Path) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(below)
    }
}

/// Whether it was made, rather than there.
fn make_one(path: &Path) -> io::Result<bool> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_is_flushed_until_it_is_known() {
        let device = tempfile::tempdir().unwrap();
        let (dirs, path) = (DurableDirs::default(), Path::new("objects/1/abc"));

        // Two requests make the same folders: neither may rely on the other's flush.
        let first = dirs.make(device.path(), path).unwrap();
        let second = dirs.make(device.path(), path).unwrap();
        assert_eq!((first.unflushed.len(), second.unflushed.len()), (3, 3));
        assert_eq!((first.made_last, second.made_last), (true, false));

        dirs.flush(&first).unwrap();
        assert!(dirs.make(device.path(), path).unwrap().unflushed.is_empty());

        // Removed and made again, it is as new.
        std::fs::remove_dir(device.path().join(path)).unwrap();
        assert_eq!(dirs.make(device.path(), path).unwrap().unflushed.len(), 1);
    }

    #[test]
    fn a_flush_that_reaches_new_folders_is_left_to_who_made_them() {
        let device = tempfile::tempdir().unwrap();
        let unflushed = |dirs: &DurableDirs, path| dirs.make(device.path(), Path::new(path)).unwrap().unflushed;
        let reaches_new = DurableDirs::new(Counter::default(), Reach::New);
        assert!(unflushed(&reaches_new, "objects/1/abc").is_empty());
        // Its maker may not have flushed the last one yet, so who finds the folders flushes them, from the device downwards.
        let found = reaches_new.make(device.path(), Path::new("objects/1/def")).unwrap();
        let parents: Vec<_> = found.unflushed.iter().map(|(below, _)| below.as_path()).collect();
        assert_eq!(parents, [Path::new("objects"), Path::new("objects/1")]);
        reaches_new.flush(&found).unwrap();
        assert!(unflushed(&reaches_new, "objects/1/fed").is_empty());

        let reaches_all = DurableDirs::new(Counter::default(), Reach::All);
        assert!(unflushed(&reaches_all, "objects/1/abc").is_empty());
    }

    #[test]
    fn the_device_is_never_made() {
        let root = tempfile::tempdir().unwrap();
        let gone = root.path().join("gone");
        assert!(DurableDirs::default().make(&gone, Path::new("objects")).is_err());
        assert!(!gone.exists());
        assert!(DurableDirs::default().make(root.path(), Path::new("../up")).is_err());
    }
}
