//! What can go wrong with a listing database.

use http::StatusCode;
use rocksdb::ErrorKind;

use super::codec::Malformed;
use crate::fs::{DeviceError, QueueError};
use crate::wire::TOO_MANY_BACKEND_REQUESTS;

/// Why a listing database did not do its work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// The device is not there, or full.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Another process serves this device.
    #[error("the listings of device {0:?} are open in another process; stop it, or give each process its own devices")]
    Locked(String),
    /// What was read is not what was written.
    #[error("the listings are damaged: {0}")]
    Damaged(String),
    /// The disk failed, or RocksDB did.
    #[error("the listings cannot be read or written: {0}")]
    Io(String),
    /// The database is being closed, since its device went away or failed.
    #[error("the listings are being closed")]
    Closed,
    /// Too much work waits already.
    #[error("the listings have too much work waiting")]
    Overloaded,
    /// The work itself failed: a bug, and logged where it happened.
    #[error("the work on the listings failed unexpectedly")]
    Panicked,
}

impl DbError {
    /// The status to answer with: 507 makes the proxy leave the node alone, 529 does not; both make it try another.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Overloaded => TOO_MANY_BACKEND_REQUESTS,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// What an error of RocksDB means to the device of that name.
    pub(super) fn from_rocks(device: &str, error: &rocksdb::Error) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Corruption => Self::Damaged(text),
            // CURRENT names a file that is not there, or not so any more.
            ErrorKind::IOError if text.contains("No such file") && text.contains("/MANIFEST") => Self::Damaged(text),
            ErrorKind::IOError if text.contains("No space left") => DeviceError::Full(device.to_owned()).into(),
            ErrorKind::IOError if text.contains("/LOCK") => Self::Locked(device.to_owned()),
            _ => Self::Io(text),
        }
    }
}

impl From<Malformed> for DbError {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(malformed.to_string())
    }
}

impl From<QueueError> for DbError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Overloaded => Self::Overloaded,
            QueueError::Panicked => Self::Panicked,
        }
    }
}
