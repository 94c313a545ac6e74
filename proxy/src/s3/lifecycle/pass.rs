//! The pass that carries lifecycles out, beside every proxy and as `apus pass lifecycle`.
//!
//! It reads the [queue](super::queue) of buckets that have rules and takes those whose turn it is; proxies share them by taking
//! turns, and one that died is followed by another. An idle pass reads the queue and nothing else: a bucket is gone through once
//! a day, since that is when things expire, and when its rules are new.

use std::time::{Duration, Instant};

use apus_base::clock;
use apus_base::hex::hex;
use apus_base::metrics::Metrics;
use apus_base::pass::{self, Filter, Pass, Progress};
use apus_base::recon::ReconCache;
use futures_util::StreamExt as _;
use http::{Request, Uri};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::bucket::Walk;
use super::judge::Now;
use super::queue::{Queue, Queued, Turn, marker};
use crate::Proxy;
use crate::context::{Context, Grant, trans_id};
use crate::middleware::read_only::is_read_only;
use crate::ops::notification::ByLifecycle;
use crate::s3::Face;
use crate::s3::asked::{Asked, Query};
use crate::s3::fault::Fault;

/// Buckets that are gone through together, so that a large one does not hold up all others.
const BUCKETS: usize = 4;

/// A page of a bucket was gone through, and that is not said yet.
pub(super) const PAGE_DONE: &str = "lifecycle.page_done";

/// Carries out lifecycles.
pub struct Lifecycle {
    proxy: Proxy,
    /// Who this is among all that do.
    me: String,
    /// Whether buckets are gone through that were today already, or by somebody else just now.
    everything: bool,
    recon: ReconCache,
    pub(super) counters: Counters,
}

#[derive(Clone, Default)]
pub(super) struct Counters {
    pub(super) expired: Counter,
    pub(super) versions: Counter,
    pub(super) markers: Counter,
    pub(super) uploads: Counter,
    pub(super) failed: Counter,
}

/// How fast things are removed.
pub(super) struct Pace(Mutex<Interval>);

impl Pace {
    fn new(tasks_per_second: f64) -> Self {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / tasks_per_second.max(0.001)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self(Mutex::new(ticks))
    }

    pub(super) async fn wait(&self) {
        self.0.lock().await.tick().await;
    }
}

impl Lifecycle {
    /// One that does what is due, and tells its counts to `metrics`.
    pub fn new(proxy: Proxy, recon: ReconCache, metrics: &Metrics) -> Self {
        let counters = Counters::default();
        for (name, help, counter) in [
            ("lifecycle_expired", "Objects that expired by a rule of their bucket", &counters.expired),
            ("lifecycle_versions", "Versions that such a rule removed", &counters.versions),
            ("lifecycle_markers", "Delete markers that such a rule removed", &counters.markers),
            ("lifecycle_uploads", "Uploads in parts that such a rule gave up", &counters.uploads),
            ("lifecycle_failed", "What such a rule could not remove and will be tried again", &counters.failed),
        ] {
            metrics.register(name, help, counter.clone());
        }
        let mut me = [0; 8];
        // Without randomness two may take each other's turns, which does no harm.
        let _ = getrandom::fill(&mut me);
        Self { proxy, me: hex(&me), everything: false, recon, counters }
    }

    /// The same, but it goes through all buckets, whoever else does. One that was left in the middle is gone on with.
    #[must_use]
    pub fn everything(self) -> Self {
        Self { everything: true, ..self }
    }

    /// Runs for ever. It begins after a part of its rest, so that proxies that start together do not look together.
    pub async fn run(&self, stop: &CancellationToken) {
        let rest = self.config().interval;
        if rest.is_zero() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(rest.mul_f64(f64::from(self.place()) / 256.0)) => {}
        }
        pass::forever(self, rest, None, stop).await;
    }

    /// Where it begins, among 256 places.
    fn place(&self) -> u8 {
        self.me.bytes().fold(0, u8::wrapping_add)
    }

    pub(super) fn config(&self) -> &Config {
        &self.proxy.config.lifecycle
    }

    pub(super) fn fail(&self, progress: &Progress) {
        progress.fail();
        self.counters.failed.inc();
    }

    fn queue(&self) -> Queue<'_> {
        Queue { client: &self.proxy.client, clock: &self.proxy.clock }
    }

    /// Whether it is time for a bucket, and nobody else's.
    fn is_mine(&self, queued: &Queued, now: Now) -> bool {
        self.everything || (queued.is_due(now.secs, now.day) && !queued.is_taken(&self.me, now.secs))
    }

    /// Takes a bucket. Somebody else may have been quicker.
    async fn take(&self, queued: &Queued, now: Now, face: &Face<'_>) -> Result<Option<Turn>, Fault> {
        let queue = self.queue();
        let look = || async { queue.look(queued).await.map_err(|error| face.fault(error)) };
        let Some(fresh) = look().await?.filter(|fresh| self.is_mine(fresh, now)) else { return Ok(None) };
        let turn = fresh.take(&self.me, now.secs);
        queue.say(&fresh, &turn).await.map_err(|error| face.fault(error.into()))?;
        let is_anothers = look().await?.is_some_and(|seen| seen.is_taken(&self.me, now.secs));
        Ok(Some(turn).filter(|_| self.everything || !is_anothers))
    }

    async fn bucket(&self, queued: &Queued, pace: &Pace, progress: &Progress, stop: &CancellationToken) {
        let now = Now { secs: clock::now().secs(), day: self.config().day };
        if !self.is_mine(queued, now) || stop.is_cancelled() {
            return;
        }
        let parts = parts(&queued.account);
        let asked = asked(&queued.bucket);
        let (account, user) = (queued.account.clone(), String::new());
        let face = Face { proxy: &self.proxy, parts: &parts, asked: &asked, account, user };
        let walk = Walk { lifecycle: self, face: &face, queue: self.queue(), queued, pace, progress, stop };
        if let Err(fault) = self.walk(&walk, now).await {
            tracing::warn!(account = queued.account, bucket = queued.bucket, %fault, "a lifecycle cannot be carried out now");
            self.fail(progress);
        }
    }

    async fn walk(&self, walk: &Walk<'_>, now: Now) -> Result<(), Fault> {
        let (queued, face) = (walk.queued, walk.face);
        if walk.rules(true).await?.is_none() {
            if !queued.is_young(now.secs) {
                walk.queue.remove(queued).await.map_err(|error| face.fault(error.into()))?;
            }
            return Ok(());
        }
        let may_delete = self.proxy.config.read_only.allow_deletes;
        if !may_delete && is_read_only(&self.proxy, &queued.account).await {
            walk.progress.count("read-only");
            return Ok(());
        }
        let Some(mut turn) = self.take(queued, now, face).await? else {
            walk.progress.count("elsewhere");
            return Ok(());
        };
        let ended = walk.run(&mut turn, now).await;
        match ended {
            Ok(true) => turn = Turn { done: true, after: String::new(), ..turn },
            // Begun anew by the next pass, which tries again what failed.
            Ok(false) if !walk.stop.is_cancelled() => turn = Turn { by: String::new(), after: String::new(), ..turn },
            // Gone on with.
            _ => turn.by.clear(),
        }
        walk.say(&mut turn).await;
        ended.map(drop)
    }
}

/// The request that a bucket's lifecycle is: it may do everything in the account, and nothing else.
fn parts(account: &str) -> http::request::Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.extensions.insert(Context {
        trans_id: trans_id("-lifecycle", None),
        peer: ([127, 0, 0, 1], 0).into(),
        identity: None,
        grant: Some(Grant::Account(account.to_owned())),
    });
    parts.extensions.insert(ByLifecycle);
    parts.uri = Uri::default();
    parts
}

fn asked(bucket: &str) -> Asked {
    let (bucket, path) = (Some(bucket.to_owned()), format!("/{bucket}"));
    Asked { account: None, bucket, key: None, in_host: None, path, query: Query::default() }
}

impl Pass for Lifecycle {
    const NAME: &'static str = "lifecycle";

    /// The filter has no meaning here: the queue is the cluster's.
    async fn once(&self, _filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let started = Instant::now();
        let pace = Pace::new(self.config().tasks_per_second);
        let mut after = String::new();
        while !stop.is_cancelled() {
            let mut page = match self.queue().page(&after).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "the buckets that have a lifecycle cannot be listed");
                    self.fail(progress);
                    break;
                }
            };
            let Some(last) = page.last() else { break };
            after = marker(last);
            progress.expect(page.len() as u64);
            // Each proxy begins elsewhere, so that they seldom want the same bucket.
            let start = usize::from(self.place()) % page.len();
            page.rotate_left(start);
            let pace = &pace;
            let walking = page.into_iter().map(|queued| async move {
                self.bucket(&queued, pace, progress, stop).await;
                progress.step();
            });
            futures_util::stream::iter(walking).buffer_unordered(BUCKETS).collect::<()>().await;
        }
        if !stop.is_cancelled() {
            self.tell(started, progress);
        }
    }
}

impl Lifecycle {
    /// Tells watchers what was done.
    fn tell(&self, started: Instant, progress: &Progress) {
        let counts = progress.report().counts;
        let count = |what: &str| counts.get(what).copied().unwrap_or_default();
        let entries = [
            ("lifecycle_pass", json!(started.elapsed().as_secs_f64())),
            ("lifecycle_expired_last_pass", json!(count("expired"))),
            ("lifecycle_versions_last_pass", json!(count("versions"))),
            ("lifecycle_markers_last_pass", json!(count("markers"))),
            ("lifecycle_uploads_last_pass", json!(count("uploads"))),
        ];
        self.recon.merge("proxy", entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    }
}
