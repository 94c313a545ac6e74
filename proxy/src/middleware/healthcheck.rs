//! `/healthcheck`: what load balancers ask.

use http::{Request, StatusCode};

use apus_base::body::Body;

use crate::Proxy;
use crate::pipeline::{Answer, Next};
use crate::swift::response::text_plain;

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    if request.uri().path() != "/healthcheck" {
        return next.run(request);
    }
    Box::pin(async move {
        match &proxy.config.disable_path {
            Some(path) if tokio::fs::try_exists(path).await.unwrap_or(false) => {
                text_plain(StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE")
            }
            _ => text_plain(StatusCode::OK, "OK"),
        }
    })
}
