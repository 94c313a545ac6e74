//! The watcher that looks for dark data: objects that no container lists, so that nobody will ever ask for them or delete them.
//!
//! As in Swift, an object is dark only when *every* replica of its container answers and none has a row of its name; when one is away,
//! or says that there is no such container, nothing is known. Objects younger than the grace age are left alone, since their
//! rows may still be on their way. It asks for every object that is audited, so it is off unless an operator wants it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apus_base::body;
use apus_base::client::{ClusterClient, Target};
use apus_base::clock;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::{Mode, Seen, Watcher, Wish};

/// The longest answer read: one row.
const MAX_ROW_BYTES: usize = 64 * 1024;

/// What to do with a dark object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Say so.
    Log,
    /// Delete it.
    Delete,
    /// Move it to quarantine. Each device does that with its own copy, and replication may bring it back before all have.
    Quarantine,
}

/// The watcher.
pub struct DarkData {
    client: ClusterClient,
    action: Action,
    grace_age: Duration,
    unknown: AtomicU64,
    okay: AtomicU64,
    dark: AtomicU64,
}

/// What containers know of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Yes,
    No,
    Unknown,
}

#[derive(Deserialize)]
struct Row {
    name: String,
}

impl DarkData {
    /// Asks by `client`; objects younger than `grace_age` are left alone.
    pub fn new(client: ClusterClient, action: Action, grace_age: Duration) -> Self {
        let [unknown, okay, dark] = [0, 0, 0].map(AtomicU64::new);
        Self { client, action, grace_age, unknown, okay, dark }
    }

    async fn judge(&self, seen: &Seen<'_>) -> Wish {
        let listed = if self.is_young(seen.timestamp) { Listed::Yes } else { self.ask(seen).await };
        let count = match listed {
            Listed::Yes => &self.okay,
            Listed::No => &self.dark,
            Listed::Unknown => &self.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if listed != Listed::No {
            return Wish::Nothing;
        }
        let why = "dark data: no container lists it".to_owned();
        tracing::warn!(object = seen.name, device = seen.device, path = seen.path, action = ?self.action, "{why}");
        match self.action {
            Action::Log => Wish::Nothing,
            Action::Delete => Wish::Delete(why),
            Action::Quarantine => Wish::Quarantine(why),
        }
    }

    fn is_young(&self, timestamp: Timestamp) -> bool {
        let grace = u64::try_from(self.grace_age.as_micros() / 10).unwrap_or(u64::MAX);
        timestamp.ticks().saturating_add(grace) >= clock::now().ticks()
    }

    async fn ask(&self, seen: &Seen<'_>) -> Listed {
        let mut parts = seen.name.trim_start_matches('/').splitn(3, '/');
        let (Some(account), Some(container), Some(object)) = (parts.next(), parts.next(), parts.next()) else {
            return Listed::Unknown;
        };
        let target = Target::Container { account, container };
        let replicas = self.client.replica_count(&target);
        let mut all = if replicas == 0 { Listed::Unknown } else { Listed::No };
        for replica in 0..replicas {
            match self.ask_replica(replica, &target, object, seen.policy).await {
                Listed::Yes => return Listed::Yes,
                Listed::No => {}
                Listed::Unknown => all = Listed::Unknown,
            }
        }
        all
    }

    /// Whether a replica lists the object, in the container's own policy or in the one that it was found in: what waits to be
    /// moved to the right policy is not dark.
    async fn ask_replica(&self, replica: usize, target: &Target<'_>, object: &str, policy: PolicyIndex) -> Listed {
        for policy in [None, Some(policy)] {
            match self.ask_policy(replica, target, object, policy).await {
                Some(true) => return Listed::Yes,
                Some(false) => {}
                None => return Listed::Unknown,
            }
        }
        Listed::No
    }

    async fn ask_policy(
        &self,
        replica: usize,
        target: &Target<'_>,
        object: &str,
        policy: Option<PolicyIndex>,
    ) -> Option<bool> {
        // Of all names that begin so the name itself comes first.
        let query = format!("format=json&limit=1&prefix={}", utf8_percent_encode(object, NON_ALPHANUMERIC));
        let mut headers = HeaderMap::new();
        headers.insert("x-backend-allow-reserved-names", HeaderValue::from_static("true"));
        if let Some(policy) = policy {
            headers.insert(HeaderName::from_static(header::POLICY_INDEX), HeaderValue::from(policy.0));
        }
        let answer = self.client.ask_replica(replica, Method::GET, target, Some(&query), &headers).await?;
        if !answer.status().is_success() {
            return None;
        }
        let json = body::read_to_end(answer.into_body(), MAX_ROW_BYTES).await.ok()?;
        if json.is_empty() {
            return Some(false);
        }
        let rows: Vec<Row> = serde_json::from_slice(&json).ok()?;
        Some(rows.first().is_some_and(|row| row.name == object))
    }
}

impl Watcher for DarkData {
    fn start(&self, _mode: Mode) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn see<'a>(&'a self, mode: Mode, seen: &'a Seen<'a>) -> BoxFuture<'a, Wish> {
        match mode {
            Mode::All => self.judge(seen).boxed(),
            // The thorough audit asks; twice would be for nothing.
            Mode::ZeroByteFast => async { Wish::Nothing }.boxed(),
        }
    }

    fn end(&self, mode: Mode) -> BoxFuture<'_, ()> {
        async move {
            if mode == Mode::All {
                let [unknown, okay, dark] =
                    [&self.unknown, &self.okay, &self.dark].map(|n| n.swap(0, Ordering::Relaxed));
                tracing::warn!(unknown, okay, dark, "the search for dark data has ended");
            }
        }
        .boxed()
    }
}
