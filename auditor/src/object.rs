//! The audit of objects: every file of every device is read and compared with what it says of itself.
//!
//! It goes through policies, partitions, suffixes and hashes in order, one object of a device at a time, at a share of the disk's
//! time ([`Pace`]). What is damaged is moved to quarantine by the store, which also tells who repairs. Where it is it notes
//! on the device ([`Place`]), so that one that was stopped or killed goes on there; what it looked at since then it looks at
//! again. A disk that fails costs a failure for each object that cannot be looked at, and ends the audit of that device when it
//! is gone.

mod counters;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use apus_base::client::Rings;
use apus_base::clock;
use apus_base::cluster::Cluster;
use apus_base::fs::{Device, Devices};
use apus_base::here::Here;
use apus_base::metrics::Metrics;
use apus_base::pass::{Cursor, Filter, Pass, Progress};
use apus_base::policy::PolicyIndex;
use apus_base::recon::ReconCache;
use arc_swap::ArcSwap;
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::pace::Pace;
use crate::place::{Place, Suffix};
use crate::watch::{Mode, Watcher};
use counters::{Counters, Stats};
use walk::Walk;

/// Where a crash test kills an audit: an object has been looked at.
pub const AUDITED: &str = "audit.object.done";
/// Devices that are audited at the same time.
const MAX_DEVICES: usize = 64;
/// A device that was never audited waits no longer than this for its first audit.
const FIRST_AUDIT: Duration = Duration::from_secs(3600);

/// What an audit works with.
#[derive(Clone)]
pub struct Node {
    /// The node's devices.
    pub devices: Arc<Devices>,
    /// Salt and policies.
    pub cluster: Arc<Cluster>,
    /// The rings, always the newest.
    pub rings: Arc<ArcSwap<Rings>>,
    /// The node's object server: which devices of the rings are its own.
    pub here: Here,
    /// Where it tells what it did.
    pub recon: ReconCache,
    /// Those who look on.
    pub watchers: Arc<Vec<Box<dyn Watcher>>>,
}

/// The pass.
pub struct ObjectAudit {
    config: Config,
    node: Node,
    mode: Mode,
    counters: Counters,
}

impl ObjectAudit {
    /// For the devices that the rings give to a node.
    pub fn new(config: Config, node: Node, mode: Mode, metrics: &Metrics) -> Self {
        let counters = Counters::registered(metrics, mode);
        Self { config, node, mode, counters }
    }

    /// How long from the beginning of one audit to that of the next.
    pub fn interval(&self) -> Duration {
        match self.mode {
            Mode::All => self.config.interval,
            Mode::ZeroByteFast if self.config.interval.is_zero() => Duration::ZERO,
            Mode::ZeroByteFast => self.config.zero_byte_interval,
        }
    }

    /// Runs for ever: goes on where an earlier process stopped, and then once in each interval.
    pub async fn run(&self, stop: &CancellationToken) {
        if self.interval().is_zero() {
            return;
        }
        let mut part = [0];
        // Without any randomness all nodes begin at once, which is only unfriendly.
        let _ = getrandom::fill(&mut part);
        let first = self.interval().min(FIRST_AUDIT).mul_f64(f64::from(part[0]) / 256.0);
        let mut rest = self.until_next().unwrap_or(first);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            self.once(&Filter::default(), &Progress::default(), stop).await;
            rest = self.until_next().unwrap_or_else(|| self.interval());
        }
    }

    /// How long until the first device of this node has to be audited; `None` when none ever was.
    fn until_next(&self) -> Option<Duration> {
        let now = clock::now().secs();
        let places = self.own_devices(&Filter::default()).into_iter().filter_map(|(device, _)| self.place(&device));
        places.map(|place| place.due_in(self.interval(), now)).min()
    }

    fn cursor(&self, device: &Device) -> Cursor {
        Cursor::new(device.path(), &format!("audit-{}", self.mode.name()))
    }

    fn place(&self, device: &Device) -> Option<Place<Suffix>> {
        Place::load(&self.cursor(device))
    }

    /// The devices of this node that are there, with the policies that each has objects of.
    fn own_devices(&self, filter: &Filter) -> Vec<(Arc<Device>, Vec<PolicyIndex>)> {
        let rings = self.node.rings.load_full();
        let mut own: Vec<(Arc<Device>, Vec<PolicyIndex>)> = Vec::new();
        for (policy, ring) in rings.objects.iter().filter(|(policy, _)| filter.policy(**policy)) {
            let here = ring.devices().iter().flatten().filter(|device| self.node.here.has(device));
            for name in here.map(|device| &device.device).filter(|name| filter.device(name)) {
                let Ok(device) = self.node.devices.get(name) else { continue };
                match own.iter_mut().find(|(known, _)| known.name() == name) {
                    Some((_, policies)) => policies.push(*policy),
                    None => own.push((device, vec![*policy])),
                }
            }
        }
        own
    }
}

impl Pass for ObjectAudit {
    const NAME: &'static str = "audit";

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        for watcher in self.node.watchers.iter() {
            watcher.start(self.mode).await;
        }
        let audit = |(device, policies)| self.device(device, policies, filter, progress, stop);
        stream::iter(self.own_devices(filter)).for_each_concurrent(MAX_DEVICES, audit).await;
        for watcher in self.node.watchers.iter() {
            watcher.end(self.mode).await;
        }
        if filter.is_everything() && !stop.is_cancelled() {
            self.counters.passes.inc();
        }
    }
}

impl ObjectAudit {
    async fn device(
        &self,
        device: Arc<Device>,
        policies: Vec<PolicyIndex>,
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) {
        // What looks at a part of a device only does not move its place.
        let whole = filter.partitions.is_empty() && filter.policies.is_empty();
        let cursor = whole.then(|| self.cursor(&device));
        let place = self.place(&device).filter(|place| whole && matches!(place, Place::At { .. }));
        let began = place.map_or_else(|| clock::now().secs(), |place| place.began());
        if place.is_some() {
            tracing::info!(device = device.name(), ?place, "the audit goes on where it was stopped");
            progress.count("resumed");
        }
        let noted = Instant::now();
        let (pace, stats) = (Pace::new(self.config.disk_share, noted), Stats::new());
        let walk = Walk { audit: self, device, progress, stop, pace, cursor, past: place, began, stats, noted };
        walk.run(&policies, filter).await;
    }
}
