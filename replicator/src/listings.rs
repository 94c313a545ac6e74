//! Replication of accounts and containers: every device brings its copies of these databases to the other devices that
//! shall have them. The pass runs inside the process that serves them, since their files are open there alone; `apus pass
//! replicate-listings` [asks](apus_base::listing::ask) that process.
//!
//! # A pass, for each device of this node that the account or the container ring names
//!
//! 1. The device's [`digest`](apus_base::db::digest) says which partitions it holds and a digest of each, and up to which row number that is so. As
//!    long as nothing was written that is in memory already; otherwise it is one short scan, over no database.
//! 2. Each peer device is asked once, for all partitions that it shares with this one: which of them differ? (`Compare`.) It
//!    remembers of those that do not that all rows up to that number are there ([`agreement`](apus_base::db::agreement)). If
//!    none differs, that was all: so a pass over a cluster at rest costs a message for each pair of devices.
//! 3. In a partition that differs, its databases are offered by hash and digest (`Offer`); the peer says which it has
//!    otherwise and which not at all.
//! 4. Each of those is brought (`Sync`): first what the copy knows of itself, timestamps, policy and metadata, which the peer
//!    joins with what it has ([`Room::join`]); it answers the result, which the sender joins too, and up to which row number
//!    it has this device's rows. Then the rows after
//!    that number, batch by batch; each is merged, and noted as had, in one flushed commit. At the end the digests of
//!    the rows are compared.
//! 5. All rows are sent, in the order of their names, when the peer has no such database, when it is far behind (less than
//!    half the rows and a thousand less: Swift's rule), and when both sides have all of each other's rows by their numbers and
//!    yet differ: numbers are a shortcut, digests decide. Memory is bounded by the batch, speed by the slower disk, through
//!    QUIC's flow control.
//! 6. What became superfluous here is removed: see below.
//!
//! A node only pushes; what it lacks itself the others push to it in their passes. When a database is the same on both sides at
//! the end, the sender notes that too, so that rows do not come back as an echo.
//!
//! # What may go wrong
//!
//! * **Either side dies in the middle.** Each commit is whole. A database that was new to the receiver stays marked as being
//!   filled and is not shown (the proxy reads another replica); the next pass sends all of it again. One that it had is as
//!   far as the last commit says, and the next pass goes on from there. The peer is not asked again in this pass, it counts as a
//!   failure, and nothing is removed for its sake.
//! * **Clients write at the same time**, there, here or both: rows and heads merge in any order; what is written here after the exchange
//!   began has a higher number, so the next pass has it. A receiver that is being filled takes clients' rows, too.
//! * **Both sides push at once**, or several to one: a row that is known already changes nothing, and gets no new number.
//! * **A database that is not this device's** (the ring changed, or a client's write went to a handoff) goes to all primaries, with all
//!   of its rows, and is removed here only when *every* primary has confirmed in this pass that all of it is there. That a primary
//!   has more than this does not hinder. The commit that removes it looks whether it is still in the state that was
//!   confirmed; one more look at the newest ring comes before.
//! * **A primary's disk is gone** while its node answers, or its listings cannot be opened: the first handoff stands in for it, as for a
//!   client's write. A node that does not answer at all has none standing in: it may be back soon.
//! * **Two policies for one container**, made on two sides of a split: Swift's rule decides ([`Room::join`] of containers), the
//!   rows of the other policy stay under it, and the container is marked for the reconciler.
//! * **A full disk** takes no rows and says so; **a damaged database** is logged and left out.
//! * **A device is put back from an old image.** Then its row numbers lie; the digests differ, and everything is sent once.
//!
//! What account servers know of a container is reported anew after its rows were merged, as after any other write.
//!
//! # When a deleted row goes, and a deleted database
//!
//! Now and then (every eighth of `reclaim_age`) a device's databases are walked. One with tombstones older than `reclaim_age`,
//! or that was deleted before and is empty, is offered to all other primaries. Only when *every one* has answered in this very pass
//! that it has the same state, each is told to forget what is older (`Reclaim`), which it does if it is still in that state. So as long as
//! one primary is away, tombstones that it may have missed are kept, however old. If some forget and others die before they do,
//! the copies differ, the next pass brings the old tombstones back, and a later one agrees again: union first, then reclaim, so
//! every order ends well. An account that was reaped stays deleted (410) until then.
//!
//! What remains is a device that comes back after more than `reclaim_age`, perhaps no primary any more, with rows that were
//! deleted and forgotten meanwhile. Each device notes that it is there in every pass (hourly at least). If the last note is
//! older than `reclaim_age`, the device is stale: live rows older than that are left out by a peer that has the database whole and not the
//! row. They are counted as `stale`, and as a failure, and the device stays stale and keeps them, until
//! a whole pass leaves nothing out.

mod database;
mod partition;
mod peer;
mod reclaim;
mod times;
mod told;

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apus_base::client::Rings;
use apus_base::clock;
use apus_base::db::digest::Count;
use apus_base::db::replica::Room;
use apus_base::db::{Database, Databases, Kind};
use apus_base::here::Here;
use apus_base::link::Link;
use apus_base::metrics::Metrics;
use apus_base::pass::{Filter, Pass, Progress, Report};
use apus_base::recon::ReconCache;
use apus_base::ring::{Device, Ring};
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};
use apus_base::wire::replication::PartitionDigest;
use arc_swap::ArcSwap;
use futures_util::{StreamExt as _, stream};
use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;

pub use database::CRASH_POINTS;
use partition::Partition;
use peer::PeerError;
use times::Times;

use crate::compared::{Around, Compared};
use crate::replicate::Config;

/// Devices that are replicated at the same time.
const MAX_DEVICES: usize = 8;

/// The pass over one kind of listings.
pub struct Listings<R> {
    config: Config,
    node: Node,
    counters: Counters,
    /// Held while it passes: the daemon's and an operator's pass would only do each other's work.
    passing: tokio::sync::Mutex<()>,
    room: PhantomData<R>,
}

/// The node that replicates.
pub struct Node {
    /// Its listings.
    pub databases: Arc<Databases>,
    /// The rings, always the newest.
    pub rings: Arc<ArcSwap<Rings>>,
    /// Its end of the links to others.
    pub link: Arc<Link>,
    /// Its account or container server: which devices of the ring are its own.
    pub here: Here,
    /// Where it tells what it did.
    pub recon: ReconCache,
    /// Is told the device on which a database has changed.
    pub changed: Changed,
}

/// Hears of a device on which a database has changed.
pub type Changed = Arc<dyn Fn(&str) + Send + Sync>;

/// What all passes of a process did.
#[derive(Debug, Default)]
struct Counters {
    passes: Counter,
    rows: Counter,
    removed: Counter,
    failures: Counter,
}

/// One run over one device.
pub(crate) struct Run<'a, R> {
    pass: &'a Listings<R>,
    progress: &'a Progress,
    ring: Arc<Ring>,
    device: &'a Device,
    database: Arc<Database>,
    count: Arc<Count>,
    /// What was deleted before is old.
    cutoff: Timestamp,
    /// When this device was there last, and what follows from it.
    times: Times,
    /// Peers that broke off or did not answer: not asked again in this run, since each time takes seconds.
    lost: Mutex<HashSet<u32>>,
}

/// The ring of a kind.
fn ring(rings: &Rings, kind: Kind) -> &Arc<Ring> {
    match kind {
        Kind::Account => &rings.account,
        Kind::Container => &rings.container,
    }
}

impl<R: Room> Listings<R> {
    /// For the devices that the rings give to a node.
    pub fn new(config: Config, node: Node, metrics: &Metrics) -> Self {
        let counters = Counters::default();
        metrics.register("replication_passes", "Whole replication passes", counters.passes.clone());
        metrics.register("replication_pushed_rows", "Rows given to other nodes", counters.rows.clone());
        let removed = "Handed off and reclaimed databases removed";
        metrics.register("replication_removed_databases", removed, counters.removed.clone());
        metrics.register("replication_failures", "What could not be done", counters.failures.clone());
        Self { config, node, counters, passing: tokio::sync::Mutex::default(), room: PhantomData }
    }

    /// Runs for ever. It rests before the first pass too, for some part of the interval, so that nodes that start together do
    /// not all ask each other at once.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut part = [0];
        // Without any randomness it is the whole interval.
        let _ = getrandom::fill(&mut part);
        let pause = Duration::from_secs(self.config.interval);
        let mut rest = pause.mul_f64(1.0 - f64::from(part[0]) / 256.0);
        if self.config.interval == 0 {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            // A pass that is cut off anywhere has done no harm, and a large database would be long in coming.
            let (filter, progress) = (Filter::default(), Progress::default());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.once(&filter, &progress, stop) => {}
            }
            rest = pause;
        }
    }

    /// What Swift's recon tools look for.
    async fn tell_recon(&self, report: &Report) {
        let (recon, entries) = (self.node.recon.clone(), told::entries(report));
        if tokio::task::spawn_blocking(move || recon.merge(R::SERVER, entries)).await.is_err() {
            tracing::error!("the recon cache was not written");
        }
    }

    async fn device(
        &self,
        (ring, device): (&Arc<Ring>, &Device),
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) {
        let begun = async {
            let database = self.node.databases.get(&device.device).await?;
            let count = database.count(R::KIND, ring.part_power()).await?;
            let cutoff = self.cutoff();
            let times = Times::begin(&database, R::KIND, cutoff).await?;
            let (ring, lost) = (Arc::clone(ring), Mutex::default());
            Ok::<_, apus_base::db::DbError>(Run {
                pass: self,
                progress,
                ring,
                device,
                database,
                count,
                cutoff,
                times,
                lost,
            })
        };
        match begun.await {
            Ok(run) => run.device(filter, stop).await,
            Err(error) => {
                tracing::warn!(device = device.device, %error, "the listings of a device are not replicated");
                progress.fail();
            }
        }
    }

    fn cutoff(&self) -> Timestamp {
        let ticks = self.config.reclaim_age.saturating_mul(TICKS_PER_SECOND);
        Timestamp::from_ticks(clock::now().ticks().saturating_sub(ticks))
    }
}

impl<R: Room> Pass for Listings<R> {
    const NAME: &'static str = match R::KIND {
        Kind::Account => "replicate-accounts",
        Kind::Container => "replicate-containers",
    };

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let _alone = self.passing.lock().await;
        let rings = self.node.rings.load_full();
        let ring = ring(&rings, R::KIND);
        let own = ring.devices().iter().flatten();
        let own: Vec<_> = own
            .filter(|device| self.node.here.has(device) && filter.device(&device.device))
            .map(|d| (ring, d))
            .collect();
        let run = |own| self.device(own, filter, progress, stop);
        stream::iter(own).for_each_concurrent(MAX_DEVICES, run).await;
        let report = progress.report();
        self.counters.failures.inc_by(report.failures());
        if filter.is_everything() && !stop.is_cancelled() {
            self.counters.passes.inc();
            self.tell_recon(&report).await;
        }
    }
}

impl<R: Room> Run<'_, R> {
    async fn device(&self, filter: &Filter, stop: &CancellationToken) {
        let failures = self.progress.report().failures();
        let partitions: Vec<_> =
            self.count.table.iter().filter(|(partition, _)| filter.partition(**partition)).collect();
        self.progress.expect(partitions.len() as u64);
        let digests =
            partitions.iter().map(|(number, digest)| PartitionDigest { partition: **number, digest: **digest });
        let digests: Vec<_> = digests.collect();
        let ask = |device, digests| self.compare_with(device, digests);
        let compared = Compared::of(self.around(), &digests, self.progress, ask).await;
        let work = partitions.into_iter().map(|(number, _)| self.partition(*number, &compared));
        let at_once = self.pass.config.concurrency.max(1);
        stream::iter(work).for_each_concurrent(at_once, |partition| partition.replicate(stop)).await;
        if stop.is_cancelled() {
            return;
        }
        let everything = filter.is_everything();
        let whole = everything && failures == self.progress.report().failures();
        if let Err(error) = self.times.end(&self.database, R::KIND, everything, whole).await {
            tracing::warn!(device = self.device.device, %error, "when the pass was is not noted");
        }
    }

    fn partition(&self, number: u32, compared: &Compared) -> Partition<'_, R> {
        let targets = self.around().targets(number, compared);
        let sides = targets.iter().map(|target| compared.side(target.id, number)).collect();
        Partition { run: self, number, home: self.around().is_home(number), targets, sides }
    }

    /// This device in its ring.
    fn around(&self) -> Around<'_> {
        Around { ring: &self.ring, own: self.device }
    }

    /// Asks a peer device which of the partitions shared with it differ.
    async fn compare_with(&self, device: &Device, digests: Vec<PartitionDigest>) -> Result<HashSet<u32>, PeerError> {
        self.peer(device).compare(self.count.life, self.ring.part_power(), &digests).await
    }

    /// Whether this device is still no primary of a partition, by the newest ring.
    fn is_still_handoff(&self, partition: u32) -> bool {
        let rings = self.pass.node.rings.load();
        let is_own = |primary: &Device| self.pass.node.here.has(primary) && primary.device == self.device.device;
        !ring(&rings, R::KIND).primaries(partition).any(is_own)
    }
}
