//! What is asked of another device, over the link to its node.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apus_base::link::{Link, LinkError, Stream};
use apus_base::ring::Device;
use apus_base::wire::replication::{
    Answer, MAX_COMPARED, Offered, Outcome, PartitionDigest, Place, Refusal, Request, SuffixDigest, Want,
};
use apus_object::outgoing::{self, SendError, Sent, Source};
use apus_object::pace::Pace;
use apus_object::store::index::Shelf;
use prometheus_client::metrics::counter::Counter;

use super::Run;
use crate::compared::Fault;

/// How long to wait before a peer that takes as many pushes as it can is asked again.
const BUSY_PAUSES_MILLIS: [u64; 6] = [100, 300, 1000, 3000, 5000, 10_000];

/// Why a peer did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error(transparent)]
    Sending(#[from] SendError),
    #[error("it broke off earlier in this pass")]
    Lost,
}

impl Fault for PeerError {
    fn is_missing_device(&self) -> bool {
        matches!(self, Self::Sending(SendError::Refused(Refusal::NoDevice)))
    }
}

impl From<LinkError> for PeerError {
    fn from(error: LinkError) -> Self {
        SendError::Link(error).into()
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
        if let PeerError::Sending(SendError::Link(_)) = error {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(self.device.id);
        }
        error
    }

    async fn ask(&self, request: &Request) -> Result<Answer, PeerError> {
        match self.open().await?.ask(request).await.map_err(|error| self.noted(error.into()))? {
            Answer::Refused(refusal) => Err(SendError::Refused(refusal).into()),
            answer => Ok(answer),
        }
    }

    /// Which of these partitions differ there.
    pub(super) async fn compare(&self, digests: &[PartitionDigest]) -> Result<HashSet<u32>, PeerError> {
        let mut differing = HashSet::new();
        for digests in digests.chunks(MAX_COMPARED) {
            let request = Request::Compare { place: self.place.clone(), partitions: digests.to_vec() };
            let Answer::Differing(some) = self.ask(&request).await? else { return Err(SendError::Nonsense.into()) };
            differing.extend(some);
        }
        Ok(differing)
    }

    /// The digests of a partition's suffixes there.
    pub(super) async fn suffixes(&self, partition: u32) -> Result<Vec<SuffixDigest>, PeerError> {
        match self.ask(&Request::Suffixes { place: self.place.clone(), partition }).await? {
            Answer::Suffixes(suffixes) => Ok(suffixes),
            _ => Err(SendError::Nonsense.into()),
        }
    }

    /// Which of the offered files it wants.
    pub(super) async fn offer(&self, partition: u32, objects: &[Offered]) -> Result<Vec<Want>, PeerError> {
        let request = Request::Offer { place: self.place.clone(), partition, objects: objects.to_vec() };
        match self.ask(&request).await? {
            Answer::Wants(wants) if wants.len() == objects.len() => Ok(wants),
            _ => Err(SendError::Nonsense.into()),
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
        let (Sent { sent, outcomes }, done) = match self.begin_push().await {
            Ok(mut stream) => {
                let (sent, done) = outgoing::send(&mut stream, shelf, files, self.bytes, self.pace).await;
                (sent, done.map_err(PeerError::from))
            }
            Err(error) => (Sent::default(), Err(error)),
        };
        let error = done.err().map(|error| self.noted(error));
        let error = Arc::new(error.unwrap_or_else(|| SendError::Nonsense.into()));
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

    async fn begin_push(&self) -> Result<Stream, PeerError> {
        let mut stream = self.open().await?;
        stream.sender.message(&Request::Push { place: self.place.clone() }).await?;
        Ok(stream)
    }
}

fn is_busy(pushed: &Pushed) -> bool {
    matches!(pushed, Err(Some(error)) if matches!(**error, PeerError::Sending(SendError::Refused(Refusal::Busy))))
}
