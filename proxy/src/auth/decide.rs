//! The decision on one access: values in, an answer out.
//!
//! First come the rights that a user has of their own (reseller's admins and readers, the account's admins), then what
//! the container's ACL gives to referrers and groups, then what the account's ACL gives to groups.

use http::Method;

use super::account_acl::AccountAcl;
use super::acl::Acl;
use super::reseller::{Reseller, Resellers};
use super::{Access, Denied, Granted, Identity};

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Who asks; nobody known without it.
    pub identity: Option<&'a Identity>,
    /// To do what.
    pub access: Access<'a>,
    /// The request's `Referer`.
    pub referer: Option<&'a str>,
    /// The ACL of the container for this kind of access.
    pub container_acl: Option<&'a Acl>,
    /// The ACL of the account.
    pub account_acl: Option<&'a AccountAcl>,
}

/// Decides.
///
/// # Errors
/// `Unauthorized` or `Forbidden`, by whether somebody is known.
pub fn decide(resellers: &Resellers, case: &Case<'_>) -> Result<Granted, Denied> {
    let denied = || Err(if case.identity.is_some() { Denied::Forbidden } else { Denied::Unauthorized });
    let Some(reseller) = resellers.of(case.access.account) else {
        return denied();
    };
    if let Some(granted) = own_right(case, reseller) {
        return Ok(granted);
    }
    // A browser asks with OPTIONS before it has a token to show; the answer tells it nothing but the CORS rules.
    if case.access.method == Method::OPTIONS || by_container_acl(case) {
        return Ok(Granted { owner: false });
    }
    by_account_acl(case).map_or_else(denied, Ok)
}

/// What a user may without any ACL.
fn own_right(case: &Case<'_>, reseller: &Reseller) -> Option<Granted> {
    let (identity, access) = (case.identity?, &case.access);
    let name = access.account.strip_prefix(reseller.prefix.as_str()).unwrap_or(access.account);
    // Hidden accounts (`AUTH_.name`) and the bare prefix belong to the cluster itself.
    let ordinary = !name.is_empty() && !name.starts_with('.');
    if identity.reseller_admin && ordinary {
        return Some(Granted { owner: true });
    }
    if identity.reseller_reader && ordinary && is_read(access.method) {
        return Some(Granted { owner: false });
    }
    let creates_or_deletes_account =
        access.container.is_none() && matches!(*access.method, Method::PUT | Method::DELETE);
    let has = |group: &str| identity.groups.iter().any(|g| g == group);
    let admin = has(access.account) && reseller.require_group.as_deref().is_none_or(has);
    (admin && !creates_or_deletes_account).then_some(Granted { owner: true })
}

fn by_container_acl(case: &Case<'_>) -> bool {
    let Some(acl) = case.container_acl else {
        return false;
    };
    let visible = case.access.object.is_some() || acl.lets_referrers_list();
    (visible && acl.allows_referrer(case.referer)) || case.identity.is_some_and(|who| acl.names(&who.groups))
}

fn by_account_acl(case: &Case<'_>) -> Option<Granted> {
    let (identity, acl) = (case.identity?, case.account_acl?);
    let listed = |list: &[String]| list.iter().any(|group| identity.groups.contains(group));
    let reads = is_read(case.access.method);
    if listed(&acl.admin) {
        return Some(Granted { owner: true });
    }
    let writes = listed(&acl.read_write) && (reads || case.access.container.is_some());
    (writes || (listed(&acl.read_only) && reads)).then_some(Granted { owner: false })
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests;
