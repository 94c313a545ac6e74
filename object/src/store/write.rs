//! Writing: a file without a name takes the body, gets its metadata, is put on stable storage, and only then gets its name.
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
//!
//! **A short version** goes through the device's journal ([`redo`]), if it has one with room:
//!
//! | step | after a power cut here |
//! |---|---|
//! | 1, 2, and the mark and the fence of 4 and 5 | as above |
//! | 3. its record is flushed in the journal | old or new: it is made again from the journal, also if nothing of it reached the disk |
//! | 5. link the file to its name | new, likewise |
//! | 7, 8. as above | new |
//!
//! So there is one flush, shared with all that is written at the same time, in place of three. The file still does not get its name
//! before all of it is on stable storage, and what it replaces is not removed before that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use apus_base::crash;
use apus_base::fs::{Applying, DeviceError, NewDirs, Reserve, TmpFile};
use apus_base::timestamp::Timestamp;
use bytes::Bytes;
use rustix::fs::FallocateFlags;

use super::attributes;
use super::crash_points::{DELETE, POST, PUT, Points};
use super::direct::Direct;
use super::error::{StoreError, is_not_found};
use super::fence::{self, Entry};
use super::index;
use super::location::Location;
use super::metadata::{self, Metadata};
use super::names::{FileName, Kind};
use super::{read, redo};

/// From this size on a file's blocks are reserved before its body arrives. Below it the check of the free space and the
/// write itself are as good, and reserving would cost a small PUT a third journal update.
const RESERVE_FROM_BYTES: u64 = 1024 * 1024;
/// From this size on a body is kept out of the page cache, where a large one would push out many small ones: it is written
/// past it, if its length is known, and otherwise dropped from it once it is flushed. Swift's `keep_cache_size`.
const UNCACHED_FROM_BYTES: u64 = 5 * 1024 * 1024;
/// How often a name is tried in a folder that goes away meanwhile.
const MAX_LINKS: usize = 5;

/// A file that has no name yet.
#[derive(Debug)]
pub struct Staged {
    pub(super) tmp: TmpFile,
    length: u64,
    direct: Option<Direct>,
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
        let is_large = expected.is_some_and(|bytes| bytes >= UNCACHED_FROM_BYTES);
        let direct = if is_large { Direct::begin(tmp.file()) } else { None };
        Ok(Self { tmp, length: 0, direct })
    }

    /// Appends to the body.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&mut self, chunks: &[Bytes]) -> Result<(), StoreError> {
        let file = self.tmp.file();
        for chunk in chunks {
            let written = match &mut self.direct {
                Some(direct) => direct.write(file, chunk),
                None => file.write_all_at(chunk, self.length),
            };
            written.map_err(StoreError::while_doing("write the body"))?;
            self.length += chunk.len() as u64;
        }
        Ok(())
    }

    /// Says that the body is complete: it is all in the file then.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        let ended = self.direct.take().map_or(Ok(()), |direct| direct.end(self.tmp.file()));
        ended.map_err(StoreError::while_doing("write the body"))
    }

    /// Whether it may go through the journal.
    fn is_short(&self) -> bool {
        self.length <= redo::MAX_BODY_BYTES as u64
    }

    /// The bytes of the body so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Makes this the object's newest version. `metadata` needs its timestamp; the name is added here.
    ///
    /// # Errors
    /// What the disk says; then the old version stays.
    pub fn commit(mut self, location: &Location, metadata: Metadata) -> Result<Committed, StoreError> {
        self.end()?;
        commit(&self, location, metadata, Kind::Data, None, &PUT)
    }

    /// The same for a writer that has come in already, so that no fence is raised before it while it is at work.
    ///
    /// # Errors
    /// As [`Staged::commit`].
    pub fn commit_entered(
        mut self,
        location: &Location,
        metadata: Metadata,
        entry: Entry,
    ) -> Result<Committed, StoreError> {
        self.end()?;
        commit(&self, location, metadata, Kind::Data, Some(entry), &PUT)
    }

    /// Flushes the body, which is complete, so that less is left to do when it is committed.
    ///
    /// # Errors
    /// What the disk says.
    pub fn flush(&mut self, location: &Location) -> Result<(), StoreError> {
        self.end()?;
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
    let staged = Staged { tmp: create_tmp(location)?, length: 0, direct: None };
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
    let dirs = device.make_dirs(&location.relative()).map_err(StoreError::while_doing("make the object's folder"))?;
    crash::point(points.folder_made);
    if !staged.is_short() {
        flush_body(staged, location)?;
        crash::point(points.file_flushed);
    }
    let _mark = index::mark(location)?;
    let _entry = match entered {
        // A POST decides nothing that a condition asks about.
        None if kind == Kind::Meta => None,
        None => Some(fence::enter(location, name.timestamp).inspect_err(|_| dirs.undo())?),
        entered => entered,
    };
    let mut applying = None;
    if staged.is_short() {
        applying = journaled(staged, location, &name, &metadata).inspect_err(|_| dirs.undo())?;
        if applying.is_none() {
            flush_body(staged, location)?;
        }
        crash::point(points.file_flushed);
    }
    let is_journaled = applying.is_some();
    let dirs = match give_name(staged, location, dirs, &name, is_journaled, points)? {
        Some(dirs) => dirs,
        None => return Ok(Committed::Exists),
    };
    crash::point(points.linked);
    if !is_journaled {
        let flushed = device.flush_name(staged.tmp.file(), &dirs.path);
        flushed.map_err(StoreError::while_doing("flush the object's folder"))?;
    }
    crash::point(points.link_flushed);
    remove_obsolete(location);
    crash::point(points.cleaned);
    device.check()?;
    Ok(Committed::Done)
}

/// The version's record in the journal; `None` if there is no room for it.
fn journaled(
    staged: &Staged,
    location: &Location,
    name: &FileName,
    metadata: &Metadata,
) -> Result<Option<Applying>, StoreError> {
    let Some(journal) = location.device.journal() else { return Ok(None) };
    // Short as it is, it is in the page cache.
    let mut body = vec![0; usize::try_from(staged.length).unwrap_or(0)];
    staged.tmp.file().read_exact_at(&mut body, 0).map_err(StoreError::while_doing("read the body"))?;
    redo::append(journal, location, name, metadata, &body)
}

fn flush_body(staged: &Staged, location: &Location) -> Result<(), StoreError> {
    let file = staged.tmp.file();
    location.device.flush_file(file).map_err(StoreError::while_doing("flush the file"))?;
    if staged.length >= UNCACHED_FROM_BYTES {
        // Advice only.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }
    Ok(())
}

/// Links the file to its name, in the folder that it gives; `None` if there is a file of that name.
fn give_name(
    staged: &Staged,
    location: &Location,
    mut dirs: NewDirs,
    name: &FileName,
    is_journaled: bool,
    points: &Points,
) -> Result<Option<NewDirs>, StoreError> {
    for tries in 1.. {
        if !is_journaled {
            location.device.flush_dirs(&dirs).map_err(StoreError::while_doing("flush the folders"))?;
        }
        crash::point(points.folder_flushed);
        match staged.tmp.link(&dirs.path.join(name.text())) {
            Ok(()) => break,
            // Replication has removed the folder while it was still empty.
            Err(error) if is_not_found(&error) && tries < MAX_LINKS => dirs = make_folder(location)?,
            Err(error) => {
                dirs.undo();
                let exists = error.kind() == io::ErrorKind::AlreadyExists;
                return if exists { Ok(None) } else { Err(StoreError::while_doing("name the file")(error)) };
            }
        }
    }
    Ok(Some(dirs))
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
