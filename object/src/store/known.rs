//! What the files of an object say of it.

use std::sync::Arc;

use apus_base::timestamp::Timestamp;

use super::inode::InodeState;
use super::metadata::{self, Metadata};

/// What is known of an object once it has been opened.
#[derive(Debug)]
pub struct Known {
    /// The length of the body, which begins the file.
    pub length: u64,
    /// What a client sees.
    pub metadata: Arc<Metadata>,
    /// What the PUT wrote; the same as what a client sees where no POST came after it.
    pub data_metadata: Arc<Metadata>,
    /// What the last POST wrote, with the newest content type of any POST.
    pub meta_metadata: Option<Metadata>,
    /// When the PUT was.
    pub data_timestamp: Timestamp,
    /// Whether `data_metadata` is on its way into the file, or was when a process died.
    pub rewrapping: bool,
    /// When looking at all this began.
    pub(super) seen: Timestamp,
    /// The folder, as it was before its files were listed.
    pub(super) folder: InodeState,
    /// The files that were read, by their names, as they were before; the one with the body is the first.
    pub(super) files: Vec<(String, InodeState)>,
}

impl Known {
    /// The newest timestamp of the object: its PUT's, or its last POST's.
    pub fn timestamp(&self) -> Timestamp {
        self.metadata.timestamp(metadata::TIMESTAMP).unwrap_or(self.data_timestamp)
    }

    /// When the content type was set.
    pub fn content_type_timestamp(&self) -> Timestamp {
        self.metadata.timestamp(metadata::CONTENT_TYPE_TIMESTAMP).unwrap_or(self.data_timestamp)
    }

    /// The MD5 that the body should have.
    pub fn etag(&self) -> &str {
        self.metadata.text(metadata::ETAG).unwrap_or("")
    }

    /// Whether it is the object of that name, `/account/container/object`, and not another one with the same hash.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.metadata.get(metadata::NAME) == Some(name.as_bytes())
    }

    /// Whether its `X-Delete-At` has passed at `now`.
    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        delete_at(&self.metadata).is_some_and(|secs| Timestamp::from_secs(secs) <= now)
    }
}

/// `X-Delete-At` in seconds since 1970.
pub fn delete_at(metadata: &Metadata) -> Option<u64> {
    metadata.text(metadata::DELETE_AT)?.trim().parse().ok()
}
