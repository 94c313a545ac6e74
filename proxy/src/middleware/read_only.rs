//! Refuses writes while the cluster, or an account, is to stay as it is.
//!
//! An account says so for itself by its system metadata `X-Account-Sysmeta-Read-Only`, which goes before what is
//! configured for the cluster, both ways; operators set it at the account servers.

use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::Body;

use crate::Proxy;
use crate::constraints::is_yes;
use crate::pipeline::{Answer, Next};
use crate::swift::path;
use crate::swift::response::text_html;

/// What may be written, the `[proxy.read_only]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether accounts that do not say otherwise are read-only.
    pub read_only: bool,
    /// Whether what is read-only may be deleted.
    pub allow_deletes: bool,
}

const SYSMETA_KEY: &str = "read-only";

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let Some(account) = written_account(proxy, &request) else {
        return next.run(request);
    };
    Box::pin(async move { if is_read_only(proxy, &account).await { refusal() } else { next.run(request).await } })
}

/// The account that a request writes to, if it does.
fn written_account(proxy: &Proxy, request: &Request<Body>) -> Option<String> {
    let is_delete = request.method() == Method::DELETE && !proxy.config.read_only.allow_deletes;
    let is_copy = request.method().as_str() == "COPY";
    if !is_copy && !is_delete && !matches!(*request.method(), Method::PUT | Method::POST) {
        return None;
    }
    let resource = path::parse(request.uri().path(), &proxy.config.constraints.valid_api_versions).ok()?;
    let destination = request.headers().get("destination-account").filter(|_| is_copy);
    let destination = destination.map(|to| percent_decode(to.as_bytes()).decode_utf8_lossy().into_owned());
    Some(destination.unwrap_or_else(|| resource.account().to_owned()))
}

/// Whether an account is to stay as it is.
pub(crate) async fn is_read_only(proxy: &Proxy, account: &str) -> bool {
    // If nobody knows, nobody will store anything either.
    let info = proxy.client.account_info(account).await.ok();
    let info = info.as_ref().and_then(|info| info.found());
    let own = info.and_then(|info| info.sysmeta.get(SYSMETA_KEY)).filter(|own| !own.is_empty());
    own.map_or(proxy.config.read_only.read_only, |own| is_yes(own))
}

fn refusal() -> Response<Body> {
    text_html(StatusCode::METHOD_NOT_ALLOWED, "Writes are disabled for this account.")
}

/// What `/info` says of it.
pub fn info(proxy: &Proxy) -> Option<Value> {
    proxy.config.read_only.read_only.then(|| json!({}))
}
