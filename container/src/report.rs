//! The reporter: tells account servers what changed in containers, soon after it did and until they know.
//!
//! Each commit that changes what an account server should know leaves a mark in the same batch, so nothing is forgotten
//! over a crash; the mark goes when a majority has confirmed that very state. A pass looks only at devices where something
//! changed, and there only at marks: an idle reporter sleeps. Changes within one interval are told together.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apus_base::client::pool::Pool;
use apus_base::cluster::Cluster;
use apus_base::db::info::Reported;
use apus_base::db::{Databases, DbError, Info, ListingId, Transaction, View, key};
use apus_base::listing::walk::{Bounds, Cursor as _};
use apus_base::ring::Ring;
use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::account_client::{AccountNode, Update};
use crate::store::{self, ContainerName};
use crate::{Config, Shared};

/// Containers told in one step for one device, so that their confirmation is one short commit.
const MAX_STEP: usize = 1000;
/// Containers being told at once.
const CONCURRENCY: usize = 16;
/// A container that no majority confirms is tried less and less often, down to this.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// Containers whose delays are remembered; beyond, all are tried at once again.
const MAX_DELAYED: usize = 100_000;

/// The devices on which containers changed since the reporter looked.
#[derive(Debug, Default)]
pub struct Changes {
    devices: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl Changes {
    /// Notes that a container on that device changed.
    pub fn note(&self, device: &str) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if !devices.contains(device) {
            devices.insert(device.to_owned());
            self.wake.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.devices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells account servers what changed.
pub struct Reporter {
    databases: Arc<Databases>,
    cluster: Arc<Cluster>,
    ring: Arc<ArcSwap<Ring>>,
    pool: Pool,
    interval: Duration,
    changes: Arc<Changes>,
    delayed: Mutex<HashMap<ListingId, Delay>>,
    told: Counter,
    failed: Counter,
}

struct Delay {
    wait: Duration,
    until: Instant,
}

impl Reporter {
    /// A reporter that waits to be run.
    pub fn new(config: &Config, shared: &Shared) -> Self {
        let (told, failed) = (Counter::default(), Counter::default());
        shared.metrics.register(
            "containers_reported",
            "Containers a majority of account servers heard of",
            told.clone(),
        );
        shared.metrics.register("container_reports_failed", "Reports that no majority confirmed", failed.clone());
        Self {
            databases: Arc::clone(&shared.databases),
            cluster: Arc::clone(&shared.cluster),
            ring: Arc::clone(&shared.account_ring),
            pool: shared.pool.clone(),
            interval: Duration::from_secs(config.report_interval_seconds.max(1)),
            changes: Arc::clone(&shared.changes),
            delayed: Mutex::default(),
            told,
            failed,
        }
    }

    /// Notes that a container on that device changed.
    pub fn changed(&self, device: &str) {
        self.changes.note(device);
    }

    /// Reports until `shutdown` is cancelled. What an earlier process left to do is done first.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let databases = Arc::clone(&self.databases);
        let existing = tokio::task::spawn_blocking(move || databases.existing()).await;
        existing.unwrap_or_default().iter().for_each(|device| self.changed(device));
        let pass = async {
            loop {
                self.changes.wake.notified().await;
                tokio::time::sleep(self.interval).await;
                self.step().await;
            }
        };
        tokio::select! {
            () = pass => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// One pass over the devices where something changed.
    pub async fn step(&self) {
        for device in self.changes.take() {
            match self.step_device(&device).await {
                Ok(true) => {}
                Ok(false) => self.changed(&device),
                Err(error) => {
                    tracing::debug!(device, %error, "what changed on a device is reported later");
                    self.changed(&device);
                }
            }
        }
    }

    /// Tells what is marked on a device, and says whether that was all.
    async fn step_device(&self, device: &str) -> Result<bool, DbError> {
        let database = self.databases.get(device).await?;
        let waiting = self.waiting();
        let marked = database.read::<_, DbError, _>(move |view| marked(view, &waiting)).await?;
        let all = marked.updates.len() < MAX_STEP && !marked.some_wait;
        let (confirmed, failed) = self.tell_all(marked.updates).await;
        self.told.inc_by(confirmed.len() as u64);
        self.failed.inc_by(failed.len() as u64);
        let all = all && failed.is_empty();
        self.remember(&confirmed, failed);
        if !confirmed.is_empty() {
            let note = move |tx: &mut Transaction<'_>| {
                confirmed.iter().try_for_each(|(id, counts)| store::reported(tx, *id, *counts))
            };
            database.commit::<_, DbError, _>(note).await?;
        }
        Ok(all)
    }

    /// Containers whose time to be tried again has not come.
    fn waiting(&self) -> BTreeSet<ListingId> {
        let now = Instant::now();
        let delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        delayed.iter().filter(|(_, delay)| delay.until > now).map(|(id, _)| *id).collect()
    }

    async fn tell_all(&self, updates: Vec<(ListingId, Update)>) -> (Vec<(ListingId, Reported)>, Vec<ListingId>) {
        let (mut confirmed, mut failed) = (Vec::new(), Vec::new());
        let mut updates = updates.into_iter();
        let mut telling = JoinSet::new();
        loop {
            while telling.len() < CONCURRENCY
                && let Some((id, update)) = updates.next()
            {
                let counts = update.counts;
                let told = self.tell(update);
                telling.spawn(async move { (id, counts, told.await) });
            }
            match telling.join_next().await {
                None => return (confirmed, failed),
                Some(Ok((id, counts, true))) => confirmed.push((id, counts)),
                Some(Ok((id, _, false))) => failed.push(id),
                // The process is ending, or a bug was logged; the mark stays.
                Some(Err(_)) => {}
            }
        }
    }

    /// Tells the account's servers, and says whether a majority took it.
    fn tell(&self, update: Update) -> impl Future<Output = bool> + use<> {
        let (pool, nodes) = (self.pool.clone(), self.nodes(&update.name));
        async move {
            let all = nodes.len();
            let mut telling: JoinSet<_> = nodes
                .into_iter()
                .map(|node| {
                    let (pool, update) = (pool.clone(), update.clone());
                    async move { node.tell(&pool, &update).await }
                })
                .collect();
            let mut taken = 0;
            while let Some(told) = telling.join_next().await {
                taken += usize::from(matches!(told, Ok(Ok(status)) if status.is_success()));
            }
            taken * 2 > all
        }
    }

    fn nodes(&self, name: &ContainerName) -> Vec<AccountNode> {
        let ring = self.ring.load();
        let partition = ring.partition(&self.cluster.hash_path.account(&name.account).0);
        let node = |device: &apus_base::ring::Device| {
            AccountNode::new(&format!("{}:{}", device.ip, device.port), &device.device, partition)
        };
        ring.primaries(partition).map(node).collect()
    }

    fn remember(&self, confirmed: &[(ListingId, Reported)], failed: Vec<ListingId>) {
        let mut delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, _) in confirmed {
            delayed.remove(id);
        }
        if delayed.len() + failed.len() > MAX_DELAYED {
            delayed.clear();
        }
        for id in failed {
            let wait = delayed.get(&id).map_or(self.interval, |delay| delay.wait.saturating_mul(2).min(MAX_DELAY));
            delayed.insert(id, Delay { wait, until: Instant::now() + wait });
        }
    }
}

/// What a device has to report.
struct Marked {
    updates: Vec<(ListingId, Update)>,
    /// Whether some more were left out because their time has not come.
    some_wait: bool,
}

fn marked(view: &View<'_>, waiting: &BTreeSet<ListingId>) -> Result<Marked, DbError> {
    let mut marked = Marked { updates: Vec::new(), some_wait: false };
    let mut scan = view.scan(key::DIRTY.to_vec(), &Bounds { lower: Vec::new(), upper: None });
    scan.seek(b"");
    while let Some(hash) = scan.name().filter(|_| marked.updates.len() < MAX_STEP) {
        let id = ListingId::from_dirty(&[key::DIRTY, hash].concat());
        scan.next();
        let Some(id) = id else {
            continue;
        };
        if waiting.contains(&id) {
            marked.some_wait = true;
        } else if let Some(info) = Info::load(view, id)?.filter(|info| !info.filling) {
            marked.updates.push((id, update(info)));
        }
    }
    scan.finish()?;
    Ok(marked)
}

fn update(info: Info) -> Update {
    let (counts, policy, changed_at) = (store::to_report(&info), info.policy, info.changed_at);
    // That a container is gone is told also to an account that was deleted, whose rows wait for that.
    let override_deleted = store::is_deleted(&info);
    let name = ContainerName { account: info.account, container: info.container };
    Update { name, counts, policy, changed_at, override_deleted }
}
