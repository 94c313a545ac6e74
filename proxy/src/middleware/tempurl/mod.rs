//! Signed URLs: whoever has one may do one thing with one object, or with all whose names begin alike, until it expires.
//!
//! ```text
//! /v1/a/c/o?temp_url_sig=<signature>&temp_url_expires=<seconds, or ISO 8601>
//!          [&temp_url_prefix=<prefix>][&temp_url_ip_range=<range>][&filename=<name>][&inline]
//! signed:  [ip=<range>\n] <method> \n <seconds> \n [prefix:]/v1/a/c/<object or prefix>
//! ```
//!
//! HEAD is allowed with whatever allows GET, PUT or POST. What does not hold is 401, and says no more than that. A good
//! signature becomes a [`Grant`] in the request's context, which takes the place of all other rights behind this step;
//! of its query nothing goes further.

mod asked;
mod headers;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::{self, Body};
use apus_base::client::NoAnswer;
use apus_base::clock;

use super::signature::{Digest, Signature, digests_info, keys};
use super::staticweb::Generated;
use super::with_target;
use crate::Proxy;
use crate::context::{Context, Grant};
use crate::ops::resource::Resource;
use crate::pipeline::{Answer, Next};
use crate::swift::path;
use crate::swift::response::{QUOTED, page, text_html, unauthorized};
use asked::Asked;

/// Headers that point elsewhere: with one, a signature for a write would become one for a read of something else.
const POINTERS: [(&str, &str); 3] = [
    ("x-object-manifest", "X-Object-Manifest"),
    ("x-symlink-target", "X-Symlink-Target"),
    ("x-copy-from", "X-Copy-From"),
];

/// The table `[proxy.tempurl]`. A `*` at the end of a header's name stands for any ending.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether signed URLs are known at all.
    pub enabled: bool,
    /// What they may be for.
    pub methods: Vec<String>,
    /// What a signature may be built on.
    pub allowed_digests: Vec<Digest>,
    /// Headers that are taken out of requests.
    pub incoming_remove_headers: Vec<String>,
    /// Exceptions to that.
    pub incoming_allow_headers: Vec<String>,
    /// Headers that are taken out of answers.
    pub outgoing_remove_headers: Vec<String>,
    /// Exceptions to that.
    pub outgoing_allow_headers: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            enabled: true,
            methods: list(&["GET", "HEAD", "PUT", "POST", "DELETE"]),
            allowed_digests: Digest::all(),
            incoming_remove_headers: list(&["x-timestamp", "x-open-expired"]),
            incoming_allow_headers: Vec::new(),
            outgoing_remove_headers: list(&["x-object-meta-*"]),
            outgoing_allow_headers: list(&["x-object-meta-public-*"]),
        }
    }
}

/// What `/info` says.
pub(super) fn info(proxy: &Proxy) -> Option<Value> {
    let config = Some(&proxy.config.tempurl).filter(|config| config.enabled)?;
    let mut info = digests_info(&config.allowed_digests);
    info["methods"] = json!(config.methods);
    info["incoming_remove_headers"] = json!(config.incoming_remove_headers);
    info["incoming_allow_headers"] = json!(config.incoming_allow_headers);
    info["outgoing_remove_headers"] = json!(config.outgoing_remove_headers);
    info["outgoing_allow_headers"] = json!(config.outgoing_allow_headers);
    Some(info)
}

/// In the extensions of a request that came with a signature for a prefix: what makes links to its neighbours, which the
/// same signature covers.
#[derive(Clone, Debug)]
pub(super) struct SignedPrefix {
    /// The prefix.
    pub(super) prefix: String,
    /// The parameters of a neighbour's URL, percent-encoded.
    pub(super) parameters: Vec<String>,
}

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let asked = Asked::parse(request.uri().query().unwrap_or_default());
    if !proxy.config.tempurl.enabled || request.method() == Method::OPTIONS || !asked.is_signed() {
        return next.run(request);
    }
    Box::pin(async move {
        let (parts, body) = request.into_parts();
        match check(proxy, &parts, &asked).await {
            Ok(permit) => answer(proxy, Request::from_parts(parts, body), next, &asked, permit).await,
            Err(refused) => refused.into_response(),
        }
    })
}

/// Why a signed URL does not hold.
enum Refused {
    Invalid,
    /// A header that a signed write must not have.
    Pointer(&'static str),
    Unavailable(NoAnswer),
}

impl Refused {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::Invalid => {
                let mut response = unauthorized(None);
                *response.body_mut() = body::full("401 Unauthorized: Temp URL invalid\n");
                response
            }
            Self::Pointer(name) => {
                let text = format!("The header '{name}' is not allowed in this tempurl");
                text_html(StatusCode::BAD_REQUEST, text)
            }
            Self::Unavailable(reason) => {
                tracing::warn!(%reason, "the keys of a signed URL cannot be read");
                page(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }
}

/// What a good signature gives.
struct Permit {
    grant: Grant,
    /// In seconds since 1970.
    expires: u64,
    place: Place,
    /// For links, if it is for a prefix.
    prefix: Option<SignedPrefix>,
}

/// What a signed URL is about.
struct Place {
    account: String,
    container: String,
    /// Empty for the container itself, which only a static site can make something of.
    object: String,
}

impl Place {
    fn of(proxy: &Proxy, parts: &Parts, asked: &Asked) -> Option<Self> {
        if !proxy.config.tempurl.methods.iter().any(|method| method == parts.method.as_str()) {
            return None;
        }
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let whole_container = is_read && asked.prefix.as_deref() == Some("");
        // Only names below this version are ever signed.
        match path::parse(parts.uri.path(), &["v1".to_owned()]).ok()? {
            Resource::Object(name) if whole_container || !name.object.trim_matches('/').is_empty() => {
                let [account, container, object] =
                    [name.account, name.container, name.object].map(|part| part.to_string());
                Some(Self { account, container, object })
            }
            Resource::Container(account, container) if whole_container => {
                Some(Self { account, container, object: String::new() })
            }
            _ => None,
        }
    }

    /// The path that was signed, unless the prefix is another object's.
    fn signed_path(&self, asked: &Asked) -> Option<String> {
        let (kind, name) = match asked.prefix.as_deref() {
            None => ("", &*self.object),
            Some(prefix) => ("prefix:", self.object.starts_with(prefix).then_some(prefix)?),
        };
        Some(format!("{kind}/v1/{}/{}/{name}", self.account, self.container))
    }

    /// What a file that holds it is called.
    fn file_name(&self) -> &str {
        let name = self.object.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if name.is_empty() { &self.container } else { name }
    }
}

async fn check(proxy: &Proxy, parts: &Parts, asked: &Asked) -> Result<Permit, Refused> {
    let expires = asked.expires_at(clock::now().secs()).ok_or(Refused::Invalid)?;
    let allowed = &proxy.config.tempurl.allowed_digests;
    let signature = asked.signature.as_deref().and_then(|text| Signature::parse(text, allowed));
    let signature = signature.ok_or(Refused::Invalid)?;
    let place = Place::of(proxy, parts, asked).ok_or(Refused::Invalid)?;
    let peer = parts.extensions.get::<Context>().map(|context| context.peer.ip());
    let path = place.signed_path(asked).filter(|_| asked.allows(peer)).ok_or(Refused::Invalid)?;
    let keys = keys(proxy, &place.account, &place.container).await.map_err(Refused::Unavailable)?;
    let range = asked.ip_range().map(|range| format!("ip={range}\n")).unwrap_or_default();
    let covering: &[&str] =
        if parts.method == Method::HEAD { &["HEAD", "GET", "POST", "PUT"] } else { &[parts.method.as_str()] };
    let messages: Vec<String> = covering.iter().map(|method| format!("{range}{method}\n{expires}\n{path}")).collect();
    let signed_by = |key: &str| messages.iter().any(|message| signature.signs(message.as_bytes(), key.as_bytes()));
    let (_, grant) = keys.into_iter().find(|(key, _)| signed_by(key)).ok_or(Refused::Invalid)?;
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    if let Some((_, name)) = POINTERS.iter().find(|(name, _)| !is_read && parts.headers.contains_key(*name)) {
        return Err(Refused::Pointer(name));
    }
    let prefix = asked.prefix.clone().map(|prefix| signed_prefix(asked, prefix, &signature));
    Ok(Permit { grant, expires, place, prefix })
}

fn signed_prefix(asked: &Asked, prefix: String, signature: &Signature) -> SignedPrefix {
    let quoted = |text: &str| utf8_percent_encode(text, QUOTED).to_string();
    let mut parameters = vec![
        format!("temp_url_prefix={}", quoted(&prefix)),
        format!("temp_url_expires={}", quoted(asked.expires.as_deref().unwrap_or_default())),
        format!("temp_url_sig={}", signature.to_hex()),
    ];
    parameters.extend(asked.ip_range().map(|range| format!("temp_url_ip_range={}", quoted(range))));
    parameters.extend(asked.inline.then(|| "inline".to_owned()));
    SignedPrefix { prefix, parameters }
}

/// Runs what was signed and dresses its answer.
async fn answer(
    proxy: &Proxy,
    mut request: Request<Body>,
    next: Next<'_>,
    asked: &Asked,
    permit: Permit,
) -> Response<Body> {
    let config = &proxy.config.tempurl;
    headers::clean(request.headers_mut(), &config.incoming_remove_headers, &config.incoming_allow_headers);
    if let Some(context) = request.extensions_mut().get_mut::<Context>() {
        context.grant = Some(permit.grant);
    }
    if let Some(prefix) = permit.prefix {
        request.extensions_mut().insert(prefix);
    }
    forget_query(&mut request);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = next.run(request).await;
    headers::clean(response.headers_mut(), &config.outgoing_remove_headers, &config.outgoing_allow_headers);
    if is_read && response.status().is_success() {
        let is_page = response.extensions().get::<Generated>().is_some();
        if permit.place.object.is_empty() && !is_page {
            return Refused::Invalid.into_response();
        }
        let inline = asked.inline || is_page;
        headers::dress(response.headers_mut(), asked, inline, permit.place.file_name(), permit.expires);
    }
    response
}

/// What else the query says was not signed.
fn forget_query(request: &mut Request<Body>) {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::path).to_owned();
    if let Some(uri) = with_target(request.uri(), &path) {
        *request.uri_mut() = uri;
    }
}
