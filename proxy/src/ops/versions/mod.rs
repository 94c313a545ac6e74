//! Object versioning: a container that keeps what is overwritten and deleted in it.
//!
//! Each PUT is stored under a name of its own in a hidden container, the *archive* (see [`name`]); what is at the
//! object's own name is a static [link](super::symlink) to the newest version. A DELETE stores an empty *delete marker*
//! in the archive and removes the link. What was stored while versioning was off is the *null version*; it is copied to
//! the archive before something takes its place. How all of this is stored is Swift's.
//!
//! # What a crash leaves behind
//!
//! Every change takes several steps, and the proxy may die between any two of them. Their order is such that a version
//! that was acknowledged is never lost, and what was not acknowledged is there completely or not to be seen at the
//! object's name:
//!
//! - PUT: (1) the null version, if there is one, is copied; (2) the new version is stored; (3) the link is moved. Each
//!   begins when a quorum has the one before on stable storage. After (1) nothing has changed: the copy's name is made of
//!   the version's timestamp, so the next attempt stores the same again. After (2) the archive has a version that was
//!   not acknowledged; the link still leads to the one before. It is listed by `?versions` as not the latest, and can be
//!   read, restored or deleted by its id. (The same is left by an upload whose link was refused by the storage servers;
//!   where they refuse because of its condition, the version is removed again.)
//! - DELETE: as PUT, with the delete marker for the new version. Before the last step, the link still leads to the data.
//! - DELETE of the latest version: the link goes first, then the version, so that no link leads nowhere. It goes as of its
//!   own time, so a PUT that moves it meanwhile wins.
//! - PUT of an old version's id only moves the link.
//! - Two at once: versions have different names and links have the timestamps of their versions, so the later one wins
//!   on every replica, whichever comes last.
//! - Switching versioning on: the archive is made before the container says that it has one. Deleting the container:
//!   the archive goes first, and only if both are empty.

mod account;
mod archive;
mod container;
mod current;
mod delete;
mod listing;
pub mod name;
mod post;
mod put;
mod read;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use account::with_archives;
pub(super) use container::{Switch, archived_bytes, check_archive, empty_archive, show};
pub(super) use delete::{delete, marker};
pub(super) use listing::show as show_row;
pub use listing::{Versions, list};
pub use name::{InvalidVersion, Version};
pub(super) use post::{place, post, version_of};
pub(super) use put::put;
pub use put::restore;
pub(super) use read::read;

/// What delete markers are known by. Clients cannot set a type with such a parameter.
pub const DELETE_MARKER: &str = "application/x-deleted;swift_versions_deleted=1";
/// By which containers are told to keep versions, and tell that they do.
pub const ENABLED: HeaderName = HeaderName::from_static("x-versions-enabled");
/// Where answers say which version they are about.
pub const VERSION_ID: HeaderName = HeaderName::from_static("x-object-version-id");

/// The `[proxy.versioned_writes]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether `X-Versions-Location` and `X-History-Location` work.
    pub allow_versioned_writes: bool,
    /// Whether `X-Versions-Enabled` works.
    pub allow_object_versioning: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { allow_versioned_writes: true, allow_object_versioning: true }
    }
}

/// What `/info` says of versioning.
pub fn info(config: &Config) -> Option<Value> {
    config.allow_object_versioning.then(|| json!({}))
}

/// Why something is not done to a version, or to a container with versions. The texts are Swift's.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// A version id for an object in a container without versions.
    #[error("version-aware operations require that the container is versioned")]
    NotVersioned,
    /// No version id.
    #[error(transparent)]
    Invalid(#[from] InvalidVersion),
    /// A POST changes what is current only.
    #[error("POST to a specific version is not allowed")]
    Post,
    /// A PUT of a version's id with bytes.
    #[error("PUT version-id requests require a zero byte body")]
    Body,
    /// There is no such version.
    #[error("The specified version does not exist")]
    Missing,
    /// That version says that the object was deleted.
    #[error("the object was deleted by then")]
    DeleteMarker(Version),
    /// The container says that it has an archive, but there is none.
    #[error("The versions container does not exist. You may want to re-enable object versioning.")]
    NoArchive,
    /// The container keeps versions the old way.
    #[error(
        "Cannot enable object versioning on a container that is already using the legacy versioned writes feature."
    )]
    Legacy,
    /// The container is copied to another cluster.
    #[error("Cannot enable object versioning on a container configured as source of container syncing.")]
    Synced,
    /// The container's policy takes no new containers.
    #[error("Cannot enable object versioning on a container that uses a deprecated storage policy.")]
    Deprecated,
    /// The archive cannot be made.
    #[error("Error enabling object versioning")]
    Enable,
    /// There are versions in the archive of a container that shall be deleted.
    #[error("Delete all versions before deleting container.")]
    NotEmpty,
    /// The archive cannot be deleted.
    #[error("Error deleting versioned container")]
    Delete,
    /// The place in a listing of versions that a request wants to go on at is none.
    #[error("invalid version_marker param")]
    Marker,
    /// A version to go on after, but not of what.
    #[error("version_marker param requires marker")]
    MarkerOfWhat,
    /// A delimiter that could be in a version's id.
    #[error("invalid delimiter param")]
    Delimiter,
}
