//! One bucket: its versions, page by page, and the uploads that nobody completes.

use futures_util::StreamExt as _;
use http::{HeaderMap, Method};
use tokio_util::sync::CancellationToken;

use apus_base::crash;
use apus_base::pass::Progress;

use super::judge::{Judge, Listed, Now, Task};
use super::kept;
use super::pass::{Lifecycle, PAGE_DONE, Pace};
use super::queue::{Queue, Queued, Turn};
use super::remove::{Outcome, remove};
use super::rule::Rules;
use crate::ops::listing::Listing;
use crate::ops::rows::{Entry, collect};
use crate::ops::versions::{Versions, list};
use crate::s3::Face;
use crate::s3::fault::Fault;
use crate::s3::multipart::lapse;

/// Versions that are listed in one turn.
const PAGE: usize = 1000;

/// Whose rules are changed as often as this while a bucket is gone through has the next pass do it.
const MAX_ROUNDS: usize = 3;

/// A bucket that is being gone through.
pub(super) struct Walk<'a> {
    pub(super) lifecycle: &'a Lifecycle,
    pub(super) face: &'a Face<'a>,
    pub(super) queue: Queue<'a>,
    pub(super) queued: &'a Queued,
    pub(super) pace: &'a Pace,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a CancellationToken,
}

/// Where a page begins: after this key, or after this version of it.
#[derive(Default)]
struct Marker {
    key: String,
    version: Option<String>,
}

impl Walk<'_> {
    /// Goes on with a turn, and says whether everything was done without a failure.
    pub(super) async fn run(&self, turn: &mut Turn, now: Now) -> Result<bool, Fault> {
        let mut all_done = true;
        for _ in 0..MAX_ROUNDS {
            let Some(rules) = self.rules(false).await? else { return Ok(true) };
            let print = rules.print();
            if print != turn.rules {
                // Other rules may be about what was done with already.
                (turn.rules, turn.after) = (print, String::new());
            }
            if rules.is_about_objects() {
                all_done &= self.objects(turn, &rules, now).await?;
            }
            if rules.is_about_uploads() && !self.stop.is_cancelled() {
                all_done &= self.uploads(&rules, now).await?;
            }
            let are_same = self.rules(true).await?.is_some_and(|rules| rules.print() == print);
            if are_same || self.stop.is_cancelled() {
                return Ok(all_done && !self.stop.is_cancelled());
            }
        }
        Ok(false)
    }

    /// The bucket's rules: as they are known, or as they are stored.
    pub(super) async fn rules(&self, fresh: bool) -> Result<Option<Rules>, Fault> {
        let client = self.queue.client;
        let (account, bucket) = (&self.queued.account, &self.queued.bucket);
        if fresh {
            client.forget_container(account, bucket).await;
        }
        let info = client.container_info(account, bucket).await.map_err(|error| self.face.fault(error.into()))?;
        Ok(info.found().and_then(|info| kept::of(info)))
    }

    async fn objects(&self, turn: &mut Turn, rules: &Rules, now: Now) -> Result<bool, Fault> {
        let mut judge = Judge::default();
        let mut marker = Marker { key: turn.after.clone(), version: None };
        let mut all_done = true;
        while !self.stop.is_cancelled() {
            let rows = self.page(&marker, rules.common_prefix()).await?;
            let is_last = rows.len() < PAGE;
            let (mut tasks, mut done_with) = (Vec::new(), None);
            for row in rows {
                let Entry::Object(row) = row else { continue };
                marker = Marker { key: row.name.clone(), version: row.version_id.clone() };
                let Some(listed) = Listed::of(&row) else { continue };
                done_with = judge.key().filter(|key| *key != listed.key).map(str::to_owned).or(done_with);
                tasks.extend(judge.next(rules, now, listed));
            }
            if is_last {
                tasks.extend(judge.end(rules, now));
            }
            all_done &= self.work(rules, now, tasks).await;
            crash::point(PAGE_DONE);
            // With other rules, this begins anew.
            if is_last || self.rules(false).await?.is_none_or(|now| now.print() != turn.rules) {
                break;
            }
            turn.after = done_with.unwrap_or_else(|| std::mem::take(&mut turn.after));
            self.say(turn).await;
        }
        Ok(all_done)
    }

    async fn page(&self, marker: &Marker, prefix: &str) -> Result<Vec<Entry>, Fault> {
        let listing =
            Listing { limit: PAGE as u64, marker: marker.key.clone(), prefix: prefix.to_owned(), ..Listing::default() };
        let versions = Versions { listing, has_marker: !marker.key.is_empty(), marker: marker.version.clone() };
        let parts = self.face.request(Method::GET, HeaderMap::new());
        let rows = match list(self.face.call(&parts), self.face.container(), &versions, false).await {
            Ok(listed) => collect(listed.into_body(), PAGE, Entry::read).await,
            Err(error) => Err(error),
        };
        rows.map_err(|error| self.face.bucket_fault(error))
    }

    /// Says how far this is. That it cannot be said makes somebody else do it again, which does no harm.
    pub(super) async fn say(&self, turn: &mut Turn) {
        turn.alive = apus_base::clock::now().secs();
        if let Err(error) = self.queue.say(self.queued, turn).await {
            tracing::warn!(bucket = self.queued.bucket, %error, "how far a lifecycle is cannot be said");
        }
    }

    /// Does tasks, and says whether none failed.
    async fn work(&self, rules: &Rules, now: Now, tasks: Vec<Task>) -> bool {
        let tasks = tasks.into_iter().take_while(|_| !self.stop.is_cancelled());
        let doing = tasks.map(|task| async move {
            self.pace.wait().await;
            let done = remove(self.face, rules, now, &task).await;
            self.note(&task, done)
        });
        let doing = futures_util::stream::iter(doing).buffer_unordered(self.lifecycle.config().concurrency.max(1));
        doing.fold(true, |all, done| async move { all & done }).await
    }

    fn note(&self, task: &Task, done: Result<Outcome, Fault>) -> bool {
        let (what, counter, listed) = match task {
            Task::Expire(listed) => ("expired", &self.lifecycle.counters.expired, listed),
            Task::Drop { listed, .. } => ("versions", &self.lifecycle.counters.versions, listed),
            Task::DropMarker(listed) => ("markers", &self.lifecycle.counters.markers, listed),
        };
        match done {
            Ok(Outcome::Removed) => {
                self.progress.count(what);
                counter.inc();
            }
            Ok(Outcome::Spared) => self.progress.count("changed"),
            Ok(Outcome::Kept) => self.progress.count("locked"),
            Err(fault) => {
                tracing::warn!(bucket = self.queued.bucket, key = listed.key, %fault, "a lifecycle cannot remove this now");
                self.lifecycle.fail(self.progress);
                return false;
            }
        }
        true
    }

    /// Gives up uploads, and says whether none failed.
    async fn uploads(&self, rules: &Rules, now: Now) -> Result<bool, Fault> {
        let (mut marker, mut all_done) = (String::new(), true);
        while !self.stop.is_cancelled() {
            let (uploads, next) = lapse::page(self.face, marker, rules.common_prefix()).await?;
            for upload in uploads {
                if self.stop.is_cancelled() || !rules.aborts(&upload.key, upload.began, now.secs, now.day) {
                    continue;
                }
                self.pace.wait().await;
                match lapse::abort(self.face, &upload).await {
                    Ok(true) => {
                        self.progress.count("uploads");
                        self.lifecycle.counters.uploads.inc();
                    }
                    Ok(false) => self.progress.count("changed"),
                    Err(fault) => {
                        tracing::warn!(bucket = self.queued.bucket, key = upload.key, %fault, "an upload cannot be given up now");
                        self.lifecycle.fail(self.progress);
                        all_done = false;
                    }
                }
            }
            let Some(next) = next else { break };
            marker = next;
        }
        Ok(all_done)
    }
}
