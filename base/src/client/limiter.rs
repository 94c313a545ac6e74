//! Error limiting: a node that failed often is left alone for a while.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// The errors of each node, by name (`ip:port/device`).
#[derive(Debug)]
pub(super) struct ErrorLimiter(Arc<State>);

#[derive(Debug)]
struct State {
    limit: u32,
    interval: Duration,
    errors: Mutex<HashMap<String, Errors>>,
    /// How many nodes have errors, so that a healthy cluster does not take the lock.
    troubled: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Errors {
    count: u32,
    last: Instant,
}

impl ErrorLimiter {
    /// More than `limit` errors limit a node until `interval` after its last error.
    pub(super) fn new(limit: u32, interval: Duration) -> Self {
        Self(Arc::new(State { limit, interval, errors: Mutex::default(), troubled: AtomicUsize::new(0) }))
    }

    /// Shows who is limited among the metrics.
    pub(super) fn shown(self, metrics: &Metrics) -> Self {
        metrics.register_collector(Box::new(Limited(Arc::clone(&self.0))));
        self
    }

    /// Whether to leave the node alone.
    pub(super) fn is_limited(&self, node: &str) -> bool {
        if self.0.troubled.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let errors = self.0.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.get(node).is_some_and(|errors| self.0.is_limited(errors))
    }

    /// Counts one error.
    pub(super) fn increment(&self, node: &str) {
        self.0.record(node, |count| count.saturating_add(1));
    }

    /// Limits the node at once: its disk is gone or full.
    pub(super) fn limit(&self, node: &str) {
        let over = self.0.limit.saturating_add(1);
        self.0.record(node, |count| count.max(over));
    }
}

impl State {
    fn is_limited(&self, errors: &Errors) -> bool {
        errors.count > self.limit && errors.last.elapsed() <= self.interval
    }

    fn record(&self, node: &str, count: impl Fn(u32) -> u32) {
        let (now, interval) = (Instant::now(), self.interval);
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        // Old entries go here, so that nodes that left the ring do not stay in memory.
        errors.retain(|_, e| now.duration_since(e.last) <= interval);
        let entry = errors.entry(node.to_owned()).or_insert(Errors { count: 0, last: now });
        *entry = Errors { count: count(entry.count), last: now };
        self.troubled.store(errors.len(), Ordering::Relaxed);
    }
}

/// Which nodes are left alone now, for Prometheus.
#[derive(Debug)]
struct Limited(Arc<State>);

impl Collector for Limited {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let errors = self.0.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let limited = errors.iter().filter(|(_, errors)| self.0.is_limited(errors));
        let mut limited: Vec<&str> = limited.map(|(node, _)| node.as_str()).collect();
        limited.sort_unstable();
        let help = "Nodes that are left alone for their errors";
        let mut metric = encoder.encode_descriptor("error_limited", help, None, MetricType::Gauge)?;
        for node in limited {
            metric.encode_family(&[("node", node)])?.encode_gauge(&1i64)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_is_left_alone_and_forgiven() {
        let limiter = ErrorLimiter::new(2, Duration::from_secs(60));
        limiter.increment("a");
        limiter.increment("a");
        assert!(!limiter.is_limited("a"));
        limiter.increment("a");
        assert!(limiter.is_limited("a") && !limiter.is_limited("b"));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!limiter.is_limited("a"));
        // It begins anew.
        limiter.increment("a");
        assert!(!limiter.is_limited("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_left_alone_at_once() {
        let metrics = Metrics::new("test");
        let limiter = ErrorLimiter::new(10, Duration::from_secs(60)).shown(&metrics);
        limiter.limit("a");
        assert!(limiter.is_limited("a"));
        assert!(metrics.render().contains("apus_test_error_limited{node=\"a\"} 1"), "{}", metrics.render());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!metrics.render().contains("node=\"a\""));
    }
}
