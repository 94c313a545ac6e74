//! Containers: what they hold, their metadata, their policy.

use apus_base::body::Body;
use apus_base::client::{Info, Target};
use apus_base::policy::PolicyIndex;
use apus_base::wire::header::POLICY_INDEX;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::headers::{changes, hide_owners};
use super::listing::Listing;
use super::resource::Resource;
use super::rows::{self, Entry, Written};
use super::versions::{self, Switch};
use super::{Call, account as accounts, crypto, history, lock, quota};
use crate::auth::acl::{Kind, clean_acl};
use crate::constraints::Level;
use crate::error::Error;

/// By which container servers learn the policy of a container that asks for none; an existing one keeps its own.
const POLICY_DEFAULT: HeaderName = HeaderName::from_static("x-backend-storage-policy-default");

/// A container's full name.
#[derive(Clone, Copy, Debug)]
pub struct ContainerName<'a> {
    /// Its account.
    pub account: &'a str,
    /// Its name.
    pub container: &'a str,
}

impl<'a> ContainerName<'a> {
    fn target(self) -> Target<'a> {
        Target::Container { account: self.account, container: self.container }
    }

    fn resource(self) -> Resource {
        Resource::Container(self.account.to_owned(), self.container.to_owned())
    }
}

/// Lists the objects of a container (GET), or tells about it (HEAD).
///
/// # Errors
/// When the caller may not, there is no such container, or no server answers.
pub async fn read(
    call: Call<'_>,
    name: ContainerName<'_>,
    method: Method,
    listing: &Listing,
    newest: bool,
) -> Result<Response<Body>, Error> {
    let is_listing = method == Method::GET;
    let response = describe(call, name, method, listing, newest).await?;
    Ok(if is_listing { shape(call, name, response) } else { response })
}

/// The rows of a part of a container's listing, at most as many as it asks for.
///
/// # Errors
/// As [`read`].
pub(crate) async fn list(call: Call<'_>, name: ContainerName<'_>, listing: &Listing) -> Result<Vec<Entry>, Error> {
    let response = read(call, name, Method::GET, listing, false).await?;
    let most = usize::try_from(listing.limit).unwrap_or(usize::MAX);
    rows::collect(response.into_body(), most, Entry::read).await
}

/// As [`read`], but with the rows as they are stored.
///
/// # Errors
/// As [`read`].
pub(super) async fn describe(
    call: Call<'_>,
    name: ContainerName<'_>,
    method: Method,
    listing: &Listing,
    newest: bool,
) -> Result<Response<Body>, Error> {
    let owner = call.authorize(&method, &name.resource()).await?.owner;
    require_account(call, name.account).await?;
    let mut response = stored(call, name, method, listing, newest).await?;
    history::show(response.headers_mut());
    versions::show(call, name, &mut response).await?;
    if !owner {
        hide_owners(response.headers_mut());
    }
    Ok(response)
}

/// What the container servers say. The rows of names that clients do not see are listed where only such rows are.
///
/// # Errors
/// When there is no such container, or no server answers.
pub(super) async fn stored(
    call: Call<'_>,
    name: ContainerName<'_>,
    method: Method,
    listing: &Listing,
    newest: bool,
) -> Result<Response<Body>, Error> {
    let query = listing.query();
    let mut headers = call.backend_headers();
    if name.container.starts_with('\0') {
        headers.insert("x-backend-allow-reserved-names", HeaderValue::from_static("true"));
    }
    let is_listing = method == Method::GET;
    let response = call.proxy.client.read(method, &name.target(), Some(&query), &headers, newest).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Err(Error::NotFound),
        status if !status.is_success() => Err(Error::Refused(status, String::new())),
        _ if is_listing => Ok(crypto::open_listing(call.proxy, name, response)),
        _ => Ok(response),
    }
}

/// Shows in the rows what stands behind their hashes, as they go by.
fn shape(call: Call<'_>, name: ContainerName<'_>, mut response: Response<Body>) -> Response<Body> {
    if rows::are_plain(response.headers()) {
        return response;
    }
    let has_versions = call.proxy.config.versioned_writes.allow_object_versioning;
    let (account, container) = (name.account.to_owned(), name.container.to_owned());
    let change = move |row: Option<&[u8]>, to: &mut Written| {
        let Some(row) = row else { return Ok(()) };
        if !rows::shaped(row) {
            return to.text(row);
        }
        let mut entry = Entry::read(row)?;
        if let Entry::Object(object) = &mut entry {
            object.shape(&account);
            if has_versions {
                versions::show_row(object, &account, &container);
            }
        }
        to.row(|out| entry.write(out))
    };
    response.headers_mut().remove(CONTENT_LENGTH);
    response.map(|body| rows::map(body, change))
}

/// Creates a container in the policy of that name, or merges metadata into the one that is there (202).
///
/// # Errors
/// When the caller may not, a limit is broken, the policy is unknown or another than the container's, the account has
/// too many containers, or too few servers can do it.
pub async fn create(
    call: Call<'_>,
    name: ContainerName<'_>,
    request: &HeaderMap,
    policy: Option<&str>,
) -> Result<StatusCode, Error> {
    let mut headers = checked_changes(call, name, request, &Method::PUT).await?;
    let (policy_header, policy) = match policy {
        Some(policy) => (HeaderName::from_static(POLICY_INDEX), chosen_policy(call, policy)?),
        None => (POLICY_DEFAULT, call.proxy.client.cluster().policies.default_index()),
    };
    headers.insert(&policy_header, HeaderValue::from(policy.0));
    call.proxy.config.constraints.check_name(Level::Container, name.account, name.container)?;
    require_room(call, name).await?;
    let switch = Switch::prepare(call, name, &mut headers, Some((policy_header, policy))).await?;
    let done = call.write(Method::PUT, &name.target(), &headers).await;
    call.proxy.client.forget_container(name.account, name.container).await;
    if done.is_err() {
        switch.undo(call, name).await;
    }
    Ok(done?.status)
}

/// Merges metadata into a container.
///
/// # Errors
/// When the caller may not, a limit is broken, there is no such container, or too few servers can do it.
pub async fn update(call: Call<'_>, name: ContainerName<'_>, request: &HeaderMap) -> Result<(), Error> {
    let mut headers = checked_changes(call, name, request, &Method::POST).await?;
    require_account(call, name.account).await?;
    let switch = Switch::prepare(call, name, &mut headers, None).await?;
    let done = call.write(Method::POST, &name.target(), &headers).await;
    call.proxy.client.forget_container(name.account, name.container).await;
    if done.is_err() {
        switch.undo(call, name).await;
    }
    done.map(drop)
}

/// Deletes an empty container.
///
/// # Errors
/// When the caller may not, there is no such container, it is not empty (409), or too few servers can do it.
pub async fn delete(call: Call<'_>, name: ContainerName<'_>) -> Result<(), Error> {
    call.authorize(&Method::DELETE, &name.resource()).await?;
    require_account(call, name.account).await?;
    versions::empty_archive(call, name).await?;
    let (headers, _) = call.write_headers();
    let done = call.write(Method::DELETE, &name.target(), &headers).await;
    call.proxy.client.forget_container(name.account, name.container).await;
    // 202 says that no server had it.
    if done?.status == StatusCode::ACCEPTED { Err(Error::NotFound) } else { Ok(()) }
}

/// Looks whether a container that shall be deleted holds versions.
///
/// # Errors
/// When it does (409), or the caller may not delete it.
pub async fn check_versions(call: Call<'_>, name: ContainerName<'_>) -> Result<(), Error> {
    call.authorize(&Method::DELETE, &name.resource()).await?;
    versions::check_archive(call, name).await.map(drop)
}

/// The backend headers of a change that its caller may make and that keeps to the rules.
async fn checked_changes(
    call: Call<'_>,
    name: ContainerName<'_>,
    request: &HeaderMap,
    method: &Method,
) -> Result<HeaderMap, Error> {
    let owner = call.authorize(method, &name.resource()).await?.owner;
    if call.proxy.config.container_quotas {
        quota::check_container(request)?;
    }
    let mut changed = changes(request, Level::Container, owner);
    clean(&mut changed, "x-container-read", Kind::Read)?;
    clean(&mut changed, "x-container-write", Kind::Write)?;
    call.proxy.config.constraints.check_metadata(request, Level::Container)?;
    let (mut headers, _) = call.write_headers();
    headers.extend(changed);
    history::set(&call.proxy.config.versioned_writes, request, &mut headers)?;
    lock::check_container(call, name, &headers).await?;
    Ok(headers)
}

fn clean(headers: &mut HeaderMap, name: &'static str, kind: Kind) -> Result<(), Error> {
    if let Some(value) = headers.get_mut(name) {
        let cleaned = clean_acl(kind, &String::from_utf8_lossy(value.as_bytes()))?;
        // What was a header's value before still is one without some of its characters.
        *value = HeaderValue::from_bytes(cleaned.as_bytes()).unwrap_or(HeaderValue::from_static(""));
    }
    Ok(())
}

fn chosen_policy(call: Call<'_>, name: &str) -> Result<PolicyIndex, Error> {
    let policies = &call.proxy.client.cluster().policies;
    let policy = policies.by_name(name).ok_or_else(|| Error::UnknownPolicy(name.to_owned()))?;
    if policy.deprecated { Err(Error::DeprecatedPolicy(policy.name.clone())) } else { Ok(policy.index) }
}

async fn require_account(call: Call<'_>, account: &str) -> Result<(), Error> {
    if account.starts_with(&call.proxy.config.constraints.auto_create_account_prefix) {
        return Ok(());
    }
    let info = call.proxy.client.account_info(account).await?;
    if info.found().is_some() { Ok(()) } else { Err(Error::NotFound) }
}

/// Makes sure of an account that may take one more container.
async fn require_room(call: Call<'_>, name: ContainerName<'_>) -> Result<(), Error> {
    let (client, config) = (&call.proxy.client, &call.proxy.config);
    let info = match client.account_info(name.account).await? {
        Info::Found(info) => info,
        Info::Missing | Info::Deleted if config.account_autocreate => {
            return accounts::create_silently(call, name.account).await;
        }
        Info::Missing | Info::Deleted => return Err(Error::NotFound),
    };
    let most = config.max_containers_per_account;
    if most == 0 || info.container_count < most || config.max_containers_whitelist.iter().any(|a| a == name.account) {
        return Ok(());
    }
    let exists = client.container_info(name.account, name.container).await?.found().is_some();
    if exists { Ok(()) } else { Err(Error::TooManyContainers(most)) }
}
