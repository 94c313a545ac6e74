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

use apus_base::timestamp::Timestamp;

use super::attributes::{self, Damage, ReadError};
use super::error::{StoreError, is_not_found};
use super::folder::Folder;
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
    /// The length of the body, which begins the file.
    pub length: u64,
    /// What a client sees.
    pub metadata: Metadata,
    /// What the PUT wrote.
    pub data_metadata: Metadata,
    /// What the last POST wrote, with the newest content type of any POST.
    pub meta_metadata: Option<Metadata>,
    /// When the PUT was.
    pub data_timestamp: Timestamp,
    /// Whether `data_metadata` is on its way into the file, or was when a process died.
    pub rewrapping: bool,
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
    Expired(Timestamp, Metadata),
    /// Another object with the same hash.
    Collision,
}

impl Object {
    /// The newest timestamp of the object: its PUT's, or its last POST's.
    pub fn timestamp(&self) -> Timestamp {
        self.metadata.timestamp(metadata::TIMESTAMP).unwrap_or(self.data_timestamp)
    }

    /// When the content type was set.
    pub fn content_type_timestamp(&self) -> Timestamp {
        self.metadata.timestamp(metadata::CONTENT_TYPE_TIMESTAMP).unwrap_or(self.data_timestamp)
    }

    /// The MD5 that the body should have.
    pub fn etag(&self) -> &str {
        self.metadata.text(metadata::ETAG).unwrap_or("")
    }
}

/// Opens an object as of `now`; what is damaged is moved to quarantine in the name of `by`. Blocking.
///
/// # Errors
/// What the system says, or `Changing`.
pub fn open(location: &Location, now: Timestamp, open_expired: bool, by: Finder) -> Result<Found, StoreError> {
    let mut damaged = false;
    for _ in 0..MAX_CHANGES {
        let (folder, files) = match look(location) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Found::Nothing { quarantined: false }),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory || attributes::is_lost(&error) => {
                quarantine_folder(location, by, &error)?;
                return Ok(Found::Nothing { quarantined: true });
            }
            Err(error) => return Err(StoreError::while_doing("list an object's files")(error)),
        };
        match load(location, &folder, &files) {
            Ok(Some(Opened::Object(object))) => return Ok(judge(object, location, now, open_expired)),
            Ok(Some(Opened::Deleted(timestamp))) => return Ok(Found::Deleted(timestamp)),
            Ok(None) => return Ok(Found::Nothing { quarantined: false }),
            Err(OpenError::Changed) => {}
            // It may have been read while its metadata was being rewritten; then a second look finds it whole.
            Err(OpenError::Read(ReadError::Damage(_))) if !damaged => damaged = true,
            Err(OpenError::Read(ReadError::Store(error))) => return Err(error),
            Err(OpenError::Read(ReadError::Damage(damage))) => {
                quarantine(location, files.last(), by, &damage)?;
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
    let found = look(location).map_err(StoreError::while_doing("list an object's files"))?;
    Ok(found.map_or_else(FileSet::default, |(_, files)| files))
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

/// The folder, where there is one, and which of its files count.
fn look(location: &Location) -> io::Result<Option<(Folder, FileSet)>> {
    let Some(folder) = Folder::open(location)? else { return Ok(None) };
    let files = folder.files()?;
    Ok(Some((folder, files)))
}

fn load(location: &Location, folder: &Folder, files: &FileSet) -> Result<Option<Opened>, OpenError> {
    let Some(data) = &files.data else {
        return deleted(folder, files);
    };
    let (file, length, data_metadata) = match &files.rewrap {
        Some(rewrap) => read_rewrapped(folder, data, rewrap)?,
        None => {
            let (file, data) = read_named(folder, &data.text())?;
            (file, data.body_length, data.metadata)
        }
    };
    let data_timestamp = data_metadata
        .timestamp(metadata::TIMESTAMP)
        .ok_or_else(|| Damage::Contradiction("no timestamp that can be read".into()))?;
    let mut meta_metadata = match &files.meta {
        Some(meta) => Some(read_named(folder, &meta.text())?.1.metadata),
        None => None,
    };
    if let (Some(meta), Some(newest), true) =
        (&mut meta_metadata, &files.content_type, files.content_type != files.meta)
    {
        take_content_type(meta, &read_named(folder, &newest.text())?.1.metadata);
    }
    let metadata = match &meta_metadata {
        Some(meta) => merged(&data_metadata, meta, data_timestamp),
        None => data_metadata.clone(),
    };
    let rewrapping = files.rewrap.is_some();
    let object = Object { file, length, metadata, data_metadata, meta_metadata, data_timestamp, rewrapping };
    verify(&object, location)?;
    Ok(Some(Opened::Object(Box::new(object))))
}

fn deleted(folder: &Folder, files: &FileSet) -> Result<Option<Opened>, OpenError> {
    let Some(tombstone) = &files.tombstone else {
        return Ok(None);
    };
    let (_, attributes) = read_named(folder, &tombstone.text())?;
    let timestamp = attributes.metadata.timestamp(metadata::TIMESTAMP).unwrap_or(tombstone.timestamp);
    Ok(Some(Opened::Deleted(timestamp)))
}

/// A version whose own metadata is not to be looked at.
fn read_rewrapped(folder: &Folder, data: &FileName, rewrap: &FileName) -> Result<(File, u64, Metadata), OpenError> {
    let file = open_named(folder, &data.text())?;
    let metadata = read_named(folder, &rewrap.text())?.1.metadata;
    let length = metadata.content_length();
    let found = file.metadata().map_err(StoreError::while_doing("look at a file"))?.len();
    let length = length.filter(|length| *length <= found);
    let length = length.ok_or_else(|| Damage::Contradiction("the body is shorter than its metadata says".into()))?;
    Ok((file, length, metadata))
}

fn open_named(folder: &Folder, name: &str) -> Result<File, OpenError> {
    match folder.file(name) {
        Err(error) if is_not_found(&error) => Err(OpenError::Changed),
        file => Ok(file.map_err(StoreError::while_doing("open an object"))?),
    }
}

fn read_named(folder: &Folder, name: &str) -> Result<(File, attributes::Attributes), OpenError> {
    let file = open_named(folder, name)?;
    let attributes = attributes::read(&file)?;
    Ok((file, attributes))
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
fn verify(object: &Object, location: &Location) -> Result<(), Damage> {
    let contradiction = |what: &str| Err(Damage::Contradiction(what.to_owned()));
    if object.metadata.get(metadata::NAME).is_none() {
        return contradiction("no name");
    }
    if object.metadata.get(metadata::DELETE_AT).is_some() && delete_at(&object.metadata).is_none() {
        return contradiction("X-Delete-At is not a number");
    }
    if is_collision(object, location) {
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

fn is_collision(object: &Object, location: &Location) -> bool {
    object.metadata.get(metadata::NAME) != Some(location.name.as_bytes())
}

fn judge(object: Box<Object>, location: &Location, now: Timestamp, open_expired: bool) -> Found {
    if is_collision(&object, location) {
        tracing::error!(asked = location.name, "another object has the same hash");
        return Found::Collision;
    }
    let expired = delete_at(&object.metadata).is_some_and(|secs| Timestamp::from_secs(secs) <= now);
    if expired && !open_expired { Found::Expired(object.timestamp(), object.metadata) } else { Found::Object(object) }
}

/// `X-Delete-At` in seconds since 1970.
pub fn delete_at(metadata: &Metadata) -> Option<u64> {
    metadata.text(metadata::DELETE_AT)?.trim().parse().ok()
}
