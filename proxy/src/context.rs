//! What is known of a request beside its HTTP: it travels in the request's extensions.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::Identity;

/// Set by the outermost step; the steps behind it fill in what they learn.
#[derive(Clone, Debug)]
pub struct Context {
    /// The transaction's id, `tx…`, in every log line and every backend request.
    pub trans_id: String,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Who asks, when a token said so.
    pub identity: Option<Arc<Identity>>,
}
