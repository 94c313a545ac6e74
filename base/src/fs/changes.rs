//! What changed on a device since somebody last looked, so that looking costs nothing when nothing did.
//!
//! A writer *marks* what it is about to change in the file `.changes` of a folder, and holds the mark until the change is
//! done or given up. Whoever wants to know *takes* the marks: the file is renamed away, and read when every writer that holds
//! a mark in it has let go. So a change is in the marks that are taken after it, or is not yet made:
//!
//! | a crash | is covered by |
//! |---|---|
//! | of a writer after its mark | the mark stays in the file, which the system keeps; its lock goes with the process |
//! | of the taker before it is done | the file that was renamed stays, and is taken again |
//! | of the machine | marks may be lost, the file itself not: its name is flushed before the first mark in it counts. It says under which boot it was made, so the taker sees that it knows nothing and must look at everything |
//!
//! After a clean stop there is no such file. Many processes may mark and take; a mark costs half a dozen system
//! calls and no flush, but for the first in a new file. Everything here blocks: run it on the device's queue.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::device::Device;
use super::tmp::TmpFile;

const NAME: &str = ".changes";
/// The length of a boot's id, as the kernel writes it.
const BOOT_BYTES: usize = 36;
/// A mark: four bytes of group and two of member, little endian.
const MARK_BYTES: usize = 6;

/// The files whose names are known to be durable, held open so that their inodes are not given to others.
#[derive(Debug, Default)]
pub(super) struct KnownChanges(Mutex<HashMap<PathBuf, (Identity, File)>>);

/// The device and the inode of a file.
type Identity = (u64, u64);

/// Says that something is being changed, until it is dropped.
#[derive(Debug)]
#[must_use = "a mark that is dropped before the change is done may be taken before it"]
pub struct Mark {
    /// Its shared lock goes when it is closed.
    _file: File,
}

/// Marks that were taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// What changed: groups and their members. Sorted, each once.
    pub marks: Vec<(u32, u16)>,
    /// Whether marks were lost, so that everything may have changed.
    pub lost: bool,
    files: Vec<PathBuf>,
}

impl Device {
    /// Marks a change of `member` of `group` in the folder `folder` below the device, which is made if need be.
    ///
    /// # Errors
    /// What the system says; then the change must not be made.
    pub fn mark(&self, folder: &Path, group: u32, member: u16) -> io::Result<Mark> {
        let path = self.path().join(folder).join(NAME);
        let (mut file, identity) = loop {
            match OpenOptions::new().read(true).append(true).open(&path) {
                Ok(file) => {
                    file.lock_shared()?;
                    let identity = identity(&file.metadata()?);
                    // Between opening and locking it may have been taken.
                    if is_at(&path, identity) {
                        break (file, identity);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(folder, &path)?,
                Err(error) => return Err(error),
            }
        };
        self.make_durable(&file, identity, &path)?;
        let mut mark = [0; MARK_BYTES];
        mark[..4].copy_from_slice(&group.to_le_bytes());
        mark[4..].copy_from_slice(&member.to_le_bytes());
        file.write_all(&mark)?;
        Ok(Mark { _file: file })
    }

    fn create(&self, folder: &Path, path: &Path) -> io::Result<()> {
        let dirs = self.make_dirs(folder)?;
        self.flush_dirs(&dirs)?;
        let tmp = TmpFile::create(self.path())?;
        tmp.file().write_all_at(&boot()?, 0)?;
        self.flush_file(tmp.file())?;
        match tmp.link(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.and_then(|()| self.flush_name(tmp.file(), &dirs.path)),
        }
    }

    /// Whoever made the file may not have flushed its name yet.
    fn make_durable(&self, file: &File, identity: Identity, path: &Path) -> io::Result<()> {
        let mut known = self.known_changes().0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(path).is_some_and(|(known, _)| *known == identity) {
            return Ok(());
        }
        self.flush_dir(path.parent().unwrap_or(self.path()))?;
        // Opened once more, by its number since it may have been renamed by now: a copy of the handle would share the lock.
        let held = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        known.insert(path.to_owned(), (identity, held));
        Ok(())
    }

    /// Whether there is anything to take. One or two system calls.
    pub fn has_marks(&self, folder: &Path) -> bool {
        let folder = self.path().join(folder);
        folder.join(NAME).exists() || renamed(&folder).is_ok_and(|files| !files.is_empty())
    }

    /// Takes the marks of a folder. Only one may be taken at a time: the caller sees to that. They come again unless
    /// [`Device::done`] is called.
    ///
    /// # Errors
    /// What the system says; nothing is lost then.
    pub fn take(&self, folder: &Path) -> io::Result<Taken> {
        let folder = self.path().join(folder);
        let from = folder.join(NAME);
        let to = folder.join(format!("{NAME}.{:x}", rename_number()));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (boot, mut taken) = (boot()?, Taken { files: renamed(&folder)?, ..Taken::default() });
        for path in &taken.files {
            let mut file = File::open(path)?;
            // Waits for those who hold marks in it.
            file.lock()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let (header, marks) = bytes.split_at(bytes.len().min(BOOT_BYTES));
            taken.lost |= header != boot;
            taken.marks.extend(marks.chunks_exact(MARK_BYTES).filter_map(parse));
        }
        taken.marks.sort_unstable();
        taken.marks.dedup();
        Ok(taken)
    }

    /// What was taken is dealt with, durably.
    ///
    /// # Errors
    /// What the system says; then it comes again.
    pub fn done(&self, taken: &Taken) -> io::Result<()> {
        let Some(folder) = taken.files.first().and_then(|file| file.parent()) else {
            return Ok(());
        };
        for file in &taken.files {
            std::fs::remove_file(file)?;
        }
        self.flush_dir(folder)
    }
}

fn parse(mark: &[u8]) -> Option<(u32, u16)> {
    let (group, member) = mark.split_first_chunk()?;
    Some((u32::from_le_bytes(*group), u16::from_le_bytes(member.try_into().ok()?)))
}

/// Whether the file at a path is that one.
fn is_at(path: &Path, file: Identity) -> bool {
    std::fs::metadata(path).is_ok_and(|there| identity(&there) == file)
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Files that were renamed to be taken, by this call or by one that did not come to its end. Not the one that writers mark in:
/// marks would come into it between its reading and its removal.
fn renamed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_taken = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == NAME) && path.extension().is_some();
    entries.map(|entry| entry.map(|e| e.path())).filter(|path| path.as_ref().map_or(true, is_taken)).collect()
}

/// A name that no earlier call used and left.
fn rename_number() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// What names this run of the kernel.
fn boot() -> io::Result<Vec<u8>> {
    let mut id = std::fs::read("/proc/sys/kernel/random/boot_id")?;
    id.resize(BOOT_BYTES, b' ');
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Devices;
    use std::sync::Arc;
    use std::sync::mpsc;

    const FOLDER: &str = "objects";

    fn device() -> (tempfile::TempDir, Arc<Device>) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let device = Devices::new(root.path(), 1).get("d1").unwrap();
        (root, device)
    }

    #[test]
    fn marks_are_taken_once_each_and_come_again_until_they_are_done() {
        let (_root, device) = device();
        let folder = Path::new(FOLDER);
        assert!(!device.has_marks(folder) && device.take(folder).unwrap().marks.is_empty());
        for (group, member) in [(7, 1), (7, 1), (u32::MAX, 0xfff)] {
            drop(device.mark(folder, group, member).unwrap());
        }
        let first = device.take(folder).unwrap();
        assert_eq!((first.marks.clone(), first.lost), (vec![(7, 1), (u32::MAX, 0xfff)], false));

        // The taker dies; meanwhile there is more.
        drop(device.mark(folder, 8, 2).unwrap());
        let again = device.take(folder).unwrap();
        assert_eq!(again.marks, [(7, 1), (8, 2), (u32::MAX, 0xfff)]);
        device.done(&again).unwrap();
        assert!(!device.has_marks(folder));
    }

    #[test]
    fn a_mark_that_is_held_is_waited_for() {
        let (_root, device) = device();
        let mark = device.mark(Path::new(FOLDER), 1, 1).unwrap();
        let (taken, result) = mpsc::channel();
        let taker = Arc::clone(&device);
        std::thread::spawn(move || taken.send(taker.take(Path::new(FOLDER)).unwrap().marks));
        // The file is renamed at once, so the next writer is not held up ...
        while device.path().join(FOLDER).join(NAME).exists() {
            std::thread::yield_now();
        }
        drop(device.mark(Path::new(FOLDER), 2, 2).unwrap());
        // ... and the taker has nothing before the change is done.
        assert!(result.try_recv().is_err());
        drop(mark);
        assert_eq!(result.recv().unwrap(), [(1, 1)]);
        assert_eq!(device.take(Path::new(FOLDER)).unwrap().marks, [(1, 1), (2, 2)]);
    }

    #[test]
    fn another_boot_means_that_all_may_have_changed() {
        let (_root, device) = device();
        drop(device.mark(Path::new(FOLDER), 1, 1).unwrap());
        let path = device.path().join(FOLDER).join(NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(device.take(Path::new(FOLDER)).unwrap().lost);
        // A file that the crash left empty says as much.
        std::fs::write(&path, b"").unwrap();
        assert!(device.take(Path::new(FOLDER)).unwrap().lost);
    }

    #[test]
    fn writers_and_takers_at_once_miss_nothing() {
        let (_root, device) = device();
        let writers: Vec<_> = (0..4u32)
            .map(|group| {
                let device = Arc::clone(&device);
                std::thread::spawn(move || {
                    (0..200).for_each(|m| drop(device.mark(Path::new(FOLDER), group, m).unwrap()));
                })
            })
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut take = || {
            let taken = device.take(Path::new(FOLDER)).unwrap();
            seen.extend(taken.marks.iter().copied());
            device.done(&taken).unwrap();
        };
        while writers.iter().any(|writer| !writer.is_finished()) {
            take();
        }
        take();
        assert_eq!(seen.len(), 800);
    }
}
