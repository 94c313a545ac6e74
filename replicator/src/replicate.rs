//! Replication of objects: every device brings its copies to the other devices that shall have them.
//!
//! # A pass, for each device of this node and each policy
//!
//! 1. The device's [`index`] is brought up to date: only what was written since is listed. It gives a
//!    digest for each partition.
//! 2. Each peer device is asked once, for all partitions that it shares with this one: which of them differ?
//!    (`Compare`). If none does, that was all: a pass over a cluster at rest is one small file read and a few messages,
//!    however many objects there are.
//! 3. In a partition that differs, the digests of its suffixes are compared (`Suffixes`), and the objects of those that
//!    differ are offered by the names of their files (`Offer`). The peer says which it wants: what it does not have and has
//!    nothing newer for.
//! 4. Those are pushed: `.data` with its metadata, `.meta`, `.ts` tombstones (`Push`). The peer checks each body against its MD5, writes
//!    batches as safely as a PUT, and confirms what is on stable storage.
//! 5. What became superfluous here is removed: see below. What to do is decided by [`plan`], which is pure.
//!
//! A node only pushes; what it lacks itself the others push to it in their passes.
//!
//! # What may go wrong
//!
//! * **A partition that is not this device's** (the ring changed, or a client's write went to a handoff) is offered to all of its
//!   primaries, and a file is removed here only when *every* primary has confirmed that very file, or something that
//!   replaces it, in this pass. Before removing, the newest ring is asked once more whether this device is no primary. A
//!   file that a client writes meanwhile was not offered, so it stays until it was.
//! * **A client writes at the same time.** Files are merged by their names, whose timestamps order them; a merge in any order
//!   and any number of times ends alike ([`index::wanted`]). A file that was replaced before it was read is left out.
//! * **Both sides push at once.** Each file has one name; who comes second finds it there and is told that it is stored.
//! * **A peer dies in the middle, or is not there.** What it has confirmed is flushed, the rest it never had: a file gets its
//!   name when it is whole. It counts as a failure, nothing is removed for its sake, and the next pass goes on. A peer that
//!   is silent for a minute is given up. This node may die at any moment for the same reasons.
//! * **The receiver's disk is full**: it says so, and keeps answering. It counts as a failure.
//! * **A primary's disk is gone** while its node answers: the first handoff stands in for it, as for a client's write, so that
//!   there are as many copies as before. A node that does not answer at all has none standing in: it may be back soon.
//! * **A damaged file here.** Its metadata is checked when it is opened, its body by the receiver, which then stores nothing. It is
//!   read again here and moved to quarantine if it really is damaged; then the next pass of another replica brings a good one.
//! * **Two objects with one hash**, or a file in the wrong place, are refused by the receiver, and stay here, counted and logged.
//! * **The ring changes in the middle.** A pass keeps the ring it began with; copies that were pushed to the wrong place by the new one
//!   are handoffs there and come home in the next pass.
//!
//! # When a tombstone goes
//!
//! A tombstone is removed when it is older than `reclaim_age` *and* every primary has answered in this very pass that it has the
//! tombstone (or something newer), or no file of the object at all. So as long as one primary is away, the tombstones that it
//! may have missed are kept however old they are, and it gets them when it comes back: deleted data does not return from it.
//!
//! What remains is a device that is no longer a primary when it comes back, with data that was deleted and forgotten meanwhile. Each
//! device remembers when it last had a whole pass without failure (`.replicated`, beside the index). When that is
//! longer ago than `reclaim_age`, versions older than `reclaim_age` that no primary knows anything of are *not* pushed. They
//! are kept where they are, counted as `stale`, and the log says so, until an operator removes `.replicated` to let them
//! through, or the data.

mod config;
mod local;
pub mod moves;
mod partition;
mod peer;
pub mod plan;
mod told;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apus_base::client::Rings;
use apus_base::clock;
use apus_base::fs::Devices;
use apus_base::here::Here;
use apus_base::link::Link;
use apus_base::metrics::Metrics;
use apus_base::pass::{Filter, Pass, Progress, Report};
use apus_base::policy::PolicyIndex;
use apus_base::recon::ReconCache;
use apus_base::ring::{Device, Ring};
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};
use apus_base::wire::replication::PartitionDigest;
use apus_object::pace::Pace;
use apus_object::store::index::{self, Entry, Shelf, Table};
use arc_swap::ArcSwap;
use futures_util::{StreamExt as _, stream};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use config::Config;
use moves::Moving;
use partition::Partition;
pub(crate) use partition::REMOVED;
use peer::PeerError;

use crate::compared::{Around, Compared, Said, Side};

/// Devices that are replicated at the same time.
const MAX_DEVICES: usize = 8;

/// The pass.
pub struct Replicate {
    config: Config,
    node: Node,
    counters: Counters,
    /// What a directed move takes care of at the moment.
    moving: Moving,
}

/// The node that replicates.
pub struct Node {
    /// Its devices.
    pub devices: Arc<Devices>,
    /// The rings, always the newest.
    pub rings: Arc<ArcSwap<Rings>>,
    /// Told when they have changed.
    pub rings_changed: Arc<Notify>,
    /// Its end of the links to others.
    pub link: Arc<Link>,
    /// Its object server: which devices of the rings are its own.
    pub here: Here,
    /// Where it tells what it did.
    pub recon: ReconCache,
}

/// What all passes of a process did.
#[derive(Debug, Default)]
struct Counters {
    passes: Counter,
    files: Counter,
    bytes: Counter,
    removed: Counter,
    failures: Counter,
}

/// One run over one device and policy.
pub(crate) struct Run<'a> {
    replicate: &'a Replicate,
    progress: &'a Progress,
    ring: Arc<Ring>,
    shelf: Shelf,
    device: &'a Device,
    /// Versions before are old.
    cutoff: Timestamp,
    /// Whether this device was away for so long that what only it has may have been deleted.
    stale: bool,
    /// Peers that broke off or did not answer: not asked again in this run, since each time takes seconds.
    lost: Mutex<HashSet<u32>>,
    /// How fast it may push.
    pace: &'a Pace,
}

impl Replicate {
    /// For the devices that the rings give to a node.
    pub fn new(config: Config, node: Node, metrics: &Metrics) -> Self {
        let counters = Counters::default();
        metrics.register("replication_passes", "Whole replication passes", counters.passes.clone());
        metrics.register("replication_pushed_files", "Files given to other nodes", counters.files.clone());
        metrics.register("replication_pushed_bytes", "Bytes of bodies given", counters.bytes.clone());
        metrics.register(
            "replication_removed_files",
            "Handed off and reclaimed files removed",
            counters.removed.clone(),
        );
        metrics.register("replication_failures", "What could not be done", counters.failures.clone());
        let moving = Moving::new(metrics);
        Self { config, node, counters, moving }
    }

    /// Runs for ever. It rests before the first pass too, for some part of the interval, so that nodes that start together do
    /// not all ask each other at once.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut part = [0];
        // Without any randomness it is the whole interval.
        let _ = getrandom::fill(&mut part);
        let mut rest = self.pause().mul_f64(1.0 - f64::from(part[0]) / 256.0);
        if self.config.interval == 0 {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            self.once(&Filter::default(), &Progress::default(), stop).await;
            rest = self.pause();
        }
    }

    /// How long the daemon waits between two passes.
    pub fn pause(&self) -> Duration {
        Duration::from_secs(self.config.interval)
    }

    /// What Swift's recon tools look for, of the node and of each of its devices.
    async fn tell_recon(&self, report: &Report, devices: Vec<(String, Report)>) {
        let told = told::entries(report, devices, &self.node.recon);
        let recon = self.node.recon.clone();
        if tokio::task::spawn_blocking(move || recon.merge("object", told)).await.is_err() {
            tracing::error!("the recon cache was not written");
        }
    }

    fn cutoff(&self) -> Timestamp {
        let ticks = self.config.reclaim_age.saturating_mul(TICKS_PER_SECOND);
        Timestamp::from_ticks(clock::now().ticks().saturating_sub(ticks))
    }
}

impl Pass for Replicate {
    const NAME: &'static str = "replicate";

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let rings = self.node.rings.load_full();
        let policies = rings.objects.iter().filter(|(policy, _)| filter.policy(**policy));
        let shelves: Vec<(PolicyIndex, &Arc<Ring>, &Device)> = policies
            .flat_map(|(policy, ring)| ring.devices().iter().flatten().map(move |device| (*policy, ring, device)))
            .filter(|(_, _, device)| self.node.here.has(device) && filter.device(&device.device))
            .collect();
        // Each device counts for itself, too.
        let own: Vec<_> = shelves.into_iter().map(|shelf| (shelf, progress.part())).collect();
        let runs: Vec<_> = own.iter().map(|(shelf, part)| self.device(*shelf, filter, part, stop)).collect();
        stream::iter(runs).buffer_unordered(MAX_DEVICES).collect::<()>().await;
        let devices = own.iter().map(|((_, _, device), part)| (device.device.clone(), part.report())).collect();
        let report = progress.report();
        self.counters.failures.inc_by(report.failures());
        if filter.is_everything() && !stop.is_cancelled() {
            self.counters.passes.inc();
            self.tell_recon(&report, devices).await;
        }
    }
}

impl Replicate {
    async fn device(
        &self,
        (policy, ring, device): (PolicyIndex, &Arc<Ring>, &Device),
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) {
        let pace = Pace::new(0);
        if let Some((run, table)) = self.begin((policy, ring, device), progress, &pace).await {
            run.table(&table, filter, stop).await;
        }
    }

    /// Opens a device and brings its index up to date; `None`, counted and logged, when that cannot be.
    async fn begin<'a>(
        &'a self,
        (policy, ring, device): (PolicyIndex, &Arc<Ring>, &'a Device),
        progress: &'a Progress,
        pace: &'a Pace,
    ) -> Option<(Run<'a>, Table)> {
        let Ok(opened) = self.node.devices.get(&device.device) else {
            tracing::warn!(device = device.device, "the device is not there, so it is not replicated");
            progress.fail();
            return None;
        };
        let shelf = Shelf { device: opened, policy };
        let table = match index::refresh(&shelf).await {
            Ok(table) => table,
            Err(error) => {
                tracing::error!(device = device.device, %error, "the device cannot be replicated");
                progress.fail();
                return None;
            }
        };
        let cutoff = self.cutoff();
        let stale = local::last_whole_pass(&shelf).await.is_some_and(|last| last < cutoff);
        let (ring, lost) = (Arc::clone(ring), Mutex::default());
        Some((Run { replicate: self, progress, ring, shelf, device, cutoff, stale, lost, pace }, table))
    }
}

impl Run<'_> {
    async fn table(&self, table: &Table, filter: &Filter, stop: &CancellationToken) {
        let failures = self.progress.report().failures();
        let is_meant = |partition: u32| filter.partition(partition) && !self.is_left_to_a_move(partition);
        let partitions: Vec<_> = table.0.iter().filter(|(partition, _)| is_meant(**partition)).collect();
        self.progress.expect(partitions.len() as u64);
        let digests =
            partitions.iter().map(|(number, entry)| PartitionDigest { partition: **number, digest: entry.digest });
        let ask = |device, digests| self.compare_with(device, digests);
        let digests: Vec<_> = digests.collect();
        let compared = Compared::of(self.around(), &digests, self.progress, ask).await;
        self.note_others(&compared);
        let work = partitions.into_iter().map(|(number, entry)| self.partition(*number, *entry, &compared));
        let at_once = self.replicate.config.concurrency.max(1);
        stream::iter(work).for_each_concurrent(at_once, |partition| partition.replicate(stop)).await;
        if stop.is_cancelled() {
            return;
        }
        // What was removed leaves folders that the index removes.
        if let Err(error) = index::refresh(&self.shelf).await {
            tracing::warn!(%error, "the index is not up to date");
        }
        let whole = filter.is_everything() && !self.replicate.moving.is_any(self.shelf.policy);
        if whole && failures == self.progress.report().failures() {
            local::remember_whole_pass(&self.shelf).await;
        }
    }

    /// Counts the peer devices that gave no answer or have no disk.
    fn note_others(&self, compared: &Compared) {
        for said in compared.said() {
            match said {
                Said::Differing(_) => {}
                Said::Away => self.progress.count("peers away"),
                Said::NoDevice => self.progress.count("peers without a disk"),
            }
        }
    }

    fn partition(&self, number: u32, entry: Entry, compared: &Compared) -> Partition<'_> {
        let targets = self.around().targets(number, compared);
        let side = |target: &Device| match self.replicate.moving.is_to(self.shelf.policy, number, target.id) {
            true => Side::Away,
            false => compared.side(target.id, number),
        };
        let sides = targets.iter().map(side).collect();
        Partition { run: self, number, entry, home: self.around().is_home(number), targets, sides }
    }

    /// This device in its ring.
    fn around(&self) -> Around<'_> {
        Around { ring: &self.ring, own: self.device }
    }

    /// Whether a directed move hands the partition off.
    fn is_left_to_a_move(&self, partition: u32) -> bool {
        self.replicate.moving.is_any_of(self.shelf.policy, partition) && !self.around().is_home(partition)
    }

    /// Asks a peer device which of the partitions shared with it differ.
    async fn compare_with(&self, device: &Device, digests: Vec<PartitionDigest>) -> Result<HashSet<u32>, PeerError> {
        self.peer(device).compare(&digests).await
    }

    /// Whether this device is still no primary of a partition, by the newest ring.
    fn is_still_handoff(&self, partition: u32) -> bool {
        let rings = self.replicate.node.rings.load();
        let ring = rings.objects.get(&self.shelf.policy);
        let is_own = |primary: &Device| self.replicate.node.here.has(primary) && primary.device == self.device.device;
        ring.is_some_and(|ring| !ring.primaries(partition).any(is_own))
    }
}
