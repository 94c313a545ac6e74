//! The `[proxy.slo]` and `[proxy.dlo]` tables of a node's configuration; names and defaults are Swift's.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How static large objects are made, read and deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloConfig {
    /// Most segments of a manifest that are objects.
    pub max_manifest_segments: usize,
    /// Most bytes of a manifest that a client sends.
    pub max_manifest_size: usize,
    /// How often a client that waits for a long answer gets a space, in seconds.
    pub yield_frequency: u64,
    /// Whether clients may leave the deletion of segments to the expirer.
    pub allow_async_delete: bool,
    /// How long one read may take, in seconds.
    pub max_get_time: u64,
    /// Reads of segments smaller than this are limited in their rate, in bytes.
    pub rate_limit_under_size: u64,
    /// So many small segments are free.
    pub rate_limit_after_segment: u64,
    /// So many further ones are read in a second; 0 sets no limit.
    pub rate_limit_segments_per_sec: u64,
    /// Segments that are looked at together when a manifest is stored.
    pub concurrency: usize,
    /// Segments that are deleted together.
    pub delete_concurrency: usize,
}

impl Default for SloConfig {
    fn default() -> Self {
        Self {
            max_manifest_segments: 1000,
            max_manifest_size: 8 * 1024 * 1024,
            yield_frequency: 10,
            allow_async_delete: true,
            max_get_time: 86_400,
            rate_limit_under_size: 1024 * 1024,
            rate_limit_after_segment: 10,
            rate_limit_segments_per_sec: 1,
            concurrency: 2,
            delete_concurrency: 2,
        }
    }
}

impl SloConfig {
    /// The pace at which small segments are read.
    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.rate_limit_after_segment, self.rate_limit_segments_per_sec)
    }
}

/// How dynamic large objects are read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DloConfig {
    /// How long one read may take, in seconds.
    pub max_get_time: u64,
    /// So many segments are free.
    pub rate_limit_after_segment: u64,
    /// So many further ones are read in a second; 0 sets no limit.
    pub rate_limit_segments_per_sec: u64,
}

impl Default for DloConfig {
    fn default() -> Self {
        Self { max_get_time: 86_400, rate_limit_after_segment: 10, rate_limit_segments_per_sec: 1 }
    }
}

impl DloConfig {
    /// The pace at which segments are read.
    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.rate_limit_after_segment, self.rate_limit_segments_per_sec)
    }
}

/// Lets some go at once and the others at a steady rate.
#[derive(Debug)]
pub(super) struct Pace {
    free: u64,
    interval: Duration,
    next: Instant,
}

/// Who was this much slower than the rate does not catch up.
const FORGIVEN: Duration = Duration::from_secs(5);

impl Pace {
    fn new(free: u64, per_second: u64) -> Self {
        let interval = Duration::from_secs(1).checked_div(u32::try_from(per_second).unwrap_or(u32::MAX));
        Self { free, interval: interval.unwrap_or_default(), next: Instant::now() }
    }

    /// Waits for one's turn.
    pub(super) async fn wait(&mut self) {
        if let Some(turn) = self.turn(Instant::now()) {
            tokio::time::sleep_until(turn).await;
        }
    }

    /// When one's turn is, if not now.
    fn turn(&mut self, now: Instant) -> Option<Instant> {
        if self.free > 0 {
            self.free -= 1;
            return None;
        }
        if now.duration_since(self.next) > FORGIVEN {
            self.next = now;
        }
        let turn = self.next;
        self.next += self.interval;
        (turn > now).then_some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_free_and_the_others_wait_their_turn() {
        let mut pace = Pace::new(3, 2);
        let start = pace.next;
        let mut turn = |after: u64| {
            let turn = pace.turn(start + Duration::from_millis(after));
            turn.map(|turn| turn.duration_since(start).as_millis())
        };
        assert_eq!([turn(0), turn(0), turn(0), turn(0)], [None; 4]);
        assert_eq!([turn(0), turn(0), turn(600)], [Some(500), Some(1000), Some(1500)]);
        // Who was a little slow catches up, who was very slow does not.
        assert_eq!([turn(2600), turn(2600), turn(2600)], [None, None, Some(3000)]);
        assert_eq!([turn(60_000), turn(60_000), turn(60_000)], [None, Some(60_500), Some(61_000)]);
        // A rate of zero is none.
        let mut unlimited = Pace::new(0, 0);
        assert!((0..100).all(|_| unlimited.turn(Instant::now()).is_none()));
    }
}
