//! What audits of objects count: for Prometheus, and for Swift's recon tools.

use apus_base::clock;
use apus_base::metrics::Metrics;
use apus_base::recon::ReconCache;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Map, Value, json};

use crate::watch::Mode;

/// What all audits of a process and a mode did.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) passes: Counter,
    pub(super) objects: Counter,
    pub(super) bytes: Counter,
    pub(super) quarantined: Counter,
    pub(super) unexpected: Counter,
    pub(super) errors: Counter,
}

impl Counters {
    pub(super) fn registered(metrics: &Metrics, mode: Mode) -> Self {
        let prefix = match mode {
            Mode::All => "audit",
            Mode::ZeroByteFast => "zero_byte_audit",
        };
        let counters = Self::default();
        let register = |what: &str, help: &str, counter: &Counter| {
            metrics.register(&format!("{prefix}_{what}"), help, counter.clone());
        };
        register("passes", "Whole audits of this node's objects", &counters.passes);
        register("objects", "Objects audited", &counters.objects);
        register("bytes", "Bytes of bodies read by audits", &counters.bytes);
        register("quarantined", "Objects that an audit moved to quarantine", &counters.quarantined);
        register("unexpected", "Files found that belong to no object", &counters.unexpected);
        register("errors", "Objects that could not be audited", &counters.errors);
        counters
    }
}

/// What the audit of one device did, as Swift's `object.recon` has it.
#[derive(Clone, Debug)]
pub(super) struct Stats {
    pub(super) start_time: f64,
    pub(super) passes: u64,
    pub(super) quarantined: u64,
    pub(super) errors: u64,
    pub(super) bytes_processed: u64,
    /// Seconds with a read in flight.
    pub(super) audit_time: f64,
}

impl Stats {
    pub(super) fn new() -> Self {
        let now = clock::now();
        #[expect(clippy::cast_precision_loss, reason = "a time for people")]
        let start_time = now.ticks() as f64 / 1e5;
        Self { start_time, passes: 0, quarantined: 0, errors: 0, bytes_processed: 0, audit_time: 0.0 }
    }

    /// Tells the recon cache. Blocking.
    pub(super) fn save(&self, recon: &ReconCache, mode: Mode, device: &str) {
        let stats = json!({
            "start_time": self.start_time, "passes": self.passes, "quarantined": self.quarantined,
            "errors": self.errors, "bytes_processed": self.bytes_processed, "audit_time": self.audit_time,
        });
        let mut devices = Map::new();
        devices.insert(device.to_owned(), stats);
        let key = format!("object_auditor_stats_{}", mode.name());
        recon.merge("object", [(key, Value::Object(devices))].into_iter().collect());
    }
}
