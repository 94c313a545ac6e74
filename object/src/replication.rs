//! The receiving side of replication: answers what other nodes ask about this one's objects, and takes what they push.
//!
//! And it asks them back: what is found damaged here is fetched from them at once ([`repair`]).
//!
//! Questions are answered from the [`index`], brought up to date first, or from the folders of the objects
//! asked for. What is pushed is written as a PUT is, see [`receive`](crate::store::receive), and confirmed when it is on stable
//! storage. Peers are nodes of the cluster ([`link`](apus_base::link)), but may be of another version, or broken: what they say
//! is checked, and limited, like any other input.

mod fresh;
pub mod outgoing;
pub mod pace;
mod push;
pub mod repair;

use std::sync::Arc;

use apus_base::cluster::Cluster;
use apus_base::fs::{Devices, Reserve};
use apus_base::hash_path::PathHash;
use apus_base::link::{Answerer, LinkError, Stream};
use apus_base::metrics::Metrics;
use apus_base::wire::replication::{
    Answer, MAX_COMPARED, MAX_FILES, MAX_OFFERED, Offered, Outcome, PartitionDigest, Place, Refusal, Request,
    SuffixDigest, Want,
};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;

use self::pace::Pace;
use crate::store::StoreError;
use crate::store::index::{self, Shelf};
use crate::store::names::FileName;

/// Pushes taken at once. Each holds a batch of 8 MiB while it is written and one more that gathers.
const MAX_PUSHES: usize = 16;
/// Suffixes that a partition can have.
const SUFFIXES: usize = 4096;

/// Answers other nodes' replicators.
pub struct Receiver {
    devices: Arc<Devices>,
    cluster: Arc<Cluster>,
    reserve: Reserve,
    pushes: Semaphore,
    fresh: fresh::Fresh,
    counters: Counters,
}

/// What was received.
#[derive(Default)]
struct Counters {
    files: Counter,
    bytes: Counter,
    refused: Counter,
    fetched: Counter,
}

impl Receiver {
    /// For the devices of this node; writes leave `reserve` free.
    pub fn new(devices: Arc<Devices>, cluster: Arc<Cluster>, reserve: Reserve, metrics: &Metrics) -> Self {
        let counters = Counters::default();
        metrics.register("replication_received_files", "Files taken from other nodes", counters.files.clone());
        metrics.register("replication_received_bytes", "Bytes of bodies taken", counters.bytes.clone());
        metrics.register("replication_fetched_bytes", "Bytes of bodies given for repairs", counters.fetched.clone());
        metrics.register("replication_refused_files", "Files pushed that were not taken", counters.refused.clone());
        Self { devices, cluster, reserve, pushes: Semaphore::new(MAX_PUSHES), fresh: fresh::Fresh::default(), counters }
    }

    fn shelf(&self, place: &Place) -> Result<Shelf, Refusal> {
        let policy = self.cluster.policies.get(place.policy).ok_or(Refusal::NoPolicy)?.index;
        if place.device.is_empty() || place.device.starts_with('.') || place.device.contains(['/', '\0']) {
            return Err(Refusal::Malformed);
        }
        let device = self.devices.get(&place.device).map_err(|_| Refusal::NoDevice)?;
        Ok(Shelf { device, policy })
    }

    async fn converse(&self, stream: &mut Stream) -> Result<(), LinkError> {
        match stream.receiver.message().await? {
            Some(request) => self.respond(request, stream).await,
            None => Ok(()),
        }
    }

    /// Answers what a stream asks.
    ///
    /// # Errors
    /// When the stream breaks off.
    pub async fn respond(&self, request: Request, stream: &mut Stream) -> Result<(), LinkError> {
        let answered = match request {
            Request::Compare { place, partitions } => self.compare(&place, &partitions).await,
            Request::Suffixes { place, partition } => self.suffixes(&place, partition).await,
            Request::Offer { place, partition, objects } => self.offer(&place, partition, objects).await,
            Request::Push { place } => match self.shelf(&place) {
                Ok(shelf) => return self.push(shelf, stream).await,
                Err(refusal) => Err(refusal),
            },
            Request::Listings(_) => Err(Refusal::Malformed),
            Request::Fetch { place, partition, have } => match self.shelf(&place) {
                Ok(shelf) => return self.fetch(shelf, partition, have, stream).await,
                Err(refusal) => Err(refusal),
            },
        };
        stream.sender.message(&answered.unwrap_or_else(Answer::Refused)).await?;
        stream.sender.finish();
        Ok(())
    }

    async fn compare(&self, place: &Place, partitions: &[PartitionDigest]) -> Result<Answer, Refusal> {
        if partitions.len() > MAX_COMPARED {
            return Err(Refusal::Malformed);
        }
        let ours = self.fresh.table(place, &self.shelf(place)?).await.map_err(|error| refusal(&error))?;
        let differs =
            |theirs: &&PartitionDigest| ours.0.get(&theirs.partition).is_none_or(|entry| entry.digest != theirs.digest);
        Ok(Answer::Differing(partitions.iter().filter(differs).map(|theirs| theirs.partition).collect()))
    }

    async fn suffixes(&self, place: &Place, partition: u32) -> Result<Answer, Refusal> {
        let shelf = self.shelf(place)?;
        let queue = shelf.device.queue().clone();
        let table = queue.run(move || shelf.suffix_table(partition)).await.map_err(|_| Refusal::Busy)?;
        let digest = |(suffix, entry): (&u32, &index::Entry)| {
            Some(SuffixDigest { suffix: u16::try_from(*suffix).ok()?, digest: entry.digest })
        };
        Ok(Answer::Suffixes(table.0.iter().filter_map(digest).take(SUFFIXES).collect()))
    }

    async fn offer(&self, place: &Place, partition: u32, objects: Vec<Offered>) -> Result<Answer, Refusal> {
        let shelf = self.shelf(place)?;
        if objects.len() > MAX_OFFERED || objects.iter().any(|object| object.files.len() > MAX_FILES) {
            return Err(Refusal::Malformed);
        }
        let queue = shelf.device.queue().clone();
        let looking = move || objects.iter().map(|object| want(&shelf, partition, object)).collect::<Result<_, _>>();
        let wants: Result<Vec<Want>, Refusal> = queue.run(looking).await.map_err(|_| Refusal::Busy)?;
        wants.map(Answer::Wants)
    }
}

impl Receiver {
    /// Sends what this device has of an object that is news to the asker, who takes it as if it were pushed.
    async fn fetch(&self, shelf: Shelf, partition: u32, have: Offered, stream: &mut Stream) -> Result<(), LinkError> {
        let Ok(_place) = self.pushes.try_acquire() else {
            return refuse(stream, Refusal::Busy).await;
        };
        let (looking, hash) = (shelf.clone(), PathHash(have.hash));
        let found = shelf.device.queue().run(move || news(&looking, partition, &have)).await;
        let files = match found.map_err(|_| Refusal::Busy).and_then(|found| found) {
            Ok(files) => files,
            Err(refusal) => return refuse(stream, refusal).await,
        };
        stream.sender.message(&Answer::Coming).await?;
        let source = |name| outgoing::Source { partition, hash, name };
        let sources: Vec<_> = files.into_iter().map(source).collect();
        let (sent, done) = outgoing::send(stream, &shelf, sources.clone(), &self.counters.fetched, &Pace::new(0)).await;
        let was_sent = sources.into_iter().zip(sent.sent).filter(|(_, sent)| *sent).map(|(source, _)| source);
        for (source, outcome) in was_sent.zip(sent.outcomes) {
            // It is this node's copy then that somebody has to repair: it tells so by itself.
            if outcome == Outcome::Damaged
                && let Err(error) = outgoing::quarantine_if_damaged(&shelf, source).await
            {
                tracing::error!(%error, "a damaged file cannot be moved to quarantine");
            }
        }
        match done {
            Err(outgoing::SendError::Link(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

async fn refuse(stream: &mut Stream, refusal: Refusal) -> Result<(), LinkError> {
    stream.sender.message(&Answer::Refused(refusal)).await?;
    stream.sender.finish();
    Ok(())
}

/// The files of an object here that are news to who has others of it. Blocking.
fn news(shelf: &Shelf, partition: u32, have: &Offered) -> Result<Vec<FileName>, Refusal> {
    if have.files.len() > MAX_FILES {
        return Err(Refusal::Malformed);
    }
    let folder = shelf.object(partition, PathHash(have.hash), "").folder();
    let names = index::file_names(&folder).map_err(|error| {
        tracing::warn!(%error, folder = %folder.display(), "an object cannot be looked at");
        Refusal::Failed
    })?;
    let counting = index::counting(&names);
    let wanted = index::wanted(&have.files, &counting);
    Ok(counting.into_iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect())
}

impl Answerer for Receiver {
    async fn answer(self: Arc<Self>, mut stream: Stream) {
        if let Err(error) = self.converse(&mut stream).await {
            tracing::debug!(%error, "an exchange with a replicator ended early");
        }
    }
}

/// What to make of one offered object. Blocking.
fn want(shelf: &Shelf, partition: u32, object: &Offered) -> Result<Want, Refusal> {
    let files: Vec<FileName> = object
        .files
        .iter()
        .map(|name| FileName::parse_shared(name))
        .collect::<Option<_>>()
        .ok_or(Refusal::Malformed)?;
    let folder = shelf.object(partition, PathHash(object.hash), "").folder();
    let here = match index::file_names(&folder) {
        // Something damaged is in its place; the push moves it away.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Vec::new(),
        here => here.map_err(|error| {
            tracing::warn!(%error, folder = %folder.display(), "an object cannot be looked at");
            Refusal::Failed
        })?,
    };
    let wanted = index::wanted(&here, &files);
    let bits = wanted.iter().enumerate().filter(|(_, wanted)| **wanted).fold(0, |bits, (place, _)| bits | 1 << place);
    Ok(Want { files: bits, empty: !here.iter().any(|name| FileName::parse(name).is_some()) })
}

/// What of our trouble a peer has to know.
fn refusal(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "a replicator is refused");
    match error {
        StoreError::Device(_) => Refusal::NoDevice,
        StoreError::Queue(_) => Refusal::Busy,
        _ => Refusal::Failed,
    }
}

#[cfg(test)]
mod tests;
