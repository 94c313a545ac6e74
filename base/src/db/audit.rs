//! Distrusting what is stored: is a database of an account or a container what its own sums say, and what to do when not?
//!
//! [`check`] reads all of one database: RocksDB compares every block with its checksum, every row must be one, and rows,
//! row numbers, counts and digests must agree. What fails goes aside ([`put_aside`]): its keys and values to a file in the
//! device's quarantine, then out of the listings, so that replication brings it from another copy. When RocksDB's own files are
//! damaged no row of them can be taken out: then the listings of the device go aside as a whole, see
//! [`Databases::set_aside`](super::Databases::set_aside).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use serde_json::json;

use super::database::FOLDER;
use super::info::{Info, Stats};
use super::table::{self, Row, Slot};
use super::{Database, DbError, Get, Kind, ListingId, View, digest};
use crate::clock;
use crate::fs::Device;
use crate::hash_path::{HashPath, PathHash};
use crate::hex::hex;
use crate::listing::walk::{Bounds, Cursor as _};
use crate::policy::PolicyIndex;

/// Rows between two looks at whether to pause.
const ROWS_AT_ONCE: u64 = 500;
/// Databases of one page.
const PAGE: usize = 1000;
/// Names tried when earlier ones are in quarantine already.
const MAX_NAMES: u32 = 1000;
/// How often a database is put aside anew when it was written meanwhile.
const MAX_TRIES: usize = 16;

/// What a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What its sums say; it has so many rows and tombstones.
    Sound(u64),
    /// Not what they say, and why.
    Damaged(String),
    /// Not there any more.
    Gone,
    /// Not looked at to the end: the one who asked wants to stop.
    Stopped,
}

/// The databases of a kind after a hash, in order, whether or not they can be read; none when there are no more.
///
/// # Errors
/// When RocksDB cannot read them.
pub fn databases(view: &View<'_>, kind: Kind, after: Option<PathHash>) -> Result<Vec<PathHash>, DbError> {
    let lower = after.map_or(Vec::new(), |hash| [&hash.0[..], &[0]].concat());
    let mut scan = view.scan(kind.infos(), &Bounds { lower: lower.clone(), upper: None });
    scan.seek(&lower);
    let mut found = Vec::new();
    while let Some(name) = scan.name().filter(|_| found.len() < PAGE) {
        // Whatever else is there is no database of ours.
        found.extend(<[u8; 16]>::try_from(name).map(PathHash));
        scan.next();
    }
    scan.finish()?;
    Ok(found)
}

/// What is found while rows are read.
#[derive(Default)]
struct Sums {
    rows: u64,
    last: u64,
    hash: [u8; 16],
    stats: BTreeMap<PolicyIndex, Stats>,
    /// Over number, place and life of each row: the row numbers' own must be the same.
    index: [u8; 16],
}

/// Reads all of a database; `go_on` is asked now and then whether to. What RocksDB cannot read is an error, what makes no sense
/// a verdict.
///
/// # Errors
/// When RocksDB cannot read it.
pub fn check<R: Row>(
    view: &View<'_>,
    salt: &HashPath,
    id: ListingId,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Verdict, DbError> {
    let Some(value) = view.get(&id.info())? else { return Ok(Verdict::Gone) };
    let damaged = |why: &str| Ok(Verdict::Damaged(why.to_owned()));
    let info = match Info::decode(&value) {
        Ok(info) => info,
        Err(error) => return damaged(&format!("what it knows of itself cannot be read: {error}")),
    };
    if hash(salt, id.kind, &info) != id.hash {
        return damaged("it is kept under another name's hash");
    }
    if info.state != info.digest(id) {
        return damaged("the digest of its state is not that of its state");
    }
    let metadata = view.get(&id.metadata())?;
    let found: [u8; 16] = metadata.map_or([0; 16], |value| Md5::digest(value).into());
    if found != info.metadata_hash {
        return damaged("its metadata are not those that it has the digest of");
    }
    let mut sums = Sums::default();
    match rows::<R>(view, id, &mut sums, go_on)?.map(|()| numbers(view, id, go_on)) {
        Err(why) => Ok(why),
        Ok(numbers) => Ok(numbers?.map_or_else(|why| why, |index| compare(&info, &sums, index))),
    }
}

fn hash(salt: &HashPath, kind: Kind, info: &Info) -> PathHash {
    match kind {
        Kind::Account => salt.account(&info.account),
        Kind::Container => salt.container(&info.account, &info.container),
    }
}

fn compare(info: &Info, sums: &Sums, index: [u8; 16]) -> Verdict {
    let stats = |policy: &PolicyIndex| sums.stats.get(policy).copied().unwrap_or_default();
    let other = info.stats.keys().chain(sums.stats.keys()).find(|policy| stats(policy) != info.of_policy(**policy));
    let damaged = |why: &str| Verdict::Damaged(why.to_owned());
    if sums.hash != info.hash {
        damaged("its rows are not those that it has the digest of")
    } else if index != sums.index {
        damaged("its rows and their numbers do not belong together")
    } else if sums.last > info.last_row {
        damaged("a row is younger than the newest")
    } else if let Some(policy) = other {
        Verdict::Damaged(format!(
            "its rows of policy {policy} are {:?}, and it says {:?}",
            stats(policy),
            info.of_policy(*policy)
        ))
    } else {
        Verdict::Sound(sums.rows)
    }
}

/// Adds up all rows; gives the verdict when there is one already.
fn rows<R: Row>(
    view: &View<'_>,
    id: ListingId,
    sums: &mut Sums,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Result<(), Verdict>, DbError> {
    let mut scan = view.scan(id.all_rows(), &Bounds { lower: Vec::new(), upper: None });
    scan.seek(b"");
    while let Some(place) = scan.name() {
        let Some((space, deleted, name)) = parse(place) else {
            return Ok(Err(Verdict::Damaged("a row has no name".into())));
        };
        let numbered = match table::decode::<R>(scan.value()) {
            Ok(numbered) => numbered,
            Err(error) => return Ok(Err(Verdict::Damaged(format!("the row {name:?} cannot be read: {error}")))),
        };
        if numbered.row.is_deleted() != deleted {
            return Ok(Err(Verdict::Damaged(format!("the row {name:?} is not where it belongs"))));
        }
        let (policy, stats) = numbered.row.counts(space);
        sums.stats.entry(policy).or_default().add(stats);
        Slot { listing: id, space, name }.exclusive_or(&mut sums.hash, &table::fields(&numbered.row));
        note(&mut sums.index, numbered.number, space, deleted, name);
        sums.last = sums.last.max(numbered.number);
        sums.rows += 1;
        if sums.rows.is_multiple_of(ROWS_AT_ONCE) && !go_on() {
            return Ok(Err(Verdict::Stopped));
        }
        scan.next();
    }
    scan.finish().map(Ok)
}

/// The sum over the row numbers.
fn numbers(
    view: &View<'_>,
    id: ListingId,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Result<[u8; 16], Verdict>, DbError> {
    let (mut index, mut many) = ([0; 16], 0u64);
    let mut scan = view.scan(id.numbers(), &Bounds { lower: Vec::new(), upper: None });
    scan.seek(b"");
    while let Some(number) = scan.name() {
        let number = number.try_into().map(u64::from_be_bytes).ok();
        let (Some(number), Ok((space, deleted, name))) = (number, table::decode_numbered(scan.value())) else {
            return Ok(Err(Verdict::Damaged("a row number cannot be read".into())));
        };
        note(&mut index, number, space, deleted, &name);
        many += 1;
        if many % ROWS_AT_ONCE == 0 && !go_on() {
            return Ok(Err(Verdict::Stopped));
        }
        scan.next();
    }
    scan.finish()?;
    Ok(Ok(index))
}

/// Space, life and name of a row's key.
fn parse(place: &[u8]) -> Option<(PolicyIndex, bool, &str)> {
    let (space, rest) = place.split_first_chunk()?;
    let (life, name) = rest.split_first()?;
    let deleted = match life {
        0 => false,
        1 => true,
        _ => return None,
    };
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some((PolicyIndex(u32::from_be_bytes(*space)), deleted, name))
}

fn note(index: &mut [u8; 16], number: u64, space: PolicyIndex, deleted: bool, name: &str) {
    let digest = Md5::new().chain_update(number.to_be_bytes()).chain_update(space.0.to_be_bytes());
    let digest = digest.chain_update([u8::from(deleted)]).chain_update(name).finalize();
    index.iter_mut().zip(digest).for_each(|(byte, other)| *byte ^= other);
}

/// Takes a damaged database out of the listings: all that belongs to it is written to a file in quarantine first. Gives
/// the folder.
///
/// # Errors
/// When it cannot be read, or the folder not be written; then it stays.
pub async fn put_aside(database: &Database, id: ListingId, why: &str) -> Result<PathBuf, DbError> {
    let mut failed = DbError::Overloaded;
    let to = make_folder(database.device(), id).map_err(|error| io_error(&error))?;
    for _ in 0..MAX_TRIES {
        let (writing, reason) = (to.clone(), why.to_owned());
        let written = database.read::<_, DbError, _>(move |view| {
            let seen = export(view, id, &writing, &reason)?;
            Ok((seen, digest::without(view, id)?))
        });
        let (seen, rest) = written.await?;
        let removed = database.commit::<_, DbError, _>(move |tx| {
            // What was written meanwhile is not in the file yet.
            if tx.get(&id.info())? != seen || !digest::replace_all(tx, id, &rest)? {
                return Ok(false);
            }
            id.own().for_each(|prefix| tx.remove(prefix));
            Ok(true)
        });
        match removed.await {
            Ok(true) => {
                tracing::warn!(kind = ?id.kind, hash = %id.hash, to = %to.display(), why, "quarantined");
                return Ok(to);
            }
            Ok(false) => {}
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// `<device>/quarantined/{accounts,containers}/<hash>[-<number>]`, as Swift has it.
fn make_folder(device: &Device, id: ListingId) -> io::Result<PathBuf> {
    let kind = match id.kind {
        Kind::Account => "accounts",
        Kind::Container => "containers",
    };
    let dirs = device.make_dirs(&Path::new("quarantined").join(kind))?;
    device.flush_dirs(&dirs)?;
    free_folder(&dirs.path, &id.hash.hex())
}

/// Makes the first folder of that name, or of the name and a number, that is not there.
fn free_folder(parent: &Path, name: &str) -> io::Result<PathBuf> {
    let numbered = (1..MAX_NAMES).map(|n| format!("{name}-{n}"));
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for name in std::iter::once(name.to_owned()).chain(numbered) {
        match std::fs::create_dir(parent.join(&name)) {
            Ok(()) => return Ok(parent.join(name)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// Writes why, and every key with its value as a line of JSON in hexadecimal digits; gives what the info was.
fn export(view: &View<'_>, id: ListingId, to: &Path, why: &str) -> Result<Option<Vec<u8>>, DbError> {
    let info = view.get(&id.info())?;
    let known = info.as_deref().and_then(|value| Info::decode(value).ok());
    let name = known.map(|info| format!("/{}/{}", info.account, info.container)).unwrap_or_default();
    write_reason(to, name.trim_end_matches('/'), why).map_err(|error| io_error(&error))?;
    let file = File::create(to.join("rows.json")).map_err(|error| io_error(&error))?;
    let mut lines = BufWriter::new(file);
    for prefix in id.own() {
        let mut scan = view.scan(prefix.clone(), &Bounds { lower: Vec::new(), upper: None });
        scan.seek(b"");
        while let Some(rest) = scan.name() {
            let line = json!({"key": hex(&[&prefix, rest].concat()), "value": hex(scan.value())});
            writeln!(lines, "{line}").map_err(|error| io_error(&error))?;
            scan.next();
        }
        scan.finish()?;
    }
    let flushed = lines.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
    flushed.and_then(|()| File::open(to)?.sync_all()).map_err(|error| io_error(&error))?;
    Ok(info)
}

/// Listings of one device that are put aside as a whole, at most: a disk that damages them again and again is not to be used.
const MAX_ASIDE: usize = 16;

/// Moves all listings of a device to `quarantined/listings/<time>`, with the reason. They are closed. Blocking.
pub(super) fn put_all_aside(device: &Device, why: &str) -> io::Result<()> {
    let dirs = device.make_dirs(Path::new("quarantined/listings"))?;
    device.flush_dirs(&dirs)?;
    if std::fs::read_dir(&dirs.path)?.count() >= MAX_ASIDE {
        return Err(io::Error::other("the listings of this device were damaged too often; look at the disk"));
    }
    let to = free_folder(&dirs.path, &clock::now().internal())?;
    write_reason(&to, "", why)?;
    std::fs::rename(device.path().join(FOLDER), to.join(FOLDER))?;
    device.flush_dir(&to)?;
    device.flush_dir(&dirs.path)?;
    device.flush_dir(device.path())?;
    tracing::error!(device = device.name(), to = %to.display(), why,
        "the listings of a device are damaged and were put aside; they begin anew, and replication fills them");
    Ok(())
}

/// Writes the record beside what is in quarantine, in the words of the object store's.
fn write_reason(to: &Path, name: &str, why: &str) -> io::Result<()> {
    let reason = json!({"version": 1, "name": name, "at": clock::now(), "by": "audit", "why": why});
    let mut file = File::create(to.join(".reason"))?;
    file.write_all(reason.to_string().as_bytes())?;
    file.sync_all()
}

pub(super) fn io_error(error: &io::Error) -> DbError {
    DbError::Io(error.to_string())
}

#[cfg(test)]
mod tests;
