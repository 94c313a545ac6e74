//! The places and the line before them. Pure: it is told the time.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::BURST;

/// Who is worked on, as a number, and who waits for that.
#[derive(Debug)]
pub(super) struct Line<T> {
    places: usize,
    most_waiting: usize,
    /// More than there are places when some that paused go on.
    working: usize,
    /// In the order of arrival, with its time. Some may have gone away.
    waiting: VecDeque<(Instant, T)>,
}

/// What becomes of a request that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It has a place, and is counted.
    Enters,
    /// It has to wait.
    Waits,
    /// Too many wait already.
    TooMany,
}

impl<T> Line<T> {
    /// So many places, all free, and an empty line that takes so many.
    pub(super) fn new(places: usize, most_waiting: usize) -> Self {
        Self { places, most_waiting, working: 0, waiting: VecDeque::new() }
    }

    /// Takes a place if there is one that nobody waits for.
    pub(super) fn arrive(&mut self) -> Arrival {
        if self.working < self.places {
            self.working += 1;
            Arrival::Enters
        } else if self.waiting.len() < self.most_waiting {
            Arrival::Waits
        } else {
            Arrival::TooMany
        }
    }

    /// As [`arrive`](Self::arrive), and stays if it has to wait.
    pub(super) fn join(&mut self, who: T, now: Instant) -> Arrival {
        let arrival = self.arrive();
        if arrival == Arrival::Waits {
            self.waiting.push_back((now, who));
        }
        arrival
    }

    /// Gives a place back; [`next`](Self::next) says whom to.
    pub(super) fn leave(&mut self) {
        self.working -= 1;
    }

    /// Takes a place though there may be none: of one that had it before.
    pub(super) fn go_on(&mut self) {
        self.working += 1;
    }

    /// Whose turn it is, if there is a place; it is counted from now on.
    pub(super) fn next(&mut self, now: Instant, is_gone: impl Fn(&T) -> bool) -> Option<T> {
        while self.working < self.places {
            let next = if self.is_overloaded(now) { self.waiting.pop_back() } else { self.waiting.pop_front() };
            let (_, next) = next?;
            if !is_gone(&next) {
                self.working += 1;
                return Some(next);
            }
        }
        None
    }

    /// Takes those out who are gone, as far as they stand at an end.
    pub(super) fn tidy(&mut self, is_gone: impl Fn(&T) -> bool) {
        while self.waiting.pop_front_if(|(_, first)| is_gone(first)).is_some() {}
        while self.waiting.pop_back_if(|(_, last)| is_gone(last)).is_some() {}
    }

    /// Whether the order of arrival would have everybody wait long.
    fn is_overloaded(&self, now: Instant) -> bool {
        self.waiting.front().is_some_and(|(came, _)| now.duration_since(*came) > BURST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Everybody who waits, in the order in which they would be called at that time.
    fn called(line: &mut Line<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| {
            line.leave();
            line.next(now, |_| false)
        })
        .collect()
    }

    fn full(waiting: u32) -> (Line<u32>, Instant) {
        let (mut line, now) = (Line::new(1, 3), Instant::now());
        assert_eq!(line.arrive(), Arrival::Enters);
        assert!((0..waiting).all(|who| line.join(who, now) == Arrival::Waits));
        (line, now)
    }

    #[test]
    fn a_burst_is_served_as_it_came_and_overload_from_its_end() {
        let (mut line, now) = full(3);
        assert_eq!(line.join(3, now), Arrival::TooMany);
        assert_eq!(called(&mut line, now + BURST), [0, 1, 2]);
        let (mut line, now) = full(3);
        assert_eq!(called(&mut line, now + BURST * 2), [2, 1, 0]);
        // Once nobody waits, it is a burst again.
        let later = now + Duration::from_secs(9);
        assert_eq!(line.arrive(), Arrival::Enters);
        assert!((0..2).all(|who| line.join(who, later) == Arrival::Waits));
        assert_eq!(called(&mut line, later), [0, 1]);
    }

    #[test]
    fn who_is_gone_is_not_called_and_needs_no_room() {
        let (mut line, now) = full(3);
        line.leave();
        assert_eq!(line.next(now, |who| *who < 2), Some(2));
        let (mut line, now) = full(3);
        line.tidy(|who| *who != 1);
        assert_eq!(
            (line.join(7, now), line.join(8, now), line.join(9, now)),
            (Arrival::Waits, Arrival::Waits, Arrival::TooMany)
        );
        assert_eq!(called(&mut line, now), [1, 7, 8]);
    }

    #[test]
    fn who_goes_on_needs_no_place_and_the_next_waits_for_two() {
        let (mut line, now) = full(1);
        line.go_on();
        line.leave();
        assert_eq!(line.next(now, |_| false), None);
        line.leave();
        assert_eq!(line.next(now, |_| false), Some(0));
    }

    proptest! {
        /// Whatever happens in whatever order: a place is never free while somebody waits, only who had one before makes it
        /// more than there are, and everybody is called once or waits still.
        #[test]
        fn places_are_used_and_nobody_is_lost(steps in proptest::collection::vec((0u8..4, 0u64..80), 1..200), places in 1usize..4) {
            let (mut line, mut now) = (Line::new(places, 5), Instant::now());
            let (mut working, mut paused, mut came, mut waiting) = (0usize, 0usize, 0u32, std::collections::BTreeSet::new());
            for (step, millis) in steps {
                now += Duration::from_millis(millis);
                let before = working;
                match step {
                    0 => {
                        came += 1;
                        match line.join(came, now) {
                            Arrival::Enters => working += 1,
                            Arrival::Waits => prop_assert!(waiting.insert(came)),
                            Arrival::TooMany => prop_assert_eq!(waiting.len(), 5),
                        }
                        prop_assert!(working <= places.max(before));
                    }
                    1 | 2 if working > 0 => {
                        working -= 1;
                        paused += usize::from(step == 2);
                        line.leave();
                        while let Some(who) = line.next(now, |_| false) {
                            prop_assert!(waiting.remove(&who));
                            working += 1;
                        }
                    }
                    3 if paused > 0 => {
                        (paused, working) = (paused - 1, working + 1);
                        line.go_on();
                    }
                    _ => {}
                }
                prop_assert_eq!(line.working, working);
                prop_assert!(waiting.is_empty() || working >= places);
            }
        }
    }
}
