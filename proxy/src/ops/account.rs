//! Accounts: what they hold, and their metadata.

use apus_base::body::{self, Body};
use apus_base::client::Target;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::headers::{changes, hide_owners};
use super::listing::Listing;
use super::resource::Resource;
use super::{Call, quota, refused, versions};
use crate::auth::account_acl::{self, AccountAcl};
use crate::constraints::Level;
use crate::error::Error;

/// By which account servers say of a missing account that it was deleted and is still being reaped.
const STATUS: &str = "x-account-status";

/// Lists the containers of an account (GET), or tells about it (HEAD).
///
/// With `account_autocreate`, one that does not exist looks empty: it will come into being with the first write.
///
/// # Errors
/// When the caller may not, the account is missing or deleted, or no server answers.
pub async fn read(
    call: Call<'_>,
    account: &str,
    method: Method,
    listing: &Listing,
    newest: bool,
) -> Result<Response<Body>, Error> {
    let owner = call.authorize(&method, &Resource::Account(account.to_owned())).await?.owner;
    call.proxy.config.constraints.check_name(Level::Account, account, account)?;
    let (target, headers) = (Target::Account { account }, call.backend_headers());
    let (query, is_listing) = (listing.query(), method == Method::GET);
    let mut response = call.proxy.client.read(method.clone(), &target, Some(&query), &headers, newest).await?;
    if !response.status().is_success() {
        return missing(call, &method, &response);
    }
    if owner {
        show_acl(response.headers_mut());
    } else {
        hide_owners(response.headers_mut());
    }
    quota::show(call, response.headers_mut());
    let has_versions = call.proxy.config.versioned_writes.allow_object_versioning;
    if is_listing && has_versions {
        versions::with_archives(call, account, listing, response).await
    } else {
        Ok(response)
    }
}

/// The account's ACL is kept where clients do not reach; its owners see it under its own name.
fn show_acl(headers: &mut HeaderMap) {
    let Some(kept) = headers.remove(account_acl::SYSMETA) else {
        return;
    };
    let shown = AccountAcl::parse(kept.to_str().ok()).to_header();
    if let Ok(shown) = HeaderValue::from_str(&shown)
        && !shown.is_empty()
    {
        headers.insert(account_acl::HEADER, shown);
    }
}

/// Where a request sets the account's ACL, puts it where it is kept.
fn keep_acl(request: &HeaderMap, changed: &mut HeaderMap) -> Result<(), Error> {
    let Some(given) = request.get(account_acl::HEADER) else {
        return Ok(());
    };
    let given = String::from_utf8_lossy(given.as_bytes());
    let kept = account_acl::clean(&given).map_err(|reason| Error::AccountAcl(reason, given.into_owned()))?;
    // What is kept is ASCII.
    let kept = HeaderValue::from_str(&kept).unwrap_or(HeaderValue::from_static(""));
    changed.insert(account_acl::SYSMETA, kept);
    Ok(())
}

fn missing(call: Call<'_>, method: &Method, response: &Response<Body>) -> Result<Response<Body>, Error> {
    let deleted = response.headers().get(STATUS).is_some_and(|s| s.as_bytes().eq_ignore_ascii_case(b"deleted"));
    match response.status() {
        StatusCode::GONE => Err(Error::Gone),
        StatusCode::NOT_FOUND if deleted => Err(Error::Gone),
        StatusCode::NOT_FOUND if call.proxy.config.account_autocreate => Ok(empty(call, method)),
        StatusCode::NOT_FOUND => Err(Error::NotFound),
        status => Err(Error::Refused(status, String::new())),
    }
}

/// What an account with nothing in it looks like.
fn empty(call: Call<'_>, method: &Method) -> Response<Body> {
    let mut response = Response::new(body::empty());
    if method == Method::HEAD {
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else {
        *response.body_mut() = body::full("[]");
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    for name in ["x-account-container-count", "x-account-object-count", "x-account-bytes-used"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("0"));
    }
    if let Ok(now) = HeaderValue::from_str(&call.proxy.clock.next().normal()) {
        headers.insert(apus_base::wire::header::TIMESTAMP, now);
    }
    response
}

/// Merges metadata into an account, which comes into being when it may.
///
/// # Errors
/// When the caller may not, a limit is broken, or too few servers can do it.
pub async fn update(call: Call<'_>, account: &str, request: &HeaderMap) -> Result<(), Error> {
    let changed = checked_changes(call, account, request, &Method::POST).await?;
    let target = Target::Account { account };
    call.proxy.client.forget_account(account).await;
    let mut outcome = call.proxy.client.write(Method::POST, &target, &changed).await?;
    if outcome.best.status == StatusCode::NOT_FOUND && call.proxy.config.account_autocreate {
        create_silently(call, account).await?;
        outcome = call.proxy.client.write(Method::POST, &target, &changed).await?;
    }
    call.proxy.client.forget_account(account).await;
    if outcome.best.status.is_success() { Ok(()) } else { Err(refused(&outcome.best)) }
}

/// Creates an account, or merges metadata into the one that is there; says which by 201 or 202.
///
/// # Errors
/// As [`update`].
pub async fn create(call: Call<'_>, account: &str, request: &HeaderMap) -> Result<StatusCode, Error> {
    let changed = checked_changes(call, account, request, &Method::PUT).await?;
    let done = call.write(Method::PUT, &Target::Account { account }, &changed).await;
    call.proxy.client.forget_account(account).await;
    Ok(done?.status)
}

/// Deletes an account: nobody reaches it any more, and a reaper removes what it holds.
///
/// # Errors
/// When the caller may not, there is no such account, or too few servers can do it.
pub async fn delete(call: Call<'_>, account: &str) -> Result<(), Error> {
    call.authorize(&Method::DELETE, &Resource::Account(account.to_owned())).await?;
    let (headers, _) = call.write_headers();
    let done = call.write(Method::DELETE, &Target::Account { account }, &headers).await;
    call.proxy.client.forget_account(account).await;
    done.map(drop)
}

/// The backend headers of a change that its caller may make and that keeps to the limits.
async fn checked_changes(
    call: Call<'_>,
    account: &str,
    request: &HeaderMap,
    method: &Method,
) -> Result<HeaderMap, Error> {
    let owner = call.authorize(method, &Resource::Account(account.to_owned())).await?.owner;
    let constraints = &call.proxy.config.constraints;
    constraints.check_name(Level::Account, account, account)?;
    constraints.check_metadata(request, Level::Account)?;
    let (mut headers, _) = call.write_headers();
    headers.extend(changes(request, Level::Account, owner));
    quota::keep(call, request, &mut headers)?;
    if owner {
        keep_acl(request, &mut headers)?;
    }
    Ok(headers)
}

/// Brings an account into being for the write that needs it.
///
/// # Errors
/// When the servers cannot or, for an account that is being reaped, will not.
pub(super) async fn create_silently(call: Call<'_>, account: &str) -> Result<(), Error> {
    let (headers, _) = call.write_headers();
    let done = call.write(Method::PUT, &Target::Account { account }, &headers).await;
    call.proxy.client.forget_account(account).await;
    done.map(drop).map_err(|error| {
        tracing::warn!(account, %error, "cannot create the account that a write needs");
        Error::Unavailable
    })
}
