//! Damaged objects are moved out of the way, never served and never deleted.
//!
//! The object's whole folder goes to `<device>/quarantined/objects[-N]/<hash>`, as in Swift, or to `<hash>-<number>` when
//! an earlier one is there. Replication then brings a good copy from elsewhere.

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use apus_base::fs::flush_dir;

use super::error::{StoreError, is_not_found};
use super::location::Location;

/// Names tried when earlier copies are in quarantine already.
const MAX_NAMES: u128 = 100;

/// Moves an object's folder away and says where to. Blocking.
///
/// # Errors
/// What the system says; the folder then stays, and each read finds the damage again.
pub fn quarantine(location: &Location, why: &dyn std::fmt::Display) -> Result<PathBuf, StoreError> {
    let failed = StoreError::while_doing("move a damaged object to quarantine");
    let below = PathBuf::from("quarantined").join(location.policy.suffixed("objects"));
    let dirs = location.device.make_dirs(&below).map_err(&failed)?;
    location.device.flush_dirs(&dirs).map_err(&failed)?;

    let from = location.folder();
    location.device.forget_dir(&location.relative());
    let to = move_away(location, &dirs.path).map_err(&failed)?;
    location.device.forget_dir(&location.relative());
    tracing::warn!(object = location.name, from = %from.display(), to = %to.display(), %why, "quarantined");
    if let Some(suffix) = from.parent() {
        flush_dir(suffix).map_err(&failed)?;
    }
    flush_dir(&dirs.path).map_err(&failed)?;
    Ok(to)
}

fn move_away(location: &Location, quarantined: &std::path::Path) -> io::Result<PathBuf> {
    let (from, hash) = (location.folder(), location.hash.hex());
    let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let numbered = (first..first + MAX_NAMES).map(|n| format!("{hash}-{n:x}"));
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for name in std::iter::once(hash.clone()).chain(numbered) {
        let to = quarantined.join(name);
        match std::fs::rename(&from, &to) {
            Ok(()) => return Ok(to),
            // Somebody else moved it just now.
            Err(error) if is_not_found(&error) => return Ok(to),
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {
                taken = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}
