//! What is asked of another device, over the link to its node.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apus_base::link::{Link, LinkError, Receiver, Sender, Stream};
use apus_base::ring::Device;
use apus_base::wire::replication::{
    Answer, FileHead, MAX_COMPARED, Offered, Outcome, PartitionDigest, Place, Refusal, Request, SuffixDigest, Want,
};
use apus_object::store::index::Shelf;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use prometheus_client::metrics::counter::Counter;

use super::Run;
use super::local::{self, Opened, Source};
use super::pace::Pace;

/// Small files read ahead of the one that is being sent.
const READ_AHEAD: usize = 16;

/// How long to wait before a peer that takes as many pushes as it can is asked again.
const BUSY_PAUSES_MILLIS: [u64; 6] = [100, 300, 1000, 3000, 5000, 10_000];

/// Why a peer did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("it refused: {0}")]
    Refused(Refusal),
    #[error("its answer makes no sense")]
    Nonsense,
    #[error("it broke off earlier in this pass")]
    Lost,
    /// Not its fault: what was to be sent to it cannot be read.
    #[error("a file here cannot be read to its end")]
    Unreadable,
}

impl PeerError {
    /// Whether the node answers and says that it has no such disk.
    pub(super) fn is_missing_device(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NoDevice))
    }
}

/// A device of another node.
pub(super) struct Peer<'a> {
    link: Arc<Link>,
    device: &'a Device,
    place: Place,
    bytes: &'a Counter,
    lost: &'a Mutex<HashSet<u32>>,
    pace: &'a Pace,
}

/// What became of a file: what the peer says; why it could not be asked; or nothing, since the file is gone here.
pub(super) type Pushed = Result<Outcome, Option<Arc<PeerError>>>;

impl Run<'_> {
    pub(super) fn peer<'a>(&'a self, device: &'a Device) -> Peer<'a> {
        let place = Place { device: device.device.clone(), policy: self.shelf.policy };
        let bytes = &self.replicate.counters.bytes;
        Peer { link: Arc::clone(&self.replicate.node.link), device, place, bytes, lost: &self.lost, pace: self.pace }
    }
}

impl Peer<'_> {
    async fn open(&self) -> Result<Stream, PeerError> {
        if self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.device.id) {
            return Err(PeerError::Lost);
        }
        let opened = self.link.open(&self.device.replication_ip, self.device.replication_port).await;
        opened.map_err(|error| self.noted(error.into()))
    }

    /// Remembers a peer that broke off.
    fn noted(&self, error: PeerError) -> PeerError {
        if let PeerError::Link(_) = error {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(self.device.id);
        }
        error
    }

    async fn ask(&self, request: &Request) -> Result<Answer, PeerError> {
        match self.open().await?.ask(request).await.map_err(|error| self.noted(error.into()))? {
            Answer::Refused(refusal) => Err(PeerError::Refused(refusal)),
            answer => Ok(answer),
        }
    }

    /// Which of these partitions differ there.
    pub(super) async fn compare(&self, digests: &[PartitionDigest]) -> Result<HashSet<u32>, PeerError> {
        let mut differing = HashSet::new();
        for digests in digests.chunks(MAX_COMPARED) {
            let request = Request::Compare { place: self.place.clone(), partitions: digests.to_vec() };
            let Answer::Differing(some) = self.ask(&request).await? else { return Err(PeerError::Nonsense) };
            differing.extend(some);
        }
        Ok(differing)
    }

    /// The digests of a partition's suffixes there.
    pub(super) async fn suffixes(&self, partition: u32) -> Result<Vec<SuffixDigest>, PeerError> {
        match self.ask(&Request::Suffixes { place: self.place.clone(), partition }).await? {
            Answer::Suffixes(suffixes) => Ok(suffixes),
            _ => Err(PeerError::Nonsense),
        }
    }

    /// Which of the offered files it wants.
    pub(super) async fn offer(&self, partition: u32, objects: &[Offered]) -> Result<Vec<Want>, PeerError> {
        let request = Request::Offer { place: self.place.clone(), partition, objects: objects.to_vec() };
        match self.ask(&request).await? {
            Answer::Wants(wants) if wants.len() == objects.len() => Ok(wants),
            _ => Err(PeerError::Nonsense),
        }
    }

    /// Pushes files, and says of each, in order, what became of it.
    pub(super) async fn push(&self, shelf: &Shelf, files: Vec<Source>) -> Vec<Pushed> {
        for pause in BUSY_PAUSES_MILLIS {
            let pushed = self.push_now(shelf, files.clone()).await;
            if !pushed.iter().all(is_busy) {
                return pushed;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.push_now(shelf, files).await
    }

    async fn push_now(&self, shelf: &Shelf, files: Vec<Source>) -> Vec<Pushed> {
        let many = files.len();
        let mut sent = Vec::with_capacity(many);
        let mut outcomes = Vec::new();
        let error = match self.open().await {
            Ok(Stream { mut sender, mut receiver }) => {
                let sending = self.send(&mut sender, shelf, files, &mut sent);
                let confirming = confirmations(&mut receiver, &mut outcomes);
                // Whoever fails first is the reason; what was confirmed until then stays so.
                tokio::try_join!(sending, confirming).err().map(|error| self.noted(error))
            }
            Err(error) => Some(error),
        };
        let error = Arc::new(error.unwrap_or(PeerError::Nonsense));
        let mut pushed: Vec<Pushed> = (0..many).map(|_| Err(Some(Arc::clone(&error)))).collect();
        let mut outcomes = outcomes.into_iter();
        for (place, sent) in sent.into_iter().enumerate() {
            match sent {
                false => pushed[place] = Err(None),
                true => {
                    if let Some(outcome) = outcomes.next() {
                        pushed[place] = Ok(outcome);
                    }
                }
            }
        }
        pushed
    }

    /// Sends what is there, and notes of each file whether it was.
    async fn send(
        &self,
        sender: &mut Sender,
        shelf: &Shelf,
        files: Vec<Source>,
        sent: &mut Vec<bool>,
    ) -> Result<(), PeerError> {
        sender.message(&Request::Push { place: self.place.clone() }).await?;
        let mut opened = stream::iter(files).map(|file| local::open(shelf, file)).buffered(READ_AHEAD);
        while let Some(file) = opened.next().await {
            let Some(file) = file else {
                sent.push(false);
                continue;
            };
            self.send_file(sender, shelf, file).await?;
            sent.push(true);
        }
        sender.finish();
        Ok(())
    }

    async fn send_file(&self, sender: &mut Sender, shelf: &Shelf, mut file: Opened) -> Result<(), PeerError> {
        sender.message::<FileHead>(&file.head).await?;
        self.bytes.inc_by(file.head.length);
        let mut left = file.head.length;
        if !file.beginning.is_empty() {
            left -= file.beginning.len() as u64;
            self.pace.take(file.beginning.len() as u64).await;
            sender.body(std::mem::take(&mut file.beginning)).await?;
        }
        while left > 0 {
            // A file that cannot be read to its end cannot be sent to its end: the stream breaks off.
            let chunk: Bytes = file.read_on(shelf, left).await.ok_or(PeerError::Unreadable)?;
            left -= chunk.len() as u64;
            self.pace.take(chunk.len() as u64).await;
            sender.body(chunk).await?;
        }
        Ok(())
    }
}

fn is_busy(pushed: &Pushed) -> bool {
    matches!(pushed, Err(Some(error)) if matches!(**error, PeerError::Refused(Refusal::Busy)))
}

async fn confirmations(receiver: &mut Receiver, outcomes: &mut Vec<Outcome>) -> Result<(), PeerError> {
    while let Some(answer) = receiver.message().await? {
        match answer {
            Answer::Stored(some) => outcomes.extend(some),
            Answer::Refused(refusal) => return Err(PeerError::Refused(refusal)),
            _ => return Err(PeerError::Nonsense),
        }
    }
    Ok(())
}
