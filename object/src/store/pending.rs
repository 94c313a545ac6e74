//! Container updates that no container server took: kept as files until the updater sends them again.
//!
//! `<device>/async_pending[-N]/<suffix>/<hash>-<timestamp>`, the place and name that Swift uses, with JSON in it instead of
//! Swift's pickle: `{"version":1, ...}` followed by the fields of a [`RowUpdate`]. The file is whole and on stable
//! storage before the request is acknowledged.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use apus_base::crash;
use apus_base::fs::TmpFile;
use apus_base::timestamp::Timestamp;
use apus_base::wire::RowUpdate;
use serde::{Deserialize, Serialize};

use super::crash_points::{PENDING_FLUSHED, PENDING_LINK_FLUSHED, PENDING_LINKED};
use super::error::StoreError;
use super::location::Location;

/// The version of the form.
const VERSION: u32 = 1;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The version of this form, now 1.
    pub version: u32,
    /// The row to tell the container's servers.
    #[serde(flatten)]
    pub update: RowUpdate,
}

impl Pending {
    /// What to keep of an update.
    pub fn new(update: RowUpdate) -> Self {
        Self { version: VERSION, update }
    }
}

/// Keeps an update of the object at `location`. Blocking.
///
/// # Errors
/// What the disk says.
pub fn write(location: &Location, timestamp: Timestamp, pending: &Pending) -> Result<PathBuf, StoreError> {
    let failed = StoreError::while_doing("keep a container update");
    let bytes = serde_json::to_vec(pending).map_err(|e| failed(io::Error::other(e)))?;
    let below = PathBuf::from(location.policy.suffixed("async_pending")).join(location.hash.suffix());
    let dirs = location.device.make_dirs(&below).map_err(&failed)?;
    let target = dirs.path.join(format!("{}-{}", location.hash.hex(), timestamp.internal()));

    let tmp = TmpFile::create(location.device.path()).map_err(&failed)?;
    tmp.file().write_all_at(&bytes, 0).map_err(&failed)?;
    location.device.flush_file(tmp.file()).map_err(&failed)?;
    location.device.flush_dirs(&dirs).map_err(&failed)?;
    crash::point(PENDING_FLUSHED);
    match tmp.link(&target) {
        // The same update of the same version is kept already; only its name may not be flushed yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        linked => linked.map_err(&failed)?,
    }
    crash::point(PENDING_LINKED);
    location.device.flush_dir(&dirs.path).map_err(failed)?;
    crash::point(PENDING_LINK_FLUSHED);
    location.device.check()?;
    Ok(target)
}
