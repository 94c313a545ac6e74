//! The answer to one request, whatever protocol it came in.

use std::time::Instant;

use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::connection::Peer;
use super::{Recon, Secure, Server, Service};
use crate::body::{self, Body};
use crate::metrics::Metrics;
use crate::wire::TOO_MANY_BACKEND_REQUESTS;

pub(super) async fn answer<S: Service>(server: &Server<S>, mut request: Request<Body>, peer: Peer) -> Response<Body> {
    if let Some(response) = own_paths::<S>(&request, &server.watch.metrics) {
        return response;
    }
    if let Some(recon) = &server.watch.recon
        && let Some(response) = of_recon(recon, &peer, request.method().clone(), request.uri().path().to_owned()).await
    {
        return response;
    }
    if peer.secure {
        request.extensions_mut().insert(Secure);
    }
    let (started, method) = (Instant::now(), request.method().clone());
    let in_flight = server.watch.metrics.enter();
    let allowed = server.backend.rates.as_ref().is_none_or(|rates| rates.allows(request.method(), request.uri()));
    let response = match allowed {
        true => server.service.call(request, peer.address).await,
        false => plain(
            TOO_MANY_BACKEND_REQUESTS,
            "The server is incapable of performing the requested operation due to too many requests. Slow down.",
        ),
    };
    server.watch.metrics.observe(&method, response.status().as_u16(), started.elapsed());
    drop(in_flight);
    response
}

/// What is the same on every role.
fn own_paths<S: Service>(request: &Request<Body>, metrics: &Metrics) -> Option<Response<Body>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    match request.uri().path() {
        "/metrics" => Some(text(metrics.render(), "application/openmetrics-text; version=1.0.0; charset=utf-8")),
        "/healthcheck" if !S::OWN_HEALTHCHECK => Some(plain(StatusCode::OK, "OK")),
        _ => None,
    }
}

/// What servers are asked about themselves.
async fn of_recon(recon: &Recon, peer: &Peer, method: Method, path: String) -> Option<Response<Body>> {
    match method {
        Method::GET | Method::HEAD if path.starts_with("/recon/") => recon.answer(&path).await,
        // Swift's tools tell by it which storage server answers on a port.
        Method::OPTIONS if !peer.public => {
            let mut response = Response::new(body::empty());
            let name = HeaderValue::from_str(&recon.server_name()).ok()?;
            response.headers_mut().insert(http::header::SERVER, name);
            Some(response)
        }
        _ => None,
    }
}

/// A response of a status and a short text, for servers whose peers are machines.
pub fn plain(status: StatusCode, content: impl Into<String>) -> Response<Body> {
    let mut response = text(content.into(), "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn text(content: String, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(content));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
