//! `GET /recon/...`: what operators and their tools ask a storage server about itself, in Swift's paths and JSON, so that
//! `swift-recon` reads it as `apus recon` does.
//!
//! Where an answer is from: the machine ([`machine`]), the disks ([`disks`]), files that must be the same on all nodes
//! ([`Sums`]), or the recon cache, into which the passes write. What no pass has told is null, as in Swift: nobody knows.
//! Everything that may block runs off the runtime's threads, a few questions at a time, and a disk that hangs is said to.
//! `/recon/redundancy/...` and `/recon/listing/...` are not answered here but by the role: it alone knows what it stores.

mod disks;
mod machine;
mod sums;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::plain;
use crate::body::{self, Body};
use crate::clock;
use crate::fs::{Devices, Reserve};
use crate::recon::ReconCache;
use crate::timestamp::TICKS_PER_SECOND;

pub use sums::{CLUSTER, Sums, file_md5};

/// Questions answered at once by one server; watchers are few, and further ones wait.
const MAX_AT_ONCE: usize = 8;
/// What the role answers itself.
const OWN: [&str; 2] = ["redundancy", "listing"];

/// What all roles of a process answer from.
#[derive(Debug)]
pub struct Sources {
    /// The node's devices.
    pub devices: Arc<Devices>,
    /// What of a device counts as full.
    pub reserve: Reserve,
    /// What the passes did last.
    pub cache: ReconCache,
    /// What must be the same on every node.
    pub sums: Sums,
}

/// The answers of one server.
pub struct Recon {
    server: &'static str,
    sources: Arc<Sources>,
    expected: Box<dyn Fn() -> BTreeSet<String> + Send + Sync>,
    places: Semaphore,
}

/// What a question finds.
enum Answer {
    Json(Value),
    /// No such question.
    Unknown,
    /// It could not be answered.
    Failed,
}

/// Keys of the recon cache that answer a question: its name and kind (none takes any), the file, the keys.
type Cached = (&'static str, Option<&'static str>, &'static str, &'static [&'static str]);

const REPLICATION: &[&str] = &["replication_time", "replication_stats", "replication_last"];

const CACHED: &[Cached] = &[
    ("async", None, "object", &["async_pending", "async_pending_last"]),
    ("driveaudit", None, "drive", &["drive_audit_errors"]),
    ("sharding", None, "container", &["sharding_stats", "sharding_time", "sharding_last"]),
    ("relinker", None, "relinker", &["devices", "workers"]),
    // Ours, of a proxy.
    ("lifecycle", None, "proxy", LIFECYCLE),
    ("notify", None, "proxy", &["notify_pass", "notify_sent_last_pass", "notify_lost_last_pass"]),
    ("replication", Some("account"), "account", REPLICATION),
    ("replication", Some("container"), "container", REPLICATION),
    ("replication", Some("object"), "object", OBJECT_REPLICATION),
    // As old tools ask.
    ("replication", Some(""), "object", OBJECT_REPLICATION),
    ("reconstruction", Some("object"), "object", &["object_reconstruction_last", "object_reconstruction_time"]),
    ("updater", Some("container"), "container", &["container_updater_sweep"]),
    (
        "updater",
        Some("object"),
        "object",
        &["object_updater_sweep", "object_updater_stats", "object_updater_last", "object_updater_per_device"],
    ),
    ("expirer", Some("object"), "object", &["object_expiration_pass", "expired_last_pass"]),
    (
        "auditor",
        Some("account"),
        "account",
        &["account_audits_passed", "account_auditor_pass_completed", "account_audits_since", "account_audits_failed"],
    ),
    (
        "auditor",
        Some("container"),
        "container",
        &[
            "container_audits_passed",
            "container_auditor_pass_completed",
            "container_audits_since",
            "container_audits_failed",
        ],
    ),
    ("auditor", Some("object"), "object", &["object_auditor_stats_ALL", "object_auditor_stats_ZBF"]),
];

const LIFECYCLE: &[&str] = &[
    "lifecycle_pass",
    "lifecycle_expired_last_pass",
    "lifecycle_versions_last_pass",
    "lifecycle_markers_last_pass",
    "lifecycle_uploads_last_pass",
];

const OBJECT_REPLICATION: &[&str] = &[
    "replication_time",
    "replication_stats",
    "replication_last",
    "object_replication_time",
    "object_replication_last",
    // Ours: each device's last pass.
    "object_replication_per_disk",
];

impl Recon {
    /// The answers of a `server` (`object`); `expected` names the devices that its rings give it now.
    pub fn new(
        server: &'static str,
        sources: Arc<Sources>,
        expected: impl Fn() -> BTreeSet<String> + Send + Sync + 'static,
    ) -> Self {
        Self { server, sources, expected: Box::new(expected), places: Semaphore::new(MAX_AT_ONCE) }
    }

    /// What `OPTIONS` says a server is: `object-server/1.0`.
    pub(super) fn server_name(&self) -> String {
        format!("{}-server/{}", self.server, env!("CARGO_PKG_VERSION"))
    }

    /// Answers a path that begins with `/recon/`; none when that is for the role to do.
    pub(super) async fn answer(&self, path: &str) -> Option<Response<Body>> {
        let mut parts = path.trim_start_matches('/').splitn(3, '/').skip(1);
        let (what, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if OWN.contains(&what) {
            return None;
        }
        // It is never closed.
        let _place = self.places.acquire().await.ok()?;
        Some(match self.ask(what, kind).await {
            Answer::Json(value) => json_response(&value),
            Answer::Unknown => plain(StatusCode::NOT_FOUND, format!("Invalid path: {path}")),
            Answer::Failed => plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error."),
        })
    }

    async fn ask(&self, what: &str, kind: &str) -> Answer {
        let cached = CACHED.iter().find(|(name, of, ..)| *name == what && of.is_none_or(|of| of == kind));
        if let Some((_, _, file, keys)) = cached {
            return self.cached(file, keys).await;
        }
        let devices = &self.sources.devices;
        match what {
            "version" => Answer::Json(json!({"version": env!("CARGO_PKG_VERSION")})),
            "time" => Answer::Json(json!(now())),
            "load" => blocking(machine::load).await,
            "mem" => blocking(machine::memory).await,
            "mounted" => blocking(machine::mounted).await,
            "sockstat" => blocking(machine::sockets).await,
            "devices" => {
                let devices = Arc::clone(devices);
                blocking(move || Ok(json!({devices.root().display().to_string(): devices.names()}))).await
            }
            "unmounted" => Answer::Json(disks::unmounted(devices, (self.expected)()).await),
            "diskusage" => Answer::Json(disks::usage(devices, (self.expected)(), self.sources.reserve).await),
            "quarantined" => Answer::Json(disks::quarantined(devices).await),
            "ringmd5" => self.sums(Sums::rings).await,
            "swiftconfmd5" => self.sums(Sums::configuration).await,
            _ => Answer::Unknown,
        }
    }

    async fn cached(&self, file: &'static str, keys: &'static [&'static str]) -> Answer {
        let sources = Arc::clone(&self.sources);
        blocking(move || {
            let mut cache = sources.cache.load(file);
            let told = keys.iter().map(|key| ((*key).to_owned(), cache.remove(*key).unwrap_or(Value::Null)));
            Ok(Value::Object(told.collect::<Map<_, _>>()))
        })
        .await
    }

    async fn sums(&self, of: fn(&Sums) -> Value) -> Answer {
        let sources = Arc::clone(&self.sources);
        blocking(move || Ok(of(&sources.sums))).await
    }
}

async fn blocking(work: impl FnOnce() -> std::io::Result<Value> + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Answer::Json(value),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a recon question cannot be answered");
            Answer::Failed
        }
        Err(_) => Answer::Failed,
    }
}

/// A response of JSON, as a role gives it to what it answers itself.
pub fn json_response(value: &Value) -> Response<Body> {
    let mut response = Response::new(body::full(value.to_string()));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "microseconds of our century fit")]
fn now() -> f64 {
    clock::now().ticks() as f64 / TICKS_PER_SECOND as f64
}

#[cfg(test)]
mod tests;
