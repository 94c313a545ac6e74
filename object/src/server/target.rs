//! What a request is about: the object, where it is, and the request's timestamp.

use std::sync::Arc;

use apus_base::clock;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::{BackendPath, header, is_yes};
use http::{HeaderMap, StatusCode, Uri};

use super::Server;
use super::refusal::Refusal;
use crate::store::{Location, StoreError};

/// The object of a request.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) location: Location,
    pub(super) account: String,
    pub(super) container: String,
    pub(super) object: String,
}

impl Target {
    /// Reads a request's path and policy, and looks whether the device is there.
    pub(super) fn parse(server: &Server, uri: &Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        let path = BackendPath::parse(uri.path()).map_err(|e| Refusal::bad_request(e.to_string()))?;
        let (Some(container), Some(object)) = (path.container, path.object) else {
            return Err(Refusal::bad_request("Invalid path: expected /device/partition/account/container/object"));
        };
        let policy = policy(server, headers)?;
        let device = server.devices.get(&path.device).map_err(StoreError::from)?;
        let hash = server.cluster.hash_path.object(&path.account, &container, &object);
        let name = format!("/{}/{container}/{object}", path.account);
        let location = Location { device: Arc::clone(&device), policy, partition: path.partition, hash, name };
        Ok(Self { location, account: path.account, container, object })
    }
}

fn policy(server: &Server, headers: &HeaderMap) -> Result<PolicyIndex, Refusal> {
    let Some(text) = text(headers, header::POLICY_INDEX) else {
        return Ok(PolicyIndex(0));
    };
    let known = text.trim().parse().ok().map(PolicyIndex).filter(|p| server.cluster.policies.get(*p).is_some());
    known.ok_or_else(|| Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, format!("No policy with index {text}")))
}

/// A header's value, when it is there and is UTF-8.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| std::str::from_utf8(v.as_bytes()).ok())
}

/// Whether a header says yes, as Swift's `config_true_value` has it.
pub(super) fn is_true(headers: &HeaderMap, name: &str) -> bool {
    text(headers, name).is_some_and(|value| is_yes(value.trim()))
}

/// `X-Timestamp`, which a write needs.
pub(super) fn timestamp(headers: &HeaderMap) -> Result<Timestamp, Refusal> {
    let text = text(headers, header::TIMESTAMP).ok_or_else(|| Refusal::bad_request("Missing X-Timestamp header"))?;
    text.trim().parse().map_err(|_| Refusal::bad_request(format!("Invalid X-Timestamp header: {text}")))
}

/// `X-Timestamp`, or now: the time at which a read asks whether an object has expired.
pub(super) fn timestamp_or_now(headers: &HeaderMap) -> Result<Timestamp, Refusal> {
    if headers.contains_key(header::TIMESTAMP) { timestamp(headers) } else { Ok(clock::now()) }
}

/// Whether the request may see objects that have expired.
pub(super) fn opens_expired(headers: &HeaderMap) -> bool {
    is_true(headers, "x-backend-open-expired") || is_true(headers, "x-backend-replication")
}
