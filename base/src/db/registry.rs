//! The listings of all devices of a process: opened when first asked for, closed when their device is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use rocksdb::Cache;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::commit::CommitMetrics;
use super::{Database, DbError, audit, settings};
use crate::fs::{Device, Devices, Reserve};
use crate::metrics::Metrics;

/// How long to wait until the readers of a database that is being closed have ended.
const CLOSING: Duration = Duration::from_secs(5);
/// A database that could not be opened is not tried again sooner, since damaged ones take long to refuse.
const RETRY: Duration = Duration::from_secs(2);

/// All listings of a process; its account and its container role share one.
pub struct Databases {
    devices: Arc<Devices>,
    reserve: Reserve,
    cache: Cache,
    metrics: CommitMetrics,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// Whether there are other copies, so that damaged listings are better put aside than kept.
    has_copies: bool,
    begun_anew: watch::Sender<BegunAnew>,
}

/// How often the listings of each device were put aside as a whole since the process began.
pub type BegunAnew = BTreeMap<String, u64>;

/// One device's place.
#[derive(Default)]
struct Slot {
    current: ArcSwapOption<Database>,
    /// Held while one request opens the database and the others wait for it.
    opening: tokio::sync::Mutex<Opening>,
}

#[derive(Default)]
struct Opening {
    /// Whether the files of the database that was open last are let go of.
    last: Option<CancellationToken>,
    refused: Option<(Instant, DbError)>,
}

impl Slot {
    /// Closes the database, on a thread of its own since that waits for the disk.
    fn let_go(&self) -> JoinHandle<()> {
        let database = self.current.swap(None);
        tokio::task::spawn_blocking(move || drop(database))
    }
}

impl Databases {
    /// The listings of these devices; writes leave `reserve` free.
    pub fn new(devices: Arc<Devices>, reserve: Reserve) -> Self {
        let (cache, metrics) = (settings::cache(), CommitMetrics::new());
        let begun_anew = watch::Sender::default();
        Self { devices, reserve, cache, metrics, slots: Mutex::default(), has_copies: false, begun_anew }
    }

    /// Says that replication brings from elsewhere what is lost here: listings that cannot be opened because they are damaged are put
    /// aside then, and begun anew.
    #[must_use]
    pub fn with_copies(self, has_copies: bool) -> Self {
        Self { has_copies, ..self }
    }

    /// Forgets all that is remembered of a device's files, so that who reads next reads the disk.
    pub async fn forget_cached(&self, database: &Arc<Database>) {
        let (mut cache, database) = (self.cache.clone(), Arc::clone(database));
        let forgetting = tokio::task::spawn_blocking(move || {
            cache.set_capacity(0);
            cache.set_capacity(settings::CACHE_BYTES);
            database.forget_pages();
        });
        // It fails only when the process ends.
        let _ = forgetting.await;
    }

    /// Puts the listings of a device aside as a whole, to `quarantined/listings/`, when there are other copies; the next who asks
    /// begins them anew. The caller lets go of the database first.
    ///
    /// # Errors
    /// When there are no other copies, it is still in use, or the disk fails; then they stay.
    pub async fn set_aside(&self, device: &str, why: &str) -> Result<(), DbError> {
        let device = self.device(device)?;
        let slot = self.slot(device.name());
        let mut opening = slot.opening.lock().await;
        drop(slot.let_go());
        if let Some(last) = &opening.last {
            tokio::time::timeout(CLOSING, last.cancelled()).await.map_err(|_| DbError::Closed)?;
        }
        *opening = Opening::default();
        self.set_aside_closed(device, why).await
    }

    async fn set_aside_closed(&self, device: Arc<Device>, why: &str) -> Result<(), DbError> {
        if !self.has_copies {
            return Err(DbError::Damaged(why.to_owned()));
        }
        device.check()?;
        let (why, moved) = (why.to_owned(), Arc::clone(&device));
        let moving = tokio::task::spawn_blocking(move || audit::put_all_aside(&moved, &why));
        moving.await.map_err(|_| DbError::Panicked)?.map_err(|error| audit::io_error(&error))?;
        self.begun_anew.send_modify(|often| *often.entry(device.name().to_owned()).or_default() += 1);
        Ok(())
    }

    /// Tells whoever repairs which devices' listings were put aside, and begin anew.
    pub fn begun_anew(&self) -> watch::Receiver<BegunAnew> {
        self.begun_anew.subscribe()
    }

    /// The devices they are on.
    pub fn devices(&self) -> &Arc<Devices> {
        &self.devices
    }

    /// Shows the commits of all devices among a role's metrics.
    pub fn register(&self, metrics: &Metrics) {
        self.metrics.register(metrics);
    }

    /// The listings of a device, to read.
    ///
    /// # Errors
    /// When the device is gone or its listings cannot be opened.
    pub async fn get(&self, device: &str) -> Result<Arc<Database>, DbError> {
        let device = self.device(device)?;
        let slot = self.slot(device.name());
        match usable(&slot, &device) {
            Some(database) => Ok(database),
            None => self.open(&slot, device).await,
        }
    }

    /// The listings of a device, to write: it has room, and the last write did not fail.
    ///
    /// # Errors
    /// As [`Databases::get`], and when the device is full.
    pub async fn get_writable(&self, device: &str) -> Result<Arc<Database>, DbError> {
        let device = self.device(device)?;
        self.reserve.check(&device)?;
        let slot = self.slot(device.name());
        match usable(&slot, &device).filter(|database| !database.failed()) {
            Some(database) => Ok(database),
            None => self.open(&slot, device).await,
        }
    }

    /// The names of the devices that hold listings already: what was left to do before a restart is found there.
    pub fn existing(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.devices.root()).into_iter().flatten().flatten();
        let holding = entries.filter(|entry| entry.path().join("listings").is_dir());
        holding.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Closes everything, and waits until other processes can open it.
    pub async fn close(&self) {
        let slots: Vec<_> = self.slots.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for slot in slots {
            let opening = slot.opening.lock().await;
            let _ = slot.let_go().await;
            if let Some(last) = &opening.last {
                let _ = tokio::time::timeout(CLOSING, last.cancelled()).await;
            }
        }
    }

    fn device(&self, name: &str) -> Result<Arc<Device>, DbError> {
        self.devices.get(name).map_err(|missing| {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = slots.get(name) {
                drop(slot.let_go());
            }
            missing.into()
        })
    }

    /// Only devices that were found get here, so there are never more slots than folders.
    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(name.to_owned()).or_default())
    }

    async fn open(&self, slot: &Slot, device: Arc<Device>) -> Result<Arc<Database>, DbError> {
        let mut opening = slot.opening.lock().await;
        if let Some(database) = usable(slot, &device).filter(|database| !database.failed()) {
            return Ok(database);
        }
        if let Some((_, error)) = opening.refused.as_ref().filter(|(at, _)| at.elapsed() < RETRY) {
            return Err(error.clone());
        }
        drop(slot.let_go());
        if let Some(last) = &opening.last {
            tokio::time::timeout(CLOSING, last.cancelled()).await.map_err(|_| DbError::Closed)?;
        }
        let mut opened = self.open_now(Arc::clone(&device)).await;
        if let Err(DbError::Damaged(why)) = &opened
            && self.set_aside_closed(Arc::clone(&device), why).await.is_ok()
        {
            opened = self.open_now(device).await;
        }
        match &opened {
            Ok(database) => {
                *opening = Opening { last: Some(database.closed().clone()), refused: None };
                slot.current.store(Some(Arc::clone(database)));
            }
            Err(error) => opening.refused = Some((Instant::now(), error.clone())),
        }
        opened
    }

    async fn open_now(&self, device: Arc<Device>) -> Result<Arc<Database>, DbError> {
        let (cache, metrics) = (self.cache.clone(), self.metrics.clone());
        let opening = tokio::task::spawn_blocking(move || Database::open(device, &cache, metrics));
        opening.await.map_err(|_| DbError::Panicked)?.map(Arc::new)
    }
}

/// The open database, if it is this very device's.
fn usable(slot: &Slot, device: &Arc<Device>) -> Option<Arc<Database>> {
    slot.current.load_full().filter(|database| Arc::ptr_eq(database.device(), device))
}
