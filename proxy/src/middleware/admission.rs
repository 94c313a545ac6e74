//! Lets in as many requests as are worked on at once, see [`admission`].

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};

use apus_base::body::Body;

use crate::pipeline::{Answer, Next};
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::swift::response::page;
use crate::{Proxy, admission, s3};

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    Box::pin(async move {
        match proxy.admission.enter().await {
            Ok(place) => next.run(request.map(|body| place.upload(body))).await,
            Err(admission::Refused) => refusal(proxy, &request.into_parts().0),
        }
    })
}

/// 503 in the words of the face that is asked.
fn refusal(proxy: &Proxy, parts: &Parts) -> Response<Body> {
    let mut response =
        s3::refuse(proxy, parts, Fault::new(Code::SlowDown)).unwrap_or_else(|| page(StatusCode::SERVICE_UNAVAILABLE));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(admission::RETRY_AFTER.as_secs()));
    response
}
