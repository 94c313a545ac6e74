//! The pace of an audit: a share of the wall time in which it has a read in flight.
//!
//! What reads cost is measured, not guessed from files or bytes: the same share is a crawl on a busy disk, on which each read
//! takes long, and a run on an idle one. Time in which the auditor does something else counts as rest. Pure: whoever
//! uses it says what time it is and does the resting.

use std::time::{Duration, Instant};

/// A shorter rest is put off until there is more of it: timers are not that exact.
const LEAST_REST: Duration = Duration::from_millis(20);
/// The longest rest, so that one read that hung for minutes does not stop the audit for hours.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Keeps to a share.
#[derive(Clone, Debug)]
pub struct Pace {
    share: f64,
    last: Instant,
    owed: Duration,
}

impl Pace {
    /// A pace from `now` on; a share is more than 0, and 1 is as fast as it goes.
    pub fn new(share: f64, now: Instant) -> Self {
        Self { share: share.clamp(0.001, 1.0), last: now, owed: Duration::ZERO }
    }

    /// A read that ended `now` took so long: how long to rest.
    pub fn spent(&mut self, busy: Duration, now: Instant) -> Option<Duration> {
        let rested = now.saturating_duration_since(self.last).saturating_sub(busy);
        self.last = now;
        let earned = busy.mul_f64((1.0 - self.share) / self.share);
        self.owed = self.owed.saturating_add(earned).saturating_sub(rested).min(LONGEST_REST);
        (self.owed >= LEAST_REST).then_some(self.owed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A clock that only reads, other work and rests move.
        #[test]
        fn reads_take_their_share_of_the_time(
            share in 0.05f64..1.0,
            steps in prop::collection::vec((1u64..30_000, 0u64..2_000), 200..400),
        ) {
            let started = Instant::now();
            let (mut now, mut busy, mut other) = (started, Duration::ZERO, Duration::ZERO);
            let mut pace = Pace::new(share, now);
            for (read, work) in steps {
                let (read, work) = (Duration::from_micros(read), Duration::from_micros(work));
                now += work;
                now += read;
                (busy, other) = (busy + read, other + work);
                if let Some(rest) = pace.spent(read, now) {
                    now += rest;
                }
            }
            let total = (now - started).as_secs_f64();
            let wanted = (busy.as_secs_f64() / share).max((busy + other).as_secs_f64());
            // The last rest may still be owed.
            prop_assert!((total - wanted).abs() <= 0.02 * wanted + LEAST_REST.as_secs_f64(), "{total} s, wanted {wanted} s");
        }
    }

    #[test]
    fn one_read_that_hangs_is_not_paid_for_for_hours() {
        let now = Instant::now();
        let hung = Duration::from_secs(3600);
        assert_eq!(Pace::new(0.01, now).spent(hung, now + hung), Some(LONGEST_REST));
        assert_eq!(Pace::new(1.0, now).spent(hung, now + hung), None);
    }
}
