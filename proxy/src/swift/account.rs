//! `/v1/account`.

use apus_base::body::Body;
use http::{Method, Response, StatusCode};

use super::listing;
use super::object::shown;
use super::refusal::Refusal;
use super::response::page;
use crate::Proxy;
use crate::constraints::is_true;
use crate::ops::{Call, account};

/// Without `allow_account_management`, accounts only come into being by being used.
pub(super) fn allowed(proxy: &Proxy) -> &'static str {
    if proxy.config.allow_account_management {
        "DELETE, GET, HEAD, OPTIONS, POST, PUT"
    } else {
        "GET, HEAD, OPTIONS, POST"
    }
}

pub(super) async fn answer(call: Call<'_>, name: &str) -> Result<Response<Body>, Refusal> {
    let managed = call.proxy.config.allow_account_management;
    match call.parts.method.clone() {
        method @ (Method::GET | Method::HEAD) => read(call, name, method).await,
        Method::POST => {
            account::update(call, name, &call.parts.headers).await?;
            Ok(page(StatusCode::NO_CONTENT))
        }
        Method::PUT if managed => Ok(page(account::create(call, name, &call.parts.headers).await?)),
        Method::DELETE if managed => delete(call, name).await,
        _ => Err(Refusal::Method(allowed(call.proxy))),
    }
}

async fn read(call: Call<'_>, name: &str, method: Method) -> Result<Response<Body>, Refusal> {
    let listing = listing::parse(call.parts.uri.query(), call.proxy.config.constraints.account_listing_limit)?;
    let newest = is_true(&call.parts.headers, "x-newest");
    let response = account::read(call, name, method, &listing, newest).await?;
    Ok(shown(response))
}

/// A query is refused: it was most likely meant for a step that is not there, and would cost the account.
async fn delete(call: Call<'_>, name: &str) -> Result<Response<Body>, Refusal> {
    if call.parts.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Refusal::Query);
    }
    account::delete(call, name).await?;
    Ok(page(StatusCode::NO_CONTENT))
}
