//! Requests of other clusters that keep a container like one of theirs: `X-Container-Sync-Auth: <realm> <nonce> <signature>`
//! takes the place of a token.
//!
//! The signature is an HMAC-SHA1 under the realm's key, which the clusters' operators share, of method, path, timestamp,
//! nonce and the container's own `X-Container-Sync-Key`, one in a line. It is for that one container, and what is written
//! has the version that it has in the other cluster.

mod target;

use std::collections::BTreeMap;

use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, Method, Request, Response, StatusCode};
use percent_encoding::{percent_decode_str, percent_encode, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::Body;
use apus_base::client::ContainerInfo;
use apus_base::timestamp::Timestamp;

use super::access_log::LogInfo;
use super::gatekeeper::INBOUND_TIMESTAMP;
use super::signature::{Digest, Signature};
use crate::Proxy;
use crate::auth::user::Secret;
use crate::context::{Context, Grant};
use crate::ops::resource::Resource;
use crate::pipeline::{Answer, Next};
use crate::swift::path;
use crate::swift::response::{QUOTED, text_html, text_plain};

const AUTH: HeaderName = HeaderName::from_static("x-container-sync-auth");
const SYNC_TO: HeaderName = HeaderName::from_static("x-container-sync-to");

/// The other clusters, the `[proxy.container_sync]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether containers may be synced to any URL, not only to `//realm/cluster/account/container`.
    pub allow_full_urls: bool,
    /// The hosts of those URLs that containers may be synced to.
    pub allowed_sync_hosts: Vec<String>,
    /// Which cluster this is, `//realm/cluster`, for `/info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The realms, by name; upper and lower case are the same.
    pub realms: BTreeMap<String, Realm>,
}

/// Clusters whose operators trust each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Realm {
    /// What they sign with.
    pub key: Secret,
    /// What they sign with too, while the key is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key2: Option<Secret>,
    /// Where each cluster is reached.
    #[serde(default)]
    pub clusters: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_full_urls: true,
            allowed_sync_hosts: vec!["127.0.0.1".into()],
            current: None,
            realms: BTreeMap::new(),
        }
    }
}

impl Config {
    fn realm(&self, name: &str) -> Option<&Realm> {
        self.realms.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, realm)| realm)
    }
}

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let headers = request.headers();
    if !headers.contains_key(AUTH) && !headers.contains_key(SYNC_TO) {
        return next.run(request);
    }
    let resource = path::parse(request.uri().path(), &proxy.config.constraints.valid_api_versions);
    let Some(resource) = resource.ok().filter(|resource| resource.container().is_some()) else {
        return next.run(request);
    };
    Box::pin(async move {
        let (mut parts, body) = request.into_parts();
        let account = resource.account();
        let info = proxy.client.container_info(account, resource.container().unwrap_or_default()).await.ok();
        let info = info.as_ref().and_then(|info| info.found()).map(AsRef::as_ref);
        if let Err(refusal) = check_target(proxy, &parts, &resource, info) {
            return *refusal;
        }
        let Some(auth) = parts.headers.get(AUTH).cloned() else {
            return next.run(Request::from_parts(parts, body)).await;
        };
        match verify(proxy, &parts, &auth, info) {
            Err(reason) => logged(refusal(account), reason),
            Ok(()) => match grant(&mut parts, &resource) {
                Err(refusal) => *refusal,
                Ok(()) => logged(next.run(Request::from_parts(parts, body)).await, "cs:valid"),
            },
        }
    })
}

/// Refuses to sync a container to where it must not go.
fn check_target(
    proxy: &Proxy,
    parts: &Parts,
    resource: &Resource,
    info: Option<&ContainerInfo>,
) -> Result<(), Box<Response<Body>>> {
    let Some(to) = parts.headers.get(SYNC_TO).filter(|to| !to.is_empty()) else {
        return Ok(());
    };
    let sets = matches!(resource, Resource::Container(..)) && matches!(parts.method, Method::PUT | Method::POST);
    let is_versioned = info.is_some_and(|info| info.sysmeta.get("versions-container").is_some_and(|c| !c.is_empty()));
    if sets && is_versioned {
        let text = "Cannot configure container sync on a container with object versioning configured.";
        return Err(Box::new(text_html(StatusCode::BAD_REQUEST, text)));
    }
    let to = String::from_utf8_lossy(to.as_bytes());
    let checked = if sets { target::check(&to, &proxy.config.container_sync) } else { Ok(()) };
    checked.map_err(|reason| Box::new(text_html(StatusCode::BAD_REQUEST, reason.to_string())))
}

/// Whether the signature holds; if not, what the log says of it.
fn verify(proxy: &Proxy, parts: &Parts, auth: &HeaderValue, info: Option<&ContainerInfo>) -> Result<(), &'static str> {
    let auth = auth.to_str().map_err(|_| "cs:not-3-args")?;
    let [realm, nonce, signature] = auth.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err("cs:not-3-args");
    };
    let realm = proxy.config.container_sync.realm(realm).filter(|realm| !realm.key.0.is_empty());
    let realm = realm.ok_or("cs:no-local-realm-key")?;
    let user_key = info.and_then(|info| info.sync_key.as_deref()).ok_or("cs:no-local-user-key")?;
    let message = message(parts, nonce, user_key);
    let keys = std::iter::once(&realm.key).chain(realm.key2.as_ref().filter(|key| !key.0.is_empty()));
    let signature = Signature::parse(signature, &[Digest::Sha1]).ok_or("cs:invalid-sig")?;
    let is_valid = keys.fold(false, |is_valid, key| signature.signs(&message, key.0.as_bytes()) | is_valid);
    if is_valid { Ok(()) } else { Err("cs:invalid-sig") }
}

fn message(parts: &Parts, nonce: &str, user_key: &str) -> Vec<u8> {
    let path: Vec<u8> = percent_decode_str(parts.uri.path()).collect();
    let path = percent_encode(&path, QUOTED);
    let timestamp = parts.headers.get(INBOUND_TIMESTAMP).map_or(&b"0"[..], HeaderValue::as_bytes);
    let timestamp = String::from_utf8_lossy(timestamp);
    format!("{}\n{path}\n{timestamp}\n{nonce}\n{user_key}", parts.method).into_bytes()
}

/// Lets the request do what it may.
fn grant(parts: &mut Parts, resource: &Resource) -> Result<(), Box<Response<Body>>> {
    let written = parts.headers.get(INBOUND_TIMESTAMP).map(|at| String::from_utf8_lossy(at.as_bytes()).into_owned());
    let written = written.map(|at| at.parse::<Timestamp>().map_err(|_| Box::new(bad_timestamp(&at)))).transpose()?;
    if let (Some(context), Some(container)) = (parts.extensions.get_mut::<Context>(), resource.container()) {
        let (account, container) = (resource.account().to_owned(), container.to_owned());
        context.grant = Some(Grant::Sync { account, container, written });
    }
    Ok(())
}

fn bad_timestamp(at: &str) -> Response<Body> {
    let text = format!("X-Timestamp should be a UNIX timestamp float value; was '{at}'");
    text_plain(StatusCode::BAD_REQUEST, text)
}

fn refusal(account: &str) -> Response<Body> {
    let text = "X-Container-Sync-Auth header not valid; contact cluster operator for support.";
    let mut response = text_plain(StatusCode::UNAUTHORIZED, text);
    let challenge = format!("SwiftContainerSync realm=\"{}\"", utf8_percent_encode(account, QUOTED));
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn logged(mut response: Response<Body>, note: &'static str) -> Response<Body> {
    response.extensions_mut().insert(LogInfo(note));
    response
}

/// What `/info` says of it: the realms and their clusters, by which users name where a container goes.
pub fn info(proxy: &Proxy) -> Option<Value> {
    let config = &proxy.config.container_sync;
    let named = config.realms.iter().filter(|(_, realm)| !realm.clusters.is_empty());
    let realms: BTreeMap<String, Value> = named.map(|(name, realm)| (name.to_uppercase(), clusters(realm))).collect();
    let mut realms = json!(realms);
    let current = config.current.as_deref().and_then(|current| current.trim_matches('/').split_once('/'));
    if let Some((realm, cluster)) = current
        && let Some(shown) =
            realms.pointer_mut(&format!("/{}/clusters/{}", realm.to_uppercase(), cluster.to_uppercase()))
    {
        shown["current"] = Value::Bool(true);
    }
    Some(json!({ "realms": realms }))
}

fn clusters(realm: &Realm) -> Value {
    let names: BTreeMap<String, Value> = realm.clusters.keys().map(|name| (name.to_uppercase(), json!({}))).collect();
    json!({ "clusters": names })
}
