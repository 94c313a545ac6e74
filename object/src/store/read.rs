//! Opening an object: which of its files count, what they say together, and whether that can be true.
//!
//! The metadata of an object that had a POST is the `.meta`'s, with what a POST cannot change taken from the `.data`:
//! length, ETag, system metadata, the static large object mark, and the content type unless the POST's is newer.
//!
//! What contradicts itself (a wrong checksum, a length that is not the file's, a name that is not the object's hash, a
//! number that is none) moves the object to quarantine and counts as absent. A name that is another object's is a
//! collision of hashes, or a liar's request; nothing is moved then.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use apus_base::clock;
use apus_base::timestamp::Timestamp;

use super::attributes::{self, Attributes, Damage, ReadError};
use super::error::{StoreError, is_not_found};
use super::folder::Folder;
use super::inode::InodeState;
use super::known::{Known, delete_at};
use super::location::Location;
use super::metadata::{self, Metadata};
use super::names::{FileName, FileSet};
use super::quarantine::{Finder, quarantine, quarantine_folder};

/// How often the files may change between being listed and being opened. Each time a newer write has been finished, so
/// this ends by itself unless an object is overwritten faster than it can be read.
const MAX_CHANGES: usize = 16;

/// An open object.
#[derive(Debug)]
pub struct Object {
    /// The file with the body.
    pub file: File,
    /// What its files say.
    pub known: Arc<Known>,
}

impl Deref for Object {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

/// What opening found.
#[derive(Debug)]
pub enum Found {
    /// The object.
    Object(Box<Object>),
    /// Nothing, or something damaged that has been moved away.
    Nothing {
        /// Whether something damaged was moved.
        quarantined: bool,
    },
    /// A tombstone.
    Deleted(Timestamp),
    /// An object whose `X-Delete-At` has passed, and its newest timestamp.
    Expired(Timestamp, Arc<Metadata>),
    /// Another object with the same hash.
    Collision,
}

/// Opens an object as of `now`; what is damaged is moved to quarantine in the name of `by`. Blocking.
///
/// # Errors
/// What the system says, or `Changing`.
pub fn open(location: &Location, now: Timestamp, open_expired: bool, by: Finder) -> Result<Found, StoreError> {
    let mut damaged = false;
    for _ in 0..MAX_CHANGES {
        let looked = match Looked::at(location) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Found::Nothing { quarantined: false }),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory || attributes::is_lost(&error) => {
                quarantine_folder(location, by, &error)?;
                return Ok(Found::Nothing { quarantined: true });
            }
            Err(error) => return Err(StoreError::while_doing("list an object's files")(error)),
        };
        match load(location, &looked) {
            Ok(Some(Opened::Object(object))) => return Ok(judge(object, location, now, open_expired)),
            Ok(Some(Opened::Deleted(timestamp))) => return Ok(Found::Deleted(timestamp)),
            Ok(None) => return Ok(Found::Nothing { quarantined: false }),
            Err(OpenError::Changed) => {}
            // It may have been read while its metadata was being rewritten; then a second look finds it whole.
            Err(OpenError::Read(ReadError::Damage(_))) if !damaged => damaged = true,
            Err(OpenError::Read(ReadError::Store(error))) => return Err(error),
            Err(OpenError::Read(ReadError::Damage(damage))) => {
                quarantine(location, looked.files.last(), by, &damage)?;
                return Ok(Found::Nothing { quarantined: true });
            }
        }
    }
    Err(StoreError::Changing)
}

/// The files that count. Blocking.
///
/// # Errors
/// What the system says.
pub fn list(location: &Location) -> Result<FileSet, StoreError> {
    let looked = Looked::at(location).map_err(StoreError::while_doing("list an object's files"))?;
    Ok(looked.map_or_else(FileSet::default, |looked| looked.files))
}

enum Opened {
    Object(Box<Object>),
    Deleted(Timestamp),
}

enum OpenError {
    Changed,
    Read(ReadError),
}

impl<E: Into<ReadError>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self::Read(error.into())
    }
}

/// An object's folder, and which of its files count.
struct Looked {
    /// When this began.
    seen: Timestamp,
    folder: Folder,
    /// How the folder was before its files were listed.
    state: InodeState,
    files: FileSet,
}

impl Looked {
    /// `None` when there is no folder.
    fn at(location: &Location) -> io::Result<Option<Self>> {
        let seen = clock::now();
        let Some(folder) = Folder::open(location)? else { return Ok(None) };
        let state = folder.state()?;
        let files = folder.files()?;
        Ok(Some(Self { seen, folder, state, files }))
    }
}

fn load(location: &Location, looked: &Looked) -> Result<Option<Opened>, OpenError> {
    let files = &looked.files;
    let mut reading = Reading { folder: &looked.folder, files: Vec::new() };
    let Some(data) = &files.data else {
        return reading.deleted(files);
    };
    let (file, length, data_metadata) = match &files.rewrap {
        Some(rewrap) => reading.rewrapped(data, rewrap)?,
        None => {
            let (file, data) = reading.read(data)?;
            (file, data.body_length, data.metadata)
        }
    };
    let data_timestamp = data_metadata
        .timestamp(metadata::TIMESTAMP)
        .ok_or_else(|| Damage::Contradiction("no timestamp that can be read".into()))?;
    let meta_metadata = reading.meta(files)?;
    let data_metadata = Arc::new(data_metadata);
    let metadata = match &meta_metadata {
        Some(meta) => Arc::new(merged(&data_metadata, meta, data_timestamp)),
        None => Arc::clone(&data_metadata),
    };
    let known = Known {
        length,
        metadata,
        data_metadata,
        meta_metadata,
        data_timestamp,
        rewrapping: files.rewrap.is_some(),
        seen: looked.seen,
        folder: looked.state,
        files: reading.files,
    };
    verify(&known, location)?;
    Ok(Some(Opened::Object(Box::new(Object { file, known: Arc::new(known) }))))
}

/// An object's files on their way to be read, and how those were that have been.
struct Reading<'a> {
    folder: &'a Folder,
    files: Vec<(String, InodeState)>,
}

impl Reading<'_> {
    fn open(&self, name: &str) -> Result<File, OpenError> {
        match self.folder.file(name) {
            Err(error) if is_not_found(&error) => Err(OpenError::Changed),
            file => Ok(file.map_err(StoreError::while_doing("open an object"))?),
        }
    }

    fn read(&mut self, name: &FileName) -> Result<(File, Attributes), OpenError> {
        let name = name.text();
        let file = self.open(&name)?;
        let attributes = attributes::read(&file)?;
        self.files.push((name, attributes.state));
        Ok((file, attributes))
    }

    /// What the last POST wrote, with the newest content type.
    fn meta(&mut self, files: &FileSet) -> Result<Option<Metadata>, OpenError> {
        let Some(meta) = &files.meta else { return Ok(None) };
        let mut metadata = self.read(meta)?.1.metadata;
        if let Some(newest) = files.content_type.as_ref().filter(|newest| *newest != meta) {
            take_content_type(&mut metadata, &self.read(newest)?.1.metadata);
        }
        Ok(Some(metadata))
    }

    /// A version whose own metadata is not to be looked at.
    fn rewrapped(&mut self, data: &FileName, rewrap: &FileName) -> Result<(File, u64, Metadata), OpenError> {
        let file = self.open(&data.text())?;
        let metadata = self.read(rewrap)?.1.metadata;
        let found = file.metadata().map_err(StoreError::while_doing("look at a file"))?.len();
        let length = metadata.content_length().filter(|length| *length <= found);
        let length =
            length.ok_or_else(|| Damage::Contradiction("the body is shorter than its metadata says".into()))?;
        Ok((file, length, metadata))
    }

    fn deleted(&mut self, files: &FileSet) -> Result<Option<Opened>, OpenError> {
        let Some(tombstone) = &files.tombstone else {
            return Ok(None);
        };
        let (_, attributes) = self.read(tombstone)?;
        let timestamp = attributes.metadata.timestamp(metadata::TIMESTAMP).unwrap_or(tombstone.timestamp);
        Ok(Some(Opened::Deleted(timestamp)))
    }
}

fn take_content_type(meta: &mut Metadata, newer: &Metadata) {
    let (set, newest) = (metadata::CONTENT_TYPE_TIMESTAMP, newer.timestamp(metadata::CONTENT_TYPE_TIMESTAMP));
    if let (Some(content_type), Some(stamp)) = (newer.get(metadata::CONTENT_TYPE), newer.get(set))
        && newest > meta.timestamp(set)
    {
        meta.set(metadata::CONTENT_TYPE, content_type);
        meta.set(set, stamp);
    }
}

/// What a client sees of an object that had a POST.
fn merged(data: &Metadata, meta: &Metadata, data_timestamp: Timestamp) -> Metadata {
    let mut merged = meta.clone();
    let lasting = |key: &[u8]| {
        let fixed = [metadata::CONTENT_LENGTH, metadata::ETAG, metadata::STATIC_LARGE_OBJECT, "Deleted"];
        fixed.iter().any(|f| key.eq_ignore_ascii_case(f.as_bytes())) || is_system_metadata(key)
    };
    merged.extend(data.iter().filter(|(k, _)| lasting(k)).map(|(k, v)| (k.to_vec(), v.to_vec())));
    if meta.timestamp(metadata::CONTENT_TYPE_TIMESTAMP).is_none_or(|t| t < data_timestamp) {
        if let Some(content_type) = data.get(metadata::CONTENT_TYPE) {
            merged.set(metadata::CONTENT_TYPE, content_type);
        }
        merged.remove(metadata::CONTENT_TYPE_TIMESTAMP);
    }
    merged
}

/// `X-Object-Sysmeta-*`, which a PUT sets and a POST cannot change.
fn is_system_metadata(key: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-object-sysmeta-";
    key.len() > PREFIX.len() && key[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
}

/// The checks that [`judge`] does not make: only what the files say of themselves.
fn verify(object: &Known, location: &Location) -> Result<(), Damage> {
    let contradiction = |what: &str| Err(Damage::Contradiction(what.to_owned()));
    if object.metadata.get(metadata::NAME).is_none() {
        return contradiction("no name");
    }
    if object.metadata.get(metadata::DELETE_AT).is_some() && delete_at(&object.metadata).is_none() {
        return contradiction("X-Delete-At is not a number");
    }
    if !object.is_named(&location.name) {
        return Ok(());
    }
    match object.metadata.content_length() {
        None => contradiction("no Content-Length that can be read"),
        Some(length) if length != object.length => {
            let found = object.length;
            Err(Damage::Contradiction(format!("{found} bytes where Content-Length says {length}")))
        }
        Some(_) => Ok(()),
    }
}

fn judge(object: Box<Object>, location: &Location, now: Timestamp, open_expired: bool) -> Found {
    if !object.is_named(&location.name) {
        tracing::error!(asked = location.name, "another object has the same hash");
        return Found::Collision;
    }
    if !open_expired && object.has_expired(now) {
        return Found::Expired(object.timestamp(), Arc::clone(&object.metadata));
    }
    Found::Object(object)
}
