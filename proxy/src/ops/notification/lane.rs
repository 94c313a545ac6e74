//! The way to one webhook: what was just queued waits here to be sent at once, and knows whether the webhook answers.
//!
//! A lane holds little and drops what it has no room for: the queue has everything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use apus_base::body;
use apus_base::client::Chain;
use apus_base::client::pool::{Pool, Timeouts};
use apus_base::metrics::Metrics;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Uri};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde_json::Value;
use tokio::sync::mpsc;

use super::config::{Config, Webhook};
use super::queue::Queued;

/// Events that wait in a lane. At a thousand a second, it is a second.
const ROOM: usize = 1000;
/// As much of a webhook's answer as is read, so that its connection can be kept.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// All lanes.
pub struct Lanes {
    lanes: BTreeMap<String, Lane>,
    metrics: Families,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    webhook: String,
}

#[derive(Default)]
struct Families {
    sent: Family<Label, Counter>,
    failed: Family<Label, Counter>,
    lost: Family<Label, Counter>,
}

/// What became of a webhook's events.
pub(super) struct Counters {
    pub(super) sent: Counter,
    pub(super) failed: Counter,
    pub(super) lost: Counter,
}

/// A lane.
pub(super) struct Lane {
    webhook: Webhook,
    uri: Uri,
    pool: Pool,
    enter: mpsc::Sender<Queued>,
    leave: Mutex<Option<mpsc::Receiver<Queued>>>,
    is_down: AtomicBool,
    pub(super) counters: Counters,
}

impl Lanes {
    /// One for each webhook of a configuration that was checked.
    pub fn new(config: &Config) -> Self {
        let timeouts = Timeouts { connect: config.timeout, response: config.timeout };
        let (pool, metrics) = (Pool::outside(timeouts), Families::default());
        let lane = |(name, webhook): (&String, &Webhook)| {
            let label = Label { webhook: name.clone() };
            let count = |family: &Family<Label, Counter>| family.get_or_create(&label).clone();
            let (sent, failed, lost) = (count(&metrics.sent), count(&metrics.failed), count(&metrics.lost));
            let (enter, leave) = mpsc::channel(ROOM);
            let lane = Lane {
                webhook: webhook.clone(),
                uri: webhook.uri().unwrap_or_default(),
                pool: pool.clone(),
                enter,
                leave: Mutex::new(Some(leave)),
                is_down: AtomicBool::new(false),
                counters: Counters { sent, failed, lost },
            };
            (name.clone(), lane)
        };
        let lanes = config.webhooks.iter().map(lane).collect();
        Self { lanes, metrics }
    }

    /// A webhook's lane.
    pub(super) fn of(&self, webhook: &str) -> Option<&Lane> {
        self.lanes.get(webhook)
    }

    /// Whether there is such a webhook.
    pub fn has(&self, webhook: &str) -> bool {
        self.lanes.contains_key(webhook)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Lane)> {
        self.lanes.iter().map(|(name, lane)| (name.as_str(), lane))
    }

    pub(super) fn register(&self, metrics: &Metrics) {
        let Families { sent, failed, lost } = &self.metrics;
        metrics.register("notifications_sent", "Events that a webhook took", sent.clone());
        metrics.register("notifications_failed", "Times that a webhook did not take an event", failed.clone());
        metrics.register("notifications_lost", "Events that waited too long, or were too many", lost.clone());
    }
}

impl Lane {
    /// Has an event sent soon, if there is room and somebody who sends.
    pub(super) fn hurry(&self, queued: Queued) {
        if !self.is_down() {
            let _ = self.enter.try_send(queued);
        }
    }

    /// Its end, for whoever sends; once.
    pub(super) fn follow(&self) -> Option<mpsc::Receiver<Queued>> {
        self.leave.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the webhook did not take the last event.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Sends an event; whether it was taken.
    pub(super) async fn send(&self, name: &str, message: Value) -> bool {
        let done = self.post(message).await;
        let was_down = self.is_down.swap(done.is_err(), Ordering::Relaxed);
        match (&done, was_down) {
            (Err(reason), false) => {
                tracing::warn!(webhook = name, reason, "a webhook does not take events; they wait in the queue");
            }
            (Ok(()), true) => tracing::info!(webhook = name, "a webhook takes events again"),
            _ => {}
        }
        let counter = if done.is_ok() { &self.counters.sent } else { &self.counters.failed };
        counter.inc();
        done.is_ok()
    }

    /// Posts a document.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) async fn post(&self, message: Value) -> Result<(), String> {
        let mut request = Request::builder().method(Method::POST).uri(&self.uri);
        request = request.header(CONTENT_TYPE, "application/json");
        request = request.header(USER_AGENT, concat!("Apus/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.webhook.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.0));
        }
        let request = request.body(body::full(message.to_string())).map_err(|error| error.to_string())?;
        let answer = self.pool.send(request).await.map_err(|error| Chain(&error).to_string())?;
        let status = answer.status();
        // What it says beside that is of no interest.
        let _ = body::read_to_end(answer.into_body(), MAX_ANSWER_BYTES).await;
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}
