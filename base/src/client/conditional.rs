//! Conditional writes of objects: what [`ballot`](crate::ballot) decides is done here, at all primaries at once.
//!
//! Nothing goes to a handoff, for only primaries vote. Nodes that do not answer at once are waited for a moment when a
//! majority has answered: one that has half of another write is worth knowing. Requests that were sent are not cut off
//! when the client goes away; it is then as if this proxy had died, which the protocol bears.

mod help;
mod hold;
mod primaries;

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Mutex;

use super::put::{PutError, PutObject, PutOutcome};
use super::{ClusterClient, NoAnswer, ObjectPath};
use crate::ballot::deletion::Refusals;
use crate::ballot::{Failure, Proposal, Step, Vote};
use crate::timestamp::Timestamp;
use primaries::{Primaries, Seen};

/// The first pause after a lost round; it doubles, and its half is random.
const FIRST_PAUSE: Duration = Duration::from_millis(8);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Objects whose conditional writes through this proxy take turns share so many places by their hashes.
const TURNS: usize = 256;

/// What a write demands.
#[derive(Clone, Copy)]
pub struct Demand<'a> {
    /// Says whether it is met: by the headers of the newest version, as the object servers keep them, or by there being nothing.
    /// It is asked several times, about several versions.
    pub is_met: &'a (dyn Fn(Option<&HeaderMap>) -> Result<bool, PutError> + Send + Sync),
    /// Whether only by there being nothing.
    pub creates_only: bool,
}

/// Lets the conditional writes of one object go one after the other through this proxy: those who would lose against each
/// other wait, and then see who has won. Never waited for while a body comes.
pub(super) struct Turns(Vec<Mutex<()>>);

impl Turns {
    pub(super) fn new() -> Self {
        Self((0..TURNS).map(|_| Mutex::default()).collect())
    }

    fn of(&self, hash: &[u8; 16]) -> &Mutex<()> {
        &self.0[usize::from(hash[15]) % TURNS]
    }
}

/// What is to be written.
enum Write {
    /// What these primaries hold under this token, and when it expires.
    Held {
        token: HeaderValue,
        holders: Vec<bool>,
        delete_at: Option<HeaderValue>,
    },
    Tombstone,
}

/// On which condition.
enum Condition<'a> {
    /// The client's.
    Asked(Demand<'a>),
    /// This version is the newest, and a majority does not have it.
    IsNewest(Timestamp),
    /// Nothing is newer than this tombstone, which these replicas have refused.
    NotAfter(Timestamp, Refusals),
}

impl ClusterClient {
    /// Stores an object if what is there meets a condition, so that of all who compete one succeeds at most. The condition is
    /// looked at before the body is asked for, and again when it decides.
    ///
    /// # Errors
    /// Any [`PutError`]: `Unmet` and `Contended` mean that nothing was written; after `NoQuorum` it may have been.
    pub async fn put_object_if(&self, put: PutObject<'_>, demand: Demand<'_>) -> Result<PutOutcome, PutError> {
        let primaries = Primaries::of(self, put.path, put.headers)?;
        let condition = Condition::Asked(demand);
        primaries.look(&condition).await?;
        let (write, etag, length) = primaries.hold(put).await?;
        let mut proposal = Proposal::new(primaries.replicas());
        let written = primaries.decide(&mut proposal, &write, &condition).await?;
        let (status, headers) = (StatusCode::CREATED, HeaderMap::new());
        Ok(PutOutcome { status, etag: Some(etag), length, headers, written: Some(written) })
    }

    /// Whether what is there meets a condition, as far as can be said without writing: for steps that come before a write on
    /// this condition.
    ///
    /// # Errors
    /// As [`ClusterClient::put_object_if`].
    pub async fn look_at_object(
        &self,
        path: ObjectPath<'_>,
        headers: &HeaderMap,
        demand: Demand<'_>,
    ) -> Result<(), PutError> {
        Primaries::of(self, path, headers)?.look(&Condition::Asked(demand)).await
    }

    /// What a majority of the primaries has that is newest, metadata included; nothing if they have nothing. Unlike a read of
    /// the newest, it does not pass over what was acknowledged because servers are down.
    ///
    /// # Errors
    /// `NoQuorum` when fewer answer.
    pub async fn settled_object(
        &self,
        path: ObjectPath<'_>,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderMap>, PutError> {
        let primaries = Primaries::of(self, path, headers)?;
        let mut seen = primaries.ask(None, true).await;
        if seen.len() < primaries.majority() {
            let statuses = seen.iter().map(|seen| if seen.has_data { 200 } else { 404 }).collect();
            return Err(NoAnswer { statuses }.into());
        }
        seen.sort_by_key(|seen| (seen.vote.version, seen.changed()));
        Ok(seen.pop().and_then(|newest| newest.headers))
    }

    /// Deletes an object if what is there meets a condition, and gives the version of the tombstone.
    ///
    /// # Errors
    /// As [`ClusterClient::put_object_if`].
    pub async fn delete_object_if(
        &self,
        path: ObjectPath<'_>,
        headers: &HeaderMap,
        demand: Demand<'_>,
    ) -> Result<Timestamp, PutError> {
        let primaries = Primaries::of(self, path, headers)?;
        let mut proposal = Proposal::new(primaries.replicas());
        primaries.decide(&mut proposal, &Write::Tombstone, &Condition::Asked(demand)).await
    }

    /// Brings a plain deletion to an end that only some replicas have taken.
    ///
    /// # Errors
    /// `NoQuorum`: it cannot be known whether it has happened.
    pub(super) async fn finish_deletion(
        &self,
        path: ObjectPath<'_>,
        headers: &HeaderMap,
        written: Timestamp,
        refusals: Refusals,
    ) -> Result<(), PutError> {
        let primaries = Primaries::of(self, path, headers)?;
        let mut proposal = Proposal::new(primaries.replicas());
        let condition = Condition::NotAfter(written, refusals);
        match primaries.decide(&mut proposal, &Write::Tombstone, &condition).await {
            Err(PutError::Unmet { .. } | PutError::Contended) => {
                Err(NoAnswer { statuses: vec![StatusCode::CONFLICT.as_u16(); primaries.replicas()] }.into())
            }
            decided => decided.map(drop),
        }
    }
}

impl Condition<'_> {
    fn is_met(&self, newest: &Seen) -> Result<bool, PutError> {
        match self {
            Self::Asked(demand) => (demand.is_met)(newest.headers.as_ref()),
            Self::IsNewest(version) => Ok(newest.vote.version == *version),
            Self::NotAfter(version, _) => Ok(newest.vote.version <= *version),
        }
    }

    fn creates_only(&self) -> bool {
        matches!(self, Self::Asked(Demand { creates_only: true, .. }))
    }

    /// Whether a write that this version is in the way of has happened before it.
    fn has_happened_before(&self, newest: &Seen, replicas: usize) -> bool {
        let Self::NotAfter(_, refusals) = self else { return false };
        refusals.has_happened_before(newest.vote.version, !newest.has_data, replicas)
    }
}

impl Primaries<'_> {
    /// Says no, if that is certain.
    async fn look(&self, condition: &Condition<'_>) -> Result<(), PutError> {
        let seen = self.ask(None, true).await;
        let mut proposal = Proposal::new(self.replicas());
        let step = proposal.looked(&votes(&seen), |newest| condition.is_met(&seen[newest]))?;
        refusal(step, &seen).map_or(Ok(()), Err)
    }

    /// Writes when the condition is met, and gives the version.
    fn decide<'b>(
        &'b self,
        proposal: &'b mut Proposal,
        write: &'b Write,
        condition: &'b Condition<'b>,
    ) -> BoxFuture<'b, Result<Timestamp, PutError>> {
        Box::pin(async move {
            loop {
                let (step, seen) = self.round(proposal, write, condition).await?;
                if let Step::Unmet(newest) = step
                    && condition.has_happened_before(&seen[newest], self.replicas())
                {
                    return Ok(seen[newest].vote.version);
                }
                if let Some(error) = refusal(step, &seen) {
                    return Err(error);
                }
                match (step, condition) {
                    (Step::Done(written), _) => return Ok(written),
                    // Another one is in the way: whoever waits for this sees it.
                    (Step::Help(_), Condition::IsNewest(_)) => return Err(PutError::Contended),
                    (Step::Help(newest), _) => {
                        let tried = self.help(&seen[newest]).await;
                        proposal.helped(seen[newest].vote.version, tried);
                    }
                    _ => self.pause(proposal.rounds()).await,
                }
            }
        })
    }

    /// One look, and if the condition is met one ballot.
    async fn round(
        &self,
        proposal: &mut Proposal,
        write: &Write,
        condition: &Condition<'_>,
    ) -> Result<(Step, Vec<Seen>), PutError> {
        let _turn = self.turn().lock().await;
        // Who helps is after what a minority has.
        let mut seen = self.ask(None, matches!(condition, Condition::Asked(_))).await;
        if let Some(done) = self.is_done(condition, &seen) {
            return Ok((done, seen));
        }
        let mut step = proposal.looked(&votes(&seen), |newest| condition.is_met(&seen[newest]))?;
        if let Step::Fence(after) = step {
            let ballot = self.ballot(after);
            let ballot = if condition.creates_only() { ballot.as_creation() } else { ballot };
            seen = self.ask(Some(ballot), false).await;
            let fenced = match self.is_done(condition, &seen) {
                Some(done) => Ok(done),
                None => proposal.fenced(ballot, &votes(&seen), |newest| condition.is_met(&seen[newest])),
            };
            if !matches!(fenced, Ok(Step::Commit)) {
                self.release(ballot, &seen);
            }
            step = fenced?;
            if step == Step::Commit {
                step = proposal.committed(ballot, self.commit(ballot, write).await?);
            }
        }
        Ok((step, seen))
    }

    /// Whoever helps has nothing to do when a majority has it.
    fn is_done(&self, condition: &Condition<'_>, seen: &[Seen]) -> Option<Step> {
        let Condition::IsNewest(version) = condition else { return None };
        let holders = seen.iter().filter(|seen| seen.vote.version == *version).count();
        (holders >= self.majority()).then_some(Step::Done(*version))
    }

    async fn pause(&self, rounds: u32) {
        let longest = FIRST_PAUSE.saturating_mul(1 << rounds.min(16)).min(LONGEST_PAUSE);
        let half = u64::try_from(longest.as_micros() / 2).unwrap_or(u64::MAX).max(1);
        tokio::time::sleep(Duration::from_micros(half + self.random() % half)).await;
    }
}

fn votes(seen: &[Seen]) -> Vec<Vote> {
    seen.iter().map(|seen| seen.vote).collect()
}

/// What a step that ends without success is to the client.
fn refusal(step: Step, seen: &[Seen]) -> Option<PutError> {
    let statuses = || seen.iter().map(|seen| if seen.has_data { 200 } else { 404 }).collect();
    Some(match step {
        Step::Unmet(newest) => PutError::Unmet { exists: seen[newest].headers.is_some() },
        Step::Failed(Failure::Contended) => PutError::Contended,
        Step::Failed(Failure::NoMajority | Failure::Unknown) => NoAnswer { statuses: statuses() }.into(),
        Step::Fence(_) | Step::Commit | Step::Help(_) | Step::Again | Step::Done(_) => return None,
    })
}
