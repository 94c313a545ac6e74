//! Plain deletions that a ballot meets halfway. Pure.
//!
//! A DELETE goes to all replicas at once. When some have its tombstone, and others refuse it because of a promise, it is not
//! known whether it has happened: a conditional write may be judged by the tombstone of the few. A second tombstone, with a newer timestamp,
//! would then delete what was created because of the first: whoever gives a lock back would take it from the next owner.
//!
//! So it is finished by a ballot of its own, on the condition that nothing newer than the first tombstone is there:
//!
//! * *Nothing is*: the tombstone of the ballot is what a majority has, and the deletion has happened there, once.
//! * *A majority has something newer*, which came while this was under way. If it is a creation, a tombstone, or a plain write,
//!   the deletion has happened right before it, whether it was judged by the first tombstone or not: nothing was
//!   there before a creation, and the others do not ask. If it is a write with `If-Match` that cannot be said: 503, "perhaps".
//!
//! Ballots of creations are marked for that ([`Timestamp::as_creation`]). Those of who finishes one for others are not: it may
//! have been there for long.
//!
//! A version that is there already may have been acknowledged before the deletion began, by a proxy whose clock is ahead. Then the
//! deletion has to be later than it, if it is nowhere yet; if some have it: "perhaps". So the deletion is before a
//! creation only if a majority, asked at first, did not have that.

use super::majority;
use crate::timestamp::Timestamp;

/// What the replicas said to a plain DELETE, when a ballot stood in its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// So many have the tombstone.
    pub taken: usize,
    /// So many may have it: they did not answer, or with an error.
    pub unknown: usize,
    /// So many refused because of a promise, and do not have the version that it was for.
    pub by_promise: usize,
    /// So many refused because of a version that they have.
    pub by_version: usize,
}

/// What a proxy does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is done.
    Done,
    /// It is nowhere: try again with a newer timestamp.
    Later,
    /// Finish it with a ballot, if nothing newer is there.
    Finish,
    /// It cannot be known whether it has happened, or will.
    Unknown,
}

impl Refusals {
    /// What to do about them, with so many replicas.
    pub fn next(self, replicas: usize) -> Next {
        match self {
            Self { taken, .. } if taken >= majority(replicas) => Next::Done,
            Self { taken: 0, unknown: 0, .. } => Next::Later,
            Self { by_version: 0, .. } => Next::Finish,
            Self { by_version: 1.., .. } => Next::Unknown,
        }
    }

    /// Whether the deletion has happened, where a majority now has this version, which is newer than its tombstone. Otherwise it
    /// cannot be said.
    pub fn has_happened_before(self, version: Timestamp, is_tombstone: bool, replicas: usize) -> bool {
        let came_meanwhile = self.taken + self.by_promise >= majority(replicas);
        is_tombstone || !version.is_ballot() || version.is_creation() && came_meanwhile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(taken: usize, by_promise: usize, by_version: usize) -> Refusals {
        Refusals { taken, by_promise, by_version, unknown: 3 - taken - by_promise - by_version }
    }

    fn next(taken: usize, by_promise: usize, by_version: usize) -> Next {
        refusals(taken, by_promise, by_version).next(3)
    }

    #[test]
    fn only_what_is_nowhere_is_done_again() {
        assert_eq!([next(0, 3, 0), next(0, 0, 3), next(0, 1, 2)], [Next::Later; 3]);
        assert_eq!([next(1, 2, 0), next(0, 2, 0), next(1, 1, 0)], [Next::Finish; 3]);
        assert_eq!([next(1, 0, 2), next(0, 0, 2), next(1, 1, 1)], [Next::Unknown; 3]);
        assert_eq!([next(2, 0, 1), next(2, 1, 0)], [Next::Done; 2]);
    }

    #[test]
    fn a_deletion_comes_before_whoever_does_not_mind() {
        let ballot = Timestamp::from_secs(5).as_ballot(7);
        let before = |by_promise, version, is_tombstone| {
            refusals(1, by_promise, 0).has_happened_before(version, is_tombstone, 3)
        };
        assert!(!before(2, ballot, false), "it has found something else");
        assert!(before(1, ballot.as_creation(), false) && before(2, ballot.as_creation(), false));
        assert!(!before(0, ballot.as_creation(), false), "it may have been there before");
        assert!(before(0, ballot, true) && before(0, Timestamp::from_secs(5), false));
    }

    #[test]
    fn a_creation_is_a_ballot_that_says_so() {
        let ballot = Timestamp::from_secs(5).as_ballot(u16::MAX);
        assert!(ballot.as_creation().is_ballot() && ballot.as_creation().is_creation() && !ballot.is_creation());
        assert!(ballot < ballot.as_creation() && ballot.as_creation() < Timestamp::from_ticks(ballot.ticks() + 1));
        assert_eq!(ballot.as_creation().internal().parse(), Ok(ballot.as_creation()));
    }
}
