//! The object server: Swift's backend protocol in front of the store.
//!
//! One request is one of [`get`], [`put`], [`post`], [`delete`], [`rewrap`], [`fence`], or a COMMIT ([`hold`]); each asks the store through the device's queue, and those that
//! write then tell the container servers ([`update`], [`batch`]). Every failure is a [`Refusal`] and becomes a
//! response here, once.

mod batch;
mod check;
mod delete;
mod expiry;
mod fence;
mod footers;
mod get;
mod hold;
mod metrics;
mod post;
mod put;
mod redundancy;
mod refusal;
mod respond;
mod rewrap;
mod start;
mod stream;
mod sum;
mod target;
mod update;
mod upload;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use apus_base::body::Body;
use apus_base::client::pool::{Pool, Timeouts};
use apus_base::cluster::Cluster;
use apus_base::fs::Devices;
use apus_base::serve::{Backend, Limits, Service, Watch};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header;
use http::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use start::{StartError, check_device, close_journals, open_journals};

use crate::config::Config;
use crate::store::hot::HotObjects;
use crate::store::quarantine::Finder;
use crate::store::{Found, Location, read, redo};
use batch::Batches;
use metrics::Counters;
use refusal::Refusal;

/// What all requests share.
pub(crate) struct Server {
    config: Config,
    devices: Arc<Devices>,
    cluster: Arc<Cluster>,
    batches: Arc<Batches>,
    counters: Counters,
    hot: HotObjects,
    /// The bodies that wait for a COMMIT.
    held: hold::Held,
    /// The objects whose metadata are being rewritten.
    rewrapping: rewrap::Rewrapping,
}

/// Serves objects until `shutdown`, then finishes what is in flight.
///
/// Before the first request it removes what a killed process left in the devices' `tmp` folders. [`open_journals`] has to be over by then, and
/// [`close_journals`] comes after.
pub async fn serve(
    config: Config,
    devices: Arc<Devices>,
    cluster: Arc<Cluster>,
    watch: Watch,
    listener: TcpListener,
    shutdown: CancellationToken,
) {
    start::sweep(&devices).await;
    let held = hold::Held::default();
    let sweeping = [
        tokio::spawn(start::sweep_fences(Arc::clone(&devices))),
        tokio::spawn(start::checkpoint(Arc::clone(&devices), config.journal_bytes)),
        tokio::spawn(held.clone().sweep()),
    ];
    let limits =
        Limits { connections: config.max_connections, patience: config.client_timeout, grace: config.shutdown_grace };
    let pool = Pool::new(Timeouts { connect: config.conn_timeout, response: config.node_timeout }, &cluster);
    let batches = Arc::new(Batches::new(pool));
    let counters = Counters::registered(&watch.metrics, devices.counts());
    let hot = HotObjects::new(config.hot_bytes);
    let backend = Backend::new(&cluster, config.backend_ratelimit.clone(), &watch.metrics);
    let server = Arc::new(Shared(Arc::new(Server {
        config,
        devices,
        cluster,
        batches,
        counters,
        hot,
        held,
        rewrapping: Default::default(),
    })));
    apus_base::serve::serve_backend(listener, server, watch, limits, backend, shutdown).await;
    sweeping.iter().for_each(tokio::task::JoinHandle::abort);
}

impl Server {
    /// Opens an object and counts what that moved to quarantine. Blocking.
    fn open(&self, location: &Location, now: Timestamp, open_expired: bool) -> Result<Found, Refusal> {
        redo::open(&location.device, self.config.journal_bytes);
        let found = read::open(location, now, open_expired, Finder::Request)?;
        self.counters.quarantines.inc_by(u64::from(matches!(found, Found::Nothing { quarantined: true })));
        Ok(found)
    }
}

struct Shared(Arc<Server>);

impl Service for Shared {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        let server = Arc::clone(&self.0);
        let answered = match *request.method() {
            Method::GET if request.uri().path().starts_with("/recon/") => {
                redundancy::holdings(&server, request.uri()).await
            }
            Method::GET | Method::HEAD => get::get(&server, request).await,
            Method::PUT => put::put(server, request).await,
            Method::POST => post::post(server, request).await,
            Method::DELETE => delete::delete(server, request).await,
            ref method if method.as_str() == header::FENCE_METHOD => fence::fence(server, request).await,
            ref method if method.as_str() == header::RELEASE_METHOD => fence::release(server, request).await,
            ref method if method.as_str() == header::COMMIT_METHOD => hold::commit(server, request).await,
            ref method if method.as_str() == header::REWRAP => rewrap::rewrap(server, request).await,
            _ => Err(Refusal::Plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "The method is not allowed for this resource.".into(),
            )),
        };
        answered.unwrap_or_else(Refusal::into_response)
    }
}
