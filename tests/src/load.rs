//! The load generator of the benches: many connections on one thread, every answer checked.
//!
//! A [`run`] opens its connections, then starts the clock; each connection asks for what the caller's closure says next and
//! waits for the answer, until there is nothing more to ask. One thread serves them all, since the machine's few cores belong to what is
//! measured; what it spends itself is in the [`Outcome`]. An answer that is not what it should be counts as a failure, is no
//! part of the figures, and the first one is told; nothing is sent again.
//!
//! An [`offer`] sends as many requests a second as it is told, whether the answers keep up or not: whatever is due is asked by the
//! next connection that is free. There, 503 with `Retry-After` is an answer, too.

mod body;
mod connection;
mod objects;
mod outcome;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::{PATIENCE, interrupt, usage};

use connection::Connection;
use objects::Answered;

pub use body::Body;
pub use objects::{Ask, Objects};
pub use outcome::Outcome;

/// How often one run is asked to go on after connections that broke: enough for a server that drops some, too few for one that is gone.
const MOST_FAILURES: usize = 1000;

/// A load that does not wait for the answers.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Requests a second.
    pub rate: f64,
    /// For so long.
    pub time: Duration,
    /// Over so many connections, each with one request at a time.
    pub connections: usize,
    /// Whether a connection that is refused rests as long as `Retry-After` says, instead of asking for the next thing at once.
    pub obeys: bool,
}

/// Asks over so many connections at once until each has got `None` from `next`, which is told the time since the start.
///
/// # Panics
/// When nobody listens, when an answer takes longer than [`PATIENCE`] after the last request, or when the run is interrupted.
#[track_caller]
pub fn run(objects: &Objects, connections: usize, next: impl FnMut(Duration) -> Option<Ask>) -> Outcome {
    spend(drive(objects, connections, None, next))
}

/// Asks for what `next` says, at the rate of the offer.
///
/// # Panics
/// As [`run`].
#[track_caller]
pub fn offer(objects: &Objects, offer: &Offer, mut next: impl FnMut() -> Ask) -> Outcome {
    let next = |since| (since < offer.time).then(&mut next);
    spend(drive(objects, offer.connections, Some(offer), next))
}

/// Has it done on this thread, and notes what that spent.
fn spend(load: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let spent = usage::of_this_thread();
    let mut outcome = runtime.block_on(load);
    outcome.processor = usage::of_this_thread().saturating_sub(spent);
    outcome
}

async fn drive(
    objects: &Objects,
    connections: usize,
    offer: Option<&Offer>,
    next: impl FnMut(Duration) -> Option<Ask>,
) -> Outcome {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(objects.address()).await.expect("a server that listens"));
    }
    let shared = Shared {
        next: RefCell::new(next),
        due: Cell::new(0.0),
        outcome: RefCell::default(),
        offer,
        started: Instant::now(),
    };
    let clients = open.into_iter().map(|connection| client(objects, connection, &shared));
    join_all(clients).await;
    let mut outcome = shared.outcome.take();
    outcome.took = offer.map_or_else(|| shared.started.elapsed(), |offer| offer.time);
    outcome.latencies.sort_unstable();
    outcome
}

/// What the connections of a run share.
struct Shared<'a, N> {
    next: RefCell<N>,
    /// Requests of an offer that somebody has undertaken to send.
    due: Cell<f64>,
    outcome: RefCell<Outcome>,
    offer: Option<&'a Offer>,
    started: Instant,
}

impl<N> Shared<'_, N> {
    /// Waits until the next request of an offer is due.
    async fn turn(&self) {
        let Some(offer) = self.offer else { return };
        let due = self.started + Duration::from_secs_f64(self.due.get() / offer.rate);
        self.due.set(self.due.get() + 1.0);
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    /// Notes an answer; how long to rest then.
    fn note(&self, ask: Ask, took: Duration, answered: Answered) -> Result<Duration, String> {
        let left = self.offer.map(|offer| offer.time.saturating_sub(self.started.elapsed()));
        match (answered, self.offer.zip(left)) {
            (Answered::Done(_), Some((_, Duration::ZERO))) => {
                self.outcome.borrow_mut().late += 1;
                Ok(Duration::ZERO)
            }
            (Answered::Done(bytes), _) => {
                self.outcome.borrow_mut().add(took, bytes);
                Ok(Duration::ZERO)
            }
            (Answered::Refused(after), Some((offer, left))) => {
                self.outcome.borrow_mut().refused.push((ask, took));
                Ok(if offer.obeys { after.min(left) } else { Duration::ZERO })
            }
            (Answered::Refused(after), None) => Err(format!("{ask:?}: status 503, come back after {after:?}")),
        }
    }
}

async fn client<N: FnMut(Duration) -> Option<Ask>>(
    objects: &Objects,
    mut connection: Connection,
    shared: &Shared<'_, N>,
) {
    loop {
        interrupt::check();
        shared.turn().await;
        let since = shared.started.elapsed();
        if shared.outcome.borrow().failures > MOST_FAILURES {
            return;
        }
        let Some(ask) = (shared.next.borrow_mut())(since) else { return };
        let sent = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, objects.exchange(&mut connection, ask)).await;
        let took = sent.elapsed();
        let answered = answered.unwrap_or_else(|_| Err(format!("{ask:?} was not answered within {PATIENCE:?}")));
        match answered.and_then(|answered| shared.note(ask, took, answered)) {
            Ok(rest) if rest.is_zero() => {}
            Ok(rest) => tokio::time::sleep(rest).await,
            Err(fault) => {
                shared.outcome.borrow_mut().fail(fault);
                connection = Connection::open(objects.address()).await.expect("a server that listens");
            }
        }
        if !connection.is_kept() {
            connection = Connection::open(objects.address()).await.expect("a server that listens");
        }
    }
}
