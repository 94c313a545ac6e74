//! Uploads by a form of a web page: each file of a signed form is stored as an object.
//!
//! ```text
//! POST /v1/a/c/[prefix]      multipart/form-data: redirect, max_file_size, max_file_count, expires, signature, ...
//! signed:  /v1/a/c/[prefix] \n <redirect> \n <max_file_size> \n <max_file_count> \n <expires>
//! ```
//!
//! Fields count for the files that come after them. Files are stored one by one while they arrive; when one fails, those
//! before it stay, and what comes after it is not read. The key that signed says in which container or account the form
//! may write.

mod attributes;
pub(crate) mod form;

use http::header::{CONTENT_TYPE, HOST, LOCATION, REFERER, TRANSFER_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use apus_base::body::{self, Body};
use apus_base::clock;

use super::signature::{Digest, Key, digests_info, keys};
use super::with_target;
use crate::Proxy;
use crate::context::Context;
use crate::ops::headers::pick;
use crate::pipeline::{Answer, Next};
use crate::swift::response::{QUOTED, page, text_plain, unauthorized};
use crate::swift::{body_status, path};
use attributes::{Attributes, Refused};
use form::{Broken, Form, Part, Reason};

/// As much of a field as counts.
const MAX_VALUE_BYTES: usize = 4096;

/// The table `[proxy.formpost]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether forms are taken.
    pub enabled: bool,
    /// What a signature may be built on.
    pub allowed_digests: Vec<Digest>,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, allowed_digests: Digest::all() }
    }
}

/// What `/info` says.
pub(super) fn info(proxy: &Proxy) -> Option<Value> {
    let config = Some(&proxy.config.formpost).filter(|config| config.enabled)?;
    Some(digests_info(&config.allowed_digests))
}

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let is_post = proxy.config.formpost.enabled && request.method() == Method::POST;
    let Some(boundary) = boundary(request.headers()).filter(|_| is_post) else {
        return next.run(request);
    };
    Box::pin(async move {
        let (parts, body) = request.into_parts();
        let keys = match keys_for(proxy, &parts).await {
            Ok(keys) => keys,
            Err(refusal) => return *refusal,
        };
        let mut upload = Upload { proxy, next, parts: &parts, keys, attributes: Attributes::default() };
        match upload.run(Form::new(body, &boundary)).await {
            Ok(outcome) => outcome.into_response(upload.attributes.get("redirect")),
            Err(stopped) => stopped.into_response(),
        }
    })
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    multer::parse_boundary(headers.get(CONTENT_TYPE)?.to_str().ok()?).ok().filter(|boundary| !boundary.is_empty())
}

/// The keys that may have signed; none for what is no container or in none.
async fn keys_for(proxy: &Proxy, parts: &Parts) -> Result<Vec<Key>, Box<Response<Body>>> {
    let Ok(resource) = path::parse(parts.uri.path(), &proxy.config.constraints.valid_api_versions) else {
        return Ok(Vec::new());
    };
    let Some(container) = resource.container() else {
        return Ok(Vec::new());
    };
    keys(proxy, resource.account(), container).await.map_err(|reason| {
        tracing::warn!(%reason, "the keys of a form cannot be read");
        Box::new(page(StatusCode::SERVICE_UNAVAILABLE))
    })
}

/// Why a form is given up at once, without the redirect that it asked for.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl Stopped {
    fn into_response(self) -> Response<Body> {
        let text = format!("FormPost: {self}");
        match self {
            Self::Refused(Refused::Unauthorized(_)) => {
                let mut response = unauthorized(None);
                *response.body_mut() = body::full(text);
                response
            }
            Self::Broken(Broken::Body(reason)) => page(body_status(&reason)),
            Self::Refused(Refused::Invalid(_)) | Self::Broken(_) => text_plain(StatusCode::BAD_REQUEST, text),
        }
    }
}

/// What came of a form: the answer to its last file.
struct Outcome {
    status: StatusCode,
    /// Why, where the files have nothing to say.
    message: &'static str,
    /// What a refused file was answered.
    body: Body,
}

impl Outcome {
    fn refused(message: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message, body: body::empty() }
    }

    fn into_response(self, redirect: &str) -> Response<Body> {
        if !redirect.is_empty() {
            return redirected(redirect, self.status, self.message);
        }
        let mut text = format!("{} {}", self.status.as_u16(), self.status.canonical_reason().unwrap_or_default());
        if !self.message.is_empty() {
            text = format!("{text}\r\nFormPost: {}", titled(self.message));
        }
        let mut response = text_plain(self.status, text);
        if !self.status.is_success() && !http_body::Body::is_end_stream(&self.body) {
            *response.body_mut() = self.body;
        }
        response
    }
}

/// Every word with a capital.
fn titled(text: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        format!("{}{rest}", first.to_uppercase())
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn redirected(redirect: &str, status: StatusCode, message: &str) -> Response<Body> {
    let and = if redirect.contains('?') { '&' } else { '?' };
    let url = format!("{redirect}{and}status={}&message={}", status.as_u16(), utf8_percent_encode(message, QUOTED));
    let Ok(location) = HeaderValue::try_from(&url) else {
        return text_plain(StatusCode::BAD_REQUEST, "FormPost: redirect not a URL");
    };
    // A form without files is not signed, so its redirect may be anybody's.
    let link = url.replace('"', "%22").replace('<', "%3C").replace('>', "%3E");
    let text = format!("<html><body><p><a href=\"{link}\">Click to continue...</a></p></body></html>");
    let mut response = Response::new(body::full(text));
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    response
}

/// A form on its way through.
struct Upload<'a> {
    proxy: &'a Proxy,
    next: Next<'a>,
    parts: &'a Parts,
    keys: Vec<Key>,
    attributes: Attributes,
}

impl Upload<'_> {
    async fn run(&mut self, mut form: Form) -> Result<Outcome, Stopped> {
        let (mut outcome, mut files) = (Outcome::refused("no files to process"), 0);
        while let Some(part) = form.next().await? {
            let Some(file_name) = file_name(&part) else {
                let name = part.field().name().map(str::to_owned);
                let value = part.text(MAX_VALUE_BYTES).await?;
                self.attributes.set(name.as_deref().unwrap_or_default(), &value);
                continue;
            };
            files += 1;
            if files > self.attributes.max_file_count()? {
                return Ok(Outcome::refused("max file count exceeded"));
            }
            outcome = self.store(part, &file_name).await?;
            if !outcome.status.is_success() {
                break;
            }
        }
        Ok(outcome)
    }

    /// Stores a file, unless the form may not.
    async fn store(&self, part: Part, file_name: &str) -> Result<Outcome, Stopped> {
        if self.keys.is_empty() {
            return Err(Refused::Unauthorized("Invalid Signature").into());
        }
        let max_bytes = self.attributes.max_file_size()?;
        let mut headers = self.attributes.headers(part.field().headers())?;
        let allowed = &self.proxy.config.formpost.allowed_digests;
        let path = percent_decode_str(self.parts.uri.path()).decode_utf8_lossy();
        let grant = self.attributes.grant(&path, &self.keys, allowed, clock::now().secs())?;
        let max_bytes = max_bytes.ok_or(Broken::TooLarge)?;
        headers.extend(pick(&self.parts.headers, |name| [HOST, REFERER, USER_AGENT].contains(name)));
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        let broken = Reason::default();
        let mut request = Request::new(part.into_file(max_bytes, broken.clone()));
        *request.method_mut() = Method::PUT;
        *request.uri_mut() =
            with_target(&self.parts.uri, &self.target(file_name)).ok_or(Refused::Invalid("filename too long"))?;
        *request.headers_mut() = headers;
        *request.extensions_mut() = self.parts.extensions.clone();
        if let Some(context) = request.extensions_mut().get_mut::<Context>() {
            context.grant = Some(grant);
        }
        let response = self.next.run(request).await;
        match broken.take() {
            Some(broken) => Err(broken.into()),
            None => Ok(Outcome { status: response.status(), message: "", body: response.into_body() }),
        }
    }

    /// The path of a file's object: its name stands right behind what the form was sent to.
    fn target(&self, file_name: &str) -> String {
        let path = self.parts.uri.path();
        let plain = percent_decode_str(path).decode_utf8_lossy();
        let slash = if plain.ends_with('/') || plain.matches('/').count() >= 4 { "" } else { "/" };
        format!("{path}{slash}{}", utf8_percent_encode(file_name, QUOTED))
    }
}

/// The name of the file that a part is; other parts are fields.
fn file_name(part: &Part) -> Option<String> {
    part.field().file_name().filter(|name| !name.is_empty()).map(str::to_owned)
}
