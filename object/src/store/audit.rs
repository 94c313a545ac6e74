//! Reading an object to distrust it: first all that can be known without its body, then the body, piece by piece.
//!
//! What is not what was written is moved to quarantine, in the auditor's name. The kernel is told to forget what it
//! remembers of a body before and after it is read: so the disk is read and not the memory, and what clients read often is not
//! pushed out by what nobody reads.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use apus_base::hash_path::{HashPath, PathHash};
use apus_base::hex::hex;
use apus_base::timestamp::Timestamp;
use md5::{Digest as _, Md5};
use rustix::fs::Advice;
use rustix::io::Errno;

use super::attributes::{self, Damage};
use super::error::StoreError;
use super::index::{self, Shelf};
use super::location::Location;
use super::metadata::{self, Metadata};
use super::names::{FileName, FileSet};
use super::quarantine::{Finder, quarantine};
use super::read::{self, Found};
use super::write::write_tombstone;

/// Bytes of a body read at once.
const CHUNK: u64 = 1024 * 1024;

/// What looking at an object found.
#[derive(Debug)]
pub struct Looked {
    /// What there is.
    pub state: State,
    /// Names in its folder that are none of ours or Swift's.
    pub unexpected: Vec<String>,
}

/// What there is of an object.
#[derive(Debug)]
pub enum State {
    /// A version whose metadata is sound; its body is still to be read.
    Version(Box<Body>),
    /// Nothing but a sound tombstone, or nothing at all.
    Gone,
    /// It was damaged, and is in quarantine now.
    Quarantined,
}

/// A body that is being read.
#[derive(Debug)]
pub struct Body {
    /// Where it is; the name is what its metadata says.
    pub location: Location,
    /// What a client sees of it.
    pub metadata: Arc<Metadata>,
    /// When it was written.
    pub timestamp: Timestamp,
    /// When it was changed last: the same, or its last POST's.
    changed: Timestamp,
    /// Its length in bytes.
    pub length: u64,
    file: File,
    read: u64,
    md5: Md5,
    /// What the MD5 should be.
    etag: String,
}

/// What reading on found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// It is what was written.
    Sound,
    /// It was not, and is in quarantine.
    Quarantined,
}

/// Looks at the object in the folder of a hash: do its files have metadata that can be true, and is it the object of that hash?
/// Blocking.
///
/// # Errors
/// What the disk says.
pub fn look(
    shelf: &Shelf,
    partition: u32,
    hash: PathHash,
    salt: &HashPath,
    now: Timestamp,
) -> Result<Looked, StoreError> {
    let folder = shelf.object(partition, hash, "").folder();
    // A file in its place, or a folder that cannot be listed, is for `open` to move.
    let names = index::file_names(&folder).unwrap_or_default();
    let files = FileSet::choose(&names);
    let unexpected = names.into_iter().filter(|name| FileName::parse(name).is_none()).collect();
    let name = name(&folder, &files).unwrap_or_default();
    let location = shelf.object(partition, hash, name);
    let state = match read::open(&location, now, true, Finder::Audit)? {
        Found::Nothing { quarantined } => {
            if quarantined {
                State::Quarantined
            } else {
                State::Gone
            }
        }
        Found::Collision => put_away(&location, files.last(), "its files name several objects")?,
        _ if is_misplaced(&location, &files, salt) => put_away(&location, files.last(), "it belongs to another hash")?,
        Found::Deleted(_) | Found::Expired(..) => State::Gone,
        Found::Object(object) => {
            let etag = object.etag().to_owned();
            let changed = object.timestamp();
            let (metadata, timestamp, length) = (Arc::clone(&object.metadata), object.data_timestamp, object.length);
            let (file, read, md5) = (object.file, 0, Md5::new());
            State::Version(Box::new(Body { location, metadata, timestamp, changed, length, file, read, md5, etag }))
        }
    };
    Ok(Looked { state, unexpected })
}

/// The object's path as its files have it; nothing when they do not say it.
fn name(folder: &std::path::Path, files: &FileSet) -> Option<String> {
    // What a reader takes it from: the last POST's, before the PUT's.
    let first = [&files.meta, &files.rewrap, &files.data, &files.tombstone].into_iter().flatten().next()?;
    let file = File::open(folder.join(first.text())).ok()?;
    attributes::read(&file).ok()?.metadata.text(metadata::NAME).map(str::to_owned)
}

/// A tombstone without a name, which some old one of Swift's may be, is nobody else's.
fn is_misplaced(location: &Location, files: &FileSet, salt: &HashPath) -> bool {
    let unnamed = location.name.is_empty() && files.data.is_none();
    !unnamed && salt.of_object_path(&location.name) != Some(location.hash)
}

fn put_away(location: &Location, damaged: Timestamp, why: &str) -> Result<State, StoreError> {
    quarantine(location, damaged, Finder::Audit, &why).map(|_| State::Quarantined)
}

impl Body {
    /// Reads a piece of the body. Blocking.
    ///
    /// # Errors
    /// When the disk fails as a whole, or does not let it be moved away.
    pub fn read_on(&mut self) -> Result<Progress, StoreError> {
        match self.read_chunk() {
            Ok(()) if self.read < self.length => return Ok(Progress::More),
            Ok(()) => {}
            Err(error) if is_damage(&error) => return self.damaged(&format!("it cannot be read: {error}")),
            Err(error) => return Err(StoreError::while_doing("read a body")(error)),
        }
        let found = hex(&std::mem::take(&mut self.md5).finalize());
        if found == self.etag {
            Ok(Progress::Sound)
        } else {
            self.damaged(&format!("its MD5 is {found}, its ETag {}", self.etag))
        }
    }

    /// Moves it to quarantine since a watcher wants it gone. Blocking.
    ///
    /// # Errors
    /// What the disk says.
    pub fn put_away(&self, why: &str) -> Result<(), StoreError> {
        quarantine(&self.location, self.timestamp, Finder::Watcher, &why).map(|_| ())
    }

    /// Deletes it since a watcher wants it gone: a tombstone just after it, which reaches the other copies as any does.
    /// Blocking.
    ///
    /// # Errors
    /// What the disk says.
    pub fn delete(&self) -> Result<(), StoreError> {
        write_tombstone(&self.location, self.changed.just_after()).map(|_| ())
    }

    fn read_chunk(&mut self) -> io::Result<()> {
        let wanted = (self.length - self.read).min(CHUNK);
        let mut chunk = vec![0; usize::try_from(wanted).map_err(io::Error::other)?];
        self.forget(wanted);
        self.file.read_exact_at(&mut chunk, self.read)?;
        self.forget(wanted);
        self.md5.update(&chunk);
        self.read += wanted;
        Ok(())
    }

    fn damaged(&self, why: &str) -> Result<Progress, StoreError> {
        let why = Damage::Contradiction(why.to_owned());
        quarantine(&self.location, self.timestamp, Finder::Audit, &why).map(|_| Progress::Quarantined)
    }

    /// Advice only.
    fn forget(&self, bytes: u64) {
        let _ = rustix::fs::fadvise(&self.file, self.read, NonZeroU64::new(bytes), Advice::DontNeed);
    }
}

/// What a disk says of a bad place, rather than of itself.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    let bad_place = [Errno::IO, Errno::UCLEAN, Errno::NODATA, Errno::BADMSG];
    error.kind() == io::ErrorKind::UnexpectedEof
        || bad_place.iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

#[cfg(test)]
mod tests;
