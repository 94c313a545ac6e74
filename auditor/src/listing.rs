//! The audit of accounts and containers, inside the process that has them open.
//!
//! Every database of a device is read to its end and compared with its own sums ([`check`](db::check)). One that is damaged is put aside, and the
//! nodes that have another copy are asked at once to bring it. When the files under them all are damaged, the listings of
//! the device are put aside as a whole, and everything is brought; but only if there are other copies. The server answers
//! meanwhile: what is not there is asked of another replica.
//!
//! It reads at a share of the disk's time as the audit of objects does. A pass takes minutes at most, so it keeps no place.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apus_base::client::Rings;
use apus_base::clock;
use apus_base::cluster::Cluster;
use apus_base::db::audit::{self as db, Verdict};
use apus_base::db::replica::Room;
use apus_base::db::{Database, Databases, DbError, Kind, ListingId};
use apus_base::hash_path::PathHash;
use apus_base::here::Here;
use apus_base::link::Link;
use apus_base::listing::ask;
use apus_base::metrics::Metrics;
use apus_base::pass::{Filter, Pass, Progress};
use apus_base::recon::ReconCache;
use apus_base::ring::{Device, Ring};
use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::pace::Pace;

/// What an audit of listings works with.
pub struct Node {
    /// The node's listings.
    pub databases: Arc<Databases>,
    /// Salt and policies.
    pub cluster: Arc<Cluster>,
    /// The rings, always the newest.
    pub rings: Arc<ArcSwap<Rings>>,
    /// The account or container server: which devices of the ring are its own.
    pub here: Here,
    /// The link to other nodes, if there is one.
    pub link: Option<Arc<Link>>,
    /// Where it tells what it did.
    pub recon: ReconCache,
}

/// The pass over one kind of listings.
pub struct ListingAudit<R> {
    config: Config,
    node: Node,
    counters: Counters,
    room: PhantomData<R>,
}

#[derive(Debug, Default)]
struct Counters {
    passed: Counter,
    failed: Counter,
}

impl<R: Room> ListingAudit<R> {
    /// For the devices that the ring gives to a node.
    pub fn new(config: Config, node: Node, metrics: &Metrics) -> Self {
        let counters = Counters::default();
        metrics.register("audits_passed", "Databases that an audit found sound", counters.passed.clone());
        metrics.register(
            "audits_failed",
            "Databases that an audit put aside or could not read",
            counters.failed.clone(),
        );
        Self { config, node, counters, room: PhantomData }
    }

    /// Runs for ever, for the first time some part of the interval after the start.
    pub async fn run(&self, stop: &CancellationToken) {
        let interval = self.config.listing_interval;
        if interval.is_zero() || self.config.interval.is_zero() {
            return;
        }
        let mut part = [0];
        // Without any randomness it is the whole interval.
        let _ = getrandom::fill(&mut part);
        let mut rest = interval.mul_f64(1.0 - f64::from(part[0]) / 256.0);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            self.once(&Filter::default(), &Progress::default(), stop).await;
            rest = interval;
        }
    }

    fn ring(&self, kind: Kind) -> Arc<Ring> {
        let rings = self.node.rings.load();
        Arc::clone(match kind {
            Kind::Account => &rings.account,
            Kind::Container => &rings.container,
        })
    }

    async fn device(&self, ring: &Ring, device: &str, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        match self.databases(ring, device, filter, progress, stop).await {
            Ok(()) => {}
            Err(DbError::Damaged(why)) => self.set_aside(device, &why, progress).await,
            Err(error) => self.failed(device, &error, progress),
        }
    }

    /// Goes over all databases of a device. An error is one of the device, or of all of its listings.
    async fn databases(
        &self,
        ring: &Ring,
        device: &str,
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<(), DbError> {
        let database = self.node.databases.get(device).await?;
        self.node.databases.forget_cached(&database).await;
        let mut pace = Pace::new(self.config.disk_share, Instant::now());
        let mut after = None;
        while !stop.is_cancelled() {
            let page = database.read(move |view| db::databases(view, R::KIND, after)).await?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            for hash in page.into_iter().filter(|hash| filter.partition(ring.partition(&hash.0))) {
                progress.expect(1);
                let verdict;
                (verdict, pace) = self.check(&database, hash, pace, stop).await?;
                self.judge(ring, &database, hash, verdict, progress).await;
                progress.step();
            }
        }
        Ok(())
    }

    async fn check(
        &self,
        database: &Database,
        hash: PathHash,
        mut pace: Pace,
        stop: &CancellationToken,
    ) -> Result<(Verdict, Pace), DbError> {
        let (cluster, stop) = (Arc::clone(&self.node.cluster), stop.clone());
        let id = ListingId { kind: R::KIND, hash };
        let checking = database.read_slowly::<_, DbError, _>(move |view| {
            let mut since = Instant::now();
            let mut go_on = || {
                if let Some(rest) = pace.spent(since.elapsed(), Instant::now()) {
                    std::thread::sleep(rest);
                }
                since = Instant::now();
                !stop.is_cancelled()
            };
            let verdict = db::check::<R::Row>(view, &cluster.hash_path, id, &mut go_on)?;
            go_on();
            Ok((verdict, pace))
        });
        checking.await
    }

    async fn judge(
        &self,
        ring: &Ring,
        database: &Arc<Database>,
        hash: PathHash,
        verdict: Verdict,
        progress: &Progress,
    ) {
        match verdict {
            Verdict::Gone | Verdict::Stopped => {}
            Verdict::Sound(rows) => {
                progress.count("sound");
                progress.add("rows", rows);
                self.counters.passed.inc();
            }
            Verdict::Damaged(why) => {
                self.counters.failed.inc();
                match db::put_aside(database, ListingId { kind: R::KIND, hash }, &why).await {
                    Ok(_) => {
                        progress.count("quarantined");
                        let partition = ring.partition(&hash.0);
                        self.bring((R::KIND, ring), database.device().name(), Some(partition), progress).await;
                    }
                    Err(error) => self.failed(database.device().name(), &error, progress),
                }
            }
        }
    }

    async fn set_aside(&self, device: &str, why: &str, progress: &Progress) {
        self.counters.failed.inc();
        match self.node.databases.set_aside(device, why).await {
            Ok(()) => {
                progress.count("devices quarantined");
                // Accounts and containers of a device are in the same files.
                for kind in [Kind::Account, Kind::Container] {
                    self.bring((kind, &self.ring(kind)), device, None, progress).await;
                }
            }
            Err(error) => self.failed(device, &error, progress),
        }
    }

    /// Asks those who have other copies to bring them: of one partition, or of all.
    async fn bring(&self, (kind, ring): (Kind, &Ring), device: &str, partition: Option<u32>, progress: &Progress) {
        let Some(link) = &self.node.link else {
            return tracing::warn!(
                "there is no [replication] in the configuration, so what was put aside is not repaired"
            );
        };
        // Asking this very device, where it has a ring's other port, costs one question for nothing.
        let is_other = |peer: &&Device| peer.device != device || !self.node.here.has(peer);
        let peers: Vec<&Device> = match partition {
            Some(partition) => ring.primaries(partition).filter(is_other).collect(),
            None => ring.devices().iter().flatten().filter(is_other).collect(),
        };
        for peer in peers {
            let filter = Filter {
                devices: [peer.device.clone()].into(),
                partitions: partition.into_iter().collect(),
                ..Filter::default()
            };
            let host = (peer.replication_ip.as_str(), peer.replication_port);
            let asked = ask::ask(link, host, ask::What::Replicate, kind, &filter, |_| {}).await;
            match asked {
                Ok(0) => progress.count("asked"),
                Ok(failures) => {
                    tracing::warn!(peer = peer.tier_name(), failures, "a peer could not bring all of its copies");
                }
                Err(error) => tracing::warn!(peer = peer.tier_name(), %error, "a peer was not asked for its copy"),
            }
        }
    }

    fn failed(&self, device: &str, error: &DbError, progress: &Progress) {
        tracing::error!(device, %error, kind = R::SERVER, "listings cannot be audited");
        progress.fail();
    }

    async fn tell_recon(&self, began: f64, took: Duration, progress: &Progress) {
        let counts = progress.report().counts;
        let count = |what: &str| counts.get(what).copied().unwrap_or_default();
        let server = R::SERVER;
        let failed = count("quarantined") + count("devices quarantined") + count("failed");
        let entries = [
            (format!("{server}_audits_since"), json!(began)),
            (format!("{server}_audits_passed"), json!(count("sound"))),
            (format!("{server}_audits_failed"), json!(failed)),
            (format!("{server}_auditor_pass_completed"), json!(took.as_secs_f64())),
        ];
        let recon = self.node.recon.clone();
        let telling = tokio::task::spawn_blocking(move || recon.merge(server, entries.into_iter().collect()));
        if telling.await.is_err() {
            tracing::error!("the recon cache was not written");
        }
    }
}

impl<R: Room> Pass for ListingAudit<R> {
    const NAME: &'static str = "audit";

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let (ring, started) = (self.ring(R::KIND), Instant::now());
        #[expect(clippy::cast_precision_loss, reason = "a time for people")]
        let began = clock::now().ticks() as f64 / 1e5;
        let own = ring.devices().iter().flatten().filter(|device| self.node.here.has(device));
        let devices: Vec<String> = own.map(|device| device.device.clone()).filter(|name| filter.device(name)).collect();
        for device in devices {
            self.device(&ring, &device, filter, progress, stop).await;
        }
        if filter.is_everything() && !stop.is_cancelled() {
            self.tell_recon(began, started.elapsed(), progress).await;
        }
    }
}
