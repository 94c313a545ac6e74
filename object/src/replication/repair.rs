//! Repair at once: what is moved to quarantine on this node is fetched from another one, whoever found it.
//!
//! [`Repairer::run`] hears of everything that is moved away in its process ([`Devices::set_aside`]), asks the object's other
//! primaries and then handoffs for what they have ([`Request::Fetch`]), and stores what comes as if it were pushed: body checked
//! against its MD5, merged by its name, flushed. It is repaired when there is a file of at least the damaged one's time in its
//! place, be it the same version, a newer one that a client wrote meanwhile, or a tombstone; then its record says so.
//!
//! # What may go wrong
//!
//! * **Another copy is damaged too.** This end stores nothing and says so; the other moves its copy to quarantine and repairs it
//!   in the same way.
//! * **Nobody has a good copy**, or some nodes that should have one do not answer. It stays in quarantine, is counted, and the log
//!   says which of the two. It is tried again every few minutes, when the process starts, and in each pass of the auditor: the
//!   record on the disk is the memory, so a kill at any time and a full queue cost nothing but time.
//! * **It was in the wrong place**: its name has another hash. Then the object of that name is looked for, too, if it belongs here.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apus_base::client::Rings;
use apus_base::cluster::Cluster;
use apus_base::fs::{Devices, SetAside};
use apus_base::hash_path::PathHash;
use apus_base::here::Here;
use apus_base::link::{Link, LinkError};
use apus_base::metrics::Metrics;
use apus_base::ring::Device;
use apus_base::timestamp::Timestamp;
use apus_base::wire::replication::{Answer, MAX_FILES, Offered, Place, Request};
use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Receiver;
use super::outgoing::SendError;
use crate::store::StoreError;
use crate::store::index::{self, Shelf};
use crate::store::names::{FileName, FileSet};
use crate::store::quarantine::{self, Quarantined, Reason};

/// Objects repaired at once: each may hold a batch of 8 MiB and one more that gathers.
const CONCURRENCY: usize = 4;
/// How long until what could not be repaired is tried again.
const RETRY: Duration = Duration::from_secs(300);
/// Of what could not be repaired, what is remembered; the rest is found by the auditor's next pass.
const MAX_REMEMBERED: usize = 10_000;

/// What a repairer works with.
pub struct Node {
    /// The node's devices.
    pub devices: Arc<Devices>,
    /// Salt and policies.
    pub cluster: Arc<Cluster>,
    /// The rings, always the newest.
    pub rings: Arc<ArcSwap<Rings>>,
    /// The link to other nodes.
    pub link: Arc<Link>,
    /// The node's object server: which devices of the rings are its own.
    pub here: Here,
    /// What stores what comes.
    pub receiver: Arc<Receiver>,
}

/// Repairs what is in quarantine.
pub struct Repairer {
    node: Node,
    heard: tokio::sync::Mutex<mpsc::Receiver<SetAside>>,
    /// What could not be repaired.
    remembered: Mutex<HashSet<SetAside>>,
    repaired: Counter,
    failed: Counter,
    waiting: Gauge,
}

/// How a repair ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// There is a good copy, from there.
    Repaired(String),
    /// There is nothing to do.
    Nothing,
    /// All who should have a copy answered, and have none that is good.
    NoGoodCopy,
    /// So many of those who should have one did not answer.
    Away(usize),
}

/// An object's folder.
#[derive(Clone, Copy, Debug)]
struct Spot {
    partition: u32,
    hash: PathHash,
}

impl Repairer {
    /// The one repairer of a process: it hears of everything from now on.
    pub fn new(node: Node, metrics: &Metrics) -> Self {
        let heard = tokio::sync::Mutex::new(node.devices.set_aside());
        let (repaired, failed, waiting) = (Counter::default(), Counter::default(), Gauge::default());
        metrics.register("repairs", "Objects in quarantine of which a good copy was fetched", repaired.clone());
        metrics.register("repairs_failed", "Attempts to repair that found no good copy", failed.clone());
        metrics.register("repairs_waiting", "Objects in quarantine that could not be repaired yet", waiting.clone());
        Self { node, heard, remembered: Mutex::default(), repaired, failed, waiting }
    }

    /// Repairs until `stop`, first what an earlier process left.
    pub async fn run(&self, stop: &CancellationToken) {
        let work = async {
            self.retry_all().await;
            self.work(&CancellationToken::new()).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Repairs beside a pass that is run by itself, until all that it found is dealt with. Gives what the pass gives, and how
    /// many objects were and were not repaired.
    pub async fn beside<T>(&self, pass: impl Future<Output = T>) -> (T, u64, u64) {
        let (repaired, failed) = (self.repaired.get(), self.failed.get());
        let ended = CancellationToken::new();
        let passing = async {
            let outcome = pass.await;
            ended.cancel();
            outcome
        };
        let (outcome, ()) = tokio::join!(passing, self.work(&ended));
        (outcome, self.repaired.get() - repaired, self.failed.get() - failed)
    }

    /// Works until `ended` and nothing is left to do.
    async fn work(&self, ended: &CancellationToken) {
        let mut heard = self.heard.lock().await;
        let mut working = FuturesUnordered::new();
        let mut retry = tokio::time::interval_at(tokio::time::Instant::now() + RETRY, RETRY);
        loop {
            let has_room = working.len() < CONCURRENCY;
            tokio::select! {
                biased;
                Some(()) = working.next(), if !working.is_empty() => {}
                Some(aside) = heard.recv(), if has_room => working.push(self.repair(aside).boxed()),
                _ = retry.tick(), if has_room => working.push(self.retry_remembered().boxed()),
                () = ended.cancelled(), if working.is_empty() => return,
            }
        }
    }

    async fn retry_remembered(&self) {
        let remembered: Vec<_> = self.lock().iter().cloned().collect();
        for aside in remembered {
            self.repair(aside).await;
        }
    }

    /// Tries to repair everything in quarantine that is not repaired yet.
    pub async fn retry_all(&self) {
        for device in self.node.devices.names() {
            for policy in self.node.rings.load().objects.keys() {
                if let Ok(device) = self.node.devices.get(&device) {
                    self.retry(&Shelf { device, policy: *policy }).await;
                }
            }
        }
    }

    /// Tries to repair everything of a shelf that is not repaired yet.
    pub async fn retry(&self, shelf: &Shelf) {
        let listing = shelf.clone();
        let listed = shelf.device.queue().run(move || {
            let wants = |found: &Quarantined| found.reason.as_ref().is_some_and(Reason::wants_repair);
            quarantine::quarantined(&listing).map(|found| found.filter(wants).take(MAX_REMEMBERED).collect())
        });
        let found: Vec<Quarantined> = match listed.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                return tracing::warn!(device = shelf.device.name(), %error, "what is in quarantine cannot be listed");
            }
            Err(error) => {
                return tracing::warn!(device = shelf.device.name(), %error, "what is in quarantine is not listed");
            }
        };
        let asides =
            found.into_iter().map(|found| SetAside { device: shelf.device.name().to_owned(), folder: found.folder });
        futures_util::stream::iter(asides).for_each_concurrent(CONCURRENCY, |aside| self.repair(aside)).await;
    }

    async fn repair(&self, aside: SetAside) {
        match self.try_repair(&aside).await {
            Ended::Repaired(_) => {
                self.repaired.inc();
                self.remember(aside, false);
            }
            Ended::Nothing => self.remember(aside, false),
            Ended::NoGoodCopy | Ended::Away(_) => {
                self.failed.inc();
                self.remember(aside, true);
            }
        }
    }

    fn remember(&self, aside: SetAside, remember: bool) {
        let mut remembered = self.lock();
        if !remember {
            remembered.remove(&aside);
        } else if remembered.len() < MAX_REMEMBERED {
            remembered.insert(aside);
        }
        self.waiting.set(i64::try_from(remembered.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<SetAside>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_repair(&self, aside: &SetAside) -> Ended {
        let Ok(device) = self.node.devices.get(&aside.device) else { return Ended::Nothing };
        let (looking, folder) = (Arc::clone(&device), aside.folder.clone());
        let looked = device.queue().run(move || quarantine::look(looking.path(), folder)).await;
        let Ok(Some(found)) = looked else { return Ended::Nothing };
        let Some(reason) = found.reason.clone().filter(Reason::wants_repair) else { return Ended::Nothing };
        let shelf = Shelf { device, policy: found.policy };
        let ended = self.bring_all(&shelf, &found, &reason).await;
        let (object, quarantined) = (&reason.name, aside.folder.display());
        // Once is enough for what is tried again and again.
        let is_new = !self.lock().contains(aside);
        match &ended {
            // As loud as what was said when it was moved away.
            Ended::Repaired(from) => tracing::warn!(object, %quarantined, from, "repaired from another copy"),
            Ended::NoGoodCopy if is_new => tracing::error!(object, %quarantined, why = reason.why,
                "no good copy: none of the devices that should have this object has one; it stays in quarantine"),
            Ended::Away(away) if is_new => tracing::warn!(object, %quarantined, away,
                "not repaired yet: devices that should have a copy do not answer"),
            _ => {}
        }
        if let Ended::Repaired(from) = &ended {
            let (noting, from) = (Arc::clone(&shelf.device), from.clone());
            let noted = shelf.device.queue().run(move || found.repaired(noting.path(), &from)).await;
            if let Ok(Err(error)) = noted {
                tracing::warn!(%quarantined, %error, "it cannot be noted that this was repaired");
            }
        }
        ended
    }

    /// Brings what belongs where it was, and what its name says that it is.
    async fn bring_all(&self, shelf: &Shelf, found: &Quarantined, reason: &Reason) -> Ended {
        let place = Spot { partition: reason.partition, hash: found.hash };
        let in_place = self.bring(shelf, place, reason.damaged).await;
        let named = self.node.cluster.hash_path.of_object_path(&reason.name).filter(|named| *named != found.hash);
        let Some(named) = named else { return in_place };
        let rings = self.node.rings.load_full();
        let Some(ring) = rings.objects.get(&shelf.policy) else { return in_place };
        let partition = ring.partition(&named.0);
        let elsewhere = if ring.primaries(partition).any(|primary| self.is_own(shelf, primary)) {
            self.bring(shelf, Spot { partition, hash: named }, reason.damaged).await
        } else {
            Ended::Repaired("its own place, which is not here".to_owned())
        };
        match (in_place, elsewhere) {
            // Nobody has anything of the hash that it was found under: nothing belongs there.
            (Ended::NoGoodCopy, elsewhere) => elsewhere,
            (Ended::Repaired(_), Ended::NoGoodCopy) => Ended::NoGoodCopy,
            (away @ Ended::Away(_), _) | (_, away @ Ended::Away(_)) => away,
            (in_place, _) => in_place,
        }
    }

    async fn bring(&self, shelf: &Shelf, spot: Spot, damaged: Timestamp) -> Ended {
        if self.is_here(shelf, spot, damaged).await {
            return Ended::Repaired("what was here already".to_owned());
        }
        let rings = self.node.rings.load_full();
        let Some(ring) = rings.objects.get(&shelf.policy) else { return Ended::Nothing };
        let primaries: Vec<&Device> = ring.primaries(spot.partition).collect();
        let handoffs = ring.handoffs(spot.partition).take(primaries.len());
        let mut away = 0;
        for device in primaries.iter().copied().chain(handoffs).filter(|device| !self.is_own(shelf, device)) {
            match self.fetch(shelf, spot, device).await {
                Ok(()) if self.is_here(shelf, spot, damaged).await => return Ended::Repaired(device.tier_name()),
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(peer = device.tier_name(), %error, "a copy cannot be fetched");
                    away += usize::from(primaries.iter().any(|primary| primary.id == device.id));
                }
            }
        }
        if away == 0 { Ended::NoGoodCopy } else { Ended::Away(away) }
    }

    fn is_own(&self, shelf: &Shelf, device: &Device) -> bool {
        device.device == shelf.device.name() && self.node.here.has(device)
    }

    /// Whether there is a file of at least that time.
    async fn is_here(&self, shelf: &Shelf, spot: Spot, damaged: Timestamp) -> bool {
        let here = names(shelf, spot).await.map(|names| FileSet::choose(&names));
        here.is_ok_and(|files| files.last() >= damaged && files.last() > Timestamp::ZERO)
    }

    /// Takes what a device has of an object and this one does not.
    async fn fetch(&self, shelf: &Shelf, spot: Spot, device: &Device) -> Result<(), SendError> {
        let here = names(shelf, spot).await.unwrap_or_default();
        let files = index::counting(&here).iter().map(FileName::text).take(MAX_FILES).collect();
        let place = Place { device: device.device.clone(), policy: shelf.policy };
        let have = Offered { hash: spot.hash.0, files };
        let mut stream = self.node.link.open(&device.replication_ip, device.replication_port).await?;
        stream.sender.message(&Request::Fetch { place, partition: spot.partition, have }).await?;
        match stream.receiver.message().await? {
            Some(Answer::Coming) => Ok(self.node.receiver.take_all(shelf.clone(), &mut stream).await?),
            Some(Answer::Refused(refusal)) => Err(SendError::Refused(refusal)),
            Some(_) => Err(SendError::Nonsense),
            None => Err(LinkError::Broken("it ended before the answer".into()).into()),
        }
    }
}

/// The names in an object's folder.
async fn names(shelf: &Shelf, spot: Spot) -> Result<Vec<String>, StoreError> {
    let folder = shelf.object(spot.partition, spot.hash, "").folder();
    let listed = shelf.device.queue().run(move || index::file_names(&folder)).await?;
    listed.map_err(StoreError::while_doing("list an object's files"))
}

#[cfg(test)]
mod tests;
