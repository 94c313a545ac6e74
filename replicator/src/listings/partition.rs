//! One partition of one device: which databases differ where, bring them there, remove what is not this device's.

use apus_base::crash;
use apus_base::db::digest::databases;
use apus_base::db::replica::{self, Room};
use apus_base::db::{DbError, ListingId};
use apus_base::hash_path::PathHash;
use apus_base::ring::Device;
use apus_base::wire::listings::{Held, Offered};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Run;
use super::database::{CRASH_POINTS, Confirmed};
use crate::compared::Side;

/// The partition.
pub(super) struct Partition<'a, R> {
    pub(super) run: &'a Run<'a, R>,
    pub(super) number: u32,
    /// Whether this device is one of its primaries.
    pub(super) home: bool,
    /// The other primaries, or all of them, and who stands in for those whose disk is gone.
    pub(super) targets: Vec<Device>,
    /// How each target compares.
    pub(super) sides: Vec<Side>,
}

impl<R: Room> Partition<'_, R> {
    /// Brings it to where it belongs, unless that is to stop.
    pub(super) async fn replicate(self, stop: &CancellationToken) {
        if let Err(error) = self.work(stop).await {
            tracing::error!(partition = self.number, %error, "a partition cannot be replicated");
            self.run.progress.fail();
        }
        self.run.progress.step();
    }

    async fn work(&self, stop: &CancellationToken) -> Result<(), DbError> {
        let differs = !self.home || self.sides.contains(&Side::Differs);
        let reclaims = self.home && self.run.times.walk && !self.sides.contains(&Side::Away);
        if differs {
            self.run.progress.count("partitions worked on");
        }
        let mut after = None;
        while (differs || reclaims) && !stop.is_cancelled() {
            let page = self.page(after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(PathHash(last.hash));
            if differs {
                self.replicate_all(&page, stop).await?;
            } else {
                self.reclaim_all(page).await?;
            }
        }
        Ok(())
    }

    async fn page(&self, after: Option<PathHash>) -> Result<Vec<Offered>, DbError> {
        let partition = Some((self.run.ring.part_power(), self.number));
        let page = self.run.database.read(move |view| databases(view, R::KIND, partition, after)).await?;
        Ok(page.into_iter().map(|(hash, state)| Offered { hash: hash.0, state }).collect())
    }

    async fn replicate_all(&self, page: &[Offered], stop: &CancellationToken) -> Result<(), DbError> {
        let held = self.offer(page, |side| !self.home || side == Side::Differs).await;
        for (place, offered) in page.iter().enumerate() {
            if stop.is_cancelled() {
                return Ok(());
            }
            let held = held.iter().map(|held| held.as_ref().and_then(|held| held.get(place)).copied());
            let confirmed =
                join_all(self.targets.iter().zip(held).map(|(t, held)| self.bring(t, *offered, held))).await;
            if !self.home && !confirmed.is_empty() && confirmed.iter().all(|c| *c == confirmed[0]) {
                self.hand_off(*offered, confirmed[0]).await?;
            }
        }
        Ok(())
    }

    /// What the other devices make of some databases; nothing of those that are not asked or do not answer.
    pub(super) async fn offer(&self, page: &[Offered], whom: impl Fn(Side) -> bool) -> Vec<Option<Vec<Held>>> {
        let ask = |(target, side): (&Device, &Side)| {
            let asked = whom(*side) && *side != Side::Away;
            let (target, run) = (target.clone(), self.run);
            async move {
                let held = if asked { run.peer(&target).offer(page).await } else { return None };
                held.inspect_err(|error| self.failed(&target, error)).ok()
            }
        };
        join_all(self.targets.iter().zip(&self.sides).map(ask)).await
    }

    async fn bring(&self, target: &Device, offered: Offered, held: Option<Held>) -> Option<Confirmed> {
        let id = self.id(offered);
        match held? {
            Held::Same => Some(Confirmed { state: offered.state }),
            Held::Differs | Held::Unknown => {
                let brought = self.run.bring(&self.run.peer(target), id, !self.home).await;
                brought.inspect_err(|error| self.failed(target, error)).ok().flatten()
            }
        }
    }

    /// Every primary has all of it.
    async fn hand_off(&self, offered: Offered, confirmed: Option<Confirmed>) -> Result<(), DbError> {
        let Some(Confirmed { state }) = confirmed.filter(|_| self.run.is_still_handoff(self.number)) else {
            return Ok(());
        };
        let id = self.id(offered);
        crash::point(CRASH_POINTS[1]);
        if self.run.database.commit(move |tx| replica::remove(tx, id, state)).await? {
            self.run.progress.count("handed off");
            self.run.pass.counters.removed.inc();
        }
        crash::point(CRASH_POINTS[2]);
        Ok(())
    }

    pub(super) fn id(&self, offered: Offered) -> ListingId {
        ListingId { kind: R::KIND, hash: PathHash(offered.hash) }
    }

    pub(super) fn failed(&self, target: &Device, error: &dyn std::fmt::Display) {
        tracing::warn!(peer = target.tier_name(), partition = self.number, %error, "a peer did not do its part");
        self.run.progress.fail();
    }
}
