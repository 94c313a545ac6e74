//! Damaged objects are moved out of the way, never served and never deleted.
//!
//! Their files go to `<device>/quarantined/objects[-N]/<hash>/`, where Swift has them too, or to `<hash>-<number>` when an earlier
//! one is there. Replication then brings a good copy from elsewhere.
//!
//! Swift renames the object's whole folder. A version that is written between the finding and the renaming would go
//! with it, acknowledged and lost; so here the files move one by one, up to the version that is damaged. A crash half-way
//! leaves fewer files, and the next reader finds the rest. Only what cannot even be listed moves as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use apus_base::timestamp::Timestamp;

use super::error::{StoreError, is_not_found};
use super::index;
use super::location::Location;
use super::names::{FileName, Kind};

/// Names tried when earlier copies are in quarantine already.
const MAX_NAMES: u128 = 100;

/// Moves an object's files up to the timestamp `damaged` away, and says where to. Blocking.
///
/// # Errors
/// What the system says; what then stays is found by the next reader.
pub fn quarantine(location: &Location, damaged: Timestamp, why: &dyn std::fmt::Display) -> Result<PathBuf, StoreError> {
    move_away(location, why, |quarantined| {
        let to = free_name(location, quarantined, |to| std::fs::create_dir(to))?;
        move_files(&location.folder(), damaged, &to)?;
        location.device.flush_dir(&to)?;
        // Only if nothing newer is there.
        let _ = std::fs::remove_dir(location.folder());
        Ok(to)
    })
}

/// Moves an object's folder, or what is in its place, away as a whole. Blocking.
///
/// # Errors
/// What the system says; it then stays.
pub fn quarantine_folder(location: &Location, why: &dyn std::fmt::Display) -> Result<PathBuf, StoreError> {
    let rename = |to: &Path| match std::fs::rename(location.folder(), to) {
        // Somebody else moved it just now.
        Err(error) if is_not_found(&error) => Ok(()),
        renamed => renamed,
    };
    move_away(location, why, |quarantined| free_name(location, quarantined, rename))
}

fn move_away(
    location: &Location,
    why: &dyn std::fmt::Display,
    moving: impl FnOnce(&Path) -> io::Result<PathBuf>,
) -> Result<PathBuf, StoreError> {
    let (device, from) = (&location.device, location.folder());
    let _mark = index::mark(location)?;
    let moved = || -> io::Result<PathBuf> {
        let dirs = device.make_dirs(&Path::new("quarantined").join(location.policy.suffixed("objects")))?;
        device.flush_dirs(&dirs)?;
        device.forget_dir(&location.relative());
        let to = moving(&dirs.path)?;
        device.forget_dir(&location.relative());
        device.flush_dir(&dirs.path)?;
        from.parent().map_or(Ok(()), |suffix| device.flush_dir(suffix))?;
        Ok(to)
    };
    let to = moved().map_err(StoreError::while_doing("move a damaged object to quarantine"))?;
    tracing::warn!(object = location.name, from = %from.display(), to = %to.display(), %why, "quarantined");
    Ok(to)
}

fn move_files(folder: &Path, damaged: Timestamp, to: &Path) -> io::Result<()> {
    let names = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.file_name().into_string().unwrap_or_default()));
    let files: Vec<FileName> =
        names.filter_map(|n| n.map(|n| FileName::parse(&n)).transpose()).collect::<io::Result<_>>()?;
    let newer = files.iter().any(|f| f.kind != Kind::Meta && f.timestamp > damaged);
    // The metadata of later POSTs belongs to the damaged data, unless there is newer data.
    let goes = |f: &&FileName| f.timestamp <= damaged || (f.kind == Kind::Meta && !newer);
    for name in files.iter().filter(goes).map(FileName::text) {
        match std::fs::rename(folder.join(&name), to.join(&name)) {
            Err(error) if is_not_found(&error) => {}
            renamed => renamed?,
        }
    }
    Ok(())
}

/// Tries names until `take` finds one free.
fn free_name(location: &Location, quarantined: &Path, take: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let hash = location.hash.hex();
    let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let numbered = (first..first + MAX_NAMES).map(|n| format!("{hash}-{n:x}"));
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for name in std::iter::once(hash.clone()).chain(numbered) {
        let to = quarantined.join(name);
        match take(&to) {
            Ok(()) => return Ok(to),
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {
                taken = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}
