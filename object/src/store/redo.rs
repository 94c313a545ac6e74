//! Short versions in the device's [`Journal`]: written there first, and made again from there after a power cut.
//!
//! A record is a file as it was meant to be:
//!
//! ```text
//! version  policy  partition  hash   name's length, name   metadata's length, metadata   body
//! 1        4       4          16     2                     4                              the rest
//! ```
//!
//! Numbers are little endian, metadata is the pickle that is in the file's attributes. [`replay`] makes the file unless it is there
//! and whole, or something newer has replaced it: so a record may be replayed again at any time later, and the order of two does not
//! matter. Whether it is whole is asked of the file, since its metadata may have been [rewritten](super::rewrap) since.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use apus_base::fs::{Applying, Device, Journal};
use apus_base::hash_path::PathHash;
use apus_base::hex::hex;
use apus_base::policy::PolicyIndex;
use md5::{Digest as _, Md5};

use super::attributes;
use super::error::{StoreError, is_not_found};
use super::index;
use super::location::Location;
use super::metadata::{self, Metadata};
use super::names::{FileName, FileSet, Kind};
use super::write::{create_tmp, make_folder, remove_obsolete};

/// The longest body that goes through the journal: what proxies send in one request. A longer one is not worth writing twice: its
/// own bytes cost more than its flush, and fewer of them fit between two checkpoints.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
/// The version of the form of a record.
const VERSION: u8 = 1;

/// Opens a device's journal, unless it is, having replayed what was left in it. Blocking.
pub fn open(device: &Arc<Device>, bytes: u64) {
    device.open_journal(bytes, |record| replay(device, record));
}

/// As [`open`], if there is one already: a folder beside the devices gets none by being looked at. Blocking.
pub fn open_left(device: &Arc<Device>, bytes: u64) {
    if device.has_journal() {
        open(device, bytes);
    }
}

/// Puts a version on stable storage before it is made. `None` if there is no room: then it is flushed by itself.
///
/// # Errors
/// What the disk says.
pub(super) fn append(
    journal: &Journal,
    location: &Location,
    name: &FileName,
    metadata: &Metadata,
    body: &[u8],
) -> Result<Option<Applying>, StoreError> {
    let (name, pickled) = (name.text(), metadata.to_pickle());
    let mut head = vec![VERSION];
    head.extend_from_slice(&location.policy.0.to_le_bytes());
    head.extend_from_slice(&location.partition.to_le_bytes());
    head.extend_from_slice(&location.hash.0);
    let (Ok(name_length), Ok(length)) = (u16::try_from(name.len()), u32::try_from(pickled.len())) else {
        return Ok(None);
    };
    head.extend_from_slice(&name_length.to_le_bytes());
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(&length.to_le_bytes());
    journal.append(&[&head, &pickled, body]).map_err(StoreError::while_doing("write to the journal"))
}

/// What a record says.
#[derive(Debug, PartialEq)]
struct Record<'a> {
    policy: PolicyIndex,
    partition: u32,
    hash: PathHash,
    name: FileName,
    metadata: Metadata,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (policy, rest) = rest.split_first_chunk()?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        let (length, rest) = rest.split_first_chunk()?;
        let (pickled, body) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
        let name = FileName::parse(std::str::from_utf8(name).ok()?)?;
        let metadata = Metadata::from_pickle(pickled).ok()?;
        let (policy, partition) = (PolicyIndex(u32::from_le_bytes(*policy)), u32::from_le_bytes(*partition));
        (*version == VERSION).then_some(Self { policy, partition, hash: PathHash(*hash), name, metadata, body })
    }
}

/// Makes the file of a record, if it is not there. Nothing is flushed. Blocking.
///
/// # Errors
/// What the disk says, if that is not damage in this one place: then other replicas have the version.
fn replay(device: &Arc<Device>, record: &[u8]) -> io::Result<()> {
    let Some(record) = Record::parse(record) else {
        tracing::error!(device = device.name(), "a record of the journal cannot be read, and is left out");
        return Ok(());
    };
    let name = record.metadata.text(metadata::NAME).unwrap_or_default().to_owned();
    let Record { policy, partition, hash, .. } = record;
    let location = Location { device: Arc::clone(device), policy, partition, hash, name };
    match redo(&location, &record) {
        Err(StoreError::Io { source, .. })
            if attributes::is_lost(&source) || source.kind() == io::ErrorKind::NotADirectory =>
        {
            tracing::error!(object = location.name, error = %source, "a damaged folder keeps a version from being made again");
            Ok(())
        }
        redone => redone.map_err(io::Error::other),
    }
}

fn redo(location: &Location, record: &Record<'_>) -> Result<(), StoreError> {
    let text = record.name.text();
    let mut names = index::file_names(&location.folder()).map_err(StoreError::while_doing("list an object's files"))?;
    names.push(text.clone());
    if FileSet::choose(&names).obsolete.contains(&text) || is_whole(location, record)? {
        return Ok(());
    }
    let failed = StoreError::while_doing("make a version again");
    let tmp = create_tmp(location)?;
    tmp.file().write_all_at(record.body, 0).map_err(&failed)?;
    attributes::write(tmp.file(), &record.metadata, record.body.len() as u64)?;
    let folder = make_folder(location)?.path;
    let _mark = index::mark(location)?;
    tmp.replace(location.device.path(), &folder.join(&text)).map_err(&failed)?;
    remove_obsolete(location);
    tracing::debug!(object = location.name, file = text, "made again from the journal");
    Ok(())
}

/// Whether a file of that name is there that is what it says of itself.
fn is_whole(location: &Location, record: &Record<'_>) -> Result<bool, StoreError> {
    let file = match File::open(location.folder().join(record.name.text())) {
        Err(error) if is_not_found(&error) => return Ok(false),
        file => file.map_err(StoreError::while_doing("open an object"))?,
    };
    let Ok(found) = attributes::read(&file) else { return Ok(false) };
    if record.name.kind != Kind::Data {
        return Ok(true);
    }
    if found.metadata.content_length() != Some(found.body_length) {
        return Ok(false);
    }
    // A longer one of the same timestamp did not come through the journal: it was flushed before it had its name.
    let Some(length) = usize::try_from(found.body_length).ok().filter(|length| *length <= MAX_BODY_BYTES) else {
        return Ok(true);
    };
    let mut body = vec![0; length];
    let is_read = file.read_exact_at(&mut body, 0).is_ok();
    Ok(is_read && found.metadata.text(metadata::ETAG) == Some(&hex(&Md5::digest(&body))))
}

#[cfg(test)]
mod tests;
