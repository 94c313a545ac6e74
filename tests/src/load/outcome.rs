//! What a run of the load generator found.

use std::time::Duration;

use super::Ask;

/// How requests were answered.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// From the first request to the last answer.
    pub took: Duration,
    /// How long each request took, in order; those that failed are not among them.
    pub latencies: Vec<Duration>,
    /// What was refused with 503 and `Retry-After`, and how long that took. Only [`offer`](super::offer) takes that for an answer.
    pub refused: Vec<(Ask, Duration)>,
    /// Right answers to an offer that came after its time; no part of the figures.
    pub late: usize,
    /// Bytes of bodies that were moved.
    pub bytes: u64,
    /// Answers that were not what they should be, and requests without any.
    pub failures: usize,
    /// The first of these.
    pub first_failure: Option<String>,
    /// What the load generator spent itself.
    pub processor: Duration,
}

impl Outcome {
    pub(super) fn add(&mut self, took: Duration, bytes: usize) {
        self.latencies.push(took);
        self.bytes += bytes as u64;
    }

    pub(super) fn fail(&mut self, fault: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(fault);
    }

    /// How many requests were answered as they should be.
    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.count() as f64 / self.took.as_secs_f64()
    }

    /// Megabytes of bodies a second.
    pub fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    /// Milliseconds within which so many of a hundred requests were answered.
    pub fn percentile(&self, percent: usize) -> f64 {
        let place = self.count().saturating_sub(1) * percent / 100;
        self.latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }

    /// Microseconds for each request of a time spent on all.
    pub fn each(&self, spent: Duration) -> f64 {
        spent.as_secs_f64() * 1e6 / self.count().max(1) as f64
    }

    /// Adds what another run of the same kind found.
    pub fn merge(&mut self, other: Self) {
        self.took += other.took;
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable();
        self.refused.extend(other.refused);
        self.late += other.late;
        self.bytes += other.bytes;
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.processor += other.processor;
    }

    /// Fails unless everything was answered as it should be, for what is only a preparation.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn expect_clean(self, what: &str) -> Self {
        assert!(self.failures == 0, "{what}: {} failures, first: {:?}", self.failures, self.first_failure);
        self
    }
}
