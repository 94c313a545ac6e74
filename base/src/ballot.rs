//! Conditional writes that are atomic: how the primaries of an object agree on one write after the other. Pure.
//!
//! Of any number of concurrent creators (`If-None-Match: *`), or of concurrent writers with the same `If-Match`, one succeeds at
//! most, and exactly one as soon as a majority of the object's primaries can be reached for long enough. This is CASPaxos
//! (Rystsov, 2018) with the object itself as the register: what is accepted is a version (or a tombstone), and the number of
//! a ballot is the version's timestamp. So nothing has to be kept beside the object but a promise, while one is open.
//!
//! # The protocol
//!
//! A *ballot* is a timestamp whose offset is a random nonce ([`Timestamp::as_ballot`]): two proxies that propose in the same
//! tick of 10 µs have different ballots, and no plain write has one. Each of the n primaries has a *version* (the newest of
//! data and tombstone, zero for none) and a *fence* (zero for none). A majority is more than n/2; handoffs have no vote.
//!
//! 1. *Look.* All primaries are asked for their state, on stable storage. If a majority has the newest version that was
//!    seen, and that does not meet the condition, the answer is 412 (or 404), before the body is even asked for.
//! 2. *Hold.* The body goes to all primaries, which keep it ready under a token: a file without a name, which nobody sees,
//!    and which is gone when the process is, or after minutes.
//! 3. *Look* again, and if the condition is met, *fence*: a ballot T above all that was seen goes to all primaries. One whose fence
//!    and whose files are all older than T promises, on stable storage: nothing older than T gets in any more, from
//!    clients, replication or anybody. It answers its state as of after the promise. The proxy takes the newest version of all
//!    answers; the condition has to be met by that, and a majority has to have promised.
//! 4. *Commit.* What is held becomes the version T wherever no fence is above T and nothing newer is there. When a majority has it on stable storage
//!    it is acknowledged. The listing is told of the row as of any PUT's.
//!
//! A primary is asked by `FENCE` (without a timestamp it only looks) and by `COMMIT`; what is held comes by a PUT with
//! [`HOLD`](crate::wire::header::HOLD). Where the fence is kept, and why no writer slips through while it is raised, is said in
//! `object/src/store/fence.rs`; [`Proposal`] decides what a proxy does next, and `base/src/client/conditional.rs` does it.
//!
//! A proxy that finds at 3 that it will not commit takes its promises back ([`Vote::may_release`]): otherwise replication of what is
//! older than T would be refused for an hour. One that was given in place of another promise stays, since that one may still be
//! needed. So does every one of a proxy that dies. (This counts on the connections: a write is delivered once, so one that was refused does not come again.)
//!
//! Whoever is refused at 3 or 4, because somebody else has fenced higher, waits a random while and goes on at 3. A proxy
//! lets its own requests for one object go one after the other, and looks before it fences, so that only proxies compete, and
//! losers do not disturb the winner.
//!
//! Plain writes go on as ever: PUT and DELETE without a condition are blind writes, with a quorum of their own. One that is
//! older than a fence, or than a version that a ballot made, is refused with 409 and the fence, and the proxy tries again with
//! a newer timestamp: it counts as later than the conditional write. That is allowed only while no replica has it: a PUT is
//! refused before its body, and what becomes of a DELETE that some have taken is said in [`deletion`]. Replication of a
//! file that is older than a fence is refused until the fence has expired; whoever pushes keeps the file and tries again.
//!
//! # Why it holds
//!
//! *A version that a majority has stays seen.* Versions of a replica only grow. So whoever hears a majority hears of it, or of
//! a newer one, which was written by somebody who heard of it, or blindly.
//!
//! *What a condition was judged by is still true at the commit.* A majority promised T and told its state; that state can change
//! only by versions above T. Another conditional write T' that is committed has promises from a majority too, so one primary gave
//! both. If T' > T it refuses the commit of T, unless T was there before T' was promised, and then T' was judged by it. If
//! T' < T then T' was there before T was promised, or was refused: T was judged by it, or it has no majority.
//!
//! *A refusal is final.* 412 is said only of a version that a majority has. A version that only a minority has may be the
//! rest of a write whose proxy died, and another majority would not know of it. So it is left time to become one, and then is
//! brought to a majority by who needs to know ([`Step::Help`]): its bytes are held and committed again, under a new
//! ballot, on the condition that it still is the newest. A tombstone likewise.
//!
//! # What may go wrong
//!
//! * *A proxy dies before 4.* Bodies that are held expire; nothing was visible. Fences stay for [`FENCE_LIFE`]: a plain write takes a
//!   newer timestamp, a conditional one a higher ballot.
//! * *A proxy dies in 4*, when a minority has the version. It is a write that nobody was promised. The next conditional write
//!   that hears of it overwrites it (its condition is met), or helps it, and then it has happened; or does not hear of
//!   it, writes a newer version, and then it never has. Nobody sees both.
//! * *A proxy does not know whether its write is in*: some primary has it, or did not answer the commit, and no majority took it.
//!   It looks again. If its version is the newest it is brought to a majority and acknowledged. If there is a newer one of
//!   somebody else, that one may or may not have been judged by ours: the answer is 503 and means "perhaps".
//! * *Less than a majority of the primaries can be reached*: 503, and nothing is visible.
//! * *Too many compete*: after [`MAX_ROUNDS`] the answer is 409 and means "surely not; try again".
//! * *A primary dies* between promise and commit: the promise is on stable storage; what it held is lost, and it does not take the
//!   commit. A power cut in a commit leaves the version whole or not at all, like any PUT's.
//! * *A message comes late.* A fence from long ago is below what is there, or it refuses some commit, which is tried again. A
//!   commit from long ago is refused by a higher fence, or by its age.
//! * *Clocks.* Promises expire after an hour of the server's clock, and ballots further than [`MAX_DRIFT`] from the server's
//!   clock are neither promised nor committed. So a promise outlives every commit that needs it if no two clocks of the
//!   cluster are more than 40 minutes apart. Beyond that conditional writes are refused or may be wrong; an object with a plain version
//!   from the future takes no conditional write until that time is near.
//! * *A 201 that was never seen*: a plain write may supersede at once what was committed. It counts as written after it.
//!
//! # What is not promised
//!
//! The register is the set of primaries, and they must not forget:
//!
//! * *A copy that is lost* (an emptied disk, one that was replaced) votes as if nothing had ever been there. If it and a primary that
//!   missed the last write are a majority, that write is overlooked until replication has brought it back. A copy in
//!   quarantine does not vote before it is repaired.
//! * *A ring change* is the same for the partitions that it moves: let replication (or the move) finish before the next
//!   one, as for everything else.
//! * *Plain writes are acknowledged by half of the replicas, and by handoffs.* With an even number of replicas, or with
//!   acknowledgements of handoffs, the primaries that a conditional write hears may know nothing of one. Conditional writes
//!   alone are safe with any number.
//! * *Ordinary reads* ask one replica and may see an older version, or one that never gets a majority.
//! * *A container with two policies*, after a split network: each policy has an object, and a register, of its own.

pub mod deletion;

use std::time::Duration;

use crate::timestamp::{TICKS_PER_SECOND, Timestamp};

/// How long a promise lives, by the clock of the server that gave it.
pub const FENCE_LIFE: Duration = Duration::from_secs(3600);
/// How far a ballot may be from a server's clock to be promised or committed there.
pub const MAX_DRIFT: Duration = Duration::from_secs(600);
/// How long a body is held for a commit that does not come: as long as that could be taken.
pub const HOLD_LIFE: Duration = MAX_DRIFT;
/// How often a write is tried. Losing so often in a row, with pauses that double, is a crowd that should not try at once.
pub const MAX_ROUNDS: u32 = 12;
/// So often a version that only a minority has is left time to become one of the majority: whoever wrote it is at work
/// nearly always, and needs a few messages.
const PATIENT_ROUNDS: u32 = 3;

/// How many of so many replicas are a majority: any two have one in common.
pub const fn majority(replicas: usize) -> usize {
    replicas / 2 + 1
}

/// Whether a ballot is near enough to a server's clock.
pub fn is_timely(ballot: Timestamp, now: Timestamp) -> bool {
    ballot.ticks().abs_diff(now.ticks()) <= MAX_DRIFT.as_secs() * TICKS_PER_SECOND
}

/// Whether a replica promises a ballot, given its fence and the newest of all its files.
pub fn may_promise(ballot: Timestamp, fence: Timestamp, newest: Timestamp) -> bool {
    ballot > fence && ballot > newest
}

/// Whether a version that nobody has promised anything about gets in, given the fence and the newest version. What a ballot
/// has made stands for its fence, which is gone by then.
pub fn may_enter(written: Timestamp, fence: Timestamp, version: Timestamp) -> bool {
    written >= fence && (written >= version || !version.is_ballot())
}

/// Whether a ballot is committed, given the fence and the newest version: a newer one may have come in place of another that
/// stood for a promise.
pub fn may_commit(ballot: Timestamp, fence: Timestamp, version: Timestamp) -> bool {
    ballot >= fence && ballot > version
}

/// What one primary says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// Its newest version, data or tombstone; zero if it knows of none.
    pub version: Timestamp,
    /// The newest of all that it has, metadata and the fence included.
    pub newest: Timestamp,
    /// Whether it has promised the ballot it was asked for.
    pub promised: bool,
    /// Whether that promise stands in place of another one, which was still open.
    pub above_another: bool,
}

impl Vote {
    /// Whether the promise may be taken back by a proxy that surely will not commit. Nobody else counts on it; but there must be
    /// nobody who counts on the one that it has replaced.
    pub fn may_release(self) -> bool {
        self.promised && !self.above_another
    }
}

/// How the primaries answered a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// So many have it on stable storage.
    pub taken: usize,
    /// So many may have it: they did not answer, or with an error.
    pub unknown: usize,
}

/// What a proxy does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the promise of a ballot above this.
    Fence(Timestamp),
    /// Commit the ballot that was promised.
    Commit,
    /// Tell the client that what this vote has does not meet the condition.
    Unmet(usize),
    /// Bring what this vote has to a majority, then look again.
    Help(usize),
    /// Wait, and look again.
    Again,
    /// It is written, as this version.
    Done(Timestamp),
    /// Give up.
    Failed(Failure),
}

/// Why a proxy gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too few primaries answer. Nothing was written.
    NoMajority,
    /// Others were quicker again and again. Nothing was written.
    Contended,
    /// It cannot be known whether it was written.
    Unknown,
}

/// One conditional write on its way.
#[derive(Clone, Debug)]
pub struct Proposal {
    replicas: usize,
    rounds: u32,
    /// Rounds in a row in which a version of a minority was in the way.
    doubtful: u32,
    /// The ballots under which some primary may have it.
    own: Vec<Timestamp>,
}

impl Proposal {
    /// One to so many primaries.
    pub fn new(replicas: usize) -> Self {
        Self { replicas, rounds: 0, doubtful: 0, own: Vec::new() }
    }

    /// After the primaries were looked at. `meets` says whether what a vote has meets the condition.
    ///
    /// # Errors
    /// Those of `meets`.
    pub fn looked<E>(&mut self, votes: &[Vote], meets: impl FnOnce(usize) -> Result<bool, E>) -> Result<Step, E> {
        let after = votes.iter().map(|vote| vote.newest.max(vote.version)).max().unwrap_or_default();
        self.judge(votes, Step::Fence(after), meets)
    }

    /// After they were asked to promise a ballot.
    ///
    /// # Errors
    /// Those of `meets`.
    pub fn fenced<E>(
        &mut self,
        ballot: Timestamp,
        votes: &[Vote],
        meets: impl FnOnce(usize) -> Result<bool, E>,
    ) -> Result<Step, E> {
        let promised = votes.iter().filter(|vote| vote.promised).count();
        // A version above the ballot came after the promises, and says nothing of what was there before.
        let is_overtaken = votes.iter().any(|vote| vote.version > ballot);
        let met = if promised >= self.majority() && !is_overtaken { Step::Commit } else { self.again() };
        self.judge(votes, met, meets)
    }

    /// After they were told to commit a ballot.
    pub fn committed(&mut self, ballot: Timestamp, commits: Commits) -> Step {
        if commits.taken >= self.majority() {
            return Step::Done(ballot);
        }
        if commits.taken + commits.unknown > 0 {
            self.own.push(ballot);
        }
        self.again()
    }

    /// After a version was helped: it may be there now as these versions, too.
    pub fn helped(&mut self, version: Timestamp, tried: Vec<Timestamp>) {
        if self.own.contains(&version) {
            self.own.extend(tried);
        }
    }

    /// The ballots under which some primary may have it.
    pub fn into_own(self) -> Vec<Timestamp> {
        self.own
    }

    /// How many rounds were lost, for the pause before the next one.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// What to do about the newest version: `met` if it meets the condition.
    fn judge<E>(&mut self, votes: &[Vote], met: Step, meets: impl FnOnce(usize) -> Result<bool, E>) -> Result<Step, E> {
        let newest = (0..votes.len()).max_by_key(|i| votes[*i].version);
        let Some(newest) = newest.filter(|_| votes.len() >= self.majority()) else {
            return Ok(self.failed(Failure::NoMajority));
        };
        let version = votes[newest].version;
        let is_settled = votes.iter().filter(|vote| vote.version == version).count() >= self.majority();
        let is_own = self.own.contains(&version);
        Ok(match (is_own, is_settled) {
            (true, true) => Step::Done(version),
            (true, false) => self.help(newest),
            // Somebody has written over what may have been ours.
            _ if self.own.iter().any(|own| *own < version) => Step::Failed(Failure::Unknown),
            _ if meets(newest)? => {
                // A look may have missed the minority; those who promise have not.
                if met == Step::Commit {
                    self.doubtful = 0;
                }
                met
            }
            // It was met once. What has changed since may have been judged by ours.
            _ if !self.own.is_empty() => self.again(),
            (false, true) => Step::Unmet(newest),
            (false, false) if self.doubtful < PATIENT_ROUNDS => {
                self.doubtful += 1;
                self.again()
            }
            (false, false) => self.help(newest),
        })
    }

    fn help(&mut self, vote: usize) -> Step {
        self.doubtful = 0;
        match self.again() {
            Step::Again => Step::Help(vote),
            failed => failed,
        }
    }

    /// Another round, if there may be one.
    fn again(&mut self) -> Step {
        self.rounds += 1;
        if self.rounds < MAX_ROUNDS { Step::Again } else { self.failed(Failure::Contended) }
    }

    fn failed(&self, failure: Failure) -> Step {
        Step::Failed(if self.own.is_empty() { failure } else { Failure::Unknown })
    }

    fn majority(&self) -> usize {
        majority(self.replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn votes(versions: &[u64], promised: usize) -> Vec<Vote> {
        let vote = |(i, secs): (usize, &u64)| Vote {
            version: at(*secs),
            newest: at(*secs),
            promised: i < promised,
            above_another: false,
        };
        versions.iter().enumerate().map(vote).collect()
    }

    fn look(proposal: &mut Proposal, versions: &[u64], meets: bool) -> Step {
        proposal.looked::<()>(&votes(versions, 0), |_| Ok(meets)).unwrap()
    }

    #[test]
    fn ballots_differ_within_a_tick_and_lie_between_plain_writes() {
        let (one, other) = (at(5).as_ballot(1), at(5).as_ballot(2));
        assert!(at(5) < one && one < other && other < Timestamp::from_ticks(at(5).ticks() + 1));
        assert!(one.is_ballot() && at(5).as_ballot(0).is_ballot());
        assert!(!at(5).is_ballot() && !at(5).with_offset(3).is_ballot());
        assert_eq!(one.internal().parse(), Ok(one));
    }

    #[test]
    fn no_two_majorities_miss_each_other() {
        for replicas in 1..10 {
            assert!(2 * majority(replicas) > replicas && majority(replicas) <= replicas);
        }
    }

    #[test]
    fn a_way_without_trouble() {
        let mut proposal = Proposal::new(3);
        assert_eq!(look(&mut proposal, &[0, 0], true), Step::Fence(at(0)));
        assert_eq!(proposal.fenced::<()>(at(9), &votes(&[0, 0], 2), |_| Ok(true)), Ok(Step::Commit));
        assert_eq!(proposal.committed(at(9), Commits { taken: 2, unknown: 0 }), Step::Done(at(9)));
    }

    #[test]
    fn a_refusal_needs_a_majority_that_has_what_it_is_about() {
        let mut proposal = Proposal::new(3);
        assert_eq!(look(&mut proposal, &[5, 5], false), Step::Unmet(1));
        for _ in 0..PATIENT_ROUNDS {
            assert_eq!(look(&mut proposal, &[5, 0, 0], false), Step::Again);
        }
        assert_eq!(look(&mut proposal, &[5, 0, 0], false), Step::Help(0));
        assert_eq!(look(&mut proposal, &[5], false), Step::Failed(Failure::NoMajority));
    }

    #[test]
    fn fewer_promises_or_a_newer_version_start_again() {
        let mut proposal = Proposal::new(3);
        let fence = |proposal: &mut Proposal, versions: &[u64], promised| {
            proposal.fenced::<()>(at(9), &votes(versions, promised), |_| Ok(true)).unwrap()
        };
        assert_eq!(fence(&mut proposal, &[0, 0, 0], 1), Step::Again);
        assert_eq!(fence(&mut proposal, &[0, 0, 10], 2), Step::Again);
        assert_eq!(fence(&mut proposal, &[5, 0, 0], 2), Step::Commit);
    }

    #[test]
    fn what_may_be_in_is_never_called_refused() {
        let mut proposal = Proposal::new(3);
        assert_eq!(proposal.committed(at(9), Commits { taken: 1, unknown: 0 }), Step::Again);
        // It is not seen: it may go on, but may not say that the condition was not met.
        assert_eq!(look(&mut proposal, &[5, 5], true), Step::Fence(at(5)));
        assert_eq!(look(&mut proposal.clone(), &[5, 5], false), Step::Again);
        // It is seen, and then by a majority.
        assert_eq!(look(&mut proposal.clone(), &[9, 0, 0], false), Step::Help(0));
        assert_eq!(look(&mut proposal.clone(), &[9, 9, 0], false), Step::Done(at(9)));
        // Somebody has overwritten it, or something else.
        assert_eq!(look(&mut proposal.clone(), &[10, 10, 0], false), Step::Failed(Failure::Unknown));
        assert_eq!(look(&mut proposal, &[10], false), Step::Failed(Failure::Unknown));
    }

    #[test]
    fn a_crowd_ends() {
        let mut proposal = Proposal::new(3);
        let refused = Commits::default();
        let steps: Vec<_> = (0..MAX_ROUNDS).map(|_| proposal.committed(at(9), refused)).collect();
        let (last, before) = steps.split_last().unwrap();
        assert!(before.iter().all(|step| *step == Step::Again));
        assert_eq!(*last, Step::Failed(Failure::Contended));
    }
}
