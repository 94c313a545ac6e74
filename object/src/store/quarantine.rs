//! Damaged objects are moved out of the way, never served and never deleted.
//!
//! Their files go to `<device>/quarantined/objects[-N]/<hash>/`, where Swift has them too, or to `<hash>-<number>` when an earlier
//! one is there. Beside them, in `.reason`, stands why, when and by whom they were moved, and once there is a good copy again
//! where that came from ([`Reason`]); so the folder is the history, [`quarantined`] lists it, and what has no good copy yet is
//! found in it again. Who repairs is told at once ([`base::fs`](apus_base::fs)).
//!
//! Swift renames the object's whole folder. A version that is written between the finding and the renaming would go
//! with it, acknowledged and lost; so here the files move one by one, up to the version that is damaged. A crash half-way
//! leaves fewer files, and the next reader finds the rest. Only what cannot even be listed moves as a whole.

mod reason;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;

pub use reason::{Finder, Reason, Repaired};

use super::error::{StoreError, is_not_found};
use super::index::{self, Shelf};
use super::location::Location;
use super::names::{FileName, Kind};

/// Names tried when earlier copies are in quarantine already.
const MAX_NAMES: u128 = 100;
/// The folder on a device.
const FOLDER: &str = "quarantined";

/// Moves an object's files up to the timestamp `damaged` away, and says where to; nowhere, when another has just moved them.
/// Blocking.
///
/// # Errors
/// What the system says; what then stays is found by the next reader.
pub fn quarantine(
    location: &Location,
    damaged: Timestamp,
    by: Finder,
    why: &dyn std::fmt::Display,
) -> Result<Option<PathBuf>, StoreError> {
    let reason = Reason::new(location, damaged, by, why);
    move_away(location, &reason, |to| {
        let moved = move_files(&location.folder(), damaged, to)?;
        // Only if nothing newer is there.
        let _ = std::fs::remove_dir(location.folder());
        Ok(moved)
    })
}

/// Moves an object's folder, or what is in its place, away as a whole, into the folder in quarantine. Blocking.
///
/// # Errors
/// What the system says; it then stays.
pub fn quarantine_folder(
    location: &Location,
    by: Finder,
    why: &dyn std::fmt::Display,
) -> Result<Option<PathBuf>, StoreError> {
    let reason = Reason::new(location, Timestamp::ZERO, by, why);
    move_away(location, &reason, |to| rename(&location.folder(), &to.join(location.hash.hex())))
}

fn move_away(
    location: &Location,
    reason: &Reason,
    moving: impl FnOnce(&Path) -> io::Result<bool>,
) -> Result<Option<PathBuf>, StoreError> {
    let (device, from) = (&location.device, location.folder());
    let _mark = index::mark(location)?;
    let below = Path::new(FOLDER).join(location.policy.suffixed("objects"));
    let moved = || -> io::Result<Option<PathBuf>> {
        let dirs = device.make_dirs(&below)?;
        device.flush_dirs(&dirs)?;
        device.forget_dir(&location.relative());
        let to = free_folder(&location.hash, &dirs.path)?;
        reason.save(&to)?;
        if !moving(&to)? {
            Reason::forget(&to);
            return Ok(None);
        }
        device.forget_dir(&location.relative());
        device.flush_dir(&to)?;
        device.flush_dir(&dirs.path)?;
        from.parent().map_or(Ok(()), |suffix| device.flush_dir(suffix))?;
        Ok(Some(to))
    };
    let to = moved().map_err(StoreError::while_doing("move a damaged object to quarantine"))?;
    if let Some(to) = &to {
        tracing::warn!(object = location.name, from = %from.display(), to = %to.display(), by = %reason.by, why = reason.why, "quarantined");
        device.tell_set_aside(below.join(to.file_name().unwrap_or_default()));
    }
    Ok(to)
}

/// Says whether there was anything to move.
fn move_files(folder: &Path, damaged: Timestamp, to: &Path) -> io::Result<bool> {
    let names = index::file_names(folder)?;
    let files: Vec<FileName> = names.iter().filter_map(|name| FileName::parse(name)).collect();
    let newer = files.iter().any(|f| f.kind != Kind::Meta && f.timestamp > damaged);
    // The metadata of later POSTs belongs to the damaged data, unless there is newer data.
    let goes = |f: &&FileName| f.timestamp <= damaged || (f.kind == Kind::Meta && !newer);
    let mut moved = false;
    for name in files.iter().filter(goes).map(FileName::text) {
        moved |= rename(&folder.join(&name), &to.join(&name))?;
    }
    Ok(moved)
}

/// Whether it was still there.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    match std::fs::rename(from, to) {
        Err(error) if is_not_found(&error) => Ok(false),
        renamed => renamed.map(|()| true),
    }
}

/// Makes the first folder whose name is free.
fn free_folder(hash: &PathHash, quarantined: &Path) -> io::Result<PathBuf> {
    let hash = hash.hex();
    let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let numbered = (first..first + MAX_NAMES).map(|n| format!("{hash}-{n:x}"));
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for name in std::iter::once(hash.clone()).chain(numbered) {
        let to = quarantined.join(name);
        match std::fs::create_dir(&to) {
            Ok(()) => return Ok(to),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// One thing in quarantine.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Where it is, below the device: `quarantined/objects[-N]/<hash>[-<number>]`.
    pub folder: PathBuf,
    /// The policy of the object that it was.
    pub policy: PolicyIndex,
    /// The hash of the object's path.
    pub hash: PathHash,
    /// Why it is there; not when Swift moved it, or when the record is damaged too.
    pub reason: Option<Reason>,
}

/// What is in quarantine of the objects of a policy on a device, in no order: each is read when it is asked for, so that who
/// wants only some takes only some. Blocking.
///
/// # Errors
/// What the system says; nothing in quarantine is no error.
pub fn quarantined(shelf: &Shelf) -> io::Result<impl Iterator<Item = Quarantined> + use<>> {
    let below = Path::new(FOLDER).join(shelf.relative());
    let root = shelf.device.path().to_owned();
    let entries = match std::fs::read_dir(root.join(&below)) {
        Err(error) if is_not_found(&error) => None,
        entries => Some(entries?),
    };
    let names = entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(move |name| look(&root, below.join(name))))
}

/// One thing in quarantine by its folder below the device; `None` when there is none. Blocking.
pub fn look(device: &Path, folder: PathBuf) -> Option<Quarantined> {
    let name = folder.file_name()?.to_str()?;
    let hash = index::parse_hash(name.split_once('-').map_or(name, |(hash, _)| hash))?;
    let policy = parse_policy(folder.parent()?.file_name()?.to_str()?)?;
    let there = device.join(&folder);
    there.symlink_metadata().ok()?;
    Some(Quarantined { reason: Reason::load(&there), policy, hash, folder })
}

/// Whether what was at a place is in quarantine and nothing good has been brought instead: what is missing there may not be
/// missing elsewhere. Blocking.
///
/// # Errors
/// What the system says.
pub fn awaits_repair(location: &Location) -> io::Result<bool> {
    let below = Path::new(FOLDER).join(location.policy.suffixed("objects"));
    let root = location.device.path();
    let entries = match std::fs::read_dir(root.join(&below)) {
        Err(error) if is_not_found(&error) => return Ok(false),
        entries => entries?,
    };
    let hash = location.hash.hex();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found = names.filter(|name| name.starts_with(&hash)).filter_map(|name| look(root, below.join(name)));
    Ok(found.any(|found| found.reason.is_some_and(|reason| reason.wants_repair())))
}

/// The policy of `objects[-N]`, as we would have named it.
fn parse_policy(name: &str) -> Option<PolicyIndex> {
    let number = name.strip_prefix("objects")?;
    let index = if number.is_empty() { 0 } else { number.strip_prefix('-')?.parse().ok()? };
    Some(PolicyIndex(index)).filter(|policy| policy.suffixed("objects") == name)
}

impl Quarantined {
    /// Notes in its record where a good copy came from. Blocking.
    ///
    /// # Errors
    /// What the system says; then it is looked for once more.
    pub fn repaired(&self, device: &Path, from: &str) -> io::Result<()> {
        let Some(mut reason) = self.reason.clone() else { return Ok(()) };
        reason.repaired = Some(Repaired::now(from));
        reason.save(&device.join(&self.folder))
    }
}

#[cfg(test)]
mod tests;
