//! What can go wrong in the store, by whose fault it is.

use std::io;

use apus_base::fs::{DeviceError, QueueError};
use apus_base::timestamp::Timestamp;
use rustix::io::Errno;

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The device is gone or full: the proxy has to go elsewhere.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device has too much to do, or a bug was met there.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The filesystem cannot keep metadata.
    #[error("the filesystem has no user extended attributes; mount it with user_xattr or use ext4, XFS or btrfs")]
    NoXattrs,
    /// The disk itself: full, broken or read-only.
    #[error("the disk cannot {doing}: {source}")]
    Disk {
        /// What was being done, as in "write the body".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else the system said.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A conditional write has been promised that nothing older than this ballot gets in.
    #[error("a newer write has been promised precedence: {0}")]
    Fenced(Timestamp),
    /// The files changed under the reader again and again; the client may try again.
    #[error("the object is being changed too fast to be read")]
    Changing,
}

/// What a disk says that is full, broken, read-only or gone.
const DISK: [Errno; 7] = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS, Errno::NODEV, Errno::NXIO, Errno::STALE];

impl StoreError {
    /// Turns what the system said into an error: use as `map_err(StoreError::while_doing("write the body"))`.
    pub fn while_doing(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| {
            let errno = source.raw_os_error();
            if DISK.iter().any(|e| errno == Some(e.raw_os_error())) {
                Self::Disk { doing, source }
            } else {
                Self::Io { doing, source }
            }
        }
    }

    /// Whether the proxy should store this elsewhere (507).
    pub fn is_insufficient_storage(&self) -> bool {
        matches!(self, Self::Device(_) | Self::Disk { .. } | Self::NoXattrs)
    }
}

/// Whether the system said that something is not there.
pub(crate) fn is_not_found(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
