//! GET and HEAD: the best answer that the replicas and handoffs of a partition give.

use http::{HeaderMap, Method, Response};

use super::{ClusterClient, NoAnswer, Target};
use crate::body::Body;

impl ClusterClient {
    /// Asks the replicas, then the handoffs, until one has what is asked for; otherwise gives the answer that most of them
    /// agree on, a 404 say.
    ///
    /// `headers` go to the nodes as they are. The body of an object is streamed and goes on at another replica if a node
    /// breaks off or stalls; if none is left it ends in an error, so that the client's connection has to be cut: it is
    /// never silently short. With `newest` all nodes are asked and the newest version is given (and not resumed).
    ///
    /// # Errors
    /// When the nodes give neither a good answer nor agree on a bad one.
    pub async fn read(
        &self,
        method: Method,
        target: &Target<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
        newest: bool,
    ) -> Result<Response<Body>, NoAnswer> {
        let _ = (method, target, query, headers, newest);
        Err(NoAnswer { statuses: Vec::new() })
    }
}
