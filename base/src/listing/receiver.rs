//! The receiving side of the replication of listings: answers what other nodes ask about the accounts or containers here,
//! and takes what they send.
//!
//! What is taken is committed, so it is on stable storage before it is confirmed; see [`replica`]. Peers are
//! nodes of the cluster ([`link`](crate::link)), but may be of another version, or broken: what they say is checked, and limited.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;

use crate::cluster::Cluster;
use crate::crash;
use crate::db::agreement::{Agreement, Moment};
use crate::db::digest::Count;
use crate::db::replica::{self, Room};
use crate::db::{Database, Databases, DbError, Info, ListingId, Transaction};
use crate::fs::DeviceError;
use crate::hash_path::PathHash;
use crate::link::{LinkError, Sender, Stream};
use crate::metrics::Metrics;
use crate::timestamp::Timestamp;
use crate::wire::listings::{
    Held, Life, ListingAnswer, ListingHead, ListingPlace, ListingRequest, MAX_OFFERED, MAX_ROWS, Offered, Scope,
    SyncPart,
};
use crate::wire::replication::{MAX_COMPARED, PartitionDigest, Refusal};

/// Where a crash test may kill a process that takes what another sends: when a database is known and not filled, after
/// each batch of rows, when all have come, and when what is old is forgotten; each before it is answered.
pub const CRASH_POINTS: [&str; 4] = ["listing.begun", "listing.taken", "listing.finished", "listing.reclaimed"];

/// Databases that are being sent at once. Each holds a batch of 512 KiB.
const MAX_SYNCS: usize = 32;
/// How long one more waits: shorter than the sender's patience.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers other nodes' replicators.
pub struct ListingReceiver<R> {
    databases: Arc<Databases>,
    cluster: Arc<Cluster>,
    /// Is told the device on which a database has changed.
    changed: Arc<dyn Fn(&str) + Send + Sync>,
    syncs: Semaphore,
    rows: Counter,
    refused: Counter,
    room: PhantomData<R>,
}

/// Why an exchange ended.
enum Broken {
    /// The peer is told.
    Refused(Refusal),
    /// The peer is not there any more.
    Link(LinkError),
}

impl From<LinkError> for Broken {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<DbError> for Broken {
    fn from(error: DbError) -> Self {
        tracing::warn!(%error, "a replicator is refused");
        Self::Refused(match error {
            DbError::Overloaded => Refusal::Busy,
            DbError::Device(DeviceError::Full(_)) | DbError::Panicked => Refusal::Failed,
            // As a client's request that is answered with 507 and goes to a handoff.
            _ => Refusal::NoDevice,
        })
    }
}

impl<R: Room> ListingReceiver<R> {
    /// For the listings of this node; `changed` hears of each device on which a database was changed.
    pub fn new(
        databases: Arc<Databases>,
        cluster: Arc<Cluster>,
        metrics: &Metrics,
        changed: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let (rows, refused) = (Counter::default(), Counter::default());
        metrics.register("replication_received_rows", "Rows taken from other nodes", rows.clone());
        metrics.register("replication_refused", "Requests of other nodes that were refused", refused.clone());
        let syncs = Semaphore::new(MAX_SYNCS);
        Self { databases, cluster, changed, syncs, rows, refused, room: PhantomData }
    }

    /// Answers what a stream asks; [`ListingRequest::Run`] is not for it.
    ///
    /// # Errors
    /// When the stream breaks off.
    pub async fn respond(&self, request: ListingRequest, stream: &mut Stream) -> Result<(), LinkError> {
        let answered = match request {
            ListingRequest::Compare { place, life, power, partitions } => {
                self.compare(&place, life, power, &partitions).await
            }
            ListingRequest::Offer { place, databases } => self.offer(&place, databases).await,
            ListingRequest::Sync { place, life, head, stale } => self.sync(&place, life, *head, stale, stream).await,
            ListingRequest::Reclaim { place, database, before, scope } => {
                self.reclaim(&place, database, before, scope).await
            }
            ListingRequest::Run { .. } | ListingRequest::Audit { .. } => Err(Refusal::Malformed.into()),
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(Broken::Refused(refusal)) => {
                self.refused.inc();
                ListingAnswer::Refused(refusal)
            }
            Err(Broken::Link(error)) => return Err(error),
        };
        stream.sender.message(&answer).await?;
        stream.sender.finish();
        Ok(())
    }

    async fn database(&self, place: &ListingPlace, to_write: bool) -> Result<Arc<Database>, Broken> {
        if place.kind != R::KIND
            || place.device.is_empty()
            || place.device.starts_with('.')
            || place.device.contains(['/', '\0'])
        {
            return Err(Refusal::Malformed.into());
        }
        Ok(match to_write {
            true => self.databases.get_writable(&place.device).await?,
            false => self.databases.get(&place.device).await?,
        })
    }

    fn id(hash: [u8; 16]) -> ListingId {
        ListingId { kind: R::KIND, hash: PathHash(hash) }
    }

    async fn compare(
        &self,
        place: &ListingPlace,
        life: Life,
        power: u8,
        partitions: &[PartitionDigest],
    ) -> Result<ListingAnswer, Broken> {
        if partitions.len() > MAX_COMPARED || power > 32 {
            return Err(Refusal::Malformed.into());
        }
        let database = self.database(place, false).await?;
        let count = database.count(R::KIND, power).await?;
        let (same, differing): (Vec<PartitionDigest>, Vec<PartitionDigest>) = partitions
            .iter()
            .copied()
            .partition(|theirs| count.table.get(&theirs.partition).is_some_and(|ours| *ours == theirs.digest));
        self.agree(&database, &count, life, power, same.into_iter().map(|same| same.partition).collect()).await?;
        Ok(ListingAnswer::Differing(differing.into_iter().map(|theirs| theirs.partition).collect()))
    }

    /// Remembers that these partitions were the same.
    async fn agree(
        &self,
        database: &Database,
        count: &Count,
        life: Life,
        power: u8,
        same: Vec<u32>,
    ) -> Result<(), DbError> {
        let moment = Moment { theirs: life.number, ours: count.life.number };
        let known = database.read(move |view| Agreement::load(view, R::KIND, &life.id)).await?;
        if !known.clone().note(power, same.iter().copied(), moment) {
            return Ok(());
        }
        let note = move |tx: &mut Transaction<'_>| {
            let mut agreement = Agreement::load(tx, R::KIND, &life.id)?;
            agreement.note(power, same, moment);
            agreement.store(tx, R::KIND, &life.id);
            Ok(())
        };
        database.commit(note).await
    }

    async fn offer(&self, place: &ListingPlace, databases: Vec<Offered>) -> Result<ListingAnswer, Broken> {
        if databases.len() > MAX_OFFERED {
            return Err(Refusal::Malformed.into());
        }
        let database = self.database(place, false).await?;
        let look = database.read(move |view| {
            let held = |offered: &Offered| {
                Ok::<_, DbError>(match Info::load(view, Self::id(offered.hash))? {
                    None => Held::Unknown,
                    Some(info) if info.state == offered.state => Held::Same,
                    Some(_) => Held::Differs,
                })
            };
            databases.iter().map(held).collect()
        });
        Ok(ListingAnswer::Held(look.await?))
    }

    async fn sync(
        &self,
        place: &ListingPlace,
        life: [u8; 16],
        head: ListingHead,
        stale: Option<Timestamp>,
        stream: &mut Stream,
    ) -> Result<ListingAnswer, Broken> {
        let place_free = tokio::time::timeout(PATIENCE, self.syncs.acquire()).await;
        let _place = place_free.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Busy)?;
        let hash = R::hash(&self.cluster.hash_path, &head).ok_or(Refusal::Malformed)?;
        if self.cluster.policies.get(head.policy).is_none() {
            return Err(Refusal::NoPolicy.into());
        }
        let (database, id) = (self.database(place, true).await?, Self::id(hash.0));
        let begin = move |tx: &mut Transaction<'_>| {
            let point = replica::begin::<R>(tx, id, head, &life)?;
            Ok::<_, DbError>(replica::head(tx, id)?.map(|(info, head)| (info, head, point)))
        };
        let (info, head, point) = database.commit(begin).await?.ok_or(Refusal::Failed)?;
        crash::point(CRASH_POINTS[0]);
        let (rows, hash, filling, head) = (info.total().rows, info.hash, info.filling, Box::new(head));
        let ready = ListingAnswer::Ready { point, rows, hash, filling, head };
        stream.sender.message(&ready).await?;
        let taken = self.take(&database, id, life, stale, stream).await;
        (self.changed)(&place.device);
        taken
    }

    async fn take(
        &self,
        database: &Database,
        id: ListingId,
        life: [u8; 16],
        stale: Option<Timestamp>,
        stream: &mut Stream,
    ) -> Result<ListingAnswer, Broken> {
        let mut left_out = 0;
        while let Some(part) = stream.receiver.message().await? {
            match part {
                SyncPart::Rows { rows, .. } if rows.len() > MAX_ROWS => return Err(Refusal::Malformed.into()),
                SyncPart::Rows { rows, through } => {
                    let arrived = replica::arrived::<R>(rows).map_err(|_| Refusal::Malformed)?;
                    self.rows.inc_by(arrived.len() as u64);
                    // Once something was left out, nothing says any more what is here.
                    let through = through.filter(|_| left_out == 0);
                    let take = database.commit::<_, DbError, _>(move |tx| {
                        replica::take::<R>(tx, id, arrived, stale, (&life, through))
                    });
                    left_out += take.await?;
                    crash::point(CRASH_POINTS[1]);
                }
                SyncPart::Done { through, whole } => {
                    let through = Some(through).filter(|_| left_out == 0);
                    let finish = move |tx: &mut Transaction<'_>| replica::finish::<R>(tx, id, whole, (&life, through));
                    let info = database.commit::<_, DbError, _>(finish).await?;
                    crash::point(CRASH_POINTS[2]);
                    let ours = database.life();
                    return Ok(ListingAnswer::Taken(replica::taken(&info, ours, left_out)));
                }
            }
        }
        Err(LinkError::Broken("it ended before all was sent".into()).into())
    }

    async fn reclaim(
        &self,
        place: &ListingPlace,
        offered: Offered,
        before: Timestamp,
        scope: Scope,
    ) -> Result<ListingAnswer, Broken> {
        let database = self.database(place, false).await?;
        let done = replica::reclaim::<R>(&database, Self::id(offered.hash), offered.state, before, scope).await?;
        crash::point(CRASH_POINTS[3]);
        Ok(ListingAnswer::Reclaimed(done))
    }
}

/// Says on a stream that nothing is done here.
///
/// # Errors
/// When the stream breaks off.
pub async fn refuse(sender: &mut Sender, refusal: Refusal) -> Result<(), LinkError> {
    sender.message(&ListingAnswer::Refused(refusal)).await?;
    sender.finish();
    Ok(())
}
