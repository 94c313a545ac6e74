//! Who asks, and what they may do.
//!
//! [`decide`](decide::decide) is the pure decision; [`authorize`] looks up the ACLs that it needs and asks it.

pub mod account_acl;
pub mod acl;
pub mod decide;
pub mod reseller;
pub mod token;
pub mod user;

use http::header::REFERER;
use http::request::Parts;
use http::{HeaderMap, Method};

use apus_base::client::NoAnswer;

use crate::Proxy;
use crate::config::{Config, InvalidConfig};
use crate::context::{Context, Grant};
use account_acl::AccountAcl;
use acl::{Acl, Kind};
use decide::{Case, decide};
use reseller::Resellers;
use token::Tokens;
use user::Users;

/// What tells who asks: the users, what signs their tokens, and whose accounts there are.
pub struct Auth {
    /// Who may ask for tokens.
    pub users: Users,
    /// Makes and checks tokens.
    pub tokens: Tokens,
    /// Whose accounts there are.
    pub resellers: Resellers,
}

impl Auth {
    /// From a configuration.
    ///
    /// # Errors
    /// When a user, a reseller, the token secret or the path of tokens makes no sense.
    pub fn new(config: &Config) -> Result<Self, InvalidConfig> {
        let prefix = &config.auth_prefix;
        if prefix.len() < 3 || !prefix.starts_with('/') || !prefix.ends_with('/') {
            return Err(InvalidConfig::AuthPrefix(prefix.clone()));
        }
        let resellers = Resellers::new(config.resellers.clone())?;
        let users = Users::new(config.users.clone(), &resellers)?;
        let tokens = Tokens::new(&config.token_secret, resellers.first_prefix())?;
        Ok(Self { users, tokens, resellers })
    }
}

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
    #[error("the access list cannot be read: {0}")]
    Unavailable(#[from] NoAnswer),
}

/// Decides on one access, for the user in the request's [`Context`] and its `Referer`.
///
/// The container's and the account's ACL are looked up (in the client's cache) only when the user has no right of
/// their own.
///
/// # Errors
/// When the access is not allowed, or an ACL that decides cannot be read.
pub async fn authorize(proxy: &Proxy, parts: &Parts, access: Access<'_>) -> Result<Granted, Denied> {
    let context = parts.extensions.get::<Context>();
    if let Some(grant) = context.and_then(|context| context.grant.as_ref()) {
        return by_signature(grant, access);
    }
    let identity = context.and_then(|context| context.identity.as_deref());
    let referer = referer(&parts.headers);
    let mut case = Case { identity, access, referer: referer.as_deref(), container_acl: None, account_acl: None };
    let denied = match decide(&proxy.auth.resellers, &case) {
        Err(denied) if proxy.auth.resellers.of(access.account).is_some() => denied,
        decided => return decided,
    };
    let container_acl = container_acl(proxy, access).await?;
    // Account ACLs name groups, and a stranger is in none.
    let account_acl = if identity.is_some() { account_acl(proxy, access.account).await? } else { None };
    if container_acl.is_none() && account_acl.is_none() {
        return Err(denied);
    }
    case.container_acl = container_acl.as_ref();
    case.account_acl = account_acl.as_ref();
    decide(&proxy.auth.resellers, &case)
}

fn by_signature(grant: &Grant, access: Access<'_>) -> Result<Granted, Denied> {
    let covered = match grant {
        Grant::Account(account) => account == access.account,
        Grant::Container(account, container) | Grant::Sync { account, container, .. } => {
            account == access.account && access.container == Some(container)
        }
    };
    if covered { Ok(Granted { owner: false }) } else { Err(Denied::Unauthorized) }
}

fn referer(headers: &HeaderMap) -> Option<String> {
    headers.get(REFERER).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Which of a container's ACLs says who else may do that; none for changes of the container itself.
fn acl_kind(access: Access<'_>) -> Option<Kind> {
    match *access.method {
        Method::GET | Method::HEAD => Some(Kind::Read),
        Method::PUT | Method::POST | Method::DELETE => access.object.map(|_| Kind::Write),
        _ => None,
    }
}

async fn container_acl(proxy: &Proxy, access: Access<'_>) -> Result<Option<Acl>, NoAnswer> {
    let (Some(kind), Some(container)) = (acl_kind(access), access.container) else {
        return Ok(None);
    };
    let info = proxy.client.container_info(access.account, container).await?;
    let text = info.found().and_then(|info| match kind {
        Kind::Read => info.read_acl.as_deref(),
        Kind::Write => info.write_acl.as_deref(),
    });
    Ok(text.map(acl::parse))
}

async fn account_acl(proxy: &Proxy, account: &str) -> Result<Option<AccountAcl>, NoAnswer> {
    let info = proxy.client.account_info(account).await?;
    let text = info.found().and_then(|info| info.sysmeta.get(account_acl::SYSMETA_KEY));
    Ok(text.map(|text| AccountAcl::parse(Some(text))))
}
