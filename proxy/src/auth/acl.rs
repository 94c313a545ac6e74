//! Container ACLs in Swift's classic syntax, as `X-Container-Read` and `X-Container-Write` hold them.
//!
//! An ACL is a list of items between commas. `.r:host`, `.r:.domain`, `.r:*` allow by the `Referer` header, `.r:-host`
//! forbids again (the last item that fits decides), `.rlistings` lets those referrers list; everything else names a
//! group: an account or an `account:user`. Account ACLs are another thing: [`account_acl`](super::account_acl).

use percent_encoding::percent_decode_str;

/// A parsed container ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    referrers: Vec<String>,
    groups: Vec<String>,
}

/// Why an ACL is refused; the text is the body of the 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAcl {
    /// `.r:` in a write ACL.
    #[error("Referrers not allowed in write ACL: {0:?}")]
    ReferrerInWrite(String),
    /// `.r:` or `.r:-` alone.
    #[error("No host/domain value after referrer designation in ACL: {0:?}")]
    NoHost(String),
    /// `.something:`.
    #[error("Unknown designator {0:?} in ACL: {1:?}")]
    Designator(String, String),
}

/// What an ACL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `X-Container-Read`.
    Read,
    /// `X-Container-Write`, where referrers have no place.
    Write,
}

/// Reads an ACL that [`clean_acl`] made. Any text has a meaning; what makes no sense names a group nobody is in.
pub fn parse(text: &str) -> Acl {
    let mut acl = Acl::default();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        match item.strip_prefix(".r:") {
            Some(host) => acl.referrers.push(host.to_owned()),
            None => acl.groups.push(percent_decode_str(item).decode_utf8_lossy().into_owned()),
        }
    }
    acl
}

/// Checks what a client sent and writes it the one way in which it is stored.
///
/// # Errors
/// When an item has no meaning, or a referrer stands in a write ACL.
pub fn clean_acl(kind: Kind, text: &str) -> Result<String, InvalidAcl> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let cleaned: Vec<String> = items.map(|item| clean_item(kind, item)).collect::<Result<_, _>>()?;
    Ok(cleaned.join(","))
}

fn clean_item(kind: Kind, item: &str) -> Result<String, InvalidAcl> {
    let Some((designator, value)) = item.split_once(':') else {
        return Ok(item.to_owned());
    };
    match designator.trim() {
        ".r" | ".ref" | ".referer" | ".referrer" if kind == Kind::Write => {
            Err(InvalidAcl::ReferrerInWrite(item.to_owned()))
        }
        ".r" | ".ref" | ".referer" | ".referrer" => clean_referrer(item, value.trim()),
        other if other.starts_with('.') => Err(InvalidAcl::Designator(other.to_owned(), item.to_owned())),
        _ => Ok(item.to_owned()),
    }
}

fn clean_referrer(item: &str, value: &str) -> Result<String, InvalidAcl> {
    let (minus, host) = value.strip_prefix('-').map_or(("", value), |host| ("-", host.trim()));
    let host = if host == "*" { host } else { host.strip_prefix('*').map_or(host, str::trim) };
    if host.is_empty() || host == "." {
        return Err(InvalidAcl::NoHost(item.to_owned()));
    }
    Ok(format!(".r:{minus}{host}"))
}
