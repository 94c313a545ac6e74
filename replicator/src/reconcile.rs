//! The reconciler: brings objects that were written under another storage policy than their container's to where clients look.
//!
//! When a container is made on both sides of a split network with a policy on each, one policy wins once its replicas meet,
//! and what was written under the other is *misplaced*: its bytes are in the ring of the other policy, and its row is in no listing.
//! It is the container servers that find such rows ([`feed`]); they go into Swift's queue, the containers of the hidden account
//! `.misplaced_objects` ([`entry`]), where operators know to look, and are taken from there ([`object`]).
//!
//! The pass runs beside the container server, because the misplaced rows are on its devices; the queue is the cluster's, and the
//! servers share it by the hash of its rows.
//!
//! # The protocol
//!
//! An object that was written at *t* under the wrong policy is first written under the right one as of *t* with offset 3, and
//! then deleted under the wrong one as of *t* with offset 1. Timestamps with an offset are later than those without and before
//! every later write of a client. So a client's newer write wins wherever it went, what is copied does not come twice, and
//! the tombstone deletes that version and nothing newer. A deletion is carried in the same way. At last the row of
//! the queue is deleted as of *t* with offset 2: later than both *t* and the tombstone's own row, so that a container server that
//! reports either once more brings back no work. Listings follow by themselves: both object servers report what was done to them,
//! each under its policy.
//!
//! | the reconciler dies | what there is | the next one |
//! |---|---|---|
//! | before the copy is whole | the queue's row | begins anew; a body that was cut is stored nowhere |
//! | after the copy ([`MOVED`]) | the object twice, the new one listed | sees that a quorum has something newer, and only cleans up |
//! | after the tombstone ([`CLEANED`]) | the object once, and the queue's row | deletes it once more, which changes nothing |
//!
//! # What may go wrong
//!
//! * **Two reconcilers at once** write the same bytes under the same timestamp: the second is told that it is there. Neither cleans
//!   up before a quorum of the right place has it. If both write at the same moment, an object server whose copy is the other's
//!   tells its container server nothing, so a replica of the listing may lack the row until replication brings it.
//! * **The right policy is not known**, since too few of the container's replicas answer: the row waits.
//! * **The right place has something newer**: the misplaced object is deleted and not moved.
//! * **The source is not there**, or only something older: it may be on a server that is down, so the row waits, for `reclaim_age`;
//!   then it is given up, and the log says so.
//! * **A server of the right place is down**: handoffs stand in, as for any write, or the row waits.
//! * **A body breaks off** on either side: nothing is stored, and the row waits. Bodies stream; none is held whole.
//! * **A client writes meanwhile.** It writes to the right place, later than *t*, and wins there.
//! * **A partition power is being changed** in one of the two rings: the row waits.
//! * **The container was deleted.** Its policy still decides; a server that knows of the misplaced object refuses the deletion.
//!
//! Manifests, links and encrypted objects are moved as they are stored, with all their metadata.

mod config;
mod destination;
pub mod entry;
mod feed;
mod object;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use apus_base::client::{ClusterClient, Target};
use apus_base::clock;
use apus_base::here::Here;
use apus_base::metrics::Metrics;
use apus_base::pass::{self, Filter, Pass, Progress};
use apus_base::recon::ReconCache;
use apus_base::timestamp::Timestamp;
use apus_base::wire::RowUpdate;
use futures_util::StreamExt as _;
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use self::entry::Entry;
use self::object::Outcome;
use crate::listing;
use crate::rows::{Row, Teller};
use crate::share::Share;

/// An object is under the right policy, and still under the wrong one.
pub(crate) const MOVED: &str = "reconcile.moved";
/// It is under the right one only, and still in the queue.
pub(crate) const CLEANED: &str = "reconcile.cleaned";

/// Moves objects to the policy of their container.
pub struct Reconciler {
    config: Config,
    /// The container server of this process.
    here: Here,
    share: Share,
    teller: Teller,
    recon: ReconCache,
    counters: Counters,
}

#[derive(Clone, Default)]
struct Counters {
    settled: Counter,
    waiting: Counter,
}

/// A row of the queue.
struct Queued {
    container: String,
    entry: Entry,
    put_in_at: Timestamp,
}

impl Reconciler {
    /// A reconciler beside the container server that is `here`, with its share of the queue.
    pub fn new(
        config: Config,
        here: Here,
        share: Share,
        client: ClusterClient,
        recon: ReconCache,
        metrics: &Metrics,
    ) -> Self {
        let counters = Counters::default();
        metrics.register("misplaced_settled", "Misplaced objects brought to their policy", counters.settled.clone());
        metrics.register("misplaced_waiting", "Misplaced objects to be tried again", counters.waiting.clone());
        Self { config, here, share, teller: Teller::new(client), recon, counters }
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

    /// The containers of the queue, newest first: the older are probably empty. Those that were fed just now may not be in the
    /// account's listing yet.
    async fn containers(&self, fed: BTreeSet<String>, progress: &Progress) -> Vec<String> {
        let mut found = fed;
        found.insert(entry::queue(clock::now()));
        let mut marker = String::new();
        loop {
            let target = Target::Account { account: entry::ACCOUNT };
            let rows = match listing::page(self.client(), &target, &marker).await {
                Ok(page) => page.map(|page| page.rows).unwrap_or_default(),
                Err(error) => {
                    tracing::error!(%error, "the queue of misplaced objects cannot be read");
                    progress.fail();
                    break;
                }
            };
            let Some(last) = rows.last() else { break };
            marker.clone_from(&last.name);
            found.extend(rows.into_iter().map(|row| row.name));
        }
        // Ten digits are in the order of their numbers.
        found.into_iter().rev().collect()
    }

    /// Goes through one container of the queue, and removes it if it is empty and old.
    async fn drain(&self, container: &str, progress: &Progress, stop: &CancellationToken) {
        let (mut marker, mut is_empty) = (String::new(), true);
        while !stop.is_cancelled() {
            let target = Target::Container { account: entry::ACCOUNT, container };
            let rows = match listing::page(self.client(), &target, &marker).await {
                Ok(Some(page)) => page.rows,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, container, "a container of the reconciler's queue cannot be read");
                    progress.fail();
                    return;
                }
            };
            let Some(last) = rows.last() else { break };
            (marker, is_empty) = (last.name.clone(), false);
            let queued = rows.iter().filter_map(|row| self.queued(container, row, progress)).collect();
            self.work(queued, progress, stop).await;
        }
        let hour = container.parse::<u64>().unwrap_or(u64::MAX);
        let is_old = hour < clock::now().secs().saturating_sub(self.config.reclaim_age.as_secs());
        if is_empty && is_old && !stop.is_cancelled() {
            listing::remove_empty(self.client(), entry::ACCOUNT, container).await;
        }
    }

    /// A row of the queue, if it is this reconciler's to do.
    fn queued(&self, container: &str, row: &listing::Entry, progress: &Progress) -> Option<Queued> {
        let Some(entry) = Entry::parse(&row.name, &row.content_type, &row.hash) else {
            tracing::error!(container, row = row.name, "a row of the reconciler's queue is no task");
            progress.fail();
            return None;
        };
        let waiting = Duration::from_secs(clock::now().secs().saturating_sub(entry.at.secs()));
        let mine = self.share.is_mine(container, &row.name, waiting, self.config.interval);
        let put_in_at = Timestamp::from_isoformat(&row.last_modified).unwrap_or(entry.at);
        mine.then(|| Queued { container: container.to_owned(), entry, put_in_at })
    }

    async fn work(&self, queued: Vec<Queued>, progress: &Progress, stop: &CancellationToken) {
        progress.expect(queued.len() as u64);
        let queued = queued.into_iter().take_while(|_| !stop.is_cancelled());
        let settling = queued.map(|queued| async move {
            let outcome = self.settle(&queued.entry).await;
            progress.step();
            (queued, outcome)
        });
        let mut settling = futures_util::stream::iter(settling).buffer_unordered(self.config.concurrency.max(1));
        let mut done = Vec::new();
        while let Some((queued, outcome)) = settling.next().await {
            match outcome {
                Outcome::Settled(how) => {
                    progress.count(how);
                    self.counters.settled.inc();
                    done.push(queued);
                }
                Outcome::Waits => {
                    progress.fail();
                    self.counters.waiting.inc();
                }
            }
        }
        self.dequeue(done, progress).await;
    }

    /// Takes rows out of the queue. One that stays somewhere is done once more.
    async fn dequeue(&self, done: Vec<Queued>, progress: &Progress) {
        let rows = done.into_iter().map(|queued| {
            let (account, row) = (entry::ACCOUNT.to_owned(), queued.entry.done(queued.put_in_at));
            Row { update: RowUpdate { partition: 0, account, container: queued.container, row }, told: Vec::new() }
        });
        for told in self.teller.tell(rows.collect()).await {
            if !told.everywhere {
                progress.count("rows left");
            }
        }
    }
}

impl Pass for Reconciler {
    const NAME: &'static str = "reconcile";

    /// The filter is for where misplaced rows are looked for; the queue is the cluster's.
    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let started = Instant::now();
        let fed = self.feed(filter, progress, stop).await;
        for container in self.containers(fed, progress).await {
            if stop.is_cancelled() {
                return;
            }
            self.drain(&container, progress, stop).await;
        }
        let entries = [
            ("reconciler_pass", json!(started.elapsed().as_secs_f64())),
            ("reconciler_last", json!(clock::now().secs())),
            ("reconciler_stats", json!(progress.report())),
        ];
        self.recon.merge("container", entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    }
}
