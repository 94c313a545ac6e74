//! Metadata on a file: in extended attributes as Swift does, or behind the body where they do not fit.
//!
//! **Swift's form.** `user.swift.metadata`, `user.swift.metadata1`, … hold the pickle in pieces of 64 KiB, and
//! `user.swift.metadata_checksum` its MD5 in hexadecimal. Files from before checksums have none.
//!
//! **Our form.** ext4 gives all attributes of a file 4 KiB together; Swift's limits allow more than ten times that. What the
//! filesystem refuses (ENOSPC, E2BIG, ERANGE) is appended to the same file as a *trailer*, the same pickle, and the small
//! attribute `user.apus.trailer` says where: version, offset, length and CRC-32 (IEEE) of the trailer, all little endian.
//! It is in the same file so that body and metadata appear and vanish in one step, whatever happens when. The file has to end
//! where the trailer does, and the offset has to be the body's length, so a file that was cut or grew is noticed.
//! A file with this attribute has none of Swift's. Swift cannot read such a file; it could not have written it there either.
//!
//! Reading never trusts: lengths are bounded before memory is taken, and what does not match is [`Damage`], for quarantine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use apus_base::crash;
use apus_base::hex::hex;
use md5::{Digest as _, Md5};
use rustix::io::Errno;
use xattr::FileExt as _;

use super::crash_points::REWRAP_HALF_CLEANED;
use super::error::StoreError;
use super::inode::InodeState;
use super::metadata::{InvalidMetadata, Metadata};

const METADATA: &str = "user.swift.metadata";
const CHECKSUM: &str = "user.swift.metadata_checksum";
const TRAILER: &str = "user.apus.trailer";
/// The most bytes Linux takes in one attribute.
const PIECE_BYTES: usize = 64 * 1024;
/// The most pieces read: 90 items of Swift's limits and 36 headers of 8 KiB, widened twice, stay below 1 MiB.
const MAX_PIECES: usize = 16;
/// The longest trailer read, by the same count.
const MAX_TRAILER_BYTES: u32 = 1024 * 1024;
/// The version of the form of `user.apus.trailer`.
const VERSION: u8 = 1;

/// What is wrong with a file's metadata; the file goes to quarantine.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// There is none.
    #[error("the file has no metadata")]
    Missing,
    /// It is not what was written.
    #[error("the metadata's checksum does not match")]
    Checksum,
    /// The trailer is not where the attribute says.
    #[error("the metadata's trailer is not where it should be")]
    Trailer,
    /// It cannot be read.
    #[error(transparent)]
    Invalid(#[from] InvalidMetadata),
    /// It contradicts the file.
    #[error("{0}")]
    Contradiction(String),
    /// The disk lost it.
    #[error("the disk lost it: {0}")]
    Lost(#[source] io::Error),
}

/// Why metadata was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file's fault.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The system's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Metadata read from a file, and how long the file's body is.
#[derive(Debug)]
pub struct Attributes {
    /// The metadata.
    pub metadata: Metadata,
    /// The bytes before the trailer, or of the whole file.
    pub body_length: u64,
    /// The file, as it was before they were read.
    pub state: InodeState,
}

/// Writes metadata to a file whose body of `body_length` bytes is complete.
///
/// # Errors
/// `NoXattrs`, or what the disk says; then the file may hold half of it and must be thrown away.
pub fn write(file: &File, metadata: &Metadata, body_length: u64) -> Result<(), StoreError> {
    let pickled = metadata.to_pickle();
    match write_attributes(file, &pickled) {
        Ok(()) => Ok(()),
        Err(error) if is_too_large(&error) => write_trailer(file, &pickled, body_length),
        Err(error) => Err(xattr_error(error, "write metadata")),
    }
}

/// Replaces the metadata of a file that has some. While this works the file is in no good state: somebody else has to
/// have the metadata.
///
/// # Errors
/// `NoXattrs`, or what the disk says.
pub fn rewrite(file: &File, metadata: &Metadata, body_length: u64) -> Result<(), StoreError> {
    let failed = StoreError::while_doing("write metadata anew");
    for n in 0..MAX_PIECES {
        let _ = file.remove_xattr(piece_name(n));
    }
    for name in [CHECKSUM, TRAILER] {
        let _ = file.remove_xattr(name);
    }
    file.set_len(body_length).map_err(&failed)?;
    crash::point(REWRAP_HALF_CLEANED);
    write(file, metadata, body_length)
}

fn write_attributes(file: &File, pickled: &[u8]) -> io::Result<()> {
    for (n, piece) in pickled.chunks(PIECE_BYTES).enumerate() {
        file.set_xattr(piece_name(n), piece)?;
    }
    let checksum = hex(&Md5::digest(pickled));
    file.set_xattr(CHECKSUM, checksum.as_bytes())
}

fn write_trailer(file: &File, pickled: &[u8], offset: u64) -> Result<(), StoreError> {
    let failed = StoreError::while_doing("write metadata behind the body");
    let too_long = |_| failed(io::Error::from(io::ErrorKind::InvalidInput));
    let length = u32::try_from(pickled.len()).map_err(too_long)?;
    for n in 0..pickled.len().div_ceil(PIECE_BYTES) {
        let _ = file.remove_xattr(piece_name(n));
    }
    file.write_all_at(pickled, offset).map_err(&failed)?;
    let place = Place { offset, length, crc: crc32fast::hash(pickled) };
    file.set_xattr(TRAILER, &place.to_bytes()).map_err(|e| xattr_error(e, "write metadata"))
}

/// Reads a file's metadata.
///
/// # Errors
/// `Damage` when it is not what was written, otherwise what the system says.
pub fn read(file: &File) -> Result<Attributes, ReadError> {
    let state = InodeState::of(file).map_err(StoreError::while_doing("look at a file"))?;
    let Some(first) = get(file, METADATA)? else {
        return read_trailed(file, state);
    };
    let pickled = read_pieces(file, first)?;
    if let Some(checksum) = get(file, CHECKSUM)?
        && checksum != hex(&Md5::digest(&pickled)).as_bytes()
    {
        return Err(Damage::Checksum.into());
    }
    let metadata = Metadata::from_pickle(&pickled).map_err(Damage::Invalid)?;
    Ok(Attributes { metadata, body_length: state.length(), state })
}

fn read_trailed(file: &File, state: InodeState) -> Result<Attributes, ReadError> {
    let place = get(file, TRAILER)?.ok_or(Damage::Missing)?;
    let place = Place::parse(&place).ok_or(Damage::Trailer)?;
    let metadata = Metadata::from_pickle(&read_trailer(file, &place, state.length())?).map_err(Damage::Invalid)?;
    Ok(Attributes { metadata, body_length: place.offset, state })
}

fn read_pieces(file: &File, first: Vec<u8>) -> Result<Vec<u8>, ReadError> {
    let mut pickled = first;
    // Only a full piece can have a next one: Swift and we cut at 64 KiB.
    let mut last = pickled.len();
    for n in 1..MAX_PIECES {
        if last < PIECE_BYTES {
            break;
        }
        let Some(piece) = get(file, &piece_name(n))? else { break };
        last = piece.len();
        pickled.extend_from_slice(&piece);
    }
    Ok(pickled)
}

fn read_trailer(file: &File, place: &Place, file_length: u64) -> Result<Vec<u8>, ReadError> {
    let end = place.offset.checked_add(u64::from(place.length));
    if end != Some(file_length) || place.length > MAX_TRAILER_BYTES {
        return Err(Damage::Trailer.into());
    }
    let mut pickled = vec![0; usize::try_from(place.length).map_err(|_| Damage::Trailer)?];
    file.read_exact_at(&mut pickled, place.offset).map_err(|e| lost_or(e, "read metadata"))?;
    if crc32fast::hash(&pickled) != place.crc {
        return Err(Damage::Checksum.into());
    }
    Ok(pickled)
}

fn get(file: &File, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
    file.get_xattr(name).map_err(|e| lost_or(e, "read metadata"))
}

fn lost_or(error: io::Error, doing: &'static str) -> ReadError {
    if is_lost(&error) { Damage::Lost(error).into() } else { xattr_error(error, doing).into() }
}

/// Whether the filesystem says that it is damaged just here; all else is the whole disk's trouble.
pub(super) fn is_lost(error: &io::Error) -> bool {
    let here = [Errno::UCLEAN, Errno::BADMSG, Errno::NODATA];
    here.iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

fn xattr_error(error: io::Error, doing: &'static str) -> StoreError {
    if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) {
        return StoreError::NoXattrs;
    }
    StoreError::while_doing(doing)(error)
}

/// ENOSPC is also what a full disk says; then writing the trailer says it again.
fn is_too_large(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::TOOBIG, Errno::RANGE].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

fn piece_name(n: usize) -> String {
    if n == 0 { METADATA.to_owned() } else { format!("{METADATA}{n}") }
}

/// Where a trailer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u64,
    length: u32,
    crc: u32,
}

impl Place {
    const BYTES: usize = 17;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [VERSION; Self::BYTES];
        bytes[1..9].copy_from_slice(&self.offset.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.length.to_le_bytes());
        bytes[13..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let crc = rest.try_into().ok()?;
        let place = Self {
            offset: u64::from_le_bytes(*offset),
            length: u32::from_le_bytes(*length),
            crc: u32::from_le_bytes(crc),
        };
        (*version == VERSION).then_some(place)
    }
}

#[cfg(test)]
mod tests;
