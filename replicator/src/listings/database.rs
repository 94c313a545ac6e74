//! One database to one other device: what it knows of itself, then its rows.

use apus_base::db::replica::{self, Room};
use apus_base::db::{DbError, Info, ListingId, Transaction, agreement};
use apus_base::link::Stream;
use apus_base::wire::listings::{ListingAnswer, ListingHead, ListingRequest, ListingRow, SyncPart, Taken};
use apus_base::wire::replication::Request;

use super::Run;
use super::peer::{Peer, PeerError};

/// Where a crash test may kill the process that replicates: when a batch of rows is sent, when a copy is confirmed
/// everywhere and still here, and when it is removed here.
pub const CRASH_POINTS: [&str; 3] = ["listings.rows_sent", "listings.before_remove", "listings.removed"];

/// A peer that lacks more rows than this, and half of all, gets all of them: in the order of names that is faster than
/// in the order of numbers.
const FAR_BEHIND: u64 = 1000;

/// A peer that has all of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// The state of the copy that it has all of.
    pub(super) state: [u8; 16],
}

/// Which rows are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    None,
    After(u64),
    All,
}

/// What the peer said before the rows.
struct Ready {
    point: u64,
    rows: u64,
    hash: [u8; 16],
    filling: bool,
}

impl<R: Room> Run<'_, R> {
    /// Brings a database to a peer, all of its rows if `all`. Gives what is confirmed; none when the database went away
    /// here or the peer left rows out.
    pub(super) async fn bring(
        &self,
        peer: &Peer<'_>,
        id: ListingId,
        all: bool,
    ) -> Result<Option<Confirmed>, PeerError> {
        let Some((info, taken, sent)) = self.exchange(peer, id, all).await? else { return Ok(None) };
        let mut confirmed = (info, taken);
        if sent != Rows::All && self.should_be_same(id, &taken).await? {
            self.progress.count("sent again");
            let Some((info, taken, _)) = self.exchange(peer, id, true).await? else { return Ok(None) };
            confirmed = (info, taken);
        }
        let (info, taken) = confirmed;
        if taken.left_out > 0 {
            tracing::warn!(
                account = info.account,
                container = info.container,
                rows = taken.left_out,
                "only this device has them, and it was away for too long: not taken"
            );
            self.progress.add("stale", taken.left_out);
            self.progress.fail();
            return Ok(None);
        }
        if taken.hash == info.hash {
            self.note_same(id, taken).await?;
        }
        Ok(Some(Confirmed { state: info.state }))
    }

    /// One `Sync`.
    async fn exchange(
        &self,
        peer: &Peer<'_>,
        id: ListingId,
        all: bool,
    ) -> Result<Option<(Info, Taken, Rows)>, PeerError> {
        let Some((info, head)) = self.database.read(move |view| replica::head(view, id)).await? else {
            return Ok(None);
        };
        let stale = self.times.stale.then_some(self.cutoff);
        let (place, life) = (peer.place.clone(), self.database.life());
        let sync = ListingRequest::Sync { place, life, head: Box::new(head), stale };
        let mut stream = peer.open().await?;
        let exchanged = self.converse(&mut stream, sync, id, &info, all).await;
        let (taken, rows) = exchanged.map_err(|error| peer.noted(error))?;
        Ok(Some((info, taken, rows)))
    }

    async fn converse(
        &self,
        stream: &mut Stream,
        sync: ListingRequest,
        id: ListingId,
        info: &Info,
        all: bool,
    ) -> Result<(Taken, Rows), PeerError> {
        stream.sender.message(&Request::Listings(sync)).await?;
        let ListingAnswer::Ready { point, rows, hash, filling, head } = answer(stream).await? else {
            return Err(PeerError::Nonsense);
        };
        if !all {
            self.join(id, *head).await?;
        }
        let rows = which(info, &Ready { point, rows, hash, filling }, all);
        let sent = match rows {
            Rows::None => Ok(()),
            Rows::After(point) => self.send_changed(stream, id, point, info.last_row).await,
            Rows::All => self.send_all(stream, id).await,
        };
        // A peer that refuses in the middle takes no more; what it says is the reason.
        match sent {
            Err(PeerError::Link(error)) => answer(stream).await.and(Err(error.into())),
            sent => sent,
        }?;
        let whole = !matches!(rows, Rows::After(_)) && !info.filling;
        stream.sender.message(&SyncPart::Done { through: info.last_row, whole }).await?;
        stream.sender.finish();
        match answer(stream).await? {
            ListingAnswer::Taken(taken) => Ok((taken, rows)),
            _ => Err(PeerError::Nonsense),
        }
    }

    /// Takes in what the peer knew better of itself. A handoff does not care: it would only differ from what was confirmed.
    async fn join(&self, id: ListingId, there: ListingHead) -> Result<(), DbError> {
        let ours = self.database.read(move |view| replica::head(view, id)).await?;
        if ours.is_none_or(|(_, ours)| ours == there) {
            return Ok(());
        }
        self.database.commit(move |tx: &mut Transaction<'_>| replica::join::<R>(tx, id, there)).await?;
        (self.pass.node.changed)(&self.device.device);
        Ok(())
    }

    async fn send_changed(&self, stream: &mut Stream, id: ListingId, point: u64, until: u64) -> Result<(), PeerError> {
        self.progress.count("differences");
        let mut after = point;
        loop {
            let read = self.database.read(move |view| replica::changed(view, id, after, until)).await?;
            let Some((rows, through)) = read else { return Ok(()) };
            self.send(stream, rows, Some(through)).await?;
            after = through;
        }
    }

    async fn send_all(&self, stream: &mut Stream, id: ListingId) -> Result<(), PeerError> {
        self.progress.count("whole");
        let mut from = Some(Vec::new());
        while let Some(at) = from {
            let (rows, next) = self.database.read(move |view| replica::all(view, id, &at)).await?;
            if !rows.is_empty() {
                self.send(stream, rows, None).await?;
            }
            from = next;
        }
        Ok(())
    }

    async fn send(&self, stream: &mut Stream, rows: Vec<ListingRow>, through: Option<u64>) -> Result<(), PeerError> {
        let many = rows.len() as u64;
        stream.sender.message(&SyncPart::Rows { rows, through }).await?;
        self.progress.add("rows", many);
        self.pass.counters.rows.inc_by(many);
        apus_base::crash::point(CRASH_POINTS[0]);
        Ok(())
    }

    /// Whether both have all of each other's rows, and yet not the same.
    async fn should_be_same(&self, id: ListingId, there: &Taken) -> Result<bool, DbError> {
        let there = *there;
        let look = move |view: &apus_base::db::View<'_>| {
            let Some(info) = Info::load(view, id)? else { return Ok(false) };
            let has_theirs = agreement::taken(view, id, &info, &there.life)? >= there.last_row;
            Ok(has_theirs && info.hash != there.hash)
        };
        self.database.read(look).await
    }

    async fn note_same(&self, id: ListingId, there: Taken) -> Result<(), DbError> {
        let known = move |view: &apus_base::db::View<'_>| {
            let info = Info::load(view, id)?;
            info.map_or(Ok(true), |info| Ok(agreement::taken(view, id, &info, &there.life)? >= there.last_row))
        };
        if self.database.read::<_, DbError, _>(known).await? {
            return Ok(());
        }
        self.database.commit(move |tx: &mut Transaction<'_>| replica::note_same(tx, id, &there)).await
    }
}

/// The next answer that is no refusal.
async fn answer(stream: &mut Stream) -> Result<ListingAnswer, PeerError> {
    match stream.receiver.message().await? {
        Some(ListingAnswer::Refused(refusal)) => Err(PeerError::Refused(refusal)),
        Some(answer) => Ok(answer),
        None => Err(PeerError::Nonsense),
    }
}

fn which(info: &Info, there: &Ready, all: bool) -> Rows {
    let live = info.total().rows;
    let far_behind = there.rows < live / 2 && live - there.rows > FAR_BEHIND;
    match () {
        () if there.hash == info.hash => Rows::None,
        () if all || there.filling || there.point == 0 || far_behind => Rows::All,
        () => Rows::After(there.point),
    }
}
