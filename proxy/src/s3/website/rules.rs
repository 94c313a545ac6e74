//! What a website's configuration says, and where it sends requests. Pure.
//!
//! The document is AWS's `WebsiteConfiguration`: either all requests go to another host, or there is an index document, perhaps a
//! document for errors, and up to 50 rules for redirects.

use http::StatusCode;
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};

use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::xml::{Node, Xml};
use crate::swift::response::QUOTED;

pub(super) const ROOT: &str = "WebsiteConfiguration";
const MAX_RULES: usize = 50;
/// The longest key that a document may have.
const MAX_KEY_BYTES: usize = 1024;

/// A website.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Website {
    /// All of it is elsewhere.
    Elsewhere(Host),
    /// It is here.
    Here {
        /// What stands for a folder: `index.html`.
        index: String,
        /// The key of what is shown with an error.
        error: Option<String>,
        /// The first that fits counts.
        rules: Vec<Rule>,
    },
}

/// A host, and how to speak to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Host {
    name: Option<String>,
    /// `http` or `https`.
    protocol: Option<String>,
}

/// When to send a request elsewhere, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    prefix: Option<String>,
    /// Only if this would be the answer otherwise.
    error: Option<u16>,
    host: Host,
    code: Option<u16>,
    replace: Replace,
}

/// What becomes of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Replace {
    #[default]
    Nothing,
    Prefix(String),
    Key(String),
}

/// Where a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) status: StatusCode,
    pub(super) location: String,
}

impl Website {
    pub(super) fn read(document: &Node) -> Result<Self, Fault> {
        document.only(&["IndexDocument", "ErrorDocument", "RedirectAllRequestsTo", "RoutingRules"])?;
        if let Some(all) = document.child("RedirectAllRequestsTo")? {
            if document.children.len() > 1 {
                return Err(refuse(
                    "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
                ));
            }
            all.only(&["HostName", "Protocol"])?;
            all.required("HostName")?;
            return Ok(Self::Elsewhere(Host::read(all)?));
        }
        let index = document.child("IndexDocument")?.ok_or_else(|| {
            Fault::argument(
                "IndexDocument",
                "null",
                "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            )
        })?;
        let suffix = index.required("Suffix")?;
        if suffix.is_empty() || suffix.contains('/') || suffix.len() > MAX_KEY_BYTES {
            return Err(Fault::argument("IndexDocument", suffix, "The IndexDocument Suffix is not well formed"));
        }
        let error = document.child("ErrorDocument")?.map(|error| key(error, "Key")).transpose()?.flatten();
        let rules = match document.child("RoutingRules")? {
            None => Vec::new(),
            Some(rules) => {
                rules.only(&["RoutingRule"])?;
                rules.children.iter().map(Rule::read).collect::<Result<_, _>>()?
            }
        };
        if rules.len() > MAX_RULES {
            return Err(refuse("The number of routing rules must not exceed the allowed limit of 50 rules."));
        }
        Ok(Self::Here { index: suffix.to_owned(), error, rules })
    }

    pub(super) fn write(&self, xml: &mut Xml) {
        match self {
            Self::Elsewhere(host) => {
                xml.open("RedirectAllRequestsTo");
                host.write(xml);
                xml.close();
            }
            Self::Here { index, error, rules } => {
                xml.open("IndexDocument").text("Suffix", index).close();
                if let Some(error) = error {
                    xml.open("ErrorDocument").text("Key", error).close();
                }
                if !rules.is_empty() {
                    xml.open("RoutingRules");
                    rules.iter().for_each(|rule| rule.write(xml));
                    xml.close();
                }
            }
        }
    }

    /// Where a request for a key goes before anything is looked for, or instead of an answer with this status.
    pub(super) fn redirect(&self, key: &str, failed: Option<StatusCode>, here: &Here<'_>) -> Option<Redirect> {
        match self {
            Self::Elsewhere(host) => {
                Some(Redirect { status: StatusCode::MOVED_PERMANENTLY, location: host.url(&quoted(key), here) })
            }
            Self::Here { rules, .. } => {
                rules.iter().find(|rule| rule.fits(key, failed)).map(|rule| rule.apply(key, here))
            }
        }
    }
}

/// How this request came.
pub(super) struct Here<'a> {
    pub(super) host: &'a str,
    pub(super) is_secure: bool,
}

impl Host {
    fn read(node: &Node) -> Result<Self, Fault> {
        let name = node.child("HostName")?.map(|name| name.text.trim().to_owned()).filter(|name| !name.is_empty());
        let is_host = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
        if let Some(bad) = name.as_ref().filter(|name| !is_host(name)) {
            return Err(refuse(&format!("The host name {bad} is not one.")));
        }
        let protocol = node.child("Protocol")?.map(|protocol| protocol.text.trim().to_owned());
        match protocol.as_deref() {
            None | Some("http" | "https") => Ok(Self { name, protocol }),
            Some(_) => Err(refuse(
                "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.",
            )),
        }
    }

    fn write(&self, xml: &mut Xml) {
        if let Some(name) = &self.name {
            xml.text("HostName", name);
        }
        if let Some(protocol) = &self.protocol {
            xml.text("Protocol", protocol);
        }
    }

    fn url(&self, path: &str, here: &Here<'_>) -> String {
        let protocol = self.protocol.as_deref().unwrap_or(if here.is_secure { "https" } else { "http" });
        format!("{protocol}://{}/{path}", self.name.as_deref().unwrap_or(here.host))
    }
}

impl Rule {
    fn read(node: &Node) -> Result<Self, Fault> {
        node.only(&["Condition", "Redirect"])?;
        let redirect = node.child("Redirect")?.ok_or(Fault::new(Code::MalformedXml))?;
        redirect.only(&["HostName", "Protocol", "HttpRedirectCode", "ReplaceKeyPrefixWith", "ReplaceKeyWith"])?;
        let replace = match (key(redirect, "ReplaceKeyPrefixWith")?, key(redirect, "ReplaceKeyWith")?) {
            (Some(_), Some(_)) => {
                return Err(refuse("You can only define ReplaceKeyPrefix or ReplaceKey but not both."));
            }
            (Some(prefix), None) => Replace::Prefix(prefix),
            (None, Some(key)) => Replace::Key(key),
            (None, None) => Replace::Nothing,
        };
        let code = number(redirect, "HttpRedirectCode")?;
        if code.is_some_and(|code| !(301..=308).contains(&code) || code == 304) {
            return Err(refuse("The provided HTTP redirect code is not valid. Valid codes are 3XX except 300."));
        }
        let mut rule = Self { host: Host::read(redirect)?, code, replace, ..Self::default() };
        if let Some(condition) = node.child("Condition")? {
            condition.only(&["KeyPrefixEquals", "HttpErrorCodeReturnedEquals"])?;
            rule.prefix = key(condition, "KeyPrefixEquals")?;
            rule.error = number(condition, "HttpErrorCodeReturnedEquals")?;
            if rule.error.is_some_and(|error| !(400..600).contains(&error)) {
                return Err(refuse("The provided HTTP error code is not valid. Valid codes are 4XX or 5XX."));
            }
        }
        Ok(rule)
    }

    fn write(&self, xml: &mut Xml) {
        xml.open("RoutingRule");
        if self.prefix.is_some() || self.error.is_some() {
            xml.open("Condition");
            if let Some(prefix) = &self.prefix {
                xml.text("KeyPrefixEquals", prefix);
            }
            if let Some(error) = self.error {
                xml.text("HttpErrorCodeReturnedEquals", &error.to_string());
            }
            xml.close();
        }
        xml.open("Redirect");
        self.host.write(xml);
        if let Some(code) = self.code {
            xml.text("HttpRedirectCode", &code.to_string());
        }
        match &self.replace {
            Replace::Nothing => {}
            Replace::Prefix(prefix) => _ = xml.text("ReplaceKeyPrefixWith", prefix),
            Replace::Key(key) => _ = xml.text("ReplaceKeyWith", key),
        }
        xml.close().close();
    }

    fn fits(&self, key: &str, failed: Option<StatusCode>) -> bool {
        self.error == failed.map(|status| status.as_u16())
            && key.starts_with(self.prefix.as_deref().unwrap_or_default())
    }

    fn apply(&self, key: &str, here: &Here<'_>) -> Redirect {
        let rest = key.strip_prefix(self.prefix.as_deref().unwrap_or_default()).unwrap_or(key);
        let key = match &self.replace {
            Replace::Nothing => key.to_owned(),
            Replace::Prefix(prefix) => format!("{prefix}{rest}"),
            Replace::Key(key) => key.clone(),
        };
        let status =
            self.code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::MOVED_PERMANENTLY);
        Redirect { status, location: self.host.url(&quoted(&key), here) }
    }
}

fn refuse(sentence: &str) -> Fault {
    Fault::saying(Code::InvalidRequest, sentence.to_owned())
}

fn quoted(key: &str) -> String {
    utf8_percent_encode(key, QUOTED).to_string()
}

/// An optional element that is a key, or the beginning of one.
fn key(node: &Node, name: &str) -> Result<Option<String>, Fault> {
    let Some(child) = node.child(name)? else { return Ok(None) };
    if child.text.len() > MAX_KEY_BYTES {
        return Err(Fault::new(Code::KeyTooLong));
    }
    Ok(Some(child.text.clone()))
}

fn number(node: &Node, name: &str) -> Result<Option<u16>, Fault> {
    let text = node.child(name)?.map(|child| child.text.trim().parse());
    text.transpose().map_err(|_| Fault::new(Code::MalformedXml))
}

#[cfg(test)]
mod tests;
