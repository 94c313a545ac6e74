//! How far a pass is, for whoever watches.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The count of what went wrong: a pass that has any did not do all of its work.
const FAILED: &str = "failed";

/// What a running pass counts. All of it may be called from many tasks.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    own: Arc<Counted>,
    /// Of what this is a part: it counts there too.
    whole: Option<Arc<Counted>>,
}

#[derive(Debug, Default)]
struct Counted {
    total: AtomicU64,
    done: AtomicU64,
    bytes: AtomicU64,
    bytes_done: AtomicU64,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { started: Instant::now(), own: Arc::default(), whole: None }
    }
}

impl Progress {
    /// What a part of the pass counts: for itself, and in the whole.
    pub fn part(&self) -> Self {
        Self { whole: Some(Arc::clone(&self.own)), ..Self::default() }
    }

    /// Adds steps to what is to be done.
    pub fn expect(&self, steps: u64) {
        self.each(|counted| _ = counted.total.fetch_add(steps, Ordering::Relaxed));
    }

    /// One step is done.
    pub fn step(&self) {
        self.each(|counted| _ = counted.done.fetch_add(1, Ordering::Relaxed));
    }

    /// Adds bytes to what is to be done, for a pass that knows how many.
    pub fn expect_bytes(&self, bytes: u64) {
        self.each(|counted| _ = counted.bytes.fetch_add(bytes, Ordering::Relaxed));
    }

    /// So many of them are done.
    pub fn step_bytes(&self, bytes: u64) {
        self.each(|counted| _ = counted.bytes_done.fetch_add(bytes, Ordering::Relaxed));
    }

    /// Counts one of something, by a word that is shown as it is.
    pub fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    /// Counts many.
    pub fn add(&self, what: &'static str, many: u64) {
        self.each(|counted| {
            *counted.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += many;
        });
    }

    /// Counts something that went wrong; the reason belongs in the log.
    pub fn fail(&self) {
        self.count(FAILED);
    }

    fn each(&self, count: impl Fn(&Counted)) {
        std::iter::once(&self.own).chain(&self.whole).for_each(|counted| count(counted));
    }

    /// How far it is now.
    pub fn report(&self) -> Report {
        Report {
            total: self.own.total.load(Ordering::Relaxed),
            done: self.own.done.load(Ordering::Relaxed),
            bytes: self.own.bytes.load(Ordering::Relaxed),
            bytes_done: self.own.bytes_done.load(Ordering::Relaxed),
            seconds: self.started.elapsed().as_secs_f64(),
            ended: crate::clock::now().secs(),
            counts: self.own.counts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// How far a pass is, or how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Steps there are.
    pub total: u64,
    /// Steps that are done.
    pub done: u64,
    /// Bytes there are, if the pass knows.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Bytes that are done.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_done: u64,
    /// How long it has taken so far.
    pub seconds: f64,
    /// When this was taken, in seconds since 1970.
    pub ended: u64,
    /// What was counted.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Report {
    /// What went wrong.
    pub fn failures(&self) -> u64 {
        self.counts.get(FAILED).copied().unwrap_or(0)
    }

    /// What is done and what there is to do: bytes as long as there are any to be done, since they take equally long, and
    /// steps else.
    pub fn measure(&self) -> (u64, u64) {
        if self.bytes_done < self.bytes { (self.bytes_done, self.bytes) } else { (self.done, self.total) }
    }

    /// The numbers that move, and what went wrong.
    pub fn brief(&self) -> String {
        let mut brief = format!("{} of {}", self.done, self.total);
        if self.bytes > 0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of bytes, cut to its range"
            )]
            #[expect(clippy::cast_precision_loss, reason = "a rate to be looked at")]
            let rate = (self.bytes_done as f64 / self.seconds) as u64;
            let [done, total, rate] = [self.bytes_done, self.bytes, rate].map(Megabytes);
            brief += &format!(", {done} of {total} at {rate}/s");
        }
        if self.failures() > 0 {
            brief += &format!(", {FAILED} {}", self.failures());
        }
        brief
    }

    /// Takes in another part of the same pass.
    pub fn merge(&mut self, other: &Self) {
        (self.total, self.done) = (self.total + other.total, self.done + other.done);
        (self.bytes, self.bytes_done) = (self.bytes + other.bytes, self.bytes_done + other.bytes_done);
        self.seconds = self.seconds.max(other.seconds);
        self.ended = self.ended.max(other.ended);
        other.counts.iter().for_each(|(what, many)| *self.counts.entry(what).or_default() += many);
    }

    /// How long it has taken so far, without the fraction.
    pub fn whole_seconds(&self) -> u64 {
        Duration::try_from_secs_f64(self.seconds).map_or(0, |taken| taken.as_secs())
    }

    /// How long the rest takes at the pace so far.
    pub fn remaining(&self) -> Option<Duration> {
        let (done, total) = self.measure();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let (done, rest) = (done as f64, total.saturating_sub(done) as f64);
        Duration::try_from_secs_f64(self.seconds / done * rest).ok()
    }

    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let partial = path.with_extension("partial");
        std::fs::write(&partial, serde_json::to_vec(self)?)?;
        std::fs::rename(partial, path)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// `12.3 MB`, of a million bytes.
struct Megabytes(u64);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} MB", self.0 / 1_000_000, self.0 % 1_000_000 / 100_000)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.brief())?;
        self.counts
            .iter()
            .filter(|(what, _)| **what != FAILED)
            .try_for_each(|(what, many)| write!(f, ", {what} {many}"))?;
        write!(f, ", {:.1} s", self.seconds)?;
        match self.remaining().filter(|rest| !rest.is_zero()) {
            Some(rest) => write!(f, ", {:.0} s left", rest.as_secs_f64()),
            None => Ok(()),
        }
    }
}
