//! What all devices of a process count together, for its metrics.

use prometheus_client::metrics::counter::Counter;

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct DiskCounts {
    /// Flushes of files, folders and whole filesystems to stable storage.
    pub flushes: Counter,
    /// Versions that went through a [`Journal`](super::Journal).
    pub journaled: Counter,
    /// Versions for which a journal had no room, so that their writers flushed for themselves.
    pub crowded_out: Counter,
    /// Times that what a segment of a journal holds was brought to where it belongs.
    pub checkpoints: Counter,
}
