//! Fences: a replica's promise, on stable storage, that nothing older than a ballot gets in any more. What it is for is said
//! in [`ballot`](apus_base::ballot).
//!
//! ```text
//! <device>/fences[-N]/<hash>       "<timestamp> <CRC-32>\n"
//! ```
//!
//! Beside the objects and not in their folders, whose layout is Swift's. There is a file only while a conditional write is open or
//! was given up: once a ballot's version is there, its timestamp says as much, and the fence goes ([`clear`]).
//!
//! | step of [`promise`] | after a crash here |
//! |---|---|
//! | 1. look whether the ballot is above the fence and above all files | nothing |
//! | 2. write the fence to a file without a name, flush it | nothing |
//! | 3. name it, in the place of the one before | the fence before or this one, whole |
//! | 4. flush the folder | this one |
//! | 5. wait for the writers that had looked for a fence before 3; look what is there; answer | this one |
//!
//! Every writer of a version or a tombstone [`enter`]s: it is known to be in before it looks for a fence, until its name is on
//! stable storage. So at 5 each writer either has seen the fence, or is seen. A promise that a crash leaves before it was
//! answered does no harm: somebody older is refused, and tries again with a newer timestamp.
//!
//! A fence is alive for an hour from when it was written; [`sweep`] removes those that are not. One that cannot be read
//! counts as one of the moment when its file was written.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use apus_base::ballot::{FENCE_LIFE, may_commit, may_enter, may_promise};
use apus_base::crash;
use apus_base::fs::{Device, TmpFile, Writing};
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};

use super::crash_points::{FENCE_FLUSHED, FENCE_LINK_FLUSHED, FENCE_LINKED};
use super::error::{StoreError, is_not_found};
use super::location::Location;
use super::{index, read};

/// The folder on a device, without its policy's suffix.
const FOLDER: &str = "fences";
/// The longest text of a fence: a timestamp with its offset, and a checksum.
const MAX_BYTES: usize = 64;

/// A writer that may name its version, until this is dropped.
#[derive(Debug)]
pub struct Entry {
    _writing: Writing,
}

/// What a replica says about an object.
#[derive(Debug)]
pub struct Attended<T> {
    /// The fence that stands now; zero for none.
    pub fence: Timestamp,
    /// Whether it was raised to the ballot that was asked for.
    pub promised: bool,
    /// Whether it was raised in place of another one.
    pub above_another: bool,
    /// What was read.
    pub found: T,
}

/// Comes in as the writer of a version. Blocking.
///
/// # Errors
/// `Fenced` when a newer ballot was promised, or has made the newest version; or what the disk says.
pub fn enter(location: &Location, written: Timestamp) -> Result<Entry, StoreError> {
    enter_if(location, |fence, version| may_enter(written, fence, version))
}

/// Comes in to commit a ballot. Blocking.
///
/// # Errors
/// `Fenced` when a newer ballot was promised, or a newer version is there; or what the disk says.
pub fn enter_ballot(location: &Location, ballot: Timestamp) -> Result<Entry, StoreError> {
    enter_if(location, |fence, version| may_commit(ballot, fence, version))
}

fn enter_if(location: &Location, may: impl Fn(Timestamp, Timestamp) -> bool) -> Result<Entry, StoreError> {
    let entry = Entry { _writing: location.device.writing(location.hash.0) };
    let (fence, version) = (current(location)?, read::list(location)?.newest());
    if may(fence, version) { Ok(entry) } else { Err(StoreError::Fenced(fence.max(version))) }
}

/// The fence of an object; zero if there is none. Blocking.
///
/// # Errors
/// What the disk says.
pub fn current(location: &Location) -> Result<Timestamp, StoreError> {
    load(&path(location)).map_err(StoreError::while_doing("look for a fence"))
}

/// Promises a ballot, if one is asked for and nothing forbids it, and reads what is there then, on stable storage. Blocking.
///
/// # Errors
/// `Changing` when writers of the object take too long, what the disk says, or what reading says.
pub fn attend<T, E: From<StoreError>>(
    location: &Location,
    ballot: Option<Timestamp>,
    mut read: impl FnMut() -> Result<T, E>,
) -> Result<Attended<T>, E> {
    let late = |_| StoreError::Changing;
    let promising = location.device.promising(location.hash.0).map_err(late)?;
    let fence = current(location)?;
    let promised = match ballot {
        Some(ballot) => promise(location, ballot, fence)?,
        None => false,
    };
    let found = promising.look(&mut read).map_err(late)??;
    let above_another = promised && fence > Timestamp::ZERO;
    let fence = ballot.filter(|_| promised).unwrap_or(fence);
    Ok(Attended { fence, promised, above_another, found })
}

/// Removes a fence that the version of its ballot has made superfluous. Blocking.
pub fn clear(location: &Location, ballot: Timestamp) {
    remove_if(location, |fence| fence <= ballot);
}

/// Takes back the promise of a ballot that will not be committed. Blocking.
pub fn release(location: &Location, ballot: Timestamp) {
    remove_if(location, |fence| fence == ballot);
}

fn remove_if(location: &Location, may_go: impl Fn(Timestamp) -> bool) {
    let path = path(location);
    if !path.exists() {
        return;
    }
    // Whoever promises meanwhile promises more.
    let Ok(_promising) = location.device.promising(location.hash.0) else { return };
    if load(&path).is_ok_and(may_go) {
        let _ = std::fs::remove_file(path);
    }
}

/// Removes the fences of a device that are no longer alive, and says how many. Blocking.
///
/// # Errors
/// What the system says when the device cannot be listed.
pub fn sweep(device: &Device) -> io::Result<usize> {
    let mut swept = 0;
    for folder in std::fs::read_dir(device.path())?.flatten() {
        let is_ours = folder.file_name().to_str().is_some_and(|name| name == FOLDER || name.starts_with("fences-"));
        let fences = if is_ours { Some(std::fs::read_dir(folder.path())?) } else { None };
        for fence in fences.into_iter().flatten().flatten() {
            swept += usize::from(sweep_one(device, &fence.path()));
        }
    }
    Ok(swept)
}

fn sweep_one(device: &Device, path: &Path) -> bool {
    let hash = path.file_name().and_then(|name| name.to_str()).and_then(index::parse_hash);
    let Some(Ok(_promising)) = hash.map(|hash| device.promising(hash.0)) else { return false };
    let is_dead = path.metadata().is_ok_and(|found| !is_alive(&found));
    is_dead && std::fs::remove_file(path).is_ok()
}

fn promise(location: &Location, ballot: Timestamp, fence: Timestamp) -> Result<bool, StoreError> {
    // Who names a version after this look is seen by the next one.
    let may = may_promise(ballot, fence, read::list(location)?.last());
    if may {
        write(location, ballot)?;
    }
    Ok(may)
}

fn write(location: &Location, ballot: Timestamp) -> Result<(), StoreError> {
    let failed = StoreError::while_doing("write a fence");
    let device = &location.device;
    let tmp = TmpFile::create(device.path()).map_err(&failed)?;
    tmp.file().write_all_at(text(ballot).as_bytes(), 0).map_err(&failed)?;
    device.flush_file(tmp.file()).map_err(&failed)?;
    crash::point(FENCE_FLUSHED);
    let folder = device.make_dirs(&folder(location)).map_err(&failed)?;
    device.flush_dirs(&folder).map_err(&failed)?;
    tmp.replace(device.path(), &path(location)).map_err(&failed)?;
    crash::point(FENCE_LINKED);
    device.flush_name(tmp.file(), &folder.path).map_err(&failed)?;
    crash::point(FENCE_LINK_FLUSHED);
    Ok(device.check()?)
}

fn folder(location: &Location) -> PathBuf {
    location.policy.suffixed(FOLDER).into()
}

fn path(location: &Location) -> PathBuf {
    location.device.path().join(folder(location)).join(location.hash.hex())
}

fn load(path: &Path) -> io::Result<Timestamp> {
    let (text, found) = match std::fs::File::open(path).and_then(|file| read_text(&file)) {
        Err(error) if is_not_found(&error) => return Ok(Timestamp::ZERO),
        read => read?,
    };
    if !is_alive(&found) {
        return Ok(Timestamp::ZERO);
    }
    Ok(parse(&text).unwrap_or_else(|| {
        tracing::warn!(fence = %path.display(), "a fence is damaged, and counts as one of when it was written");
        let since = written(&found).duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ticks(since.as_secs() * TICKS_PER_SECOND).as_ballot(u16::MAX)
    }))
}

fn read_text(file: &std::fs::File) -> io::Result<(Vec<u8>, std::fs::Metadata)> {
    let mut text = vec![0; MAX_BYTES];
    let length = file.read_at(&mut text, 0)?;
    text.truncate(length);
    Ok((text, file.metadata()?))
}

fn written(found: &std::fs::Metadata) -> SystemTime {
    found.modified().unwrap_or(UNIX_EPOCH)
}

fn is_alive(found: &std::fs::Metadata) -> bool {
    // One from the future was written before the clock was set.
    SystemTime::now().duration_since(written(found)).is_ok_and(|age| age < FENCE_LIFE)
        || written(found) > SystemTime::now()
}

fn text(ballot: Timestamp) -> String {
    let timestamp = ballot.internal();
    format!("{timestamp} {:08x}\n", crc32fast::hash(timestamp.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<Timestamp> {
    let found = std::str::from_utf8(bytes).ok()?;
    let timestamp: Timestamp = found.split(' ').next()?.parse().ok()?;
    (text(timestamp) == found).then_some(timestamp)
}

#[cfg(test)]
mod tests;
