//! The audit of accounts and containers, inside the process that has them open.
//!
//! Every database of a device is read to its end and compared with its own sums ([`check`](apus_base::db::audit::check)). One that is damaged is put aside, and the
//! nodes that have another copy are asked at once to bring it ([`bring`]). When the files under them all are damaged, the listings of
//! the device are put aside as a whole, by the audit or by whoever cannot open them, and everything is brought; but only if
//! there are other copies. The server answers meanwhile: what is not there is asked of another replica.
//!
//! It reads at a share of the disk's time, and notes its place on the device, as the audit of objects does.

mod bring;
mod walk;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apus_base::client::Rings;
use apus_base::clock;
use apus_base::cluster::Cluster;
use apus_base::db::replica::Room;
use apus_base::db::{BegunAnew, Databases, DbError, Kind};
use apus_base::fs::Device;
use apus_base::here::Here;
use apus_base::link::Link;
use apus_base::metrics::Metrics;
use apus_base::pass::{Cursor, Filter, Pass, Progress};
use apus_base::recon::ReconCache;
use apus_base::ring::Ring;
use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::place::Place;
use walk::Walk;

/// Where a crash test kills an audit: a database has been looked at.
pub const AUDITED: &str = "audit.listing.done";
/// A device that was never audited waits no longer than this for its first audit.
const FIRST_AUDIT: Duration = Duration::from_secs(3600);
/// Between two audits, even if the disk takes no note of the first.
const LEAST_REST: Duration = Duration::from_secs(60);

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
    /// What was brought of the listings that were put aside as a whole; held while more of it is.
    brought: Mutex<BegunAnew>,
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
        Self { config, node, counters, brought: Mutex::default(), room: PhantomData }
    }

    /// Runs for ever. What is put aside as a whole meanwhile, by whomever, is brought at once.
    pub async fn run(&self, stop: &CancellationToken) {
        tokio::join!(self.audit(stop), self.bring_all_lost(stop));
    }

    /// Audits for ever: goes on where an earlier process stopped, and then once in each interval.
    async fn audit(&self, stop: &CancellationToken) {
        let interval = self.config.listing_interval;
        if interval.is_zero() || self.config.interval.is_zero() {
            return;
        }
        let mut part = [0];
        // Without any randomness all nodes begin at once, which is only unfriendly.
        let _ = getrandom::fill(&mut part);
        let first = interval.min(FIRST_AUDIT).mul_f64(f64::from(part[0]) / 256.0);
        let mut rest = self.until_next().unwrap_or(first);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            self.once(&Filter::default(), &Progress::default(), stop).await;
            rest = self.until_next().unwrap_or(interval).max(LEAST_REST);
        }
    }

    /// How long until the first device of this node has to be audited; `None` when none ever was.
    fn until_next(&self) -> Option<Duration> {
        let now = clock::now().secs();
        let devices = self.own_devices(&Filter::default()).into_iter();
        let devices = devices.filter_map(|name| self.node.databases.devices().get(&name).ok());
        let places = devices.filter_map(|device| Place::<String>::load(&cursor::<R>(&device)));
        places.map(|place| place.due_in(self.config.listing_interval, now)).min()
    }

    fn own_devices(&self, filter: &Filter) -> Vec<String> {
        let ring = self.ring();
        let own = ring.devices().iter().flatten().filter(|device| self.node.here.has(device));
        own.map(|device| device.device.clone()).filter(|name| filter.device(name)).collect()
    }

    fn ring(&self) -> Arc<Ring> {
        let rings = self.node.rings.load();
        Arc::clone(match R::KIND {
            Kind::Account => &rings.account,
            Kind::Container => &rings.container,
        })
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

/// Where the audit of a device is noted.
fn cursor<R: Room>(device: &Device) -> Cursor {
    Cursor::new(device.path(), &format!("audit-{}", R::SERVER))
}

impl<R: Room> Pass for ListingAudit<R> {
    const NAME: &'static str = "audit";

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let (ring, started) = (self.ring(), Instant::now());
        #[expect(clippy::cast_precision_loss, reason = "a time for people")]
        let began = clock::now().ticks() as f64 / 1e5;
        for name in self.own_devices(filter) {
            match self.node.databases.devices().get(&name) {
                Ok(device) => Walk::begin(self, &ring, device, progress, stop).run(filter).await,
                Err(missing) => self.failed(&name, &missing.into(), progress),
            }
        }
        self.bring_lost(progress).await;
        if filter.is_everything() && !stop.is_cancelled() {
            self.tell_recon(began, started.elapsed(), progress).await;
        }
    }
}
