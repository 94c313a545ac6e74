//! The step of the pipeline: finds out that a request is for this face, and whose it is.

use std::sync::Arc;

use apus_base::body::{self, Body};
use apus_base::clock;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response};

use super::asked::{Asked, Query, names_account};
use super::auth::{Claim, is_signed};
use super::code::Code;
use super::fault::Fault;
use super::payload::Plan;
use super::website::{self, Site};
use super::{Face, cors, encryption, post, rules};
use crate::Proxy;
use crate::context::Context;
use crate::pipeline::{Answer, Next};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    if !proxy.config.s3.enabled {
        return next.run(request);
    }
    let (parts, body) = request.into_parts();
    if let Some(site) = Site::of(&parts, &proxy.config.s3) {
        return Box::pin(show(proxy, parts, site));
    }
    let form = post::boundary(&parts, &proxy.config.s3);
    if form.is_none() && !is_ours(proxy, &parts) {
        return next.run(Request::from_parts(parts, body));
    }
    Box::pin(answer(proxy, parts, body, form))
}

/// Whether this face is asked, by something else than a form.
fn is_ours(proxy: &Proxy, parts: &Parts) -> bool {
    is_signed(parts) || names_account(parts, &proxy.config.s3)
}

/// What a client of this face is told that is refused before the step; `None` for those of the other, and of sites.
pub fn refuse(proxy: &Proxy, parts: &Parts, fault: Fault) -> Option<Response<Body>> {
    let config = &proxy.config.s3;
    let is_form = || post::boundary(parts, config).is_some();
    if !config.enabled || Site::of(parts, config).is_some() || !(is_ours(proxy, parts) || is_form()) {
        return None;
    }
    let trans_id = trans_id(parts);
    let mut response = fault.into_response(&trans_id);
    finish(&parts.method, &trans_id, &mut response);
    Some(response)
}

fn trans_id(parts: &Parts) -> String {
    parts.extensions.get::<Context>().map(|context| context.trans_id.clone()).unwrap_or_default()
}

async fn show(proxy: &Proxy, mut parts: Parts, site: Site) -> Response<Body> {
    let trans_id = trans_id(&parts);
    let mut response = website::serve(proxy, &mut parts, &site, &trans_id).await;
    finish(&parts.method, &trans_id, &mut response);
    response
}

/// What every answer has.
fn finish(method: &Method, trans_id: &str, response: &mut Response<Body>) {
    if *method == Method::HEAD && !response.status().is_success() {
        *response.body_mut() = body::empty();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Ok(id) = HeaderValue::from_str(trans_id) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
        response.headers_mut().insert(HOST_ID, id);
    }
}

async fn answer(proxy: &Proxy, mut parts: Parts, body: Body, form: Option<String>) -> Response<Body> {
    let trans_id = trans_id(&parts);
    let expects = parts.headers.contains_key(EXPECT) && !has_body(&parts);
    let done = match form {
        _ if cors::is_preflight(&parts) => cors::preflight(proxy, &parts).await,
        Some(boundary) => post::answer(proxy, &mut parts, body, &boundary).await,
        None => done(proxy, &mut parts, body).await,
    };
    let mut response = done.unwrap_or_else(|fault| {
        tracing::debug!(trans_id, %fault, "a request is refused");
        fault.into_response(&trans_id)
    });
    // botocore takes the next answer on a connection for this one, if it asked for `100 Continue` and there was no body to
    // continue with.
    if expects {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    cors::dress(proxy, &parts, &mut response).await;
    finish(&parts.method, &trans_id, &mut response);
    if let Some(identity) = parts.extensions.get::<Context>().and_then(|context| context.identity.clone()) {
        // For the access log, which stands outside.
        response.extensions_mut().insert(identity);
    }
    response
}

fn has_body(parts: &Parts) -> bool {
    let length = parts.headers.get(CONTENT_LENGTH);
    parts.headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

async fn done(proxy: &Proxy, parts: &mut Parts, body: Body) -> Result<Response<Body>, Fault> {
    let config = &proxy.config.s3;
    let query = Query::parse(parts.uri.query());
    let claim = if is_signed(parts) { Claim::of(parts, &query, config, clock::now())? } else { Claim::Nobody };
    let asked = Asked::of(parts, query, config)?;
    rules::check(&claim, parts)?;
    encryption::check(parts, config)?;
    let plan = Plan::of(&claim, &parts.method, &asked.query, &parts.headers)?;
    let user = match &claim {
        Claim::Nobody => None,
        claim => {
            let unknown = || Fault::new(Code::InvalidAccessKeyId).with("AWSAccessKeyId", claim.access_key());
            Some(proxy.auth.users.get(claim.access_key()).ok_or_else(unknown)?)
        }
    };
    let chain = user.map(|user| claim.check(parts, &asked, &user.key.0)).transpose()?.flatten();
    if let Some(context) = parts.extensions.get_mut::<Context>() {
        context.identity = user.map(|user| Arc::clone(&user.identity));
    }
    let payload = plan.apply(&mut parts.headers, chain, body).await?;
    let account = asked.account.as_deref().or(user.map(|user| user.account.as_str())).unwrap_or_default();
    let account = format!("{}{account}", proxy.auth.resellers.first_prefix());
    let user = user.map(|user| user.identity.user.clone()).unwrap_or_default();
    let face = Face { proxy, parts, asked: &asked, account, user };
    face.dispatch(payload).await
}
