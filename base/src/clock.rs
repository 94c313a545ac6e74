//! The clock of a process: timestamps that never repeat and never go back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::timestamp::{TICKS_PER_SECOND, Timestamp};

/// Hands out the version numbers of writes.
///
/// Each is later than the one before, also when the system's clock is set back or two requests meet in one tick.
#[derive(Debug, Default)]
pub struct Clock {
    last_ticks: AtomicU64,
}

impl Clock {
    /// A timestamp later than every one that this clock gave before.
    pub fn next(&self) -> Timestamp {
        let now = now().ticks();
        let advance = |last: u64| Some(now.max(last + 1));
        // The closure always returns Some, so both arms hold the previous value.
        let (Ok(last) | Err(last)) = self.last_ticks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
        Timestamp::from_ticks(now.max(last + 1))
    }
}

/// What the system's clock shows, which may repeat.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ticks(since.as_secs() * TICKS_PER_SECOND + u64::from(since.subsec_micros()) / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_repeats() {
        let clock = Clock::default();
        let taken: Vec<_> = (0..10_000).map(|_| clock.next()).collect();
        assert!(taken.windows(2).all(|w| w[0] < w[1]));
    }
}
