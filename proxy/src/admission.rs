//! How many requests of clients are worked on at once, who waits for a turn, and who is refused.
//!
//! More requests at once do not make a busy machine answer more of them; each only takes longer and holds memory meanwhile.
//! So at most [`max_requests`](crate::Config::max_requests) are worked on. Who comes then waits in a [`mod@line`] and has its turn when
//! a place is given back; who has waited [`PATIENCE`] is answered 503 with `Retry-After`, and so is, at once, who finds the line
//! full. The steps before this one ([`pipeline`](crate::pipeline)) are all that such a request costs: its body is not asked for, so
//! a client that expects `100 Continue` does not send it, and what little another has sent already is read and forgotten, so
//! that its connection goes on (`base::serve`).
//!
//! - *What counts* is a request from its turn to the head of its answer. What then flows is drawn by the client at its pace, and
//!   is bounded by the connections.
//! - *Slow clients* starve nobody. A request whose client lets us wait for its body for [`GRACE`] gives its place back, and
//!   counts again, without a line, as soon as something comes: a place is held by work, not by waiting. An upload that holds
//!   one throughout brings a packet each millisecond, 1.4 MB a second, and as many of these as there are places bring about
//!   what the cores can take.
//! - *The order* is that of arrival, as long as nobody has waited for [`BURST`]. Then more comes than can be served, and somebody
//!   will be refused whatever the order is; so the newest goes first until that is over. Those that are served are served soon,
//!   instead of all after the longest wait, and as many as in any order.
//! - *The wait* is as long as `Retry-After`, the shortest time that HTTP can say: who is told earlier would be back no sooner. It also
//!   slows down those who ask again at once: a connection of HTTP/1 that waits asks for nothing, so a refusal, which costs some
//!   ten microseconds, is asked for once in that time and not thousands of times.
//! - *How many*: 64 for each core. A core answers some 6,000 small reads a second, and a spinning disk takes 10 ms for one, so that many
//!   have to be on their way to keep the core busy (6,000 x 0.01). Where disks are quicker it is more than is needed and costs a
//!   little latency in overload, 64 reads of a core being 10 ms; more would cost memory and caches, too. A proxy whose storage answers
//!   later than that while its cores idle may be given more (`max_requests`).
//! - *The line* takes as many as there may be connections (`max_clients`), so that HTTP/1 never finds it full; it is HTTP/2,
//!   with many requests on a connection, that this bounds.
//! - *Who is not asked to wait*: `/healthcheck`, or a balancer would take a busy proxy away from its busy neighbours; `/metrics`
//!   and `/recon`, or nobody could see what goes on; and all that is no client's, for this stands in the pipeline of
//!   the public face only. The parts of a request (files of an archive, segments of a large object) are one request.
//!
//! A refused request is seen as any other: with its transaction's id, in the access log and in `/metrics`, where `requests_waiting`
//! and `requests_working` say how near it is. The log says so, too, once in [`LOG_INTERVAL`].

mod line;
mod upload;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;
use tokio::time::Instant;

use apus_base::body::Body;
use apus_base::metrics::Metrics;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use line::{Arrival, Line};
use upload::Upload;

/// Requests worked on at once for each core, where the configuration says nothing else.
pub const PLACES_PER_CORE: usize = 64;
/// How long a request waits for its turn.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// When a client that is refused may come back: as long as it would have waited.
pub const RETRY_AFTER: Duration = PATIENCE;
/// As long as nobody has waited for longer, which is a quarter of [`PATIENCE`], all are served in the order of arrival.
pub const BURST: Duration = Duration::from_millis(250);
/// How long a client may let us wait for the next piece of a body and keep its place: the resolution
/// of timers.
pub const GRACE: Duration = Duration::from_millis(1);
/// How often the log may say that requests are refused.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Who is worked on and who waits.
#[derive(Debug)]
pub struct Admission {
    line: Mutex<Line<oneshot::Sender<Place>>>,
    said: Mutex<Said>,
    working: Gauge,
    waiting: Gauge,
    refused: Counter,
}

/// What the log was told.
#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    refused: u64,
}

/// There are more requests than can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are more requests than can be served now")]
pub struct Refused;

/// A request that is worked on, until this is dropped.
#[derive(Debug)]
pub struct Place(Arc<Held>);

/// What a request and its body know of its place.
#[derive(Debug)]
struct Held {
    admission: Arc<Admission>,
    state: AtomicU8,
}

/// Worked on.
const COUNTED: u8 = 0;
/// Its client lets us wait.
const PAUSED: u8 = 1;
/// Answered.
const OVER: u8 = 2;

impl Admission {
    /// With room for `places` requests, 0 for as many as the cores can use, and a line of that length.
    pub fn new(places: usize, most_waiting: usize) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let places = if places == 0 { cores.saturating_mul(PLACES_PER_CORE) } else { places };
        Arc::new(Self {
            line: Mutex::new(Line::new(places, most_waiting)),
            said: Mutex::default(),
            working: Gauge::default(),
            waiting: Gauge::default(),
            refused: Counter::default(),
        })
    }

    /// Shows itself among a proxy's metrics.
    pub fn register(&self, metrics: &Metrics) {
        metrics.register("requests_working", "Requests that have a place", self.working.clone());
        metrics.register("requests_waiting", "Requests that wait for a place", self.waiting.clone());
        metrics.register("requests_refused", "Requests refused because too many came", self.refused.clone());
    }

    /// A place, at once or when the request's turn comes. Dropping the future leaves the line.
    ///
    /// # Errors
    /// When the line is full, or the turn does not come.
    pub async fn enter(self: &Arc<Self>) -> Result<Place, Refused> {
        let arrival = self.line().arrive();
        let place = match arrival {
            Arrival::Enters => Some(self.place()),
            Arrival::Waits => self.wait().await,
            Arrival::TooMany => None,
        };
        place.ok_or_else(|| self.refuse())
    }

    async fn wait(self: &Arc<Self>) -> Option<Place> {
        let (turn, called) = oneshot::channel();
        // Somebody may have left meanwhile.
        let arrival = self.line().join(turn, Instant::now());
        match arrival {
            Arrival::Enters => Some(self.place()),
            Arrival::Waits => {
                let mut waiting = Waiting::new(self, called);
                tokio::time::timeout(PATIENCE, &mut waiting.called).await.ok()?.ok()
            }
            Arrival::TooMany => None,
        }
    }

    fn line(&self) -> MutexGuard<'_, Line<oneshot::Sender<Place>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands for a place that was counted.
    fn place(self: &Arc<Self>) -> Place {
        self.working.inc();
        Place(Arc::new(Held { admission: Arc::clone(self), state: AtomicU8::new(COUNTED) }))
    }

    /// Gives a place back, and calls who is next.
    fn leave(self: &Arc<Self>) {
        self.working.dec();
        self.line().leave();
        loop {
            let next = self.line().next(Instant::now(), oneshot::Sender::is_closed);
            let Some(turn) = next else { return };
            // Who has just given up gives the place back, too.
            let _ = turn.send(self.place());
        }
    }

    fn refuse(&self) -> Refused {
        self.refused.inc();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.refused += 1;
        if said.at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            tracing::warn!(
                refused = said.refused,
                "more requests come than can be served; clients are told to come back"
            );
            *said = Said { at: Some(Instant::now()), refused: 0 };
        }
        Refused
    }
}

/// A request in the line, until this is dropped.
struct Waiting<'a> {
    admission: &'a Admission,
    called: oneshot::Receiver<Place>,
}

impl<'a> Waiting<'a> {
    fn new(admission: &'a Admission, called: oneshot::Receiver<Place>) -> Self {
        admission.waiting.inc();
        Self { admission, called }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.admission.waiting.dec();
        self.called.close();
        self.admission.line().tidy(oneshot::Sender::is_closed);
    }
}

impl Place {
    /// A request's body, for whose pieces the place is not held.
    pub fn upload(&self, body: Body) -> Body {
        if body.is_end_stream() { body } else { Upload::new(body, Arc::clone(&self.0)).boxed_unsync() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.state.swap(OVER, Ordering::AcqRel) == COUNTED {
            self.0.admission.leave();
        }
    }
}

impl Held {
    /// The client lets us wait.
    fn pause(&self) {
        if self.moves(COUNTED, PAUSED) {
            self.admission.leave();
        }
    }

    /// It goes on.
    fn go_on(&self) {
        if self.state.load(Ordering::Acquire) == PAUSED && self.moves(PAUSED, COUNTED) {
            self.admission.working.inc();
            self.admission.line().go_on();
        }
    }

    fn moves(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests;
