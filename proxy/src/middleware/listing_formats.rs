//! Listings in the form that the client wants: what stands behind always lists as JSON, and here it becomes text or XML.
//!
//! Rows are rendered as they arrive. Most listings end within `WHOLE_BYTES` and are sent with their length; longer
//! ones go out in pieces and are never held whole.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context as Poller, Poll, ready};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use apus_base::body::{self, Body, BodyError};

use super::accept::{self, Format, NoFormat};
use super::render::{Listed, Renderer};
use super::{vary, with_target};
use crate::Proxy;
use crate::ops::resource::Resource;
use crate::ops::rows::{BadListing, Rows, are_plain};
use crate::pipeline::{Answer, Next};
use crate::swift::listing::parameters;
use crate::swift::path;
use crate::swift::response::{page, text_html};

/// A rendered listing up to this is sent with its length.
const WHOLE_BYTES: usize = 256 * 1024;
/// The parameter that asks for a form.
const FORMAT: &str = "format";

/// The step.
pub fn step<'a>(proxy: &'a Proxy, mut request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let Some(listed) = listed(proxy, &request) else {
        return next.run(request);
    };
    let mut wanted = match Wanted::by(&request) {
        Ok(wanted) => wanted,
        Err(refusal) => return Box::pin(std::future::ready(*refusal)),
    };
    let only_json = is_of_versions(proxy, &listed, &request).then(|| wanted.takes_json(&request));
    ask_for_json(request.uri_mut());
    let is_head = request.method() == Method::HEAD;
    Box::pin(async move {
        let mut response = next.run(request).await;
        if !matches!(response.status(), StatusCode::OK | StatusCode::NO_CONTENT) {
            return response;
        }
        match only_json {
            Some(true) => wanted.format = Format::Json,
            Some(false) => return page(StatusCode::NOT_ACCEPTABLE),
            None => {}
        }
        if wanted.by_accept {
            vary(response.headers_mut(), "Accept");
        }
        let is_json = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/json");
        if !response.headers().get(CONTENT_TYPE).is_some_and(is_json) {
            return response;
        }
        let kind = format!("{}; charset=utf-8", wanted.format.media_type());
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        response.headers_mut().remove(CONTENT_LENGTH);
        if is_head {
            response.map(|_| body::empty())
        } else {
            rendered(response, Renderer::new(listed, wanted.format)).await
        }
    })
}

fn listed(proxy: &Proxy, request: &Request<Body>) -> Option<Listed> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    match path::parse(request.uri().path(), &proxy.config.constraints.valid_api_versions) {
        Ok(Resource::Account(account)) => Some(Listed::Account(account)),
        Ok(Resource::Container(_, container)) => Some(Listed::Container(container)),
        Ok(Resource::Object(_)) | Err(_) => None,
    }
}

/// Whether a request is for a listing of versions, which has no other form than JSON.
fn is_of_versions(proxy: &Proxy, listed: &Listed, request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    proxy.config.versioned_writes.allow_object_versioning
        && request.method() == Method::GET
        && matches!(listed, Listed::Container(_))
        && parameters(query).any(|(name, _)| name == "versions")
}

/// The form that a client wants.
struct Wanted {
    format: Format,
    /// Whether another `Accept` might have led to another answer.
    by_accept: bool,
}

impl Wanted {
    /// Whether JSON would do. Who names a form wants that one.
    fn takes_json(&self, request: &Request<Body>) -> bool {
        let accept = request.headers().get(ACCEPT).map_or("", |accept| accept.to_str().unwrap_or("?"));
        let query = request.uri().query().unwrap_or_default();
        let is_named = parameters(query).any(|(name, value)| name == FORMAT && !value.is_empty());
        self.format == Format::Json || (!is_named && accept::allows(accept, Format::Json))
    }

    fn by(request: &Request<Body>) -> Result<Self, Box<Response<Body>>> {
        let named = parameters(request.uri().query().unwrap_or_default()).find(|(name, _)| name == FORMAT);
        let by_accept = named.is_none();
        if let Some((_, name)) = named.filter(|(_, name)| !name.is_empty()) {
            let utf8 = std::str::from_utf8(&name);
            let bad = |_| Box::new(text_html(StatusCode::BAD_REQUEST, "\"format\" parameter not valid UTF-8"));
            return Ok(Self { format: Format::named(utf8.map_err(bad)?), by_accept });
        }
        let accept = request.headers().get(ACCEPT).map_or("", |accept| accept.to_str().unwrap_or("?"));
        let format = accept::best(accept).map_err(|no_format| match no_format {
            NoFormat::NotAcceptable => Box::new(page(StatusCode::NOT_ACCEPTABLE)),
            NoFormat::Malformed => Box::new(text_html(StatusCode::BAD_REQUEST, "Invalid Accept header")),
        })?;
        Ok(Self { format, by_accept })
    }
}

fn ask_for_json(uri: &mut Uri) {
    let is_other = |pair: &&str| !parameters(pair).any(|(name, _)| name == FORMAT);
    let query = uri.query().unwrap_or_default();
    let others: String =
        query.split('&').filter(|pair| !pair.is_empty()).filter(is_other).map(|p| format!("{p}&")).collect();
    // Where that makes it too long, it stays, and the face refuses it.
    if let Some(json) = with_target(uri, &format!("{}?{others}format=json", uri.path())) {
        *uri = json;
    }
}

async fn rendered(response: Response<Body>, renderer: Renderer) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let goes_on = are_plain(&head.headers) && renderer.goes_on_as_it_comes();
    let mut listing = Listing { body, rows: Rows::default(), renderer, goes_on, out: Vec::new(), ended: false };
    while !listing.ended && listing.out.len() < WHOLE_BYTES {
        if let Err(error) = poll_fn(|cx| listing.poll_more(cx)).await {
            tracing::warn!(%error, "a listing failed before its first bytes went out");
            return page(StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    let body = if listing.ended { body::full(listing.out) } else { listing.boxed_unsync() };
    if body.is_end_stream() {
        head.status = StatusCode::NO_CONTENT;
    }
    Response::from_parts(head, body)
}

/// A listing's rows on their way through.
struct Listing {
    body: Body,
    rows: Rows,
    renderer: Renderer,
    /// Whether no row has to be looked at.
    goes_on: bool,
    /// Rendered and not yet sent.
    out: Vec<u8>,
    ended: bool,
}

impl Listing {
    /// Renders what the next piece brings.
    fn poll_more(&mut self, cx: &mut Poller<'_>) -> Poll<Result<(), BodyError>> {
        let Self { body, rows, renderer, goes_on, out, ended } = self;
        let source = |error: BadListing| BodyError::Source(Box::new(error));
        Poll::Ready(match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(piece) if *goes_on => {
                    out.extend_from_slice(piece);
                    Ok(())
                }
                Some(piece) => rows.feed(piece, |row| renderer.row(row, out)).map_err(source),
                None => Ok(()),
            },
            Some(Err(error)) => Err(error),
            None => {
                *ended = true;
                if *goes_on {
                    return Poll::Ready(Ok(()));
                }
                renderer.end(out);
                rows.end().map_err(source)
            }
        })
    }
}

impl http_body::Body for Listing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while self.out.is_empty() && !self.ended {
            if let Err(error) = ready!(self.poll_more(cx)) {
                self.ended = true;
                self.out.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
        let out = std::mem::take(&mut self.out);
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(Bytes::from(out)))))
    }
}

#[cfg(test)]
mod tests;
