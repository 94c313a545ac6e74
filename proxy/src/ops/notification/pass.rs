//! Sending: at once what this proxy has queued, and by the pass `notify` what is left in the queues, whoever queued it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apus_base::clock;
use apus_base::metrics::Metrics;
use apus_base::pass::{self, Filter, Pass, Progress};
use apus_base::recon::ReconCache;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::lane::Lane;
use super::queue::{PAGE, Queue, Queued};
use super::{Config, GRACE, HURRY, age};
use crate::Proxy;
use crate::error::Error;

/// Events that are taken out of the queue by one request.
const BATCH: usize = 100;

/// Sends events.
pub struct Notifier {
    proxy: Proxy,
    /// Where it begins in a page, of 256 places: two proxies seldom send the same event at once.
    place: usize,
    /// Whether those are sent too that the proxy which queued them may be just sending.
    everything: bool,
    recon: ReconCache,
}

impl Notifier {
    /// One that sends for a proxy, and tells its counts to `metrics`.
    pub fn new(proxy: Proxy, recon: ReconCache, metrics: &Metrics) -> Self {
        proxy.notifications.register(metrics);
        let mut place = [0];
        // Without randomness more events come twice.
        let _ = getrandom::fill(&mut place);
        Self { proxy, place: usize::from(place[0]), everything: false, recon }
    }

    /// The same, but it sends young events too.
    #[must_use]
    pub fn everything(self) -> Self {
        Self { everything: true, ..self }
    }

    /// Runs until it is told to stop.
    pub async fn run(&self, stop: &CancellationToken) {
        let rest = self.config().interval;
        if rest.is_zero() || self.config().webhooks.is_empty() {
            return;
        }
        let lanes = join_all(self.proxy.notifications.all().map(|(name, lane)| self.follow(name, lane, stop)));
        let later = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(rest.mul_f64(self.place as f64 / 256.0)) => {}
            }
            pass::forever(self, rest, None, stop).await;
        };
        tokio::join!(lanes, later);
    }

    fn config(&self) -> &Config {
        &self.proxy.config.notifications
    }

    /// Sends what comes through a lane.
    async fn follow(&self, name: &str, lane: &Lane, stop: &CancellationToken) {
        let Some(mut leave) = lane.follow() else { return };
        let mut events = Vec::new();
        while stop.run_until_cancelled(leave.recv_many(&mut events, BATCH)).await.is_some_and(|count| count > 0) {
            if lane.is_down() {
                events.clear();
                continue;
            }
            // Asked before each: those before it may have taken their time.
            let is_young =
                |queued: Queued| async move { Ok(age(queued.written, clock::now()) < HURRY && !stop.is_cancelled()) };
            let (_, sent) = self.send(name, lane, std::mem::take(&mut events), is_young).await;
            self.forget(name, sent).await;
        }
    }

    /// Sends events that `is_there` still finds; when one is not taken, no more are begun. Whether all were, and which.
    async fn send<W>(
        &self,
        name: &str,
        lane: &Lane,
        events: Vec<Queued>,
        is_there: impl Fn(Queued) -> W,
    ) -> (bool, Vec<Queued>)
    where
        W: Future<Output = Result<bool, Error>>,
    {
        let given_up = AtomicBool::new(false);
        let (region, is_there, given_up) = (self.proxy.config.s3.location.as_str(), &is_there, &given_up);
        let sending = events.into_iter().map(|queued| async move {
            if given_up.load(Ordering::Relaxed) {
                return (false, None);
            }
            let Some(message) = queued.event.as_ref().map(|event| event.message(region)) else { return (true, None) };
            match is_there(queued.clone()).await {
                Ok(false) => (true, None),
                Ok(true) if lane.send(name, message).await => (true, Some(queued)),
                Ok(true) | Err(_) => {
                    given_up.store(true, Ordering::Relaxed);
                    (false, None)
                }
            }
        });
        let (mut sent, mut all) = (Vec::new(), true);
        let mut sending =
            std::pin::pin!(futures_util::stream::iter(sending).buffer_unordered(self.config().concurrency));
        while let Some((is_taken, queued)) = sending.next().await {
            sent.extend(queued);
            all &= is_taken;
        }
        (all, sent)
    }

    /// Takes events out of the queue. One that stays is sent again.
    async fn forget(&self, name: &str, done: Vec<Queued>) {
        if !done.is_empty()
            && let Err(error) = Queue::new(&self.proxy, name).remove(&done).await
        {
            tracing::warn!(webhook = name, %error, "events that were sent cannot be taken out of the queue, and will be again");
        }
    }

    /// Empties a webhook's queue, as far as it is old enough and the webhook takes it.
    async fn empty(&self, name: &str, lane: &Lane, progress: &Progress, stop: &CancellationToken) -> Result<(), Error> {
        let queue = Queue::new(&self.proxy, name);
        let mut after = String::new();
        while !stop.is_cancelled() {
            let page = queue.page(&after).await?;
            let is_last = (page.len() as u64) < PAGE;
            let Some(last) = page.last() else { break };
            after = last.name.clone();
            let now = clock::now();
            let old = |queued: &Queued| self.everything || age(queued.written, now) >= GRACE;
            let (lost, mut ripe): (Vec<_>, Vec<_>) =
                page.into_iter().filter(old).partition(|queued| age(queued.written, now) >= self.config().keep);
            self.lose(name, lane, lost, progress).await;
            let start = self.place % ripe.len().max(1);
            ripe.rotate_left(start);
            progress.expect(ripe.len() as u64);
            for batch in ripe.chunks(BATCH) {
                let queue = &queue;
                let is_there = |queued| async move { queue.has(&queued).await };
                let (all, sent) = self.send(name, lane, batch.to_vec(), is_there).await;
                sent.iter().for_each(|_| progress.count("sent"));
                batch.iter().for_each(|_| progress.step());
                self.forget(name, sent).await;
                if !all || stop.is_cancelled() {
                    // It is tried again after the rest.
                    progress.fail();
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Gives up on events that have waited too long.
    async fn lose(&self, name: &str, lane: &Lane, lost: Vec<Queued>, progress: &Progress) {
        if lost.is_empty() {
            return;
        }
        tracing::error!(
            webhook = name,
            events = lost.len(),
            "events have waited too long for their webhook, and are lost"
        );
        lane.counters.lost.inc_by(lost.len() as u64);
        lost.iter().for_each(|_| progress.count("lost"));
        self.forget(name, lost).await;
    }
}

impl Pass for Notifier {
    const NAME: &'static str = "notify";

    /// The filter has no meaning here: the queues are the cluster's.
    async fn once(&self, _filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let started = Instant::now();
        let emptying = self.proxy.notifications.all().map(|(name, lane)| async move {
            if let Err(error) = self.empty(name, lane, progress, stop).await {
                tracing::error!(webhook = name, %error, "the events that wait for a webhook cannot be listed");
                progress.fail();
            }
        });
        join_all(emptying).await;
        if !stop.is_cancelled() {
            self.tell(started.elapsed(), progress);
        }
    }
}

impl Notifier {
    /// Tells watchers what was done.
    fn tell(&self, took: Duration, progress: &Progress) {
        let counts = progress.report().counts;
        let count = |what: &str| counts.get(what).copied().unwrap_or_default();
        let entries = [
            ("notify_pass", json!(took.as_secs_f64())),
            ("notify_sent_last_pass", json!(count("sent"))),
            ("notify_lost_last_pass", json!(count("lost"))),
        ];
        self.recon.merge("proxy", entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    }
}
