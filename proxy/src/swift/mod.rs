//! The Swift face: paths below `/v1` become operations on accounts, containers and objects, and their outcomes become
//! what clients of Swift expect, to the byte.
//!
//! Here is the spelling only (paths, queries, statuses, texts); what an operation means is in [`crate::ops`].

mod account;
pub mod bulk;
mod container;
mod copy;
mod info;
mod links;
pub mod listing;
mod manifest;
mod object;
pub mod path;
mod refusal;
pub mod response;
mod slo;
mod versions;

use apus_base::body::Body;
use http::request::Parts;
use http::{Request, Response, StatusCode};

use crate::Proxy;
use crate::auth::Denied;
use crate::error::Error;
use crate::ops::Call;
use crate::ops::resource::Resource;
use bulk::Bulk;
pub(crate) use refusal::body_status;
use refusal::{Refusal, with_allow};

pub use info::{info, slo_info};

/// Answers a request that passed the whole pipeline.
pub async fn answer(proxy: &Proxy, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let resource = match locate(proxy, &parts) {
        Ok(resource) => resource,
        Err(refusal) => return refusal.into_response(None),
    };
    let call = Call { proxy, parts: &parts };
    if let Some(bulk) = Bulk::asked(&parts.method, parts.uri.query()) {
        return bulk.answer(call, &resource, body).await;
    }
    let done = dispatch(call, &resource, body).await;
    done.unwrap_or_else(|refusal| refusal.into_response(Some(resource.account())))
}

fn locate(proxy: &Proxy, parts: &Parts) -> Result<Resource, Refusal> {
    let resource = path::parse(parts.uri.path(), &proxy.config.constraints.valid_api_versions)?;
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    if proxy.config.deny_host_headers.iter().any(|denied| denied == name) {
        return Err(Refusal::Host);
    }
    Ok(resource)
}

async fn dispatch(call: Call<'_>, resource: &Resource, body: Body) -> Result<Response<Body>, Refusal> {
    if call.parts.method == http::Method::OPTIONS {
        return Ok(with_allow(response::page(StatusCode::OK), allowed_methods(call.proxy, resource)));
    }
    match resource {
        Resource::Account(account) => account::answer(call, account).await,
        Resource::Container(account, container) => container::answer(call, account, container).await,
        Resource::Object(name) => object::answer(call, name, body).await,
    }
}

/// The answer to who may not do what they asked for, or of whom that cannot be said; `account` is the one in the path.
pub fn denied(reason: Denied, account: &str) -> Response<Body> {
    Refusal::from(Error::from(reason)).into_response(Some(account))
}

/// The methods that a resource knows, as `Allow` lists them.
pub fn allowed_methods(proxy: &Proxy, resource: &Resource) -> &'static str {
    match resource {
        Resource::Account(_) => account::allowed(proxy),
        Resource::Container(..) => container::ALLOWED,
        Resource::Object(_) => object::ALLOWED_WITH_COPY,
    }
}

#[cfg(test)]
mod tests;
