//! Error limiting: a node that failed often is left alone for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The errors of each node, by name (`ip:port/device`).
#[derive(Debug)]
pub(super) struct ErrorLimiter {
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
        Self { limit, interval, errors: Mutex::default(), troubled: AtomicUsize::new(0) }
    }

    /// Whether to leave the node alone.
    pub(super) fn is_limited(&self, node: &str) -> bool {
        if self.troubled.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.get(node).is_some_and(|e| e.count > self.limit && e.last.elapsed() <= self.interval)
    }

    /// Counts one error.
    pub(super) fn increment(&self, node: &str) {
        self.record(node, |count| count.saturating_add(1));
    }

    /// Limits the node at once: its disk is gone or full.
    pub(super) fn limit(&self, node: &str) {
        let over = self.limit.saturating_add(1);
        self.record(node, |count| count.max(over));
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
        let limiter = ErrorLimiter::new(10, Duration::from_secs(60));
        limiter.limit("a");
        assert!(limiter.is_limited("a"));
    }
}
