//! A device's journal: what is about to be written to many places is written to one first.
//!
//! A small object is a file of its own in folders of its own, and each of them costs a flush: far more than its bytes do. Here
//! all that is in flight at a moment is appended to one file and flushed at once; the files and folders are made without any
//! flush, and reach the disk when the kernel finds time. If the power goes before that, the journal still has them, and whoever
//! opens the device makes them again.
//!
//! ```text
//! <device>/journal/0, 1     two segments, one of which is being appended to
//! <device>/journal/lock     held by who appends
//! ```
//!
//! | step of a writer | after a power cut here |
//! |---|---|
//! | 1. [`append`](Journal::append): its record is in the segment, flushed together with those of others | the record is there or not; a batch that is torn was acknowledged to nobody |
//! | 2. it makes what the record says, without a flush | all, some or none of it is on the disk: it is made from the record |
//! | 3. it drops its [`Applying`], and acknowledges | the same |
//!
//! | step of a checkpoint | after a power cut here |
//! |---|---|
//! | 1. appending goes on in the other segment, which must be empty | both are replayed, the older one first |
//! | 2. wait for those between their steps 1 and 3 in the first one | the same |
//! | 3. flush the whole filesystem | the same; what is made again was there already |
//! | 4. empty the first segment, and flush that | the second one is replayed |
//!
//! A checkpoint begins when a segment is full, and [now and then](Journal::checkpoint), so that no record is much older than what
//! is on the disk: a deletion that is no longer remembered must not be undone. When the disk does not take what was to be
//! flushed, or the other segment is not empty yet, [`append`](Journal::append) says that there is no room, and the writer flushes
//! for itself: nobody waits for a checkpoint. Records are opaque here, and replaying one twice has to do no harm.
//!
//! What else changes the same files flushes them itself, and only adds to what the records say, or makes them superfluous.
//! Everything here blocks: run it on the device's queue.

pub(crate) mod segment;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::counts::DiskCounts;
use super::device::Device;
use segment::{Batch, Segment, new_generation};

/// The folder on a device.
const FOLDER: &str = "journal";
/// A device of which a share is smaller than this has no journal.
const MIN_SEGMENT_BYTES: u64 = 1024 * 1024;
/// Which part of a device a segment may take at most.
const SHARE: u64 = 64;

/// The journal of one device, open for appending.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    /// The device's folder, open since before anything was written: only so does a flush of it tell of all failures (syncfs(2)).
    device: Arc<File>,
    queue: Mutex<Queue>,
    turn: Condvar,
    tail: Mutex<Tail>,
    counts: DiskCounts,
    _lock: File,
}

/// Records that wait for whoever writes at the moment.
#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    members: Arc<OnceLock<Outcome>>,
    is_writing: bool,
}

/// What became of a batch.
#[derive(Clone, Debug)]
enum Outcome {
    /// It is on stable storage, in that segment.
    Written(Arc<Segment>),
    NoRoom,
    Failed(Arc<io::Error>),
}

/// Where the next batch goes. Only one writer at a time comes here.
#[derive(Debug)]
struct Tail {
    segments: [Arc<Segment>; 2],
    active: usize,
    place: u64,
    generation: u64,
    limit: u64,
    /// Nothing is appended any more.
    is_closed: bool,
}

/// Says that what a record describes is being made, until it is dropped.
#[derive(Debug)]
#[must_use = "a checkpoint that does not wait for it forgets the record"]
pub struct Applying(Arc<Segment>);

impl Drop for Applying {
    fn drop(&mut self) {
        self.0.applied(1);
    }
}

impl Device {
    /// Whether a journal is on the device, open or left from before. Blocking.
    #[must_use]
    pub fn has_journal(&self) -> bool {
        self.path().join(FOLDER).exists()
    }

    /// Opens the device's journal unless that was done before: `replay` gets every record that is left in it, the oldest first, and
    /// each of its two segments takes `bytes`, or less on a small device. Blocking; returns when nothing is left to be replayed.
    ///
    /// Without a journal, for whatever reason, every writer flushes for itself.
    pub fn open_journal(&self, bytes: u64, replay: impl FnMut(&[u8]) -> io::Result<()>) {
        self.journal.get_or_init(|| {
            Journal::open(self.path(), bytes, self.counts.clone(), replay).unwrap_or_else(|error| {
                tracing::error!(device = self.name(), %error, "the journal cannot be used; what is in it stays there");
                None
            })
        });
    }

    /// The device's journal, once it is open and if it has one.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.get()?.as_ref()
    }
}

impl Journal {
    /// Opens the journal of the device whose folder is `device`, after `replay` has dealt with each record that is left in it, the
    /// oldest first. Each of the two segments takes `bytes`, or less on a small device. `None` if the device
    /// is too small, or another process appends to it; that one has replayed it.
    ///
    /// # Errors
    /// What the system or `replay` says; the records stay then.
    pub(super) fn open(
        device: &Path,
        bytes: u64,
        counts: DiskCounts,
        mut replay: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<Self>> {
        let folder = device.join(FOLDER);
        let limit = limit(device, bytes)?;
        // What was left when there was more room, or a journal was wanted, has to be dealt with all the same.
        if limit == 0 && !folder.exists() {
            return Ok(None);
        }
        let Some(lock) = lock(&folder)? else { return Ok(None) };
        let disk = Arc::new(File::open(device)?);
        let segments = [Segment::open(&folder.join("0"))?, Segment::open(&folder.join("1"))?];
        File::open(&folder)?.sync_all()?;
        disk.sync_all()?;
        let mut left: Vec<_> = segments.iter().filter(|segment| segment.generation().is_some()).collect();
        left.sort_by_key(|segment| segment.generation());
        let last = left.last().and_then(|segment| segment.generation()).unwrap_or(0);
        for segment in &left {
            segment.read(&mut replay)?;
        }
        if !left.is_empty() {
            rustix::fs::syncfs(&*disk)?;
            left.iter().try_for_each(|segment| segment.clear())?;
        }
        let generation = new_generation(last);
        let tail = Tail { segments: segments.map(Arc::new), active: 0, place: 0, generation, limit, is_closed: false };
        let journal = Self {
            folder,
            device: disk,
            queue: Mutex::default(),
            turn: Condvar::new(),
            tail: Mutex::new(tail),
            counts,
            _lock: lock,
        };
        if limit == 0 {
            journal.close()?;
            return Ok(None);
        }
        Ok(Some(journal))
    }

    /// Puts a record, the pieces one behind the other, on stable storage, together with those of others who ask at the same time.
    /// `None` if there is no room for it now.
    ///
    /// # Errors
    /// What the disk says. The record may be there or not then, and nothing more is appended.
    pub fn append(&self, record: &[&[u8]]) -> io::Result<Option<Applying>> {
        let mut queue = lock_of(&self.queue);
        queue.batch.push(record);
        let mine = Arc::clone(&queue.members);
        let outcome = loop {
            if let Some(outcome) = mine.get() {
                break outcome.clone();
            }
            if queue.is_writing {
                queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Whoever comes first writes for all that have come by now.
            queue.is_writing = true;
            let (batch, members) = (std::mem::take(&mut queue.batch), std::mem::take(&mut queue.members));
            drop(queue);
            let written = self.write(batch);
            queue = lock_of(&self.queue);
            queue.is_writing = false;
            let _ = members.set(written);
            self.turn.notify_all();
        };
        drop(queue);
        match outcome {
            Outcome::Written(segment) => {
                self.counts.journaled.inc();
                Ok(Some(Applying(segment)))
            }
            Outcome::NoRoom => {
                self.counts.crowded_out.inc();
                Ok(None)
            }
            Outcome::Failed(error) => Err(io::Error::new(error.kind(), error)),
        }
    }

    fn write(&self, batch: Batch) -> Outcome {
        let mut tail = lock_of(&self.tail);
        let records = batch.records();
        if tail.is_closed || batch.sealed_bytes() > tail.limit {
            return Outcome::NoRoom;
        }
        if tail.place + batch.sealed_bytes() > tail.limit {
            let Some(full) = tail.turn() else { return Outcome::NoRoom };
            self.settle_later(full);
        }
        let segment = Arc::clone(&tail.segments[tail.active]);
        segment.begin(records);
        self.counts.flushes.inc();
        match segment.append(batch, tail.generation, tail.place) {
            Ok(bytes) => {
                tail.place += bytes;
                Outcome::Written(segment)
            }
            Err(error) => {
                segment.applied(records);
                if error.kind() == io::ErrorKind::StorageFull {
                    return Outcome::NoRoom;
                }
                complain(&self.folder, &error);
                tail.is_closed = true;
                Outcome::Failed(Arc::new(error))
            }
        }
    }

    fn settle_later(&self, full: Arc<Segment>) {
        let (device, counts, folder) = (Arc::clone(&self.device), self.counts.clone(), self.folder.clone());
        let settle = move || settle(&device, &full, &counts).unwrap_or_else(|error| complain(&folder, &error));
        if let Err(error) = std::thread::Builder::new().name("checkpoint".into()).spawn(settle) {
            complain(&self.folder, &error);
        }
    }

    /// Flushes what all records describe that are there by now, and forgets them. Costs nothing if there are none.
    ///
    /// # Errors
    /// What the system says; the records stay then.
    pub fn checkpoint(&self) -> io::Result<()> {
        let full = {
            let mut tail = lock_of(&self.tail);
            if tail.place == 0 { None } else { tail.turn() }
        };
        full.map_or(Ok(()), |full| settle(&self.device, &full, &self.counts))
    }

    /// Ends it: nothing is appended any more, and when all is flushed that the records describe there is no journal on the device.
    ///
    /// # Errors
    /// What the system says; the records stay then.
    pub fn close(&self) -> io::Result<()> {
        let segments = {
            let mut tail = lock_of(&self.tail);
            tail.is_closed = true;
            tail.segments.clone()
        };
        for segment in segments.iter().filter(|segment| !segment.is_empty()) {
            settle(&self.device, segment, &self.counts)?;
        }
        std::fs::remove_dir_all(&self.folder)
    }
}

impl Tail {
    /// Goes on in the other segment, if that is empty, and gives the one that is to be flushed.
    fn turn(&mut self) -> Option<Arc<Segment>> {
        let other = 1 - self.active;
        if !self.segments[other].is_empty() {
            return None;
        }
        let full = Arc::clone(&self.segments[self.active]);
        (self.active, self.place, self.generation) = (other, 0, self.generation + 1);
        Some(full)
    }
}

/// Makes a segment's records superfluous.
fn settle(device: &File, segment: &Segment, counts: &DiskCounts) -> io::Result<()> {
    segment.wait_until_applied();
    counts.flushes.inc();
    rustix::fs::syncfs(device)?;
    segment.clear()?;
    counts.checkpoints.inc();
    Ok(())
}

fn complain(folder: &Path, error: &io::Error) {
    let journal = folder.display();
    tracing::error!(%journal, %error, "a journal fails: its records stay, and soon each write is flushed by itself");
}

/// Makes the folder and locks it; `None` if somebody else has it, who has replayed it by then.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// How long a segment gets in a folder of a device: as `bytes` says, or less on a small device, or 0 for none.
pub(crate) fn limit(folder: &Path, bytes: u64) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    let limit = bytes.min(stat.f_blocks.saturating_mul(stat.f_frsize) / SHARE);
    Ok(if limit < MIN_SEGMENT_BYTES { 0 } else { limit })
}

fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
