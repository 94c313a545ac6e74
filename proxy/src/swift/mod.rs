//! The Swift face: paths below `/v1` become operations on accounts, containers and objects.

use http::{Request, Response, StatusCode};

use apus_base::body::Body;

use crate::Proxy;

/// Answers a request that passed the whole pipeline.
pub async fn answer(_proxy: &Proxy, _request: Request<Body>) -> Response<Body> {
    apus_base::serve::plain(StatusCode::PRECONDITION_FAILED, "Bad URL")
}
