//! The expirer: deletes objects whose time has come, and those that were left to it.
//!
//! Its queue is a hidden account ([`apus_base::expiring`]). A pass reads the containers whose days have begun, oldest
//! first, and of each the rows whose time has come. An object is deleted as of the moment it expired and only if that is
//! still when it expires, so that one that was written anew or got another expiry stays. Then its row goes. Whatever comes
//! between the two makes the deletion be tried again, and be refused as done.
//!
//! Several expirers share the work by the rows' names ([`Share`]). Rows of many containers are taken in turn.

mod config;
mod turns;

use std::time::{Duration, Instant};

use apus_base::client::{ClusterClient, Heard, Info, NoAnswer, ObjectPath, Target};
use apus_base::clock;
use apus_base::crash;
use apus_base::expiring::{self, Task};
use apus_base::metrics::Metrics;
use apus_base::pass::{self, Filter, Pass, Progress};
use apus_base::policy::PolicyIndex;
use apus_base::quorum::quorum_size;
use apus_base::recon::ReconCache;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate, header};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::listing::{self, Entry, PAGE};
use crate::rows::{Row, Teller};
use crate::share::Share;
pub use config::{Config, InvalidConfig};

/// Whether an object server shows what has expired.
const OPEN_EXPIRED: &str = "x-backend-open-expired";

/// An object is deleted, and its row is still in the queue.
pub(crate) const DELETED: &str = "expire.deleted";
/// The rows of a round are out of the queue.
pub(crate) const DEQUEUED: &str = "expire.dequeued";

/// Deletes what has expired.
pub struct Expirer {
    config: Config,
    share: Share,
    teller: Teller,
    recon: ReconCache,
    counters: Counters,
}

#[derive(Clone, Default)]
struct Counters {
    expired: Counter,
    failed: Counter,
}

/// A row of the queue that is this expirer's to do.
#[derive(Clone, Debug)]
struct Queued {
    container: String,
    row: String,
    task: Task,
    /// Whether the object goes whatever its own expiry is.
    is_async: bool,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The object is gone, or newer than the task: the row can go.
    Done,
    /// There is no such object, or it has another expiry: the row waits until that is certain.
    Waits,
    /// Too few servers could do it.
    Failed,
}

impl Expirer {
    /// An expirer with its share of the work, which tells its counts to `metrics`.
    pub fn new(config: Config, share: Share, client: ClusterClient, recon: ReconCache, metrics: &Metrics) -> Self {
        let counters = Counters::default();
        metrics.register("objects_expired", "Objects deleted because they expired", counters.expired.clone());
        let failed = "Deletions of expired objects that must be tried again";
        metrics.register("expirations_failed", failed, counters.failed.clone());
        Self { config, share, teller: Teller::new(client), recon, counters }
    }

    /// Runs for ever.
    pub async fn run(&self, stop: &CancellationToken) {
        if !self.config.interval.is_zero() {
            pass::forever(self, self.config.interval, None, stop).await;
        }
    }

    fn client(&self) -> &ClusterClient {
        self.teller.client()
    }

    /// The containers of the queue whose days have begun, oldest first.
    async fn containers(&self, progress: &Progress) -> Vec<String> {
        let now = clock::now().secs();
        let (mut found, mut marker) = (Vec::new(), String::new());
        loop {
            let target = Target::Account { account: expiring::ACCOUNT };
            let rows = match listing::page(self.client(), &target, &marker).await {
                Ok(page) => page.map(|page| page.rows).unwrap_or_default(),
                Err(error) => {
                    tracing::error!(%error, "the queue of expiring objects cannot be read");
                    progress.fail();
                    return found;
                }
            };
            let Some(last) = rows.last() else { return found };
            marker.clone_from(&last.name);
            for Entry { name, .. } in rows {
                match name.parse::<Timestamp>() {
                    // Ten digits are in the order of their numbers.
                    Ok(day) if day.secs() > now => return found,
                    Ok(_) => found.push(name),
                    Err(_) => tracing::error!(container = name, "a container of the expirer's queue has no day's name"),
                }
            }
        }
    }

    /// Goes through one container of the queue, and removes it if it is empty.
    async fn drain(&self, container: &str, round: &mut Vec<Queued>, progress: &Progress, stop: &CancellationToken) {
        let (mut marker, mut is_empty) = (String::new(), true);
        while !stop.is_cancelled() {
            let target = Target::Container { account: expiring::ACCOUNT, container };
            let rows = match listing::page(self.client(), &target, &marker).await {
                Ok(Some(page)) => page.rows,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, container, "a container of the expirer's queue cannot be read");
                    progress.fail();
                    return;
                }
            };
            let Some(last) = rows.last() else { break };
            (marker, is_empty) = (last.name.clone(), false);
            let (count, now) = (rows.len(), clock::now());
            for row in rows {
                let Some(task) = Task::parse(&row.name) else {
                    tracing::error!(container, row = row.name, "a row of the expirer's queue is no task");
                    progress.fail();
                    continue;
                };
                if task.at > now {
                    return;
                }
                round.extend(self.mine(container, row, task, now));
                if round.len() >= self.config.round_robin_task_cache_size.max(1) {
                    self.work(std::mem::take(round), progress, stop).await;
                }
            }
            if count < PAGE {
                return;
            }
        }
        if is_empty && !stop.is_cancelled() {
            listing::remove_empty(self.client(), expiring::ACCOUNT, container).await;
        }
    }

    /// The row, if it is time to do it and this expirer's to do.
    fn mine(&self, container: &str, row: Entry, task: Task, now: Timestamp) -> Option<Queued> {
        let is_async = row.content_type == expiring::ASYNC_DELETED;
        let delay = if is_async { Duration::ZERO } else { self.config.delay(&task.account, &task.container) };
        let due = Timestamp::from_ticks(task.at.ticks().saturating_add(ticks(delay)));
        let overdue = Duration::from_secs(now.secs().checked_sub(due.secs())?);
        let mine = due <= now && self.share.is_mine(container, &row.name, overdue, self.config.interval);
        mine.then(|| Queued { container: container.to_owned(), row: row.name, task, is_async })
    }

    /// Does a round of tasks, of all their containers in turn, and takes those that are done out of the queue.
    async fn work(&self, round: Vec<Queued>, progress: &Progress, stop: &CancellationToken) {
        if round.is_empty() {
            return;
        }
        progress.expect(round.len() as u64);
        let pace = Duration::from_secs_f64(1.0 / self.config.tasks_per_second.max(0.001));
        let mut ticks = interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let ticks = &Mutex::new(ticks);
        let turns = turns::in_turn(round, |queued| (queued.task.account.clone(), queued.task.container.clone()));
        let turns = turns.into_iter().take_while(|_| !stop.is_cancelled());
        let deleting = turns.map(|queued| async move {
            ticks.lock().await.tick().await;
            let done = self.delete(&queued).await;
            progress.step();
            (queued, done)
        });
        let mut deleting = futures_util::stream::iter(deleting).buffer_unordered(self.config.concurrency.max(1));
        let mut done = Vec::new();
        while let Some((queued, is_done)) = deleting.next().await {
            match is_done {
                Outcome::Done => done.push(queued),
                Outcome::Waits => progress.count("waiting"),
                Outcome::Failed => {
                    progress.fail();
                    self.counters.failed.inc();
                }
            }
            if done.len() == PAGE {
                self.dequeue(std::mem::take(&mut done), progress).await;
            }
        }
        self.dequeue(done, progress).await;
    }

    /// Deletes the object of a task.
    async fn delete(&self, queued: &Queued) -> Outcome {
        let status = match self.ask(queued).await {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(%error, task = queued.row, "an expired object cannot be deleted now");
                return Outcome::Failed;
            }
        };
        crash::point(DELETED);
        match status {
            status if status.is_success() || status == StatusCode::CONFLICT => Outcome::Done,
            StatusCode::NOT_FOUND if queued.is_async => Outcome::Done,
            // A server that was away may still bring an object of that expiry, so the row has to wait.
            StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED => {
                let age = clock::now().secs().saturating_sub(queued.task.at.secs());
                if age > self.config.reclaim_age.as_secs() { Outcome::Done } else { Outcome::Waits }
            }
            status => {
                tracing::error!(%status, task = queued.row, "an expired object is not deleted");
                Outcome::Failed
            }
        }
    }

    async fn ask(&self, queued: &Queued) -> Result<StatusCode, NoAnswer> {
        let Task { at, account, container, object } = &queued.task;
        let Info::Found(info) = self.client().container_info(account, container).await? else {
            return Ok(StatusCode::NOT_FOUND);
        };
        let path = ObjectPath { policy: info.policy, account, container, object };
        if !queued.is_async
            && let Some(refused) = self.refused(path, *at).await?
        {
            return Ok(refused);
        }
        let mut headers = HeaderMap::new();
        // A timestamp is digits and a point.
        if let Ok(at) = HeaderValue::try_from(at.normal()) {
            headers.insert(header::TIMESTAMP, at.clone());
            if !queued.is_async {
                headers.insert(header::IF_DELETE_AT, at);
                headers.insert(header::CLEAN_EXPIRING_QUEUE, HeaderValue::from_static("no"));
            }
        }
        Ok(self.client().write(Method::DELETE, &Target::Object(path), &headers).await?.best.status)
    }

    /// Looks at the newest version, and says why it must stay, in the words of an object server that refuses to delete it.
    ///
    /// Each object server looks at its own version only. One that was down while the object was written anew, or got another
    /// expiry, would delete the old version as of its expiry; if that is later than the new one, replication would then
    /// delete the new one too. Once a quorum has shown that the newest version expires now, no older write can come,
    /// and later ones win by their time.
    async fn refused(&self, path: ObjectPath<'_>, at: Timestamp) -> Result<Option<StatusCode>, NoAnswer> {
        let target = Target::Object(path);
        let replicas = target.ring(&self.client().rings()).map_or(0, |ring| ring.table().row_count());
        let mut headers = HeaderMap::new();
        headers.insert(OPEN_EXPIRED, HeaderValue::from_static("true"));
        let newest = self.client().read(Method::HEAD, &target, None, &headers, true).await?;
        if newest.extensions().get::<Heard>().is_none_or(|heard| heard.0 < quorum_size(replicas)) {
            return Err(NoAnswer { statuses: vec![newest.status().as_u16()] });
        }
        let text = |name: &str| newest.headers().get(name).and_then(|value| value.to_str().ok());
        let version: Option<Timestamp> = text(header::BACKEND_TIMESTAMP).and_then(|text| text.parse().ok());
        let expires: Option<u64> = text(header::DELETE_AT).and_then(|text| text.parse().ok());
        Ok(match newest.status() {
            // An expirer was killed while it deleted it: some servers have the tombstone, others may not.
            StatusCode::NOT_FOUND if version == Some(at) => None,
            _ if version.is_some_and(|version| version >= at) => Some(StatusCode::CONFLICT),
            status if !status.is_success() => Some(status),
            _ if expires != Some(at.secs()) => Some(StatusCode::PRECONDITION_FAILED),
            _ => None,
        })
    }

    /// Takes rows out of the queue. One that stays somewhere is done once more.
    async fn dequeue(&self, done: Vec<Queued>, progress: &Progress) {
        let now = clock::now();
        let count = done.len() as u64;
        let rows = done.into_iter().map(|queued| {
            let (account, container) = (expiring::ACCOUNT.to_owned(), queued.container);
            Row {
                update: RowUpdate { partition: 0, account, container, row: tombstone(queued.row, now) },
                told: Vec::new(),
            }
        });
        for told in self.teller.tell(rows.collect()).await {
            if !told.everywhere {
                progress.count("rows left");
            }
        }
        crash::point(DEQUEUED);
        progress.add("expired", count);
        self.counters.expired.inc_by(count);
    }
}

impl Pass for Expirer {
    const NAME: &'static str = "expire";

    /// The filter has no meaning here: the queue is the cluster's.
    async fn once(&self, _filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let started = Instant::now();
        let mut round = Vec::new();
        for container in self.containers(progress).await {
            if stop.is_cancelled() {
                return;
            }
            self.drain(&container, &mut round, progress, stop).await;
        }
        self.work(round, progress, stop).await;
        let expired = progress.report().counts.get("expired").copied().unwrap_or_default();
        let entries =
            [("object_expiration_pass", json!(started.elapsed().as_secs_f64())), ("expired_last_pass", json!(expired))];
        self.recon.merge("object", entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    }
}

fn tombstone(name: String, at: Timestamp) -> ObjectRow {
    let (content_type, etag) = (String::new(), String::new());
    let (timestamps, policy) = (RowTimestamps::same(at), PolicyIndex(0));
    ObjectRow { name, timestamps, size: 0, content_type, etag, deleted: true, policy }
}

/// A duration in the ticks of timestamps.
fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros() / 10).unwrap_or(u64::MAX)
}
