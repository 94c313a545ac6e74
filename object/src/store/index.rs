//! The index of a device: a digest of every partition and of every suffix folder in it, so that two nodes find what differs
//! between them without walking through folders.
//!
//! ```text
//! objects[-N]/.changes                 what was written since the index was last brought up to date (`base::fs`)
//! objects[-N]/.index                   a Table: each partition with a digest of all its suffixes
//! objects[-N]/.index.lock              locked by who brings it up to date
//! objects[-N]/<partition>/.suffixes    a Table: each suffix with a digest of the files in it that count
//! ```
//!
//! Every writer marks the suffix that it is about to change before its file gets a name ([`mark`]), and holds the mark until
//! the name is on stable storage. [`refresh()`] takes the marks, lists those suffixes, and writes the tables; when there are no
//! marks it lists one folder, reads one file, and is done. So after a crash of any process the marks are still there, and
//! after a crash of the machine, when they may not be, `.changes` says so and the index is made anew from the disk. It is
//! also made anew when it is missing or damaged: it is in the folders that it describes, so it goes when they go. A partition
//! folder that comes or goes by itself (another disk, an operator) is noticed in the one listing.
//!
//! A digest is the MD5 of names: the hash of each object's path and the names of its files that count. Two devices with equal
//! digests hold the same versions; whether their bytes are good is the auditor's question.

mod list;
mod refresh;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apus_base::fs::{Device, Mark};
use apus_base::policy::PolicyIndex;

use super::error::StoreError;
use super::location::Location;

pub use list::{Version, counting, names as file_names, parse_hash, suffix, suffixes, wanted};
pub use refresh::refresh;
pub use table::{Entry, Table};

const INDEX: &str = ".index";
const SUFFIXES: &str = ".suffixes";

/// The objects of one policy on one device.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// The device.
    pub device: Arc<Device>,
    /// The policy.
    pub policy: PolicyIndex,
}

impl Shelf {
    /// The folder below the device.
    pub fn relative(&self) -> PathBuf {
        self.policy.suffixed("objects").into()
    }

    /// The whole path of the folder.
    pub fn folder(&self) -> PathBuf {
        self.device.path().join(self.relative())
    }

    /// The whole path of a partition's folder.
    pub fn partition(&self, partition: u32) -> PathBuf {
        self.folder().join(partition.to_string())
    }

    /// Where the object with that hash is.
    pub fn object(&self, partition: u32, hash: apus_base::hash_path::PathHash, name: impl Into<String>) -> Location {
        Location { device: Arc::clone(&self.device), policy: self.policy, partition, hash, name: name.into() }
    }

    /// The suffixes of a partition with their digests, as of the last [`refresh()`]; none when the partition is not here.
    /// Blocking.
    pub fn suffix_table(&self, partition: u32) -> Table {
        Table::load(&self.partition(partition).join(SUFFIXES)).unwrap_or_default()
    }
}

/// Marks an object as about to be changed, until the mark is dropped. Blocking.
///
/// # Errors
/// What the disk says; then it must not be changed.
pub fn mark(location: &Location) -> Result<Mark, StoreError> {
    let folder = location.policy.suffixed("objects");
    let marked = location.device.mark(Path::new(&folder), location.partition, suffix_number(&location.hash));
    marked.map_err(StoreError::while_doing("mark a change"))
}

/// The suffix of a hash as a number.
pub fn suffix_number(hash: &apus_base::hash_path::PathHash) -> u16 {
    u16::from_be_bytes([hash.0[14], hash.0[15]]) & 0xfff
}

#[cfg(test)]
mod tests;
