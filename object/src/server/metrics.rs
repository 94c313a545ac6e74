//! What the object server counts beside requests.

use apus_base::fs::DiskCounts;
use apus_base::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;

/// The counters of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    /// Bytes of bodies received.
    pub(super) bytes_in: Counter,
    /// Bytes of bodies sent.
    pub(super) bytes_out: Counter,
    /// Reads that were answered without a device's threads.
    pub(super) hot_reads: Counter,
    /// Objects moved to quarantine.
    pub(super) quarantines: Counter,
    /// Container updates kept for later.
    pub(super) async_pendings: Counter,
}

impl Counters {
    pub(super) fn registered(metrics: &Metrics, disks: &DiskCounts) -> Self {
        let counters = Self::default();
        metrics.register("received_bytes", "Bytes of bodies received", counters.bytes_in.clone());
        metrics.register("sent_bytes", "Bytes of bodies sent", counters.bytes_out.clone());
        let hot_reads = "Reads that were answered from memory, without a device's threads";
        metrics.register("hot_reads", hot_reads, counters.hot_reads.clone());
        metrics.register("quarantines", "Objects moved to quarantine", counters.quarantines.clone());
        metrics.register("async_pendings", "Container updates kept for later", counters.async_pendings.clone());
        metrics.register("flushes", "Flushes of files and folders to stable storage", disks.flushes.clone());
        metrics.register("journaled", "Versions that went through a device's journal", disks.journaled.clone());
        let crowded_out = "Versions for which a journal had no room, and which were flushed by themselves";
        metrics.register("journal_crowded_out", crowded_out, disks.crowded_out.clone());
        metrics.register(
            "journal_checkpoints",
            "Times that a journal's segment was emptied",
            disks.checkpoints.clone(),
        );
        counters
    }
}
