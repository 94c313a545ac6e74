//! Container updates that no container server took: kept as files until the updater sends them again.
//!
//! `<device>/async_pending[-N]/<suffix>/<hash>-<timestamp>`, the place and name that Swift uses, with JSON in it instead of
//! Swift's pickle: `{"version":1, ...}` followed by the fields of a [`RowUpdate`]. The file is whole and on stable
//! storage before the request is acknowledged. [`kept`] is how the updater finds and removes them; it reads Swift's, too.

pub mod kept;
mod pickled;

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use apus_base::crash;
use apus_base::fs::{Device, TmpFile};
use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::RowUpdate;
use serde::{Deserialize, Serialize};

use super::crash_points::{PENDING_FLUSHED, PENDING_LINK_FLUSHED, PENDING_LINKED};
use super::error::StoreError;

/// The folder on a device, without its policy's suffix.
const FOLDER: &str = "async_pending";
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

/// How often the folder is made again when somebody who emptied it removed it meanwhile.
const FOLDER_TRIES: usize = 5;

/// Keeps an update of the object whose path has that hash. Blocking.
///
/// # Errors
/// What the disk says.
pub fn write(
    device: &Device,
    policy: PolicyIndex,
    hash: &PathHash,
    timestamp: Timestamp,
    pending: &Pending,
) -> Result<PathBuf, StoreError> {
    let failed = StoreError::while_doing("keep a container update");
    let bytes = serde_json::to_vec(pending).map_err(|e| failed(io::Error::other(e)))?;
    let below = PathBuf::from(policy.suffixed(FOLDER)).join(hash.suffix());
    let name = format!("{}-{}", hash.hex(), timestamp.internal());
    let mut tries = FOLDER_TRIES;
    let (tmp, folder) = loop {
        let tmp = TmpFile::create(device.path()).map_err(&failed)?;
        tmp.file().write_all_at(&bytes, 0).map_err(&failed)?;
        device.flush_file(tmp.file()).map_err(&failed)?;
        let dirs = device.make_dirs(&below).map_err(&failed)?;
        device.flush_dirs(&dirs).map_err(&failed)?;
        crash::point(PENDING_FLUSHED);
        match tmp.link(&dirs.path.join(&name)) {
            Ok(()) => break (tmp, dirs.path),
            // The same update of the same version is kept already; only its name may not be flushed yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break (tmp, dirs.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 => tries -= 1,
            Err(error) => return Err(failed(error)),
        }
    };
    crash::point(PENDING_LINKED);
    device.flush_name(tmp.file(), &folder).map_err(failed)?;
    crash::point(PENDING_LINK_FLUSHED);
    device.check()?;
    Ok(folder.join(name))
}
