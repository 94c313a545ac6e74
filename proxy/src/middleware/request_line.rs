//! Refuses request lines that are too long, whatever they are for.

use http::{Request, StatusCode};

use apus_base::body::Body;

use crate::Proxy;
use crate::pipeline::{Answer, Next};
use crate::swift::response::page;

/// What a request line has beside its method and its target: two spaces, `HTTP/1.1`, and the end of the line.
const LINE_OVERHEAD: usize = 12;

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let length = request.method().as_str().len() + target.len() + LINE_OVERHEAD;
    if length < proxy.config.constraints.max_request_line {
        return next.run(request);
    }
    Box::pin(std::future::ready(page(StatusCode::URI_TOO_LONG)))
}
