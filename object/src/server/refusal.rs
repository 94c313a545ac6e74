//! Why a request is not answered with success, and the response that says so.

use apus_base::body::{Body, BodyError};
use apus_base::fs::QueueError;
use apus_base::serve::plain;
use apus_base::timestamp::Timestamp;
use apus_base::wire::{TOO_MANY_BACKEND_REQUESTS, header};
use http::{HeaderValue, Response, StatusCode};

use crate::store::StoreError;

/// A request that fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// What the proxy sent is wrong, or not wanted now: a status and a sentence.
    #[error("{1}")]
    Plain(StatusCode, String),
    /// There is something at least as new (409).
    #[error("there is a version of {0} here")]
    Conflict(Timestamp),
    /// There is no object; the timestamp is its deletion's or its expiry's (404).
    #[error("there is no such object")]
    NotFound(Option<Timestamp>),
    /// There is no object, and `If-Match: *` wants one (412).
    #[error("there is no object to match")]
    NothingMatches(Option<Timestamp>),
    /// Another object has the same hash (403).
    #[error("the path does not match the one stored in the object's metadata")]
    Collision,
    /// The body did not arrive.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        Self::Store(error.into())
    }
}

/// Swift's status for a client that went away.
fn client_disconnect() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl Refusal {
    /// 400.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::Plain(StatusCode::BAD_REQUEST, text.into())
    }

    /// 412.
    pub(super) fn precondition(text: &str) -> Self {
        Self::Plain(StatusCode::PRECONDITION_FAILED, text.to_owned())
    }

    /// 499: the body is not all there.
    pub(super) fn incomplete(text: &str) -> Self {
        Self::Plain(client_disconnect(), text.to_owned())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Plain(status, _) => *status,
            Self::Conflict(_) | Self::Store(StoreError::Fenced(_)) => StatusCode::CONFLICT,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NothingMatches(_) => StatusCode::PRECONDITION_FAILED,
            Self::Collision => StatusCode::FORBIDDEN,
            Self::Body(BodyError::Stalled(_)) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::TooLong(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) => client_disconnect(),
            Self::Store(error) if error.is_insufficient_storage() => StatusCode::INSUFFICIENT_STORAGE,
            Self::Store(StoreError::Queue(QueueError::Overloaded)) => TOO_MANY_BACKEND_REQUESTS,
            Self::Store(StoreError::Changing) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The response. What is the disk's fault is logged here, once.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = plain(self.status(), self.to_string());
        let (newest, fence, version) = match self {
            Self::Store(StoreError::Fenced(fence)) => (Some(fence), Some(fence), None),
            // What a ballot has made is as good as its fence.
            Self::Conflict(newest) if newest.is_ballot() => (Some(newest), Some(newest), Some(newest)),
            Self::Conflict(newest) => (Some(newest), None, None),
            Self::NotFound(newest) | Self::NothingMatches(newest) => (newest, None, None),
            // Of these come many, and whoever is answered so counts them.
            Self::Store(StoreError::Queue(QueueError::Overloaded)) => (None, None, None),
            Self::Store(error) => {
                tracing::warn!(%error, "a request failed");
                (None, None, None)
            }
            _ => (None, None, None),
        };
        let stamps =
            [(header::BACKEND_TIMESTAMP, newest), (header::FENCE, fence), (header::BACKEND_DATA_TIMESTAMP, version)];
        for (name, timestamp) in stamps {
            if let Some(Ok(value)) = timestamp.map(|timestamp| HeaderValue::from_str(&timestamp.internal())) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_too_much_to_do_is_busy_and_not_broken() {
        let status = |error: QueueError| Refusal::from(error).into_response().status().as_u16();
        assert_eq!((status(QueueError::Overloaded), status(QueueError::Panicked)), (529, 500));
    }
}
