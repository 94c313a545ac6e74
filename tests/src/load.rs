//! The load generator of the benches: many connections on one thread, every answer checked.
//!
//! A [`run`] opens its connections, then starts the clock; each connection asks for what the caller's closure says next and
//! waits for the answer, until there is nothing more to ask. One thread serves them all, since the machine's few cores belong to what is
//! measured; what it spends itself is in the [`Outcome`]. An answer that is not what it should be counts as a failure, is no
//! part of the figures, and the first one is told; nothing is sent again.

mod body;
mod connection;
mod objects;
mod outcome;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::{PATIENCE, interrupt, usage};

use connection::Connection;

pub use body::Body;
pub use objects::{Ask, Objects};
pub use outcome::Outcome;

/// How often one run is asked to go on after connections that broke: enough for a server that drops some, too few for one that is gone.
const MOST_FAILURES: usize = 1000;

/// Asks over so many connections at once until each has got `None` from `next`, which is told the time since the start.
///
/// # Panics
/// When nobody listens, when an answer takes longer than [`PATIENCE`] after the last request, or when the run is interrupted.
#[track_caller]
pub fn run(objects: &Objects, connections: usize, next: impl FnMut(Duration) -> Option<Ask>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let spent = usage::of_this_thread();
    let mut outcome = runtime.block_on(drive(objects, connections, next));
    outcome.processor = usage::of_this_thread().saturating_sub(spent);
    outcome
}

async fn drive(objects: &Objects, connections: usize, next: impl FnMut(Duration) -> Option<Ask>) -> Outcome {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(objects.address()).await.expect("a server that listens"));
    }
    let shared = Shared { next: RefCell::new(next), outcome: RefCell::default(), started: Instant::now() };
    let clients = open.into_iter().map(|connection| client(objects, connection, &shared));
    join_all(clients).await;
    let mut outcome = shared.outcome.take();
    outcome.took = shared.started.elapsed();
    outcome.latencies.sort_unstable();
    outcome
}

/// What the connections of a run share.
struct Shared<N> {
    next: RefCell<N>,
    outcome: RefCell<Outcome>,
    started: Instant,
}

async fn client<N: FnMut(Duration) -> Option<Ask>>(objects: &Objects, mut connection: Connection, shared: &Shared<N>) {
    loop {
        interrupt::check();
        let since = shared.started.elapsed();
        if shared.outcome.borrow().failures > MOST_FAILURES {
            return;
        }
        let Some(ask) = (shared.next.borrow_mut())(since) else { return };
        let sent = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, objects.exchange(&mut connection, ask)).await;
        let took = sent.elapsed();
        match answered.unwrap_or_else(|_| Err(format!("{ask:?} was not answered within {PATIENCE:?}"))) {
            Ok(bytes) => shared.outcome.borrow_mut().add(took, bytes),
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
