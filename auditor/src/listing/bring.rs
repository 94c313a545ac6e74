//! Having what was put aside brought back at once: the devices that have other copies are asked to replicate them.
//!
//! Each server brings its own kind, accounts or containers. Of one damaged database the other primaries are asked; of a
//! device that lost all, every device of the ring, for the partitions that the ring gives it, since a handoff may have what
//! no primary has. Those that have none of them are done at once. Nobody is asked twice: who does not answer, or this node if it is
//! killed before it has asked, waits for the next replication pass, which brings the same.

use apus_base::db::replica::Room;
use apus_base::link::Link;
use apus_base::listing::ask;
use apus_base::pass::{Filter, Progress};
use apus_base::ring::{Device, Ring};
use apus_base::wire::replication::MAX_COMPARED;
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::ListingAudit;

/// Peers that are asked at the same time.
const MAX_ASKED: usize = 16;

/// What is not on a device any more.
pub(super) struct Lost<'a> {
    pub(super) device: &'a str,
    pub(super) partitions: Vec<u32>,
}

impl<R: Room> ListingAudit<R> {
    /// Brings what is lost as a whole, as soon as it is, until `stop`.
    pub(super) async fn bring_all_lost(&self, stop: &CancellationToken) {
        let mut begun_anew = self.node.databases.begun_anew();
        let bringing = async {
            loop {
                self.bring_lost(&Progress::default()).await;
                // It never closes before this.
                if begun_anew.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = bringing => {}
        }
    }

    /// Brings what was lost as a whole and was not brought since, or waits until another task has.
    pub(super) async fn bring_lost(&self, progress: &Progress) {
        let mut brought = self.brought.lock().await;
        let begun_anew = self.node.databases.begun_anew().borrow().clone();
        let ring = self.ring();
        for (device, _) in begun_anew.iter().filter(|(device, often)| brought.get(*device) != Some(often)) {
            let lost = Lost { device, partitions: self.partitions(&ring, device) };
            self.bring(&lost, ring.devices().iter().flatten().collect(), progress).await;
        }
        *brought = begun_anew;
    }

    /// What the ring says that a device of this node shall hold.
    fn partitions(&self, ring: &Ring, device: &str) -> Vec<u32> {
        let is_here = |primary: &Device| self.is_here(primary, device);
        let here: Vec<u32> = ring.devices().iter().flatten().filter(|d| is_here(d)).map(|d| d.id).collect();
        let all = 0..u32::try_from(ring.part_count()).unwrap_or(u32::MAX);
        all.filter(|partition| ring.table().replicas(*partition as usize).any(|id| here.contains(&id))).collect()
    }

    fn is_here(&self, device: &Device, name: &str) -> bool {
        device.device == name && self.node.here.has(device)
    }

    /// Asks peers that may have other copies to bring them.
    pub(super) async fn bring(&self, lost: &Lost<'_>, mut peers: Vec<&Device>, progress: &Progress) {
        let Some(link) = &self.node.link else {
            return tracing::warn!(
                "there is no [replication] in the configuration, so what was put aside is not repaired"
            );
        };
        peers.retain(|peer| !self.is_here(peer, lost.device));
        let asked: Vec<_> = peers.into_iter().map(|peer| Self::bring_from(link, peer, lost, progress)).collect();
        stream::iter(asked).buffer_unordered(MAX_ASKED).collect::<()>().await;
        tracing::warn!(device = lost.device, kind = R::SERVER, "the other copies of what was put aside were asked for");
    }

    async fn bring_from(link: &Link, peer: &Device, lost: &Lost<'_>, progress: &Progress) {
        let host = (peer.replication_ip.as_str(), peer.replication_port);
        for partitions in lost.partitions.chunks(MAX_COMPARED) {
            let devices = [peer.device.clone()].into();
            let filter = Filter { devices, partitions: partitions.iter().copied().collect(), ..Filter::default() };
            match ask::ask(link, host, ask::What::Replicate, R::KIND, &filter, |_| {}).await {
                Ok(0) => progress.count("asked"),
                Ok(failures) => {
                    tracing::warn!(peer = peer.tier_name(), failures, "a peer could not bring all of its copies");
                }
                Err(error) => {
                    return tracing::warn!(peer = peer.tier_name(), %error, "a peer was not asked for its copies");
                }
            }
        }
    }
}
