//! What the client tells Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::metrics::Metrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Server {
    server: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    info: &'static str,
    result: &'static str,
}

/// The counters of one client.
#[derive(Debug, Default)]
pub(super) struct Stats {
    node_errors: Family<Server, Counter>,
    busy_nodes: Family<Server, Counter>,
    handoffs: Family<Server, Counter>,
    resumed_reads: Counter,
    cache: Family<CacheLabels, Counter>,
}

impl Stats {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let stats = Self::default();
        let errors = "Nodes that did not answer, broke off or answered 5xx";
        metrics.register("node_errors", errors, stats.node_errors.clone());
        let busy = "Nodes that had more requests than their rates allow, and were not asked further";
        metrics.register("busy_nodes", busy, stats.busy_nodes.clone());
        metrics.register("handoffs", "Handoffs asked in place of a primary", stats.handoffs.clone());
        let resumed = "Bodies of objects that went on at another replica";
        metrics.register("resumed_reads", resumed, stats.resumed_reads.clone());
        metrics.register("info_cache", "Look-ups of account and container info", stats.cache.clone());
        stats
    }

    pub(super) fn node_error(&self, server: &'static str) {
        self.node_errors.get_or_create(&Server { server }).inc();
    }

    pub(super) fn busy(&self, server: &'static str) {
        self.busy_nodes.get_or_create(&Server { server }).inc();
    }

    pub(super) fn handoff(&self, server: &'static str) {
        self.handoffs.get_or_create(&Server { server }).inc();
    }

    pub(super) fn resumed(&self) {
        self.resumed_reads.inc();
    }

    /// The counter of what became of look-ups of one kind of info.
    pub(super) fn cache(&self, info: &'static str, result: &'static str) -> Counter {
        self.cache.get_or_create_owned(&CacheLabels { info, result })
    }
}
