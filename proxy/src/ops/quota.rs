//! Quotas: how many bytes and objects an account or a container may hold.
//!
//! A container's are metadata that its owners set, `X-Container-Meta-Quota-{Bytes,Count}`. An account's are set by
//! reseller admins only, `X-Account-Quota-{Bytes,Count}` and the same `-Policy-<name>`, and kept as system metadata. The
//! present use is that of the client's cache and so up to a minute old, and a body of unknown length counts nothing: as in
//! Swift, quotas are soft.

use http::{HeaderMap, HeaderName, HeaderValue};

use apus_base::client::{AccountInfo, ContainerInfo, Usage};
use apus_base::policy::{Policies, PolicyIndex};

use super::resource::ObjectName;
use super::{Call, versions};
use crate::error::Error;

/// What can be limited, as headers name it.
const KINDS: [&str; 2] = ["quota-bytes", "quota-count"];
/// The account's quota from before quotas had headers of their own: metadata.
const LEGACY: &str = "quota-bytes";

/// Why a quota refuses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Quota {
    /// More than the account or the container may hold: 413.
    #[error("Upload exceeds quota.")]
    Exceeded,
    /// More than the account may hold of the container's policy: 413.
    #[error("Upload exceeds policy quota.")]
    PolicyExceeded,
    /// A container's quota that is no number: 400.
    #[error("Invalid bytes quota.")]
    InvalidBytes,
    /// The same.
    #[error("Invalid count quota.")]
    InvalidCount,
    /// An account's quota that is no number: 400.
    #[error("an account's quota is not a number")]
    Invalid,
    /// An account's quota from somebody who may not set it: 403.
    #[error("only reseller admins set the quotas of accounts")]
    Forbidden,
}

/// Refuses an object for which its container, its versions included, or its account has no room. Reseller admins are not held to the account's.
pub(super) async fn check(
    call: Call<'_>,
    name: &ObjectName,
    container: &ContainerInfo,
    length: Option<u64>,
) -> Result<(), Error> {
    let length = length.unwrap_or(0);
    if call.proxy.config.container_quotas {
        let has_quota = container.meta.contains_key(KINDS[0]);
        let archived = if has_quota { versions::archived_bytes(call, &name.account, container).await? } else { 0 };
        of_container(container, archived, length)?;
    }
    if !call.proxy.config.account_quotas || call.is_reseller_admin() {
        return Ok(());
    }
    let account = call.proxy.client.account_info(&name.account).await?;
    account.found().map_or(Ok(()), |account| of_account(account, container.policy, length)).map_err(Error::from)
}

/// An amount that only digits say; whatever else a quota is, it limits nothing.
fn amount(value: &str) -> Option<u64> {
    let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    // What does not fit is more than anybody has.
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

fn exceeds(quota: Option<&String>, used: u64, more: u64) -> bool {
    quota.and_then(|quota| amount(quota)).is_some_and(|quota| quota < used.saturating_add(more))
}

fn of_container(container: &ContainerInfo, archived: u64, length: u64) -> Result<(), Quota> {
    let quota = |kind: &str| container.meta.get(kind);
    let bytes = exceeds(quota(KINDS[0]), container.bytes.saturating_add(archived), length);
    let count = exceeds(quota(KINDS[1]), container.object_count, 1);
    if bytes || count { Err(Quota::Exceeded) } else { Ok(()) }
}

fn of_account(account: &AccountInfo, policy: PolicyIndex, length: u64) -> Result<(), Quota> {
    let of = |key: &str| account.sysmeta.get(key);
    let bytes = exceeds(of(KINDS[0]).or_else(|| account.meta.get(LEGACY)), account.bytes, length);
    if bytes || exceeds(of(KINDS[1]), account.object_count, 1) {
        return Err(Quota::Exceeded);
    }
    let used = account.policies.get(&policy).copied().unwrap_or(Usage::default());
    let of_policy = |kind: &str| of(&format!("{kind}-policy-{}", policy.0));
    let bytes = exceeds(of_policy(KINDS[0]), used.bytes, length);
    let count = exceeds(of_policy(KINDS[1]), used.object_count, 1);
    if bytes || count { Err(Quota::PolicyExceeded) } else { Ok(()) }
}

/// Refuses a container's quota that is no number.
pub(super) fn check_container(request: &HeaderMap) -> Result<(), Quota> {
    let is_wrong = |name: &str| given(request, name).is_some_and(|value| !value.is_empty() && amount(&value).is_none());
    if is_wrong("x-container-meta-quota-bytes") {
        return Err(Quota::InvalidBytes);
    }
    if is_wrong("x-container-meta-quota-count") { Err(Quota::InvalidCount) } else { Ok(()) }
}

/// Puts the quotas that a request sets on an account where they are kept.
///
/// # Errors
/// When they are no numbers, or it is not a reseller admin who asks.
pub(super) fn keep(call: Call<'_>, request: &HeaderMap, changed: &mut HeaderMap) -> Result<(), Quota> {
    if !call.proxy.config.account_quotas {
        return Ok(());
    }
    let set = changes(request, &call.proxy.client.cluster().policies);
    if set.is_empty() {
        return Ok(());
    }
    if !call.is_reseller_admin() {
        return Err(Quota::Forbidden);
    }
    for (name, value) in set {
        if !value.is_empty() && amount(&value).is_none() {
            return Err(Quota::Invalid);
        }
        changed.insert(name, HeaderValue::from_str(&value).map_err(|_| Quota::Invalid)?);
    }
    Ok(())
}

/// Which quotas a request sets, by the names under which they are kept; an empty one is taken away.
fn changes(request: &HeaderMap, policies: &Policies) -> Vec<(HeaderName, String)> {
    let mut set = Vec::new();
    let mut add = |shown: &str, kept: &str| {
        let name = HeaderName::from_bytes(format!("x-account-sysmeta-{kept}").as_bytes());
        if let (Some(value), Ok(name)) = (wanted(request, shown), name) {
            set.push((name, value));
        }
    };
    for kind in KINDS {
        add(kind, kind);
        for policy in policies.iter() {
            add(&shown_policy(kind, &policy.name), &format!("{kind}-policy-{}", policy.index.0));
        }
    }
    set
}

/// What a request sets a quota to; removing it goes before setting it.
fn wanted(request: &HeaderMap, shown: &str) -> Option<String> {
    let removes = named(request, "x-remove-account-", shown).is_some_and(|value| !value.is_empty());
    if removes { Some(String::new()) } else { named(request, "x-account-", shown) }
}

/// A header, or the older one that means the same.
fn named(request: &HeaderMap, prefix: &str, shown: &str) -> Option<String> {
    let own = given(request, &format!("{prefix}{shown}"));
    let old = || given(request, &format!("{prefix}meta-{LEGACY}")).filter(|_| shown == LEGACY);
    own.clone().filter(|value| !value.is_empty()).or_else(old).or(own)
}

/// Header names are looked up in lower case.
fn shown_policy(kind: &str, policy: &str) -> String {
    format!("{kind}-policy-{}", policy.to_ascii_lowercase())
}

fn given(request: &HeaderMap, name: &str) -> Option<String> {
    request.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Shows an account's quotas under their own names, to everybody who may look at it.
pub(super) fn show(call: Call<'_>, headers: &mut HeaderMap) {
    if !call.proxy.config.account_quotas {
        return;
    }
    let mut show = |kept: &str, shown: &str| {
        let value = headers.get(format!("x-account-sysmeta-{kept}")).filter(|value| !value.is_empty()).cloned();
        if let (Some(value), Ok(name)) = (value, HeaderName::from_bytes(format!("x-account-{shown}").as_bytes())) {
            headers.insert(name, value);
        }
    };
    for kind in KINDS {
        show(kind, kind);
        for policy in call.proxy.client.cluster().policies.iter() {
            show(&format!("{kind}-policy-{}", policy.index.0), &shown_policy(kind, &policy.name));
        }
    }
}

#[cfg(test)]
mod tests;
