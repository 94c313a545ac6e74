//! Notifications: what happens to the objects of a bucket is told to a webhook of the operator's.
//!
//! ```text
//! a write is taken by a quorum ─ a row in `.notifications/WEBHOOK` on a quorum ─ the client's answer
//!                                     │ at once: the lane of the proxy that wrote it
//!                                     └ later: the pass `notify` beside every proxy, the oldest first
//!                            POST to the webhook ─ 2xx ─ the row goes
//! ```
//!
//! Which bucket tells what is a document of the bucket's ([`Rules`]); where a webhook is, the operator says ([`Config`]). Both
//! faces change objects through [`ops`](super), so both tell. What expires by its own `X-Delete-At` is not told: the object
//! servers remove it, and they know no bucket.
//!
//! # What can fail
//!
//! - *The proxy dies between the write and its row*: the client has no answer, and its next try is told.
//! - *The row cannot be stored*: 503, as for any write that is not certain; the object is there.
//! - *The proxy dies after the row*: another's pass finds it when it is [`GRACE`] old.
//! - *The webhook is away*: rows wait, for as long as the operator allows, and as many; what is over that is counted and said
//!   aloud. A webhook that is taken out of the configuration leaves its rows until it is there again.
//! - *An answer of the webhook is lost, or two proxies send at once*: the event comes twice. It always may: who receives
//!   events tells them apart by `sequencer`, which also says which of two about a key is the later one.

mod config;
mod event;
mod kind;
mod lane;
mod pass;
mod queue;
mod rules;

use std::time::Duration;

use apus_base::client::ContainerInfo;
use apus_base::timestamp::Timestamp;
use http::{HeaderMap, HeaderName};

use super::Call;
use super::delete::Deleted;
use super::headers::SLO_SIZE;
use super::large::{S3_ETAG, SLO_ETAG};
use super::put::{Put, Stored};
use super::resource::ObjectName;
use super::setting::Setting;
use super::versions::Version;
use crate::context::Context;
use crate::error::Error;
pub use config::{Config, InvalidNotification, Webhook};
use event::{Event, test_event};
pub use kind::{Kind, Standing, judge};
pub use lane::Lanes;
pub use pass::Notifier;
use queue::Queue;
pub use rules::{Rule, Rules};

/// Where a bucket keeps its rules.
pub const NOTIFICATION: Setting = Setting("notification");
/// How old an event is that the proxy which wrote it leaves to the passes. A lane gives up [`HURRY`] old ones, and one that
/// it is just sending takes no longer than the difference.
const GRACE: Duration = Duration::from_secs(60);
/// How old an event is at most that a lane begins to send.
const HURRY: Duration = Duration::from_secs(30);

/// By what an object came into being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Made {
    /// A PUT.
    #[default]
    Put,
    /// A form.
    Post,
    /// A copy.
    Copy,
    /// The end of an upload in parts.
    Completed,
}

/// In a request's extensions: it is a rule of the bucket's that removes, not a client.
#[derive(Clone, Copy, Debug)]
pub struct ByLifecycle;

/// What a PUT will tell, if it is done; nothing is looked up where nobody listens.
pub(super) struct Creation {
    rule: Rule,
    name: ObjectName,
    kind: Kind,
    large: Option<(u64, Option<String>)>,
}

impl Creation {
    pub(super) fn of(put: &Put, container: &ContainerInfo) -> Option<Self> {
        let kind = match put.made {
            Made::Put => Kind::Put,
            Made::Post => Kind::Post,
            Made::Copy => Kind::Copy,
            Made::Completed => Kind::Completed,
        };
        let rule = listening(container, kind, &put.name.object)?;
        Some(Self { rule, name: put.name.clone(), kind, large: large(&put.headers) })
    }

    /// # Errors
    /// When it cannot be queued.
    pub(super) async fn tell(self, call: Call<'_>, stored: &Stored) -> Result<(), Error> {
        // The cluster has a newer one already.
        let Some(md5) = &stored.etag else { return Ok(()) };
        let (size, etag) = self.large.unwrap_or((stored.length, None));
        let etag = etag.unwrap_or_else(|| md5.clone());
        let etag = Some(etag.trim_matches('"').to_owned());
        let event = Event { size: Some(size), etag, version: stored.version, ..event(call, self.kind, &self.name) };
        queue(call, self.rule, Event { at: stored.written, ..event }).await
    }
}

/// The length and the ETag of what a manifest stands for.
fn large(headers: &HeaderMap) -> Option<(u64, Option<String>)> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let size = text(SLO_SIZE)?.parse().ok()?;
    let etag = text(S3_ETAG).or_else(|| text(SLO_ETAG));
    Some((size, etag.map(str::to_owned)))
}

/// Tells that an object, or one of its versions, was deleted.
///
/// # Errors
/// When it cannot be queued.
pub(super) async fn removed(
    call: Call<'_>,
    name: &ObjectName,
    asked: Option<Version>,
    deleted: &Deleted,
) -> Result<(), Error> {
    let makes_marker = asked.is_none() && deleted.version.is_some();
    if !deleted.existed && !makes_marker {
        return Ok(());
    }
    let kind = match (call.parts.extensions.get::<ByLifecycle>(), makes_marker) {
        (None, false) => Kind::Deleted,
        (None, true) => Kind::MarkerMade,
        (Some(ByLifecycle), false) => Kind::Expired,
        (Some(ByLifecycle), true) => Kind::ExpiredToMarker,
    };
    tell(call, name, kind, deleted.version.or(asked)).await
}

/// Tells that something of an object changed that is not its data.
///
/// # Errors
/// When it cannot be queued.
pub async fn tell(call: Call<'_>, name: &ObjectName, kind: Kind, version: Option<Version>) -> Result<(), Error> {
    let info = call.proxy.client.container_info(&name.account, &name.container).await?;
    let Some(rule) = info.found().and_then(|info| listening(info, kind, &name.object)) else { return Ok(()) };
    queue(call, rule, Event { version, ..event(call, kind, name) }).await
}

fn listening(container: &ContainerInfo, kind: Kind, key: &str) -> Option<Rule> {
    let rules: Rules = NOTIFICATION.of(container)?;
    rules.listening(kind, key).cloned()
}

fn event(call: Call<'_>, kind: Kind, name: &ObjectName) -> Event {
    let context = call.parts.extensions.get::<Context>();
    let identity = context.and_then(|context| context.identity.as_ref());
    Event {
        kind,
        account: name.account.to_string(),
        bucket: name.container.to_string(),
        key: name.object.to_string(),
        at: call.proxy.clock.next(),
        size: None,
        etag: None,
        version: None,
        user: identity.map(|identity| identity.user.clone()).unwrap_or_default(),
        source: context.map(|context| context.peer.ip().to_string()).unwrap_or_default(),
        request: context.map(|context| context.trans_id.clone()).unwrap_or_default(),
        rule: String::new(),
    }
}

async fn queue(call: Call<'_>, rule: Rule, event: Event) -> Result<(), Error> {
    let (lanes, config) = (&call.proxy.notifications, &call.proxy.config.notifications);
    let Some(lane) = lanes.of(&rule.webhook) else {
        tracing::error!(
            webhook = rule.webhook,
            bucket = event.bucket,
            "a bucket tells a webhook that is not configured"
        );
        return Ok(());
    };
    let queue = Queue::new(call.proxy, &rule.webhook);
    if queue.length().await >= config.max_queued {
        tracing::error!(webhook = rule.webhook, "too many events wait for a webhook, so one is lost");
        lane.counters.lost.inc();
        return Ok(());
    }
    let queued = queue.add(Event { rule: rule.id, ..event }, &call.proxy.clock).await?;
    lane.hurry(queued);
    Ok(())
}

/// Tells a webhook that it will be told, and says whether it heard.
///
/// # Errors
/// Why not.
pub async fn test(call: Call<'_>, webhook: &str, bucket: &str) -> Result<(), String> {
    let lane = call.proxy.notifications.of(webhook).ok_or("there is no such webhook")?;
    let request = call.parts.extensions.get::<Context>().map(|context| context.trans_id.as_str()).unwrap_or_default();
    lane.post(test_event(bucket, apus_base::clock::now(), request)).await
}

/// How old something is, in whole seconds.
fn age(written: Timestamp, now: Timestamp) -> Duration {
    Duration::from_secs(now.secs().saturating_sub(written.secs()))
}
