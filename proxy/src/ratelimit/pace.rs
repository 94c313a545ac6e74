//! The arithmetic of rates: how long the next request has to wait. Pure: the time is given.

use std::time::Duration;

use apus_base::timestamp::TICKS_PER_SECOND;
use serde::Serialize;

/// When the last request that was let through will have had its turn, in ticks since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    until: u64,
}

impl Pace {
    /// How long a request that comes `now` has to wait at so many in a second; `None`, and it does not count, if that is
    /// `longest` or more. After a rest, `buffer`'s worth of requests go at once.
    pub(super) fn take(&mut self, now: u64, rate: f64, buffer: Duration, longest: Duration) -> Option<Duration> {
        let turn = turn(rate);
        if now.saturating_sub(self.until.saturating_add(turn)) > ticks(buffer) {
            self.until = now.saturating_add(turn);
            return Some(Duration::ZERO).filter(|_| !longest.is_zero());
        }
        let wait = self.until.saturating_sub(now);
        if wait.saturating_add(TICKS_PER_SECOND / 100) >= ticks(longest) {
            return None;
        }
        self.until = self.until.saturating_add(turn);
        Some(duration(wait))
    }
}

/// What one request takes of the time, in ticks.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a conversion of floats to integers saturates, and rates are above 0"
)]
fn turn(rate: f64) -> u64 {
    (TICKS_PER_SECOND as f64 / rate).round() as u64
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros() / 10).unwrap_or(u64::MAX)
}

fn duration(ticks: u64) -> Duration {
    Duration::from_micros(ticks.saturating_mul(10))
}

/// Rates by the size of a container: at each of these sizes it is that rate, in between on a line from one to the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Rates(Vec<(u64, f64)>);

impl Rates {
    /// `None` if one is no rate, or a size has two.
    pub(super) fn new(rates: &[(u64, f64)]) -> Option<Self> {
        let mut rates = rates.to_vec();
        rates.sort_by_key(|(size, _)| *size);
        let are_rates = rates.iter().all(|(_, rate)| rate.is_finite() && *rate > 0.0);
        let are_apart = rates.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (are_rates && are_apart).then_some(Self(rates))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rate of a container with so many objects; `None` if it may be as fast as it can. As in Swift, an empty
    /// container has none.
    #[expect(clippy::cast_precision_loss, reason = "numbers of objects are below 2^53")]
    pub(super) fn of(&self, size: u64) -> Option<f64> {
        let next = self.0.partition_point(|(from, _)| *from <= size);
        let (from, rate) = *self.0.get(next.checked_sub(1)?).filter(|_| size > 0)?;
        let Some((to, last)) = self.0.get(next) else { return Some(rate) };
        let slope = (last - rate) / (to - from) as f64;
        Some((size - from) as f64 * slope + rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = TICKS_PER_SECOND;
    const NOW: u64 = 1_700_000_000 * SECOND;

    fn take(pace: &mut Pace, now: u64, rate: f64) -> Option<f64> {
        pace.take(now, rate, Duration::from_secs(5), Duration::from_secs(2)).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn who_is_too_fast_waits_and_then_is_refused() {
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..6).map(|_| take(&mut pace, NOW, 2.0)).collect();
        assert_eq!(waits, [Some(0.0), Some(0.5), Some(1.0), Some(1.5), None, None]);
        // Who was refused did not count.
        assert_eq!(take(&mut pace, NOW + SECOND / 2, 2.0), Some(1.5));
        assert_eq!(take(&mut pace, NOW + SECOND / 2, 2.0), None);
    }

    #[test]
    fn a_short_rest_is_made_up_for_and_a_long_one_is_not() {
        let mut pace = Pace::default();
        take(&mut pace, NOW, 1.0);
        // Four turns were left out: they are had at once.
        let waits: Vec<_> = (0..5).map(|_| take(&mut pace, NOW + 5 * SECOND, 1.0)).collect();
        assert_eq!(waits, [Some(0.0); 5]);
        assert_eq!(take(&mut pace, NOW + 5 * SECOND, 1.0), Some(1.0));
        assert_eq!(take(&mut pace, NOW + 100 * SECOND, 1.0), Some(0.0));
        assert_eq!(take(&mut pace, NOW + 100 * SECOND, 1.0), Some(1.0));
    }

    #[test]
    fn rates_by_size() {
        let rates = Rates::new(&[(600, 40.0), (200, 20.0), (999, 5.0)]).unwrap();
        let of: Vec<_> = [0, 199, 200, 400, 600, 999, 100_000].map(|size| rates.of(size)).to_vec();
        assert_eq!(of, [None, None, Some(20.0), Some(30.0), Some(40.0), Some(5.0), Some(5.0)]);
        assert_eq!(Rates::new(&[(0, 1.0)]).unwrap().of(0), None);
        assert!(Rates::new(&[]).unwrap().of(5).is_none());
        for wrong in [[(1, 0.0), (2, 1.0)], [(1, -1.0), (2, 1.0)], [(1, f64::NAN), (2, 1.0)], [(1, 2.0), (1, 3.0)]] {
            assert!(Rates::new(&wrong).is_none(), "{wrong:?}");
        }
    }

    proptest! {
        /// Whatever comes when, in the long run there are no more than the rate and the buffer allow.
        #[test]
        fn nobody_is_faster_than_allowed(gaps in proptest::collection::vec(0..SECOND, 1..200), rate in 1.0..50.0) {
            let (mut pace, mut now) = (Pace::default(), NOW);
            let mut turns = Vec::new();
            for gap in gaps {
                now += gap;
                if let Some(wait) = take(&mut pace, now, rate) {
                    turns.push(now as f64 / SECOND as f64 + wait);
                }
            }
            let span = turns.iter().copied().fold(f64::MIN, f64::max) - turns[0];
            prop_assert!(turns.len() as f64 <= (span + 5.0) * rate * 1.01 + 2.0);
        }
    }
}
