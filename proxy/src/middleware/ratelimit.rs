//! Lets nobody through who asks too often, see [`ratelimit`](crate::ratelimit).

use http::{Request, Response, StatusCode};

use apus_base::body::Body;

use crate::Proxy;
use crate::pipeline::{Answer, Next};
use crate::ratelimit::{Limited, pass};
use crate::swift::bulk::Bulk;
use crate::swift::path;
use crate::swift::response::text_html;

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let resource = path::parse(request.uri().path(), &proxy.config.constraints.valid_api_versions);
    // Each of many operations counts as one, when its turn comes.
    let is_bulk = Bulk::asked(request.method(), request.uri().query()).is_some();
    let Some(resource) = resource.ok().filter(|_| !is_bulk) else {
        return next.run(request);
    };
    Box::pin(async move {
        match pass(proxy, &request.method().clone(), &resource).await {
            Ok(()) => next.run(request).await,
            Err(limited) => refusal(limited),
        }
    })
}

fn refusal(limited: Limited) -> Response<Body> {
    text_html(status(limited), limited.to_string())
}

/// Swift's own statuses.
pub fn status(limited: Limited) -> StatusCode {
    let status = match limited {
        Limited::Blacklisted => 497,
        Limited::TooFast => 498,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::TOO_MANY_REQUESTS)
}
