//! A cluster as one of its nodes describes it: what the operator's commands look at it with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apus_base::body;
use apus_base::client::Rings;
use apus_base::client::pool::{Pool, Timeouts};
use apus_base::clock;
use apus_base::cluster::Cluster;
use apus_base::policy::PolicyIndex;
use apus_base::ring::Device;
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};
use futures_util::{StreamExt as _, stream};
use http::response::Parts;
use http::{HeaderMap, Method, Request};
use serde_json::Value;

use crate::config::NodeConfig;
use crate::error::StartError;
use crate::rings::{self, Addresses};
use crate::roles::Role;

/// Servers asked at the same time.
const MAX_ASKED: usize = 32;
/// The longest answer that is read: the partitions of a device that has a million.
const MAX_ANSWER_BYTES: usize = 128 * 1024 * 1024;

/// A node's configuration and the rings it names.
pub(crate) struct View {
    pub(crate) config: NodeConfig,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) rings: Rings,
}

/// Where a server answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host {
    pub(crate) ip: String,
    pub(crate) port: u16,
}

/// Which servers of a cluster are meant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Part {
    pub(crate) region: Option<u32>,
    pub(crate) zone: Option<u32>,
}

/// Asks servers.
pub(crate) struct Scout {
    pool: Pool,
    timeout: Duration,
}

/// An answer, and when it was asked and heard, in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) value: Value,
    pub(crate) asked: f64,
    pub(crate) heard: f64,
}

impl View {
    pub(crate) fn read(path: &Path) -> Result<Self, StartError> {
        let config = NodeConfig::read(path)?;
        let cluster = Arc::new(config.cluster(path)?);
        // Beside the configuration of an `apus up` are the addresses that it listens on just now.
        let addresses = Addresses::read(&path.with_file_name(crate::data::ADDRESSES))?;
        let rings = rings::read_all(&config.node.rings, &cluster.policies, &addresses)?;
        Ok(Self { config, cluster, rings })
    }

    /// Who asks the servers, and waits for them so long.
    pub(crate) fn scout(&self, timeout: Duration) -> Scout {
        Scout { pool: Pool::new(Timeouts { connect: timeout, response: timeout }, &self.cluster), timeout }
    }

    /// The policy with a name or an index.
    pub(crate) fn policy(&self, policy: &str) -> Result<PolicyIndex, StartError> {
        let policies = &self.cluster.policies;
        let by_index = || policies.get(PolicyIndex(policy.parse().ok()?));
        let found = policies.by_name(policy).or_else(by_index);
        found.map(|policy| policy.index).ok_or_else(|| StartError::NoPolicy(policy.to_owned()))
    }

    /// Leaves out the object rings of other policies.
    pub(crate) fn keep_policy(&mut self, policy: &str) -> Result<(), StartError> {
        let kept = self.policy(policy)?;
        self.rings.objects.retain(|index, _| *index == kept);
        Ok(())
    }

    /// The devices of all rings of a role.
    pub(crate) fn devices(&self, role: Role, part: Part) -> Vec<&Device> {
        let devices = role.rings(&self.rings).into_iter().flat_map(|ring| ring.devices().iter().flatten());
        devices.filter(|device| part.has(device)).collect()
    }

    /// The servers of a role.
    pub(crate) fn hosts(&self, role: Role, part: Part) -> BTreeSet<Host> {
        self.devices(role, part).into_iter().map(Host::of).collect()
    }
}

impl Part {
    pub(crate) fn has(self, device: &Device) -> bool {
        self.region.is_none_or(|region| region == device.region) && self.zone.is_none_or(|zone| zone == device.zone)
    }
}

impl Host {
    pub(crate) fn of(device: &Device) -> Self {
        Self { ip: device.ip.clone(), port: device.port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{self}")
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ip.contains(':') {
            write!(f, "[{}]:{}", self.ip, self.port)
        } else {
            write!(f, "{}:{}", self.ip, self.port)
        }
    }
}

impl Scout {
    /// Asks for JSON; the error says why there is none.
    pub(crate) async fn get(&self, host: &Host, target: &str) -> Result<Heard, String> {
        let asked = now();
        let answer = async {
            let answer = self.send(Method::GET, host, target, HeaderMap::new()).await?;
            let status = answer.status();
            if !status.is_success() {
                return Err(format!("HTTP {status}"));
            }
            let text = body::read_to_end(answer.into_body(), MAX_ANSWER_BYTES).await;
            serde_json::from_slice(&text.map_err(|error| error.to_string())?)
                .map_err(|error| format!("no JSON: {error}"))
        };
        Ok(Heard { value: answer.await?, asked, heard: now() })
    }

    /// The headers of what a server answers `OPTIONS` with.
    pub(crate) async fn options(&self, host: &Host) -> Result<HeaderMap, String> {
        Ok(self.send(Method::OPTIONS, host, "/", HeaderMap::new()).await?.into_parts().0.headers)
    }

    /// The head of what a server answers `HEAD` with.
    pub(crate) async fn head(&self, host: &Host, target: &str, headers: HeaderMap) -> Result<Parts, String> {
        Ok(self.send(Method::HEAD, host, target, headers).await?.into_parts().0)
    }

    async fn send(
        &self,
        method: Method,
        host: &Host,
        target: &str,
        headers: HeaderMap,
    ) -> Result<http::Response<body::Body>, String> {
        let request = Request::builder().method(method).uri(format!("{}{target}", host.url())).body(body::empty());
        let mut request = request.map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        let answered = self.pool.send_within(request, self.timeout).await;
        answered.map_err(|error| {
            // The client's own words say only that it failed; those below them say why.
            let mut reason: &dyn std::error::Error = &error;
            while let Some(deeper) = reason.source() {
                reason = deeper;
            }
            reason.to_string()
        })
    }
}

/// Asks something of many, some at the same time; the answers come in the order of `asked`.
pub(crate) async fn each<T, F: Future>(asked: impl IntoIterator<Item = T>, ask: impl Fn(T) -> F) -> Vec<F::Output> {
    let futures: Vec<_> = asked.into_iter().map(ask).collect();
    stream::iter(futures).buffered(MAX_ASKED).collect().await
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    seconds(clock::now())
}

/// Seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "microseconds of our century fit")]
pub(crate) fn seconds(at: Timestamp) -> f64 {
    at.ticks() as f64 / TICKS_PER_SECOND as f64
}
