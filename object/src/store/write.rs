//! Writing: a file without a name takes the body, gets its metadata, is flushed, and only then gets its name.
//!
//! | step | after a crash here |
//! |---|---|
//! | 1. a file without a name, the body, the metadata | nothing: such a file is gone, or swept from `tmp` at start |
//! | 2. make the object's folder | an empty folder, which the next write uses |
//! | 3. flush the file | as 2 |
//! | 4. flush the folders on the way that were new, and mark the object as changed for the index | as 2 |
//! | 5. look whether a [`fence`] forbids it; link the file to its name | old or new: the name may or may not have reached the disk, the file behind it is whole |
//! | 6. flush the object's folder | new |
//! | 7. remove the files that this one replaces | new: it wins by its timestamp, and the next write removes the rest |
//! | 8. look whether the device is still there, then acknowledge | new |
//!
//! Flushing the file (3) before it has a name (5) is what rules out a torn version; making the folder (2) before that lets
//! one journal commit carry both. A failure before 5 throws the file away and removes the folder if it was new. A failure
//! at 6 is answered as an error although the version may be there; the proxy counts it as not written, which is the
//! safe side. Every step is blocking and runs on the device's queue.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use apus_base::crash;
use apus_base::fs::{DeviceError, NewDirs, Reserve, TmpFile};
use apus_base::timestamp::Timestamp;
use bytes::Bytes;
use rustix::fs::FallocateFlags;

use super::attributes;
use super::crash_points::{DELETE, POST, PUT, Points};
use super::error::{StoreError, is_not_found};
use super::fence::{self, Entry};
use super::index;
use super::location::Location;
use super::metadata::{self, Metadata};
use super::names::{FileName, Kind};
use super::read;

/// From this size on a file's blocks are reserved before its body arrives. Below it the check of the free space and the
/// write itself are as good, and reserving would cost a small PUT a third journal update.
const RESERVE_FROM_BYTES: u64 = 1024 * 1024;
/// From this size on pages are dropped from the cache once they are flushed: a large object would push out many small ones.
const DROP_CACHE_FROM_BYTES: u64 = 5 * 1024 * 1024;
/// How often a name is tried in a folder that goes away meanwhile.
const MAX_LINKS: usize = 5;

/// A file that has no name yet.
#[derive(Debug)]
pub struct Staged {
    pub(super) tmp: TmpFile,
    length: u64,
}

impl Staged {
    /// A new file for a body of `expected` bytes, if that is known.
    ///
    /// # Errors
    /// `Full` when the reserve would be touched, `Missing` when the device is gone, or what the disk says.
    pub fn create(location: &Location, expected: Option<u64>, reserve: Reserve) -> Result<Self, StoreError> {
        reserve.check_for(&location.device, expected.unwrap_or(0))?;
        let tmp = create_tmp(location)?;
        if let Some(bytes) = expected.filter(|bytes| *bytes >= RESERVE_FROM_BYTES) {
            allocate(tmp.file(), bytes).map_err(StoreError::while_doing("reserve room"))?;
        }
        Ok(Self { tmp, length: 0 })
    }

    /// Appends to the body.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&mut self, chunks: &[Bytes]) -> Result<(), StoreError> {
        for chunk in chunks {
            self.tmp.file().write_all_at(chunk, self.length).map_err(StoreError::while_doing("write the body"))?;
            self.length += chunk.len() as u64;
        }
        Ok(())
    }

    /// The bytes of the body so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Makes this the object's newest version. `metadata` needs its timestamp; the name is added here.
    ///
    /// # Errors
    /// What the disk says; then the old version stays.
    pub fn commit(self, location: &Location, metadata: Metadata) -> Result<Committed, StoreError> {
        commit(&self, location, metadata, Kind::Data, None, &PUT)
    }

    /// The same for a writer that has come in already, so that no fence is raised before it while it is at work.
    ///
    /// # Errors
    /// As [`Staged::commit`].
    pub fn commit_entered(
        self,
        location: &Location,
        metadata: Metadata,
        entry: Entry,
    ) -> Result<Committed, StoreError> {
        commit(&self, location, metadata, Kind::Data, Some(entry), &PUT)
    }

    /// Flushes what has been written so far, so that less is left to do when it is committed.
    ///
    /// # Errors
    /// What the disk says.
    pub fn flush(&self, location: &Location) -> Result<(), StoreError> {
        location.device.flush_file(self.tmp.file()).map_err(StoreError::while_doing("flush the file"))
    }
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is on stable storage.
    Done,
    /// A file of that very timestamp is there already.
    Exists,
}

/// Writes a POST's metadata beside the object's data. Blocking.
///
/// # Errors
/// What the disk says; then the old metadata stays.
pub fn write_meta(location: &Location, metadata: Metadata, reserve: Reserve) -> Result<Committed, StoreError> {
    commit(&Staged::create(location, Some(0), reserve)?, location, metadata, Kind::Meta, None, &POST)
}

/// Writes a tombstone. The reserve is not kept here: deleting is what makes room. Blocking.
///
/// # Errors
/// What the disk says; then the object stays.
pub fn write_tombstone(location: &Location, timestamp: Timestamp) -> Result<Committed, StoreError> {
    let staged = Staged { tmp: create_tmp(location)?, length: 0 };
    let mut metadata = Metadata::default();
    metadata.set(metadata::TIMESTAMP, timestamp.internal());
    commit(&staged, location, metadata, Kind::Tombstone, None, &DELETE)
}

pub(super) fn create_tmp(location: &Location) -> Result<TmpFile, StoreError> {
    TmpFile::create(location.device.path()).map_err(|error| {
        let missing = || DeviceError::Missing(location.device.name().to_owned()).into();
        if is_not_found(&error) { missing() } else { StoreError::while_doing("make a file")(error) }
    })
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // The filesystem cannot; then the writes themselves say when the disk is full.
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        done => Ok(done?),
    }
}

fn commit(
    staged: &Staged,
    location: &Location,
    mut metadata: Metadata,
    kind: Kind,
    entered: Option<Entry>,
    points: &Points,
) -> Result<Committed, StoreError> {
    crash::point(points.written);
    metadata.set(metadata::NAME, location.name.as_bytes());
    let name = file_name(&metadata, kind)?;
    attributes::write(staged.tmp.file(), &metadata, staged.length)?;
    crash::point(points.described);

    let device = &location.device;
    let mut dirs =
        device.make_dirs(&location.relative()).map_err(StoreError::while_doing("make the object's folder"))?;
    crash::point(points.folder_made);
    device.flush_file(staged.tmp.file()).map_err(StoreError::while_doing("flush the file"))?;
    crash::point(points.file_flushed);
    if staged.length >= DROP_CACHE_FROM_BYTES {
        drop_cache(staged.tmp.file());
    }
    let _mark = index::mark(location)?;
    let _entry = match entered {
        // A POST decides nothing that a condition asks about.
        None if kind == Kind::Meta => None,
        None => Some(fence::enter(location, name.timestamp).inspect_err(|_| dirs.undo())?),
        entered => entered,
    };
    let mut linked = flush_and_link(staged, location, &dirs, &name, points);
    for _ in 1..MAX_LINKS {
        // Replication has removed the folder while it was still empty.
        if !matches!(&linked, Err(StoreError::Io { source, .. }) if is_not_found(source)) {
            break;
        }
        dirs = make_folder(location)?;
        linked = flush_and_link(staged, location, &dirs, &name, points);
    }
    if !matches!(linked, Ok(Committed::Done)) {
        dirs.undo();
        return linked;
    }
    crash::point(points.linked);
    device.flush_dir(&dirs.path).map_err(StoreError::while_doing("flush the object's folder"))?;
    crash::point(points.link_flushed);
    remove_obsolete(location);
    crash::point(points.cleaned);
    device.check()?;
    Ok(Committed::Done)
}

/// Makes the object's folder, also when replication removes an empty one on the way to it meanwhile.
pub(super) fn make_folder(location: &Location) -> Result<NewDirs, StoreError> {
    let mut made = location.device.make_dirs(&location.relative());
    for _ in 1..MAX_LINKS {
        // When the device itself is gone, that does not help, and it is said below.
        if !made.as_ref().is_err_and(is_not_found) {
            break;
        }
        made = location.device.make_dirs(&location.relative());
    }
    made.map_err(StoreError::while_doing("make the object's folder"))
}

fn flush_and_link(
    staged: &Staged,
    location: &Location,
    dirs: &NewDirs,
    name: &FileName,
    points: &Points,
) -> Result<Committed, StoreError> {
    location.device.flush_dirs(dirs).map_err(StoreError::while_doing("flush the folders"))?;
    crash::point(points.folder_flushed);
    match staged.tmp.link(&dirs.path.join(name.text())) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Committed::Exists),
        linked => linked.map(|()| Committed::Done).map_err(StoreError::while_doing("name the file")),
    }
}

fn drop_cache(file: &File) {
    // Advice only.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

pub(super) fn file_name(metadata: &Metadata, kind: Kind) -> Result<FileName, StoreError> {
    let missing = || StoreError::while_doing("name the file")(io::Error::from(io::ErrorKind::InvalidInput));
    let timestamp = metadata.timestamp(metadata::TIMESTAMP).ok_or_else(missing)?;
    let content_type = metadata.timestamp(metadata::CONTENT_TYPE_TIMESTAMP).filter(|_| kind == Kind::Meta);
    Ok(FileName { timestamp, kind, content_type })
}

/// What stays behind here is removed by the next write, so a failure is only logged.
pub(super) fn remove_obsolete(location: &Location) {
    let folder = location.folder();
    let obsolete = match read::list(location) {
        Ok(files) => files.obsolete,
        Err(error) => return tracing::warn!(object = location.name, %error, "older files stay"),
    };
    for name in obsolete {
        if let Err(error) = std::fs::remove_file(folder.join(&name))
            && !is_not_found(&error)
        {
            tracing::warn!(object = location.name, name, %error, "an older file stays");
        }
    }
}
