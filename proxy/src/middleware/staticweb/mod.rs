//! Containers as static sites: index pages, error pages, listings for people.
//!
//! A site is for those who show no token (or who ask for it with `X-Web-Mode: true`). What its owner wants is in the
//! container's metadata, `X-Container-Meta-Web-{Index,Error,Listings,Listings-CSS,Listings-Label,Directory-Type}`. One
//! request may become several, which go through the rest of the pipeline like the first, with the same rights: what a
//! visitor may not read is not shown.

mod html;
mod site;
mod url_base;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, REFERER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::{self, Body, BodyError};

use super::tempurl::SignedPrefix;
use super::{own_url, requoted, with_target};
use crate::Proxy;
use crate::auth::{self, Access};
use crate::constraints::is_true;
use crate::context::Context;
use crate::ops::headers::pick;
use crate::ops::resource::{ObjectName, Resource};
use crate::ops::rows::{BadListing, Rows};
use crate::pipeline::{Answer, Next};
use crate::swift::response::{QUOTED, page, text_html};
use crate::swift::{denied, path};
use html::{Page, Row, disabled};
use site::Site;
pub use url_base::{BadUrlBase, UrlBase};

/// A page up to this is sent with its length, a longer one in pieces.
const WHOLE_BYTES: usize = 256 * 1024;
/// An object of a folder's type up to this long stands for the folder.
const MAX_MARKER_BYTES: u64 = 1;

/// The table `[proxy.staticweb]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether containers can be sites.
    pub enabled: bool,
    /// What redirects begin with, where clients reach the cluster by another URL than it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_base: Option<UrlBase>,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, url_base: None }
    }
}

/// What `/info` says.
pub(super) fn info(proxy: &Proxy) -> Option<Value> {
    proxy.config.staticweb.enabled.then(|| json!({}))
}

/// In the extensions of a response that is a page made here and no object of the client's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generated;

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_known = request.extensions().get::<Context>().is_some_and(|context| context.identity.is_some());
    let web_mode = is_true(request.headers(), "x-web-mode");
    if !proxy.config.staticweb.enabled || !is_read || (is_known && !web_mode) {
        return next.run(request);
    }
    let resource = path::parse(request.uri().path(), &proxy.config.constraints.valid_api_versions);
    let Ok(resource) = resource else {
        return next.run(request);
    };
    let Some(container) = resource.container().map(str::to_owned) else {
        return next.run(request);
    };
    let (parts, _no_body) = request.into_parts();
    let visit = Visit { proxy, next, path: requoted(parts.uri.path()), parts, resource, container, web_mode };
    Box::pin(async move {
        match &visit.resource {
            Resource::Object(name) => visit.object(name).await,
            Resource::Account(_) | Resource::Container(..) => visit.container().await,
        }
    })
}

/// One request for something of a site.
struct Visit<'a> {
    proxy: &'a Proxy,
    next: Next<'a>,
    parts: Parts,
    resource: Resource,
    container: String,
    /// Of the request, in the one spelling in which it is shown.
    path: String,
    web_mode: bool,
}

impl Visit<'_> {
    async fn container(&self) -> Response<Body> {
        let site = self.site().await;
        let (account, container) = (self.resource.account(), Some(self.container.as_str()));
        let access = Access { method: &self.parts.method, account, container, object: None };
        if let Err(reason) = auth::authorize(self.proxy, &self.parts, access).await {
            return self.failed(&site, denied(reason, account)).await;
        }
        if !site.is_on() {
            return if self.web_mode { page(StatusCode::NOT_FOUND) } else { self.again(&self.target()).await };
        }
        if !self.path.ends_with('/') {
            return self.with_slash();
        }
        if site.index.is_empty() {
            return self.listing(&site, "").await;
        }
        let index = self.again(&format!("{}{}", self.path, quoted(&site.index))).await;
        match index.status() {
            StatusCode::NOT_FOUND => self.listing(&site, "").await,
            status if is_fine(status) => index,
            _ => self.failed(&site, index).await,
        }
    }

    async fn object(&self, name: &ObjectName) -> Response<Body> {
        let response = self.again(&self.target()).await;
        let site = self.site().await;
        let is_folder = is_fine(response.status()) && is_marker(&response, site.directory_type());
        let is_missing = is_folder || response.status() == StatusCode::NOT_FOUND;
        if !is_missing || !site.is_on() {
            return response;
        }
        drop(response);
        let has_slash = self.path.ends_with('/');
        if !site.index.is_empty() {
            let slash = if has_slash { "" } else { "/" };
            let index = self.again(&format!("{}{slash}{}", self.path, quoted(&site.index))).await;
            match index.status() {
                StatusCode::NOT_FOUND => {}
                status if is_fine(status) && !has_slash => return self.with_slash(),
                _ => return index,
            }
        }
        if has_slash {
            return self.listing(&site, &name.object).await;
        }
        let below = format!("{}?limit=1&delimiter=%2F&prefix={}", self.base(), quoted(&format!("{}/", name.object)));
        match rows(self.aside(Method::GET, &below).await).await {
            Ok(Ok(rows)) if !rows.is_empty() => self.with_slash(),
            _ => self.failed(&site, page(StatusCode::NOT_FOUND)).await,
        }
    }

    /// What the owner wants. A container that is missing or cannot be asked for is no site.
    async fn site(&self) -> Site {
        let info = self.proxy.client.container_info(self.resource.account(), &self.container).await;
        info.ok().and_then(|info| info.found().map(|info| Site::of(info))).unwrap_or_default()
    }

    /// The container's path.
    fn base(&self) -> &str {
        let end = self.path.match_indices('/').nth(3).map_or(self.path.len(), |(at, _)| at);
        &self.path[..end]
    }

    /// What was asked for.
    fn target(&self) -> String {
        self.parts.uri.path_and_query().map_or_else(|| self.path.clone(), ToString::to_string)
    }

    /// The same request about something else.
    async fn again(&self, target: &str) -> Response<Body> {
        self.ask(self.parts.method.clone(), target, self.parts.headers.clone()).await
    }

    /// A request beside the visitor's, without its conditions and ranges.
    async fn aside(&self, method: Method, target: &str) -> Response<Body> {
        self.ask(method, target, pick(&self.parts.headers, |name| [HOST, REFERER].contains(name))).await
    }

    async fn ask(&self, method: Method, target: &str, headers: HeaderMap) -> Response<Body> {
        let Some(uri) = with_target(&self.parts.uri, target) else {
            return page(StatusCode::NOT_FOUND);
        };
        let mut request = Request::new(body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = self.parts.version;
        *request.headers_mut() = headers;
        *request.extensions_mut() = self.parts.extensions.clone();
        self.next.run(request).await
    }

    /// An answer that went wrong, with the page that the owner has for it.
    async fn failed(&self, site: &Site, response: Response<Body>) -> Response<Body> {
        if site.error.is_empty() {
            return response;
        }
        let status = response.status();
        let target = format!("{}/{}{}", self.base(), status.as_u16(), quoted(&site.error));
        let mut own = self.aside(self.parts.method.clone(), &target).await;
        if !own.status().is_success() {
            return response;
        }
        *own.status_mut() = status;
        if let Some(challenge) = response.headers().get(WWW_AUTHENTICATE) {
            own.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
        }
        own
    }

    fn with_slash(&self) -> Response<Body> {
        let seen = own_url(self.proxy, &self.parts);
        let url = match &self.proxy.config.staticweb.url_base {
            Some(base) => base.replace(&seen),
            None => seen,
        };
        let mut response = page(StatusCode::MOVED_PERMANENTLY);
        if let Ok(location) = HeaderValue::try_from(format!("{url}{}/", self.path)) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }

    async fn listing(&self, site: &Site, folder: &str) -> Response<Body> {
        let path = percent_decode_str(&self.path).decode_utf8_lossy();
        let label = site.label(&path, path.splitn(5, '/').nth(4).unwrap_or_default());
        if !site.lists() {
            let missing = text_html(StatusCode::NOT_FOUND, disabled(site, &label, folder));
            return self.failed(site, missing).await;
        }
        let target = format!("{}?delimiter=%2F&prefix={}", self.base(), quoted(folder));
        let rows = match rows(self.aside(Method::GET, &target).await).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(reason)) => {
                tracing::warn!(%reason, "the listing of a site cannot be read");
                return page(StatusCode::SERVICE_UNAVAILABLE);
            }
            Err(refusal) => return self.failed(site, *refusal).await,
        };
        if rows.is_empty() && !folder.is_empty() {
            return self.failed(site, page(StatusCode::NOT_FOUND)).await;
        }
        let signed = self.parts.extensions.get::<SignedPrefix>().cloned();
        let page = Page { label, folder: folder.to_owned(), rows, signed };
        shown(page.pieces(site))
    }
}

fn quoted(name: &str) -> String {
    utf8_percent_encode(name, QUOTED).to_string()
}

fn is_fine(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// Whether it is an object that stands for a folder.
fn is_marker(response: &Response<Body>, directory_type: &str) -> bool {
    let headers = response.headers();
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == directory_type.as_bytes())
        && length <= MAX_MARKER_BYTES
}

/// Why rows of a listing did not arrive.
#[derive(Debug, thiserror::Error)]
enum NoRows {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Listing(#[from] BadListing),
}

/// The rows of a listing in JSON, as many as one has at most; the answer itself if it is none of a success.
async fn rows(response: Response<Body>) -> Result<Result<Vec<Row>, NoRows>, Box<Response<Body>>> {
    if response.status().is_success() { Ok(read_rows(response.into_body()).await) } else { Err(Box::new(response)) }
}

async fn read_rows(mut body: Body) -> Result<Vec<Row>, NoRows> {
    let (mut cutter, mut rows) = (Rows::default(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            cutter.feed(&piece, |text| {
                rows.push(serde_json::from_slice::<Row>(text).map_err(|_| BadListing::Row)?);
                Ok(())
            })?;
        }
    }
    cutter.end()?;
    rows.retain(|row| !row.is_reserved());
    Ok(rows)
}

/// The answer with a page.
fn shown(mut pieces: impl Iterator<Item = String> + Send + 'static) -> Response<Body> {
    let (mut start, mut ended) = (String::new(), false);
    while start.len() < WHOLE_BYTES && !ended {
        let piece = pieces.next();
        ended = piece.is_none();
        start.extend(piece);
    }
    let body = if ended {
        body::full(start)
    } else {
        let frames = std::iter::once(start).chain(pieces).map(|piece| Ok(Frame::data(Bytes::from(piece))));
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    response.extensions_mut().insert(Generated);
    response
}
