//! Container ACLs in Swift's classic syntax, as `X-Container-Read` and `X-Container-Write` hold them.
//!
//! An ACL is a list of items between commas. `.r:host`, `.r:.domain`, `.r:*` allow by the `Referer` header, `.r:-host`
//! forbids again (the last item that fits decides), `.rlistings` lets those referrers list; everything else names a
//! group: an account or an `account:user`. Account ACLs are another thing: [`account_acl`](mod@super::account_acl).

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
    #[error("Referrers not allowed in write ACL: '{0}'")]
    ReferrerInWrite(String),
    /// `.r:` or `.r:-` alone.
    #[error("No host/domain value after referrer designation in ACL: '{0}'")]
    NoHost(String),
    /// `.something:`.
    #[error("Unknown designator '{0}' in ACL: '{1}'")]
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

impl Acl {
    /// The accounts and users who are named.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str).filter(|group| !group.starts_with('.'))
    }

    /// Whether one of `groups` is named.
    pub fn names(&self, groups: &[String]) -> bool {
        self.groups.iter().any(|named| groups.contains(named))
    }

    /// Whether a request with that `Referer` may read objects.
    pub fn allows_referrer(&self, referer: Option<&str>) -> bool {
        if self.referrers.is_empty() {
            return false;
        }
        let host = referer.and_then(host_of).unwrap_or_else(|| "unknown".to_owned());
        self.referrers.iter().fold(false, |allowed, referrer| match referrer.strip_prefix('-') {
            Some(forbidden) => allowed && !fits(forbidden, &host),
            None => allowed || referrer == "*" || fits(referrer, &host),
        })
    }

    /// Whether referrers that may read objects may also list them.
    pub fn lets_referrers_list(&self) -> bool {
        self.groups.iter().any(|group| group == ".rlistings")
    }
}

/// A designated host fits itself, and with a leading dot every host below it.
fn fits(designated: &str, host: &str) -> bool {
    designated == host || (designated.starts_with('.') && host.ends_with(designated))
}

/// The host of a URL, in lower case.
fn host_of(url: &str) -> Option<String> {
    let url = url.trim_start_matches(|c: char| c <= ' ');
    let after_scheme = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => url,
    };
    let authority = after_scheme.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    let (_, host_and_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    let host = match host_and_port.split_once('[') {
        Some((_, bracketed)) => bracketed.split_once(']')?.0,
        None => host_and_port.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_lowercase())
}

fn is_scheme(text: &str) -> bool {
    let ok = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.');
    text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && text.bytes().all(ok)
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

#[cfg(test)]
mod tests;
