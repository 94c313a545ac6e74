//! What is asked of another device about its listings, over the link to its node.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use apus_base::db::DbError;
use apus_base::db::replica::Room;
use apus_base::link::{Link, LinkError, Stream};
use apus_base::ring::Device;
use apus_base::timestamp::Timestamp;
use apus_base::wire::listings::{Held, Life, ListingAnswer, ListingPlace, ListingRequest, MAX_OFFERED, Offered, Scope};
use apus_base::wire::replication::{MAX_COMPARED, PartitionDigest, Refusal, Request};

use super::Run;
use crate::compared::Fault;

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
    #[error("{0}")]
    Unreadable(#[from] DbError),
}

impl Fault for PeerError {
    fn is_missing_device(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NoDevice))
    }
}

/// A device of another node.
pub(super) struct Peer<'a> {
    link: Arc<Link>,
    device: &'a Device,
    pub(super) place: ListingPlace,
    lost: &'a Mutex<HashSet<u32>>,
}

impl<R: Room> Run<'_, R> {
    pub(super) fn peer<'a>(&'a self, device: &'a Device) -> Peer<'a> {
        let place = ListingPlace { kind: R::KIND, device: device.device.clone() };
        Peer { link: Arc::clone(&self.pass.node.link), device, place, lost: &self.lost }
    }
}

impl Peer<'_> {
    pub(super) async fn open(&self) -> Result<Stream, PeerError> {
        if self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.device.id) {
            return Err(PeerError::Lost);
        }
        let opened = self.link.open(&self.device.replication_ip, self.device.replication_port).await;
        opened.map_err(|error| self.noted(error.into()))
    }

    /// Remembers a peer that broke off.
    pub(super) fn noted(&self, error: PeerError) -> PeerError {
        if let PeerError::Link(_) = error {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(self.device.id);
        }
        error
    }

    async fn ask(&self, request: ListingRequest) -> Result<ListingAnswer, PeerError> {
        let request = Request::Listings(request);
        let mut answer = self.open().await?.ask(&request).await;
        // The connection may have been to a process that is gone, and the next is to its successor.
        if let Err(LinkError::Broken(_)) = answer {
            answer = self.open().await?.ask(&request).await;
        }
        match answer.map_err(|error| self.noted(error.into()))? {
            ListingAnswer::Refused(refusal) => Err(PeerError::Refused(refusal)),
            answer => Ok(answer),
        }
    }

    /// Which of these partitions differ there.
    pub(super) async fn compare(
        &self,
        life: Life,
        power: u8,
        digests: &[PartitionDigest],
    ) -> Result<HashSet<u32>, PeerError> {
        let mut differing = HashSet::new();
        for digests in digests.chunks(MAX_COMPARED) {
            let (place, partitions) = (self.place.clone(), digests.to_vec());
            match self.ask(ListingRequest::Compare { place, life, power, partitions }).await? {
                ListingAnswer::Differing(some) => differing.extend(some),
                _ => return Err(PeerError::Nonsense),
            }
        }
        Ok(differing)
    }

    /// How it holds the offered databases.
    pub(super) async fn offer(&self, databases: &[Offered]) -> Result<Vec<Held>, PeerError> {
        let mut all = Vec::with_capacity(databases.len());
        for databases in databases.chunks(MAX_OFFERED) {
            let request = ListingRequest::Offer { place: self.place.clone(), databases: databases.to_vec() };
            match self.ask(request).await? {
                ListingAnswer::Held(held) if held.len() == databases.len() => all.extend(held),
                _ => return Err(PeerError::Nonsense),
            }
        }
        Ok(all)
    }

    /// Has it forget what is old, and says whether it did, or may.
    pub(super) async fn reclaim(&self, database: Offered, before: Timestamp, scope: Scope) -> Result<bool, PeerError> {
        match self.ask(ListingRequest::Reclaim { place: self.place.clone(), database, before, scope }).await? {
            ListingAnswer::Reclaimed(done) => Ok(done),
            _ => Err(PeerError::Nonsense),
        }
    }
}
