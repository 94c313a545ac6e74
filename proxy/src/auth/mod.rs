//! Who asks, and what they may do.
//!
//! [`decide`](decide::decide) is the pure decision; [`authorize`] looks up the ACLs that it needs and asks it.

pub mod acl;
pub mod decide;

use std::borrow::Cow;

use http::Method;
use http::request::Parts;

use crate::Proxy;

/// A user that a token proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `account:user`, as logs show it.
    pub user: String,
    /// The groups that ACLs name: `account:user`, `account`, and the storage accounts that the user administers.
    pub groups: Vec<String>,
    /// May do everything in every account.
    pub reseller_admin: bool,
    /// May read everything in every account.
    pub reseller_reader: bool,
}

/// What somebody wants to do, and to what.
///
/// A server-side copy is two accesses: `GET` of its source and `PUT` of its destination.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// What to do.
    pub method: &'a Method,
    /// The account, `AUTH_…`.
    pub account: &'a str,
    /// The container, absent for an access to the account itself.
    pub container: Option<&'a str>,
    /// The object, absent for an access to the account or the container itself.
    pub object: Option<&'a str>,
}

/// Permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Swift's `swift_owner`: may see and set ACLs, keys and the other headers for owners.
    pub owner: bool,
}

/// No permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody is known to ask: 401, with the account as the realm (the pipeline adds `WWW-Authenticate`).
    #[error("no token, and no anonymous access")]
    Unauthorized,
    /// Somebody asks who may not: 403.
    #[error("the user may not do this")]
    Forbidden,
    /// The ACL could not be read: 503.
    #[error("the access list cannot be read now: {0}")]
    Unavailable(Cow<'static, str>),
}

/// Decides on one access, for the user in the request's [`Context`](crate::context::Context) and its `Referer`.
///
/// The container's and the account's ACL are looked up (in the client's cache) only when the user has no right of
/// their own.
///
/// # Errors
/// When the access is not allowed, or an ACL that decides cannot be read.
pub async fn authorize(_proxy: &Proxy, _parts: &Parts, _access: Access<'_>) -> Result<Granted, Denied> {
    Err(Denied::Unauthorized)
}
