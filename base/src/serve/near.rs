//! A storage server as the other servers of its process see it: without a connection, and otherwise the same.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt as _;

use super::connection::Peer;
use super::{Server, Service, answer};
use crate::body::{Body, Patient};
use crate::near::{Answering, Answers};

/// A server that is asked by its own process.
pub(super) struct Neighbour<S> {
    server: Arc<Server<S>>,
    /// Who asks: somebody at the server's own address.
    peer: Peer,
}

impl<S> Neighbour<S> {
    pub(super) fn new(server: &Arc<Server<S>>, address: SocketAddr) -> Self {
        Self { server: Arc::clone(server), peer: Peer { address, secure: false, public: false } }
    }
}

impl<S: Service> Answers for Neighbour<S> {
    fn answer(self: Arc<Self>, request: Request<Body>) -> Answering {
        let patience = self.server.limits.patience;
        let request = request.map(|body| Patient::new(body, patience).boxed_unsync());
        Box::pin(async move { answer::answer(&self.server, request, self.peer).await })
    }
}
