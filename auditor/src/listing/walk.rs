//! The listings of one device being audited.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apus_base::clock;
use apus_base::crash;
use apus_base::db::audit::{self as db, Verdict};
use apus_base::db::replica::Room;
use apus_base::db::{Database, DbError, ListingId};
use apus_base::fs::Device;
use apus_base::hash_path::PathHash;
use apus_base::pass::{Filter, Progress};
use apus_base::ring::Ring;
use tokio_util::sync::CancellationToken;

use super::bring::Lost;
use super::{AUDITED, ListingAudit, cursor};
use crate::pace::Pace;
use crate::place::Place;

/// How often the place within a partition is noted.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// The audit of a device, while it lasts.
pub(super) struct Walk<'a, R> {
    audit: &'a ListingAudit<R>,
    ring: &'a Ring,
    device: Arc<Device>,
    progress: &'a Progress,
    stop: &'a CancellationToken,
    pace: Pace,
    began: u64,
    /// The last database that was looked at.
    after: Option<PathHash>,
    noted: Instant,
}

impl<'a, R: Room> Walk<'a, R> {
    pub(super) fn begin(
        audit: &'a ListingAudit<R>,
        ring: &'a Ring,
        device: Arc<Device>,
        progress: &'a Progress,
        stop: &'a CancellationToken,
    ) -> Self {
        let noted = Instant::now();
        let pace = Pace::new(audit.config.disk_share, noted);
        Self { audit, ring, device, progress, stop, pace, began: clock::now().secs(), after: None, noted }
    }

    /// Goes over everything that is not past, and that the filter lets through.
    pub(super) async fn run(mut self, filter: &Filter) {
        // What looks at a part of a device only does not move its place.
        let whole = filter.partitions.is_empty();
        if whole {
            self.resume();
        }
        match self.databases(filter, whole).await {
            Ok(()) => {}
            Err(DbError::Damaged(why)) => self.set_aside(&why).await,
            Err(error) => self.failed(&error),
        }
        match self.stop.is_cancelled() {
            _ if !whole => {}
            true => self.note().await,
            false => self.save(&Place::Ended { began: self.began }).await,
        }
    }

    fn resume(&mut self) {
        if let Some(Place::At { began, after }) = Place::<String>::load(&cursor::<R>(&self.device))
            && let Some(after) = PathHash::from_hex(&after)
        {
            tracing::info!(device = self.device.name(), kind = R::SERVER, %after, "the audit goes on where it was stopped");
            self.progress.count("resumed");
            (self.began, self.after) = (began, Some(after));
        }
    }

    /// An error is one of the device, or of all of its listings.
    async fn databases(&mut self, filter: &Filter, whole: bool) -> Result<(), DbError> {
        let databases = &self.audit.node.databases;
        let database = databases.get(self.device.name()).await?;
        databases.forget_cached(&database).await;
        loop {
            let after = self.after;
            let page = database.read(move |view| db::databases(view, R::KIND, after)).await?;
            if page.is_empty() {
                return Ok(());
            }
            for hash in page {
                let partition = self.ring.partition(&hash.0);
                if whole && self.is_time_to_note(partition) {
                    self.note().await;
                }
                if filter.partition(partition) {
                    self.database(&database, hash, partition).await?;
                }
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                self.after = Some(hash);
            }
        }
    }

    fn is_time_to_note(&self, partition: u32) -> bool {
        let is_of_another = |after: PathHash| self.ring.partition(&after.0) != partition;
        self.after.is_some_and(is_of_another) || self.noted.elapsed() >= NOTE_EVERY
    }

    async fn database(&mut self, database: &Arc<Database>, hash: PathHash, partition: u32) -> Result<(), DbError> {
        self.progress.expect(1);
        let verdict = self.check(database, hash).await?;
        self.judge(database, hash, partition, verdict).await;
        self.progress.step();
        crash::point(AUDITED);
        Ok(())
    }

    async fn check(&mut self, database: &Database, hash: PathHash) -> Result<Verdict, DbError> {
        let (cluster, stop, mut pace) = (Arc::clone(&self.audit.node.cluster), self.stop.clone(), self.pace.clone());
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
        let (verdict, pace) = checking.await?;
        self.pace = pace;
        Ok(verdict)
    }

    async fn judge(&self, database: &Arc<Database>, hash: PathHash, partition: u32, verdict: Verdict) {
        match verdict {
            Verdict::Gone | Verdict::Stopped => {}
            Verdict::Sound(rows) => {
                self.progress.count("sound");
                self.progress.add("rows", rows);
                self.audit.counters.passed.inc();
            }
            Verdict::Damaged(why) => {
                self.audit.counters.failed.inc();
                match db::put_aside(database, ListingId { kind: R::KIND, hash }, &why).await {
                    Ok(_) => {
                        self.progress.count("quarantined");
                        let lost = Lost { device: self.device.name(), partitions: vec![partition] };
                        self.audit.bring(&lost, self.ring.primaries(partition).collect(), self.progress).await;
                    }
                    Err(error) => self.failed(&error),
                }
            }
        }
    }

    async fn set_aside(&self, why: &str) {
        self.audit.counters.failed.inc();
        match self.audit.node.databases.set_aside(self.device.name(), why).await {
            Ok(()) => self.progress.count("devices quarantined"),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &DbError) {
        self.audit.failed(self.device.name(), error, self.progress);
    }

    /// Notes where it is.
    async fn note(&mut self) {
        self.noted = Instant::now();
        if let Some(after) = self.after {
            self.save(&Place::At { began: self.began, after: after.hex() }).await;
        }
    }

    async fn save(&self, place: &Place<String>) {
        let (cursor, line) = (cursor::<R>(&self.device), place.text());
        if let Ok(Err(error)) = self.device.queue().run(move || cursor.save(&line)).await {
            tracing::warn!(device = self.device.name(), %error, "the place of the audit cannot be noted");
        }
    }
}
