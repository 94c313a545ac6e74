//! Swift's container server protocol: `/<device>/<partition>/<account>/<container>[/<object>]`.
//!
//! Containers are in `container`, rows in `row`, what a device has in `inventory`, and the telling of account servers in `account`. Everything that is
//! refused is a [`Refusal`], answered here.

mod account;
mod container;
mod inventory;
mod misplaced;
mod row;

use std::net::SocketAddr;
use std::sync::Arc;

use apus_base::body::Body;
use apus_base::db::{Info, Kind};
use apus_base::hash_path::PathHash;
use apus_base::listing::request::{self, set};
use apus_base::listing::{Refusal, Target, describe, redundancy};
use apus_base::serve::Service;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use tokio::sync::Semaphore;

use crate::Shared;
use crate::report::Reporter;
use crate::store::{self, ContainerName};

/// Batches of rows in memory at once; further ones are told to come again. With [`row::MAX_BATCH_BYTES`] this is 64 MiB.
const MAX_BATCHES: usize = 16;

/// The server of one process.
pub struct ContainerServer {
    shared: Shared,
    reporter: Arc<Reporter>,
    batches: Semaphore,
}

/// A request for one container, with its path read.
struct Asked {
    device: String,
    name: ContainerName,
    object: Option<String>,
    headers: HeaderMap,
    query: String,
}

impl ContainerServer {
    /// A server that tells `reporter` what changes.
    pub fn new(shared: Shared, reporter: Arc<Reporter>) -> Self {
        Self { shared, reporter, batches: Semaphore::new(MAX_BATCHES) }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        if request.method().as_str() == "UPDATE" {
            return self.update(request).await;
        }
        match *request.method() {
            Method::GET if Self::is_about_misplaced(request.uri()) => {
                return self.misplaced(&request.into_parts().0.uri).await;
            }
            Method::DELETE if Self::is_about_misplaced(request.uri()) => {
                return self.misplaced_noted(&request.into_parts().0.uri).await;
            }
            _ => {}
        }
        if request.method() == Method::GET && Target::device_of(request.uri()).is_ok() {
            return self.inventory(&request.into_parts().0.uri).await;
        }
        let (head, _) = request.into_parts();
        if head.method == Method::GET && head.uri.path().starts_with("/recon/") {
            return self.about(&head.uri).await;
        }
        let asked = Asked::new(Target::parse(&head.uri)?, head.headers, head.uri.query().unwrap_or_default())?;
        match (head.method, asked.object.is_some()) {
            (Method::PUT, false) => self.put(asked).await,
            (Method::POST, false) => self.post(asked).await,
            (Method::DELETE, false) => self.delete(asked).await,
            (Method::HEAD, false) => self.head(asked).await,
            (Method::GET, false) => self.get(asked).await,
            (Method::PUT, true) => self.put_row(asked).await,
            (Method::DELETE, true) => self.delete_row(asked).await,
            _ => Err(Refusal::Method),
        }
    }

    /// What operators ask of what is stored.
    async fn about(&self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let Shared { databases, cluster, .. } = &self.shared;
        if uri.path().starts_with(describe::PATH) {
            return describe::description(databases, uri, Kind::Container, &cluster.hash_path, store::is_deleted).await;
        }
        redundancy::holdings(databases, uri, Kind::Container, store::is_deleted).await
    }
}

impl Service for ContainerServer {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        self.answer(request).await.unwrap_or_else(Refusal::into_response)
    }
}

impl Asked {
    fn new(target: Target, headers: HeaderMap, query: &str) -> Result<Self, Refusal> {
        let Target { device, account, container, object } = target;
        let container = container.ok_or_else(|| Refusal::BadRequest("Invalid path: no container".into()))?;
        Ok(Self { device, name: ContainerName { account, container }, object, headers, query: query.to_owned() })
    }

    fn timestamp(&self) -> Result<Timestamp, Refusal> {
        request::timestamp(&self.headers)
    }
}

/// The headers that tell a container's state. Of a deleted one only what servers among themselves need.
fn info_headers(headers: &mut HeaderMap, info: Option<&Info>, deleted: bool) {
    let time = |pick: fn(&Info) -> Timestamp| info.map_or(Timestamp::ZERO, pick);
    set(headers, header::BACKEND_TIMESTAMP, time(|info| info.created_at).internal());
    set(headers, "x-backend-put-timestamp", time(|info| info.put_timestamp).internal());
    set(headers, "x-backend-delete-timestamp", time(|info| info.delete_timestamp).internal());
    set(headers, "x-backend-status-changed-at", time(|info| info.status_changed_at).internal());
    set(headers, header::POLICY_INDEX, info.map_or(0, |info| info.policy.0));
    if let Some(info) = info {
        set(headers, header::LISTING_STATE, PathHash(info.state));
    }
    if let Some(info) = info.filter(|_| !deleted) {
        let stats = info.of_policy(info.policy);
        set(headers, "x-container-object-count", stats.rows);
        set(headers, "x-container-bytes-used", stats.bytes);
        set(headers, header::TIMESTAMP, info.created_at.normal());
        set(headers, "x-put-timestamp", info.put_timestamp.normal());
        set(headers, "x-backend-sharding-state", "unsharded");
        set(headers, "last-modified", info.put_timestamp.http_date());
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
}

#[cfg(test)]
mod tests;
