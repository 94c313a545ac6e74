//! Devices: the folders that disks are mounted on.
//!
//! A device is a folder below the devices' root, as in Swift (`/srv/node/sda1`). It is *there* as long as the folder that
//! was found when the process opened it still is: a removed folder, an unmounted disk (the empty mount point is another
//! inode) or another disk in its place makes every request to it 507, so that the proxy goes to a handoff.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::aside::Bell;
use super::changes::KnownChanges;
use super::counts::DiskCounts;
use super::dirs::{DurableDirs, NewDirs};
use super::journal::Journal;
use super::ordered::Reach;
use super::queue::DiskQueue;
use super::writers::Writers;

/// One device of this node.
#[derive(Debug)]
pub struct Device {
    name: String,
    path: PathBuf,
    /// Device and inode number of the folder.
    identity: (u64, u64),
    queue: DiskQueue,
    dirs: DurableDirs,
    pub(super) counts: DiskCounts,
    changes: KnownChanges,
    pub(super) writers: Arc<Writers>,
    pub(super) bell: Bell,
    pub(super) journal: OnceLock<Option<Journal>>,
}

/// Why a device cannot serve.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    /// No such folder, or it is no longer the one that was opened.
    #[error("the device {0:?} is not there")]
    Missing(String),
    /// It has less room left than the reserve.
    #[error("the device {0:?} is full")]
    Full(String),
}

/// The devices below one root.
#[derive(Debug)]
pub struct Devices {
    root: PathBuf,
    queue_threads: usize,
    counts: DiskCounts,
    pub(super) bell: Bell,
    open: RwLock<HashMap<String, Arc<Device>>>,
    /// The names of those that were disks of their own when they were opened.
    disks: Mutex<HashSet<String>>,
}

impl Devices {
    /// The devices below `root`, each of which gets `queue_threads` threads when it is first used.
    pub fn new(root: impl Into<PathBuf>, queue_threads: usize) -> Self {
        Self {
            root: root.into(),
            queue_threads,
            counts: DiskCounts::default(),
            bell: Bell::default(),
            open: RwLock::default(),
            disks: Mutex::default(),
        }
    }

    /// The device of that name, which is there now.
    ///
    /// When another folder has taken the place of the one that was open, the new one is opened: a replaced disk is
    /// used without a restart, and whoever holds the old `Device` keeps getting [`DeviceError::Missing`].
    ///
    /// # Errors
    /// `Missing` when there is no such folder.
    pub fn get(&self, name: &str) -> Result<Arc<Device>, DeviceError> {
        let known = self.open.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(device) = known
            && device.check().is_ok()
        {
            return Ok(device);
        }
        self.open(name)
    }

    fn open(&self, name: &str) -> Result<Arc<Device>, DeviceError> {
        let path = self.root.join(name);
        let missing = || DeviceError::Missing(name.to_owned());
        let identity = identity(&path).ok_or_else(missing);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let Some(identity) = identity.ok().filter(|identity| self.is_mounted(name, *identity)) else {
            open.remove(name);
            return Err(missing());
        };
        if let Some(device) = open.get(name).filter(|d| d.identity == identity) {
            return Ok(Arc::clone(device));
        }
        let device = Arc::new(Device {
            name: name.to_owned(),
            queue: DiskQueue::new(self.queue_threads),
            dirs: DurableDirs::new(self.counts.flushes.clone(), Reach::of(&path)),
            counts: self.counts.clone(),
            path,
            identity,
            changes: KnownChanges::default(),
            writers: Arc::default(),
            bell: self.bell.clone(),
            journal: OnceLock::new(),
        });
        open.insert(name.to_owned(), Arc::clone(&device));
        Ok(device)
    }

    /// Whether a folder is what its name should be: where a disk was mounted, the empty mount point is no device, and what
    /// would be written there would vanish below the disk when it comes back. A process that was started after the disk
    /// went cannot know, unless another of its devices is a disk.
    fn is_mounted(&self, name: &str, (filesystem, _): (u64, u64)) -> bool {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_disk(filesystem) {
            disks.insert(name.to_owned());
            return true;
        }
        !disks.contains(name)
            && !self.names().iter().any(|n| identity(&self.root.join(n)).is_some_and(|(other, _)| self.is_disk(other)))
    }

    /// Whether that is another filesystem than the root's.
    fn is_disk(&self, filesystem: u64) -> bool {
        identity(&self.root).is_some_and(|(root, _)| root != filesystem)
    }

    /// The names of the folders that are there, in order; each may be a device. Lists one small folder.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let folders =
            entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = folders.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The folder that the devices are in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is counted on all devices, for a role's metrics.
    pub fn counts(&self) -> &DiskCounts {
        &self.counts
    }
}

impl Device {
    /// The folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The queue that all work on this device goes through.
    pub fn queue(&self) -> &DiskQueue {
        &self.queue
    }

    /// Whether the folder is still the one that was opened. One `stat`; ask before work, and after a write before it
    /// is acknowledged, since a write into a removed folder succeeds.
    ///
    /// # Errors
    /// `Missing` when it is not.
    pub fn check(&self) -> Result<(), DeviceError> {
        if identity(&self.path) == Some(self.identity) { Ok(()) } else { Err(DeviceError::Missing(self.name.clone())) }
    }
}

impl Device {
    /// Makes folders below the device; the device's own is never made. Blocking: run it on the [`Device::queue`].
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a path that leaves the device.
    pub fn make_dirs(&self, relative: &Path) -> std::io::Result<NewDirs> {
        self.dirs.make(&self.path, relative)
    }

    /// Makes sure that folders are on stable storage as soon as the last of them is flushed, which whoever puts something into it
    /// has to do anyway. Blocking.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush_dirs(&self, dirs: &NewDirs) -> std::io::Result<()> {
        self.dirs.flush(dirs)
    }

    /// Flushes a file, its data and its metadata, to stable storage. Blocking.
    ///
    /// # Errors
    /// What the system says; then nothing is known about what is there.
    pub fn flush_file(&self, file: &File) -> std::io::Result<()> {
        self.counts.flushes.inc();
        file.sync_all()
    }

    /// Flushes a folder's entries to stable storage. Blocking.
    ///
    /// # Errors
    /// What the system says; the entries may or may not be there then.
    pub fn flush_dir(&self, path: &Path) -> std::io::Result<()> {
        self.counts.flushes.inc();
        File::open(path)?.sync_all()
    }

    /// Flushes a file's new name in a folder to stable storage; the file itself was flushed when it had none. Blocking.
    ///
    /// Without a journal the disk would have the name of a file without names: that it has one now is in the file's own inode,
    /// and a check after a power cut would throw both away.
    ///
    /// # Errors
    /// As [`Device::flush_dir`].
    pub fn flush_name(&self, file: &File, folder: &Path) -> std::io::Result<()> {
        if self.dirs.reach() == Reach::New {
            self.flush_file(file)?;
        }
        self.flush_dir(folder)
    }

    /// Flushes the whole filesystem of the device to stable storage: for many files at once, where a flush of each would
    /// take longer. A device is a filesystem of its own, so little else is waiting there. Blocking.
    ///
    /// # Errors
    /// What the system says; then nothing is known about what is there.
    pub fn flush_all(&self) -> std::io::Result<()> {
        self.counts.flushes.inc();
        Ok(rustix::fs::syncfs(File::open(&self.path)?)?)
    }

    pub(super) fn known_changes(&self) -> &KnownChanges {
        &self.changes
    }

    /// Says that a folder below the device is removed or renamed. Call it before doing so, and after.
    pub fn forget_dir(&self, relative: &Path) {
        self.dirs.forget(relative);
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_dir)?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_or_replaced_folder_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let devices = Devices::new(root.path(), 1);
        assert!(devices.get("d1").is_err());

        let folder = root.path().join("d1");
        std::fs::create_dir(&folder).unwrap();
        let before = devices.get("d1").unwrap();
        assert!(before.check().is_ok());

        // The old folder stays elsewhere, so that its inode is not given to the new one.
        std::fs::rename(&folder, root.path().join("away")).unwrap();
        assert!(before.check().is_err() && devices.get("d1").is_err());

        std::fs::create_dir(&folder).unwrap();
        let after = devices.get("d1").unwrap();
        assert!(after.check().is_ok() && before.check().is_err());
    }
}
