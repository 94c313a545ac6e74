//! One device being audited.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apus_base::clock;
use apus_base::crash;
use apus_base::fs::Device;
use apus_base::hash_path::PathHash;
use apus_base::pass::{Cursor, Filter, Progress};
use apus_base::policy::PolicyIndex;
use apus_object::store::audit::{self, Body, Looked, State};
use apus_object::store::index::{self, Shelf};
use apus_object::store::{StoreError, audit::Progress as Read};
use tokio_util::sync::CancellationToken;

use super::counters::Stats;
use super::{AUDITED, ObjectAudit};
use crate::pace::Pace;
use crate::place::{Place, Suffix};
use crate::watch::{Mode, Seen, Wish};

/// How often the place within a partition is noted, and recon is told.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// Unexpected names that are logged for each object; there may be any number.
const MAX_LOGGED: usize = 3;
/// How long to wait when the device has too much other work.
const OVERLOADED: Duration = Duration::from_secs(1);

/// The audit of a device, while it lasts.
pub(super) struct Walk<'a> {
    pub(super) audit: &'a ObjectAudit,
    pub(super) device: Arc<Device>,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a CancellationToken,
    pub(super) pace: Pace,
    pub(super) cursor: Option<Cursor>,
    /// Where an earlier audit stopped.
    pub(super) past: Option<Place<Suffix>>,
    pub(super) began: u64,
    pub(super) stats: Stats,
    pub(super) noted: Instant,
}

/// The device is gone, or the audit is to stop.
struct Over;

impl Walk<'_> {
    /// Goes over everything that is not past, and that the filter lets through.
    pub(super) async fn run(mut self, policies: &[PolicyIndex], filter: &Filter) {
        let mut ended = true;
        for policy in policies {
            let shelf = Shelf { device: Arc::clone(&self.device), policy: *policy };
            if self.shelf(&shelf, filter).await.is_err() {
                ended = false;
                break;
            }
        }
        if ended {
            self.note(Place::Ended { began: self.began }).await;
        }
        self.tell_recon().await;
    }

    async fn shelf(&mut self, shelf: &Shelf, filter: &Filter) -> Result<(), Over> {
        let listing = shelf.clone();
        let Some(mut partitions) = self.read(move || partitions(&listing)).await? else { return Ok(()) };
        partitions.retain(|partition| filter.partition(*partition));
        self.progress.expect(partitions.len() as u64);
        for partition in partitions {
            if !self.past.is_some_and(|past| past.is_past_partition(shelf.policy.0, partition)) {
                self.partition(shelf, partition).await?;
            }
            self.progress.step();
        }
        Ok(())
    }

    async fn partition(&mut self, shelf: &Shelf, partition: u32) -> Result<(), Over> {
        let listing = shelf.clone();
        let listed = self.read(move || {
            let mut suffixes =
                index::suffixes(&listing, partition).map_err(StoreError::while_doing("list a partition"))?;
            suffixes.sort_unstable();
            Ok(suffixes)
        });
        let suffixes = listed.await?.unwrap_or_default();
        let last = suffixes.last().copied();
        for suffix in suffixes {
            let place = Suffix { policy: shelf.policy.0, partition, suffix };
            if self.past.is_some_and(|past| past.is_past(place)) {
                continue;
            }
            self.suffix(shelf, partition, suffix).await?;
            if Some(suffix) == last || self.noted.elapsed() >= NOTE_EVERY {
                self.note(Place::At { began: self.began, after: place }).await;
            }
        }
        Ok(())
    }

    async fn suffix(&mut self, shelf: &Shelf, partition: u32, suffix: u16) -> Result<(), Over> {
        let folder = shelf.partition(partition).join(format!("{suffix:03x}"));
        let (listing, shown) = (folder.clone(), folder);
        let Some((hashes, others)) = self.read(move || hashes(&listing)).await? else { return Ok(()) };
        self.unexpected(&shown, &others);
        for hash in hashes {
            self.object(shelf, partition, hash).await?;
            crash::point(AUDITED);
        }
        Ok(())
    }

    async fn object(&mut self, shelf: &Shelf, partition: u32, hash: PathHash) -> Result<(), Over> {
        let (looking, cluster) = (shelf.clone(), Arc::clone(&self.audit.node.cluster));
        let look = move || audit::look(&looking, partition, hash, &cluster.hash_path, clock::now());
        let Some(Looked { state, unexpected }) = self.read(look).await? else { return Ok(()) };
        self.progress.count("objects");
        self.audit.counters.objects.inc();
        self.stats.passes += 1;
        if !unexpected.is_empty() {
            self.unexpected(&shelf.object(partition, hash, "").folder(), &unexpected);
        }
        match state {
            State::Gone => {}
            State::Quarantined => self.quarantined(),
            State::Version(body) => self.body(body).await?,
        }
        Ok(())
    }

    async fn body(&mut self, mut body: Box<Body>) -> Result<(), Over> {
        if self.audit.mode == Mode::All || body.length == 0 {
            let length = body.length;
            loop {
                let read = self.read(move || body.read_on().map(|read| (read, body))).await?;
                let Some((read, now)) = read else { return Ok(()) };
                body = now;
                match read {
                    Read::More => {}
                    Read::Sound => break,
                    Read::Quarantined => {
                        self.quarantined();
                        return Ok(());
                    }
                }
            }
            self.progress.add("bytes", length);
            self.audit.counters.bytes.inc_by(length);
            self.stats.bytes_processed += length;
        }
        self.show(body).await
    }

    /// Shows a sound object to those who look on, and does what they want.
    async fn show(&mut self, body: Box<Body>) -> Result<(), Over> {
        let watchers = Arc::clone(&self.audit.node.watchers);
        let mut wishes = Vec::new();
        for watcher in watchers.iter() {
            let (path, location) = (body.location.relative(), &body.location);
            let seen = Seen {
                device: self.device.name(),
                policy: location.policy,
                path: &path.to_string_lossy(),
                name: &location.name,
                timestamp: body.timestamp,
                length: body.length,
                metadata: &body.metadata,
            };
            wishes.push(watcher.see(self.audit.mode, &seen).await);
        }
        let Some(wish) = wishes.into_iter().find(|wish| *wish != Wish::Nothing) else { return Ok(()) };
        let done = self.read(move || match wish {
            Wish::Quarantine(why) => body.put_away(&why).map(|()| "quarantined for a watcher"),
            Wish::Delete(_) => body.delete().map(|()| "deleted for a watcher"),
            Wish::Nothing => Ok("nothing"),
        });
        if let Some(done) = done.await? {
            self.progress.count(done);
        }
        Ok(())
    }

    fn quarantined(&mut self) {
        self.progress.count("quarantined");
        self.audit.counters.quarantined.inc();
        self.stats.quarantined += 1;
    }

    fn unexpected(&self, folder: &Path, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let some = &names[..names.len().min(MAX_LOGGED)];
        tracing::warn!(folder = %folder.display(), many = names.len(), ?some, "files that belong to no object");
        self.progress.add("unexpected", names.len() as u64);
        self.audit.counters.unexpected.inc_by(names.len() as u64);
    }

    /// Does some reading on the device's queue, and rests as long as that costs. What fails is counted, and there is nothing then.
    async fn read<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, Over> {
        if self.stop.is_cancelled() || self.device.check().is_err() {
            return Err(Over);
        }
        let timed = move || {
            let started = Instant::now();
            let done = work();
            (done, started.elapsed())
        };
        match self.device.queue().run(timed).await {
            Ok((done, busy)) => {
                self.stats.audit_time += busy.as_secs_f64();
                if let Some(rest) = self.pace.spent(busy, Instant::now()) {
                    self.rest(rest).await;
                }
                Ok(done.map_err(|error| self.failed(&error)).ok())
            }
            Err(error) => {
                self.failed(&error);
                self.rest(OVERLOADED).await;
                Ok(None)
            }
        }
    }

    async fn rest(&self, rest: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }

    fn failed(&mut self, error: &dyn std::fmt::Display) {
        tracing::warn!(device = self.device.name(), %error, "something cannot be audited");
        self.progress.fail();
        self.audit.counters.errors.inc();
        self.stats.errors += 1;
    }

    /// Remembers the place, and tells what was done so far.
    async fn note(&mut self, place: Place<Suffix>) {
        if let Some(cursor) = self.cursor.clone() {
            let saved = self.device.queue().run(move || cursor.save(&place.text())).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(device = self.device.name(), %error, "the place of the audit cannot be noted");
            }
        }
        if self.noted.elapsed() >= NOTE_EVERY {
            self.noted = Instant::now();
            self.tell_recon().await;
        }
    }

    async fn tell_recon(&self) {
        let (recon, stats, mode) = (self.audit.node.recon.clone(), self.stats.clone(), self.audit.mode);
        let device = self.device.name().to_owned();
        if tokio::task::spawn_blocking(move || stats.save(&recon, mode, &device)).await.is_err() {
            tracing::error!("the recon cache was not written");
        }
    }
}

/// The partitions of a shelf, in order. Blocking.
fn partitions(shelf: &Shelf) -> Result<Vec<u32>, StoreError> {
    let names = index::file_names(&shelf.folder()).map_err(StoreError::while_doing("list the partitions"))?;
    let number = |name: &String| name.parse().ok().filter(|number: &u32| number.to_string() == *name);
    let mut partitions: Vec<u32> = names.iter().filter_map(number).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// The hashes in a suffix, in order, and other names. Blocking.
fn hashes(folder: &Path) -> Result<(Vec<PathHash>, Vec<String>), StoreError> {
    let names = match index::file_names(folder) {
        // A file in the place of a suffix.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Vec::new(),
        names => names.map_err(StoreError::while_doing("list a suffix"))?,
    };
    let (mut hashes, mut others) = (Vec::new(), Vec::new());
    for name in names {
        match index::parse_hash(&name) {
            Some(hash) => hashes.push(hash),
            None => others.push(name),
        }
    }
    hashes.sort_unstable();
    Ok((hashes, others))
}
