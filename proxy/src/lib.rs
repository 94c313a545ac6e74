//! The public face of the cluster. It knows no disk and no database: it parses what clients say, decides who may do
//! what, and asks the storage servers through `apus_base::client`.
//!
//! The way of a request: [`pipeline`] (one list of steps, in `middleware/`) → a face (`swift/`) → an operation (`ops/`)
//! → the cluster's client.

pub mod auth;
pub mod config;
pub mod context;
pub mod pipeline;
pub mod swift;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};

use apus_base::body::Body;
use apus_base::clock::Clock;
use apus_base::cluster::Cluster;
use apus_base::serve::Service;

pub use config::Config;

/// What all requests share.
pub struct Proxy {
    /// How to behave.
    pub config: Config,
    /// What the whole cluster agrees on: the salt and the storage policies.
    pub cluster: Cluster,
    /// Where the versions of writes come from.
    pub clock: Arc<Clock>,
}

impl Service for Proxy {
    async fn call(&self, mut request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        request.extensions_mut().insert(pipeline::Peer(peer));
        pipeline::answer(self, request).await
    }
}
