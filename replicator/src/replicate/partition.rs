//! One partition of one device: find what differs, offer it, push what is wanted, remove what is no longer needed here.

use std::collections::{BTreeSet, HashMap};

use apus_base::crash;
use apus_base::ring::Device;
use apus_base::wire::replication::{MAX_OFFERED, Offered, Outcome};
use apus_object::outgoing;
use apus_object::store::StoreError;
use apus_object::store::index::{Entry, Table, Version};
use apus_object::store::names::FileName;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::plan::{self, Answered, Place, Terms};
use super::{Run, local};
use crate::compared::Side;

/// Where a crash test kills a pass: what others have now, or what was old enough, is gone from here.
pub(crate) const REMOVED: &str = "replicate.removed";

/// The partition.
pub(super) struct Partition<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) number: u32,
    pub(super) entry: Entry,
    /// Whether this device is one of its primaries.
    pub(super) home: bool,
    /// The other primaries, or all of them, and who stands in for those whose disk is gone.
    pub(super) targets: Vec<Device>,
    /// How each target compares.
    pub(super) sides: Vec<Side>,
}

impl Partition<'_> {
    /// Brings it to where it belongs, unless that is to stop.
    pub(super) async fn replicate(self, stop: &CancellationToken) {
        self.bring(stop).await;
        self.run.progress.step();
    }

    /// The same, uncounted.
    pub(super) async fn bring(&self, stop: &CancellationToken) {
        if !self.is_at_rest()
            && !stop.is_cancelled()
            && let Err(error) = self.work().await
        {
            tracing::error!(partition = self.number, %error, "a partition cannot be replicated");
            self.run.progress.fail();
        }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.home && !self.sides.contains(&Side::Differs) && !self.has_old_tombstones(&self.entry)
    }

    /// Whether some may go: that needs every other primary.
    fn has_old_tombstones(&self, entry: &Entry) -> bool {
        let old = entry.oldest_tombstone.is_some_and(|oldest| oldest < self.run.cutoff);
        old && !self.sides.contains(&Side::Away)
    }

    async fn work(&self) -> Result<(), StoreError> {
        self.run.progress.count("partitions worked on");
        let suffixes = self.suffixes().await?;
        let mut offer = Vec::new();
        for suffix in suffixes {
            offer.extend(local::list(&self.run.shelf, self.number, suffix).await?);
            while offer.len() >= MAX_OFFERED {
                let rest = offer.split_off(MAX_OFFERED);
                self.exchange(&offer).await?;
                offer = rest;
            }
        }
        if offer.is_empty() { Ok(()) } else { self.exchange(&offer).await }
    }

    /// The suffixes whose objects are offered.
    async fn suffixes(&self) -> Result<BTreeSet<u16>, StoreError> {
        let (shelf, number) = (self.run.shelf.clone(), self.number);
        let ours: Table = shelf.device.queue().clone().run(move || shelf.suffix_table(number)).await?;
        let all = ours.0.iter().filter_map(|(suffix, entry)| Some((u16::try_from(*suffix).ok()?, entry)));
        if !self.home {
            return Ok(all.map(|(suffix, _)| suffix).collect());
        }
        let old = all.clone().filter(|(_, entry)| self.has_old_tombstones(entry)).map(|(suffix, _)| suffix);
        let mut chosen: BTreeSet<u16> = old.collect();
        for (target, _) in self.targets.iter().zip(&self.sides).filter(|(_, side)| **side == Side::Differs) {
            match self.run.peer(target).suffixes(self.number).await {
                Ok(theirs) => {
                    let theirs: HashMap<u16, [u8; 16]> = theirs.into_iter().map(|s| (s.suffix, s.digest)).collect();
                    let differing = all.clone().filter(|(suffix, entry)| theirs.get(suffix) != Some(&entry.digest));
                    chosen.extend(differing.map(|(suffix, _)| suffix));
                }
                Err(error) => self.failed(target, &error),
            }
        }
        Ok(chosen)
    }

    /// Offers objects to all targets, pushes what they want, and removes what may go.
    async fn exchange(&self, versions: &[Version]) -> Result<(), StoreError> {
        let offered: Vec<_> = versions.iter().map(offered).collect();
        let answers: Vec<Answered> =
            join_all(self.targets.iter().zip(&self.sides).map(|(target, side)| self.offer(target, *side, &offered)))
                .await;
        let terms = Terms { home: self.home, cutoff: self.run.cutoff, stale: self.run.stale };
        let plan = plan::pushes(versions, &answers, &terms);
        for (object, _) in &plan.stale {
            let hash = versions[*object].hash;
            tracing::warn!(%hash, partition = self.number, "only this device has it, and it was away for too long: not pushed");
            self.run.progress.count("stale");
            self.run.progress.fail();
        }
        let pushed = self.targets.iter().zip(plan.pushes).map(|(target, places)| self.push(target, versions, places));
        let confirmed: Vec<BTreeSet<Place>> = join_all(pushed).await;
        let goes = plan::removals(versions, &answers, &terms, |side, place| confirmed[side].contains(&place));
        let goes: Vec<_> = goes.into_iter().filter(|place| !plan.stale.contains(place)).collect();
        self.remove(versions, goes).await
    }

    async fn offer(&self, target: &Device, side: Side, offered: &[Offered]) -> Answered {
        if side == Side::Away {
            return None;
        }
        let wants = self.run.peer(target).offer(self.number, offered).await;
        wants.inspect_err(|error| self.failed(target, error)).ok()
    }

    /// Pushes files, and gives those that were confirmed.
    async fn push(&self, target: &Device, versions: &[Version], places: Vec<Place>) -> BTreeSet<Place> {
        if places.is_empty() {
            return BTreeSet::new();
        }
        let file = |place: &Place| outgoing::Source {
            partition: self.number,
            hash: versions[place.0].hash,
            name: versions[place.0].files[place.1].clone(),
        };
        let outcomes = self.run.peer(target).push(&self.run.shelf, places.iter().map(file).collect()).await;
        let mut confirmed = BTreeSet::new();
        for (place, outcome) in places.iter().zip(outcomes) {
            match outcome {
                Ok(Outcome::Stored) => _ = confirmed.insert(*place),
                Ok(Outcome::Damaged) => self.distrust(file(place)).await,
                Ok(other) => self.failed(target, &format!("{other:?}")),
                Err(peer_error) => {
                    if let Some(error) = peer_error {
                        self.failed(target, &error);
                    }
                }
            }
        }
        self.run.progress.add("pushed", confirmed.len() as u64);
        self.run.replicate.counters.files.inc_by(confirmed.len() as u64);
        confirmed
    }

    /// The receiver says that a file is damaged: look, and if it is, move it out of the way.
    async fn distrust(&self, source: outgoing::Source) {
        match outgoing::quarantine_if_damaged(&self.run.shelf, source).await {
            Ok(true) => self.run.progress.count("quarantined"),
            Ok(false) => self.run.progress.fail(),
            Err(error) => {
                tracing::error!(%error, "a damaged file cannot be moved to quarantine");
                self.run.progress.fail();
            }
        }
    }

    async fn remove(&self, versions: &[Version], goes: Vec<Place>) -> Result<(), StoreError> {
        if goes.is_empty() || (!self.home && !self.run.is_still_handoff(self.number)) {
            return Ok(());
        }
        let mut files: Vec<(_, Vec<FileName>)> = Vec::new();
        for (object, file) in goes {
            let (hash, name) = (versions[object].hash, versions[object].files[file].clone());
            match files.last_mut().filter(|(last, _)| *last == hash) {
                Some((_, names)) => names.push(name),
                None => files.push((hash, vec![name])),
            }
        }
        let removed = local::remove(&self.run.shelf, self.number, files).await?;
        crash::point(REMOVED);
        self.run.progress.add(if self.home { "reclaimed" } else { "handed off" }, removed);
        self.run.replicate.counters.removed.inc_by(removed);
        Ok(())
    }

    fn failed(&self, target: &Device, error: &dyn std::fmt::Display) {
        tracing::warn!(peer = target.tier_name(), partition = self.number, %error, "a peer did not do its part");
        self.run.progress.fail();
    }
}

fn offered(version: &Version) -> Offered {
    Offered { hash: version.hash.0, files: version.files.iter().map(FileName::text).collect() }
}
