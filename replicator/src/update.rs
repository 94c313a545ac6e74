//! The updater: tells container servers what they did not hear when an object was written.
//!
//! Object servers keep such rows as files (`async_pending`). A pass reads them some at a time, tells them to the containers'
//! servers, many rows in one request, and removes a file when every primary of its container has the row. A file whose row
//! only some have notes which; one whose servers are down stays for the next pass. Of several updates of one object only
//! the newest counts. A crash at any point makes a row be told once more, which changes nothing.
//!
//! Other processes may add and remove files meanwhile, a second updater too.

mod config;
mod oldest;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apus_base::client::ClusterClient;
use apus_base::clock;
use apus_base::crash;
use apus_base::fs::{Device, Devices};
use apus_base::metrics::Metrics;
use apus_base::pass::{Filter, Pass, Progress};
use apus_base::policy::PolicyIndex;
use apus_base::recon::ReconCache;
use apus_base::timestamp::Timestamp;
use apus_object::store::pending::kept::{self, Kept, Unreadable};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::rows::{Row, Teller, Told};
use oldest::Oldest;

/// Rows in memory at once for each device: as many as one request to a container server takes.
const BATCH: usize = 1000;
/// A pass rests so many times as long as it took, so that a great many updates for a server that stays away cost little.
const REST: u32 = 10;
/// But no longer than this, so that a server that is back hears soon.
const MAX_REST: Duration = Duration::from_secs(300);

/// A container has every row of a batch, and its files are still there.
pub(crate) const BEFORE_REMOVE: &str = "update.before_remove";
/// One of the files of a batch is removed.
pub(crate) const REMOVED: &str = "update.removed";

/// Drains what object servers of this node kept.
pub struct Updater {
    config: Config,
    devices: Arc<Devices>,
    teller: Teller,
    recon: ReconCache,
    counters: Counters,
}

#[derive(Clone, Default)]
struct Counters {
    sent: Counter,
    failed: Counter,
    outdated: Counter,
    set_aside: Counter,
    waiting: Gauge,
}

/// What a pass over one device finds.
struct Sweep {
    device: Arc<Device>,
    /// Updates that could not be told to all.
    oldest: Oldest,
    waiting: u64,
}

impl Updater {
    /// An updater of the devices of this node, which tells its counts to `metrics`.
    pub fn new(
        config: Config,
        devices: Arc<Devices>,
        client: ClusterClient,
        recon: ReconCache,
        metrics: &Metrics,
    ) -> Self {
        let counters = Counters::default();
        metrics.register("updates_sent", "Kept container updates that all servers have", counters.sent.clone());
        metrics.register("updates_failed", "Kept container updates that must be sent again", counters.failed.clone());
        let outdated = "Kept container updates removed for a newer one";
        metrics.register("updates_outdated", outdated, counters.outdated.clone());
        let set_aside = "Kept container updates moved to quarantine";
        metrics.register("updates_quarantined", set_aside, counters.set_aside.clone());
        metrics.register("updates_waiting", "Container updates that the last pass left", counters.waiting.clone());
        Self { config, devices, teller: Teller::new(client), recon, counters }
    }

    /// Runs for ever. A pass that found much for a server that stays away is followed by a longer rest.
    pub async fn run(&self, stop: &CancellationToken) {
        while !self.config.interval.is_zero() && !stop.is_cancelled() {
            let started = Instant::now();
            self.once(&Filter::default(), &Progress::default(), stop).await;
            let rest = (started.elapsed() * REST).clamp(self.config.interval, MAX_REST.max(self.config.interval));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    async fn sweep(&self, name: &str, filter: &Filter, progress: &Progress, stop: &CancellationToken) -> Option<Sweep> {
        let device = self.devices.get(name).ok()?;
        let path = device.path().to_owned();
        let found = device.queue().run(move || kept::folders(&path)).await;
        let mut sweep = Sweep { device, oldest: Oldest::new(self.config.async_tracker_max_entries), waiting: 0 };
        let folders = match found {
            Ok(Ok(folders)) => folders,
            trouble => {
                tracing::error!(device = name, ?trouble, "the kept updates of a device cannot be listed");
                progress.fail();
                return Some(sweep);
            }
        };
        let mut batch = Vec::new();
        for (policy, folder) in folders.into_iter().filter(|(policy, _)| filter.policy(*policy)) {
            if stop.is_cancelled() {
                return None;
            }
            self.gather(&mut sweep, policy, folder, &mut batch, progress).await;
        }
        self.deliver(&mut sweep, std::mem::take(&mut batch), progress).await;
        Some(sweep)
    }

    /// Reads one folder, and delivers whenever a batch is full.
    async fn gather(
        &self,
        sweep: &mut Sweep,
        policy: PolicyIndex,
        folder: PathBuf,
        batch: &mut Vec<Kept>,
        progress: &Progress,
    ) {
        let queue = sweep.device.queue().clone();
        let outdated = self.counters.outdated.clone();
        let listed = queue.run(move || newest(&folder, &outdated)).await;
        let Ok(Ok(mut files)) = listed else {
            progress.fail();
            return;
        };
        progress.expect(files.len() as u64);
        while !files.is_empty() {
            let some = files.split_off(files.len().saturating_sub(BATCH - batch.len()));
            let (device, set_aside) = (sweep.device.path().to_owned(), self.counters.set_aside.clone());
            match queue.run(move || read(&device, some, policy, &set_aside)).await {
                Ok((read, unread)) => {
                    batch.extend(read);
                    (0..unread).for_each(|_| progress.fail());
                }
                Err(_) => progress.fail(),
            }
            if batch.len() >= BATCH {
                self.deliver(sweep, std::mem::take(batch), progress).await;
            }
        }
    }

    async fn deliver(&self, sweep: &mut Sweep, batch: Vec<Kept>, progress: &Progress) {
        if batch.is_empty() {
            return;
        }
        let rows = batch.iter().map(|kept| Row { update: kept.update.clone(), told: kept.told.clone() });
        let told = self.teller.tell(rows.collect()).await;
        let reclaimed = Timestamp::from_secs(clock::now().secs().saturating_sub(self.config.reclaim_age.as_secs()));
        let (mut done, mut some) = (Vec::new(), Vec::new());
        for (kept, told) in batch.into_iter().zip(told) {
            progress.step();
            let is_orphan = told.nowhere && kept.timestamp < reclaimed;
            if is_orphan {
                tracing::warn!(update = ?kept.update, "an old update is given up: there is no such container");
            }
            if told.everywhere || is_orphan {
                done.push(kept.path);
                continue;
            }
            progress.fail();
            self.counters.failed.inc();
            sweep.waiting += 1;
            sweep.oldest.add(&kept.update.account, &kept.update.container, kept.timestamp);
            if told.devices.len() > kept.told.len() {
                some.push((kept, told));
            }
        }
        progress.add("sent", done.len() as u64);
        self.counters.sent.inc_by(done.len() as u64);
        if sweep.device.queue().run(move || finish(done, &some)).await.is_err() {
            progress.fail();
        }
    }

    fn note(&self, sweeps: &[(String, Sweep)], took: Duration) {
        let waiting: u64 = sweeps.iter().map(|(_, sweep)| sweep.waiting).sum();
        self.counters.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let now = clock::now();
        let mut all = Oldest::new(self.config.async_tracker_max_entries);
        let mut devices = Map::new();
        for (name, sweep) in sweeps {
            devices.insert(name.clone(), sweep.oldest.stats(self.config.async_tracker_dump_count, now));
            all.merge(&sweep.oldest);
        }
        let gone = self.recon.load("object").remove("object_updater_per_device");
        let gone = gone.as_ref().and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone());
        for name in gone.collect::<Vec<_>>() {
            devices.entry(name).or_insert_with(|| json!({}));
        }
        let entries = [
            ("object_updater_sweep", json!(took.as_secs_f64())),
            ("object_updater_last", json!(seconds(now))),
            ("object_updater_stats", all.stats(self.config.async_tracker_dump_count, now)),
            ("object_updater_per_device", devices.into()),
            ("async_pending", json!(waiting)),
            ("async_pending_last", json!(seconds(now))),
        ];
        self.recon.merge("object", entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    }
}

impl Pass for Updater {
    const NAME: &'static str = "update";

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let started = Instant::now();
        let rings = self.teller.client().rings();
        let known =
            |name: &str| rings.objects.values().any(|ring| ring.devices().iter().flatten().any(|d| d.device == name));
        let names: Vec<_> =
            self.devices.names().into_iter().filter(|name| filter.device(name) && known(name)).collect();
        let sweeps = names.into_iter().map(|name| async move {
            let sweep = self.sweep(&name, filter, progress, stop).await;
            sweep.map(|sweep| (name, sweep))
        });
        let sweeps: Vec<_> = futures_util::future::join_all(sweeps).await.into_iter().flatten().collect();
        if filter.is_everything() && !stop.is_cancelled() {
            self.note(&sweeps, started.elapsed());
        }
    }
}

/// The newest update of each object in a folder; the others are removed. Blocking.
fn newest(folder: &Path, removed: &Counter) -> std::io::Result<Vec<PathBuf>> {
    let listed = kept::list(folder)?;
    for path in &listed.outdated {
        kept::remove(path)?;
        removed.inc();
    }
    if listed.newest.is_empty() {
        // It fails when something came meanwhile, as it should.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(listed.newest)
}

/// Reads files, and sets aside what is no update. Also says how many are lost or cannot be read. Blocking.
fn read(device: &Path, files: Vec<PathBuf>, policy: PolicyIndex, set_aside: &Counter) -> (Vec<Kept>, usize) {
    let (mut read, mut unread) = (Vec::with_capacity(files.len()), 0);
    for path in files {
        match kept::load(path.clone(), policy) {
            Ok(update) => read.extend(update),
            Err(Unreadable::Io(error)) => {
                tracing::error!(%error, path = %path.display(), "a kept update cannot be read");
                unread += 1;
            }
            Err(error @ Unreadable::Malformed(_)) => {
                let moved = kept::set_aside(device, &path);
                tracing::error!(%error, ?moved, path = %path.display(), "a kept update is moved to quarantine");
                set_aside.inc();
                unread += 1;
            }
        }
    }
    (read, unread)
}

/// Removes what everybody has, and notes of the rest who has it. Blocking.
fn finish(done: Vec<PathBuf>, some: &[(Kept, Told)]) {
    crash::point(BEFORE_REMOVE);
    for path in done {
        if let Err(error) = kept::remove(&path) {
            tracing::error!(%error, path = %path.display(), "a delivered update cannot be removed; it is told again");
        }
        crash::point(REMOVED);
    }
    some.iter().for_each(|(kept, told)| kept.note(&told.devices));
}

/// Seconds since 1970, as recon files have them.
#[expect(clippy::cast_precision_loss, reason = "microseconds of our century fit")]
pub(crate) fn seconds(at: Timestamp) -> f64 {
    at.ticks() as f64 / apus_base::timestamp::TICKS_PER_SECOND as f64
}

#[cfg(test)]
mod tests;
