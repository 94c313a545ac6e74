//! Who asks: gives tokens to users who show their key, and knows users by the tokens that they show.
//!
//! What they may do is decided later, by [`authorize`](crate::auth::authorize), where it is known to what.

use std::sync::Arc;

use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use apus_base::body::Body;
use apus_base::clock;
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};

use super::own_url;
use crate::Proxy;
use crate::auth::Identity;
use crate::auth::user::Known;
use crate::context::Context;
use crate::pipeline::{Answer, Next};
use crate::swift::path;
use crate::swift::response::{QUOTED, page, unauthorized};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const STORAGE_TOKEN: HeaderName = HeaderName::from_static("x-storage-token");
const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");
const TOKEN_EXPIRES: HeaderName = HeaderName::from_static("x-auth-token-expires");
const STORAGE_URL: HeaderName = HeaderName::from_static("x-storage-url");

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let (mut parts, body) = request.into_parts();
    if let Some(rest) = parts.uri.path().strip_prefix(proxy.config.auth_prefix.as_str()) {
        let response = give_token(proxy, &parts, rest);
        return Box::pin(std::future::ready(response));
    }
    if let Err(refusal) = identify(proxy, &mut parts) {
        return Box::pin(std::future::ready(*refusal));
    }
    let identity = parts.extensions.get::<Context>().and_then(|context| context.identity.clone());
    Box::pin(async move {
        let mut response = next.run(Request::from_parts(parts, body)).await;
        if let Some(identity) = identity {
            // For the access log, which stands outside.
            response.extensions_mut().insert(identity);
        }
        response
    })
}

/// Puts into the request's context whose token it shows. A token of this cluster that does not hold ends the request.
fn identify(proxy: &Proxy, parts: &mut Parts) -> Result<(), Box<Response<Body>>> {
    // A signature takes the place of all other rights, so it is no matter who else asks.
    if parts.extensions.get::<Context>().is_some_and(|context| context.grant.is_some()) {
        return Ok(());
    }
    let token = parts.headers.get(AUTH_TOKEN).or_else(|| parts.headers.get(STORAGE_TOKEN));
    let Some(token) = token.and_then(|token| ours(proxy, token)) else {
        return Ok(());
    };
    let Some(user) = user_of(proxy, token) else {
        return Err(Box::new(unauthorized(account_of(proxy, parts).as_deref())));
    };
    let service = parts.headers.get(SERVICE_TOKEN).and_then(|token| ours(proxy, token));
    let service = service.and_then(|token| user_of(proxy, token));
    let identity = service.map_or_else(|| Arc::clone(&user.identity), |service| together(user, service));
    if let Some(context) = parts.extensions.get_mut::<Context>() {
        context.identity = Some(identity);
    }
    Ok(())
}

/// A token that this cluster may have given; others are no business of ours.
fn ours<'a>(proxy: &Proxy, token: &'a HeaderValue) -> Option<&'a str> {
    token.to_str().ok().filter(|token| token.starts_with(proxy.auth.resellers.first_prefix()))
}

fn user_of<'a>(proxy: &'a Proxy, token: &str) -> Option<&'a Known> {
    proxy.auth.tokens.verify(token, &proxy.auth.users, clock::now())
}

/// A user for whom a service acts: the groups of both.
fn together(user: &Known, service: &Known) -> Arc<Identity> {
    let mut both = Identity::clone(&user.identity);
    both.groups.extend(service.identity.groups.iter().cloned());
    both.reseller_admin |= service.identity.reseller_admin;
    both.reseller_reader |= service.identity.reseller_reader;
    Arc::new(both)
}

fn account_of(proxy: &Proxy, parts: &Parts) -> Option<String> {
    let resource = path::parse(parts.uri.path(), &proxy.config.constraints.valid_api_versions).ok()?;
    Some(resource.account().to_owned())
}

/// What somebody shows who wants a token.
struct Credentials {
    account: String,
    user: String,
    key: Vec<u8>,
}

/// `GET /auth/v1.0`, or `GET /auth/v1/<account>/auth`.
fn give_token(proxy: &Proxy, parts: &Parts, rest: &str) -> Response<Body> {
    if parts.method != Method::GET {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    let Ok(rest) = percent_decode_str(rest).decode_utf8() else {
        return page(StatusCode::PRECONDITION_FAILED);
    };
    let mut segments = rest.splitn(3, '/').map(|segment| Some(segment).filter(|s| !s.is_empty()));
    let mut next = || segments.next().flatten();
    let (account, credentials) = match (next(), next(), next()) {
        (Some("v1.0" | "auth"), _, _) => full_credentials(&parts.headers),
        (Some("v1"), Some(account), Some("auth")) => account_credentials(&parts.headers, account),
        (Some(_), _, _) => return page(StatusCode::BAD_REQUEST),
        (None, _, _) => return page(StatusCode::NOT_FOUND),
    };
    match credentials.and_then(|shown| authenticate(proxy, &shown)) {
        Some(user) => granted(proxy, user, parts),
        None => unauthorized(account.as_deref()),
    }
}

/// The realm of a refusal, and what was shown, when it is all there: `account:user` and the key.
fn full_credentials(headers: &HeaderMap) -> (Option<String>, Option<Credentials>) {
    let Some((account, user)) = text(headers, &["x-auth-user", "x-storage-user"]).and_then(|user| split(&user)) else {
        return (None, None);
    };
    let key = bytes(headers, &["x-auth-key", "x-storage-pass"]);
    (Some(account.clone()).filter(|a| !a.is_empty()), key.map(|key| Credentials { account, user, key }))
}

/// The same where the path names the account: the user alone, or `account:user` of that account.
fn account_credentials(headers: &HeaderMap, account: &str) -> (Option<String>, Option<Credentials>) {
    let alone = text(headers, &["x-storage-user"]);
    let of_account = || split(&text(headers, &["x-auth-user"])?).filter(|(a, _)| a == account).map(|(_, user)| user);
    let key = bytes(headers, &["x-storage-pass", "x-auth-key"]);
    let shown = alone.or_else(of_account).zip(key);
    (Some(account.to_owned()), shown.map(|(user, key)| Credentials { account: account.to_owned(), user, key }))
}

fn split(account_and_user: &str) -> Option<(String, String)> {
    account_and_user.split_once(':').map(|(account, user)| (account.to_owned(), user.to_owned()))
}

/// The first of these headers that is not empty.
fn bytes(headers: &HeaderMap, names: &[&str]) -> Option<Vec<u8>> {
    let mut values = names.iter().filter_map(|name| headers.get(*name));
    values.find(|value| !value.is_empty()).map(|value| value.as_bytes().to_vec())
}

fn text(headers: &HeaderMap, names: &[&str]) -> Option<String> {
    bytes(headers, names).and_then(|value| String::from_utf8(value).ok())
}

fn authenticate<'a>(proxy: &'a Proxy, shown: &Credentials) -> Option<&'a Known> {
    let user = proxy.auth.users.get(&format!("{}:{}", shown.account, shown.user))?;
    proxy.auth.tokens.is_key_of(user, &shown.key).then_some(user)
}

/// Every answer has a new token (the clock never repeats), so `X-Auth-New-Token` asks for nothing more.
fn granted(proxy: &Proxy, user: &Known, parts: &Parts) -> Response<Body> {
    let life = proxy.config.token_life;
    let expiry =
        Timestamp::from_ticks(proxy.clock.next().ticks().saturating_add(life.saturating_mul(TICKS_PER_SECOND)));
    let token = proxy.auth.tokens.issue(user, expiry);
    let mut response = page(StatusCode::OK);
    let mut set = |name: HeaderName, value: &str| {
        // Tokens, numbers and quoted URLs fit headers, but a Host may be odd.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(AUTH_TOKEN, &token);
    set(STORAGE_TOKEN, &token);
    set(TOKEN_EXPIRES, &life.to_string());
    set(STORAGE_URL, &storage_url(proxy, user, parts));
    response
}

fn storage_url(proxy: &Proxy, user: &Known, parts: &Parts) -> String {
    let account = format!("{}{}", proxy.auth.resellers.first_prefix(), user.account);
    format!("{}/v1/{}", own_url(proxy, parts), utf8_percent_encode(&account, QUOTED))
}
