//! The committer: one thread per device that writes the changes of all requests that wait as one group.
//!
//! While one group is being flushed the next gathers, so the busier a device is the more changes share a flush. A group
//! is bounded, and so is the queue before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::sync::{mpsc, oneshot};

use super::database::Inner;
use super::journal::Journal;
use super::{DbError, Transaction};
use crate::metrics::Metrics;

/// Where a crash test may kill the process: before a group is written, when only the journal has it, and when RocksDB has it but nobody
/// was answered.
pub const CRASH_POINTS: [&str; 3] =
    ["listing.commit.before_write", "listing.commit.journaled", "listing.commit.written"];

/// Changes that may wait: as many as a server has connections. Beyond, the device says at once that it is overloaded.
const MAX_WAITING: usize = 4096;
/// Changes of one group, so that the first does not wait for endlessly many others.
const MAX_GROUP: usize = 1024;
/// Bytes of one group, so that one write to the log stays short.
const MAX_GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Runs over the transaction, and gives what answers its request once the group is written.
type Change = Box<dyn FnOnce(&mut Transaction<'_>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(&Result<(), DbError>) + Send>;

/// The way to a device's committer. Dropping it waits until the thread has ended: a process that exits while RocksDB is
/// still being closed would abort.
pub(super) struct Committer {
    // Before the thread, which ends when there are no more changes.
    changes: mpsc::Sender<Change>,
    _thread: Joined,
    /// The thread died of a panic in a change.
    gone: AtomicBool,
}

/// A thread that is waited for.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic in it was told to those who waited for their answers.
            let _ = thread.join();
        }
    }
}

/// What commits tell Prometheus.
#[derive(Clone)]
pub(super) struct CommitMetrics {
    commits: Counter,
    changes: Histogram,
    seconds: Histogram,
}

impl CommitMetrics {
    pub(super) fn new() -> Self {
        Self {
            commits: Counter::default(),
            changes: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
        }
    }

    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register("listing_commits", "Groups written and flushed", self.commits.clone());
        metrics.register("listing_commit_changes", "Changes in one group", self.changes.clone());
        metrics.register("listing_commit_seconds", "Time to write and flush a group", self.seconds.clone());
    }
}

impl Committer {
    pub(super) fn start(inner: Arc<Inner>, journal: Option<Journal>, metrics: CommitMetrics) -> Result<Self, DbError> {
        let (changes, waiting) = mpsc::channel(MAX_WAITING);
        let name = format!("commit-{}", inner.device().name());
        let thread = std::thread::Builder::new().name(name).spawn(move || run(inner, journal, waiting, &metrics));
        let thread = thread.map_err(|error| DbError::Io(format!("cannot start a thread: {error}")))?;
        Ok(Self { changes, _thread: Joined(Some(thread)), gone: AtomicBool::new(false) })
    }

    /// Whether the thread has ended, which only a panic in a change does.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || self.changes.is_closed()
    }

    pub(super) async fn commit<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let change: Change = Box::new(move |tx| {
            let outcome = tx.attempt(change);
            Box::new(move |written| {
                let outcome = written.clone().map_err(E::from).and(outcome);
                // Whoever asked may have gone away.
                let _ = reply.send(outcome);
            })
        });
        self.changes.try_send(change).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DbError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => DbError::Closed,
        })?;
        answer.await.unwrap_or_else(|_| {
            // The answer is dropped before the thread has ended; whoever comes next must not send it another change.
            self.gone.store(true, Ordering::Relaxed);
            Err(DbError::Panicked.into())
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the thread's share of the database ends with it")]
fn run(inner: Arc<Inner>, mut journal: Option<Journal>, mut waiting: mpsc::Receiver<Change>, metrics: &CommitMetrics) {
    while let Some(first) = waiting.blocking_recv() {
        let mut tx = Transaction::new(&inner);
        let mut answers = vec![first(&mut tx)];
        while answers.len() < MAX_GROUP && tx.bytes() < MAX_GROUP_BYTES {
            let Ok(change) = waiting.try_recv() else {
                break;
            };
            answers.push(change(&mut tx));
        }
        let started = Instant::now();
        let written = inner.write(tx.into_batch(), journal.as_mut());
        metrics.commits.inc();
        metrics.changes.observe(f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX)));
        metrics.seconds.observe(started.elapsed().as_secs_f64());
        answers.into_iter().for_each(|answer| answer(&written));
    }
    if let Some(Err(error)) = journal.map(|mut journal| journal.empty(inner.rocks())) {
        tracing::warn!(device = inner.device().name(), %error, "the journal of the listings is read again at the next start");
    }
}
