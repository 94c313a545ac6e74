//! One device's database, while it is open.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rocksdb::{Cache, DB, WriteBatch, WriteOptions};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::commit::{CRASH_POINTS, CommitMetrics, Committer};
use super::digest::Counts;
use super::journal::Journal;
use super::life::Life;
use super::{DbError, Get, Transaction, View, settings, view};
use crate::crash;
use crate::fs::Device;

/// The folder on a device.
pub(super) const FOLDER: &str = "listings";

/// The listings of one device.
///
/// It is closed when the last `Arc` is gone and what was running has ended.
pub struct Database {
    // Before the committer, so that its thread, which is waited for, has the last share and closes RocksDB.
    inner: Arc<Inner>,
    committer: Committer,
    closed: CancellationToken,
    counts: Counts,
}

/// What readers and the committer share.
pub(super) struct Inner {
    // Fields are dropped in this order: RocksDB first, then the sign that it is closed.
    rocks: DB,
    _closed: DropGuard,
    device: Arc<Device>,
    /// Who this database is, and the last row number.
    life: [u8; 16],
    number: AtomicU64,
    /// How many groups were written: what was read at one count is still so at the same.
    groups: AtomicU64,
    /// A write failed. RocksDB takes no more until it is opened anew; what is there can still be read.
    failed: AtomicBool,
}

impl Database {
    /// Opens the listings of a device, or makes them. Blocks on the disk.
    ///
    /// # Errors
    /// When another process has them open, they are damaged, or the disk fails.
    pub(super) fn open(device: Arc<Device>, cache: &Cache, metrics: CommitMetrics) -> Result<Self, DbError> {
        let folder = device.path().join(FOLDER);
        make_folder(&folder, device.path()).map_err(|error| failed(&folder, &error))?;
        let opened = DB::open(&settings::options(cache), &folder);
        let rocks = opened.map_err(|error| DbError::from_rocks(device.name(), &error))?;
        let journal = Journal::open(&folder, &rocks).map_err(|error| failed(&folder, &error))?;
        let closed = CancellationToken::new();
        let Life { id: life, number } = Life::load_or_make(&rocks, device.name())?;
        let inner = Arc::new(Inner {
            rocks,
            _closed: closed.clone().drop_guard(),
            device,
            life,
            number: AtomicU64::new(number),
            groups: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        });
        let committer = Committer::start(Arc::clone(&inner), journal, metrics)?;
        Ok(Self { inner, committer, closed, counts: Counts::default() })
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.inner.device
    }

    /// Runs `read` over the database as it is now, on the device's queue.
    ///
    /// # Errors
    /// What `read` fails with, or that the device has too much to do.
    pub async fn read<T, E, F>(&self, read: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, E> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let done = self.inner.device.queue().run(move || read(&View::new(&inner))).await;
        done.map_err(|error| E::from(error.into()))?
    }

    /// As [`Database::read`], on a thread of its own that may take its time: for reading all there is, with pauses.
    ///
    /// # Errors
    /// What `read` fails with.
    pub async fn read_slowly<T, E, F>(&self, read: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, E> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || read(&View::new(&inner))).await;
        done.map_err(|_| E::from(DbError::Panicked))?
    }

    /// Has the kernel forget what it remembers of the files, so that the disk is read next and not the memory. Blocking.
    pub(super) fn forget_pages(&self) {
        let folder = self.inner.device.path().join(FOLDER);
        for file in self.inner.rocks.live_files().unwrap_or_default() {
            // Advice only.
            if let Ok(opened) = std::fs::File::open(folder.join(file.name.trim_start_matches('/'))) {
                let _ = rustix::fs::fadvise(&opened, 0, None, rustix::fs::Advice::DontNeed);
            }
        }
    }

    /// Runs `change` alone among all changes, and answers when it is on stable storage.
    ///
    /// When `change` fails nothing of it is written. It runs on the committer's thread, so it must not wait for anything.
    ///
    /// # Errors
    /// What `change` fails with; or why the group it belonged to could not be written, in which case it may or may not
    /// be found there later.
    pub async fn commit<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        if self.failed() {
            return Err(DbError::Closed.into());
        }
        self.committer.commit(change).await
    }

    /// Whose row numbers its rows have.
    pub fn life(&self) -> [u8; 16] {
        self.inner.life
    }

    /// How many groups were written since it was opened: what was read at one count is still so at the same.
    pub fn groups(&self) -> u64 {
        self.inner.groups.load(Ordering::Acquire)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a write failed, so that the next needs the database opened anew.
    pub(super) fn failed(&self) -> bool {
        self.inner.failed.load(Ordering::Relaxed) || self.committer.is_gone()
    }

    /// Is cancelled when RocksDB has let go of the files.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

impl Inner {
    pub(super) fn rocks(&self) -> &DB {
        &self.rocks
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// The next row number; only the committer's thread asks.
    pub(super) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Who it is, and the last row number that was given.
    pub(super) fn life(&self) -> Life {
        Life { id: self.life, number: self.number.load(Ordering::Relaxed) }
    }

    /// Writes a group, flushed, then makes sure that the device is still the one it was written to.
    pub(super) fn write(&self, group: WriteBatch, journal: Option<&mut Journal>) -> Result<(), DbError> {
        if group.is_empty() {
            return Ok(());
        }
        // The failed group may be found in the log when it is read next, so nothing that does not know of it may follow it.
        if self.failed.load(Ordering::Relaxed) {
            return Err(DbError::Closed);
        }
        crash::point(CRASH_POINTS[0]);
        self.log(group, journal).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
        self.groups.fetch_add(1, Ordering::Release);
        crash::point(CRASH_POINTS[2]);
        Ok(self.device.check()?)
    }

    /// Flushes a group in the journal, or in RocksDB's log.
    fn log(&self, group: WriteBatch, journal: Option<&mut Journal>) -> Result<(), DbError> {
        let journaled = journal.map_or(Ok(false), |journal| journal.append(&group, &self.rocks));
        let is_flushed = journaled.map_err(|error| failed(&self.device.path().join(FOLDER), &error))?;
        crash::point(CRASH_POINTS[1]);
        let mut options = WriteOptions::default();
        options.set_sync(!is_flushed);
        self.rocks.write_opt(group, &options).map_err(|error| DbError::from_rocks(self.device.name(), &error))
    }
}

impl Get for Inner {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        view::get(&self.rocks, self.device.name(), key)
    }
}

fn failed(folder: &Path, error: &std::io::Error) -> DbError {
    DbError::Io(format!("{}: {error}", folder.display()))
}

/// Makes the folder and its entry in the device durable. RocksDB flushes what it makes inside.
fn make_folder(folder: &Path, device: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(folder) {
        Ok(()) => std::fs::File::open(device)?.sync_all(),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Databases, DbError};
    use crate::fs::{Devices, Reserve};

    #[tokio::test]
    async fn nothing_is_written_behind_a_group_that_failed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let databases = Databases::new(Arc::new(Devices::new(root.path(), 2)), Reserve::Bytes(0));
        let put = |tx: &mut Transaction<'_>| {
            tx.put(b"a".to_vec(), b"1".to_vec());
            Ok::<_, DbError>(())
        };
        let failed = databases.get_writable("d1").await.unwrap();
        failed.inner.failed.store(true, Ordering::Relaxed);
        // It waited in the queue when the group before it failed.
        assert!(failed.committer.commit(put).await.is_err());
        assert_eq!(failed.inner.get(b"a").unwrap(), None);
        drop(failed);
        // Opened anew, the device takes writes again.
        databases.get_writable("d1").await.unwrap().commit(put).await.unwrap();
    }
}
