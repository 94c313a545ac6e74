//! The `[proxy.notifications]` table of a node's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use apus_base::seconds;
use http::Uri;
use serde::{Deserialize, Serialize};

use crate::auth::user::Secret;

/// The longest name of a webhook.
const MAX_NAME_CHARS: usize = 64;

/// How events of buckets are sent. Every field has a default; times are in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The rest between two looks at what could not be sent at once; 0 means that this proxy does not look.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// How long a webhook may take for its answer.
    #[serde(with = "seconds")]
    pub timeout: Duration,
    /// Events sent at once to one webhook.
    pub concurrency: usize,
    /// How long an event waits for its webhook; then it is lost.
    #[serde(with = "seconds")]
    pub keep: Duration,
    /// How many wait for one webhook, about; those beyond are lost.
    pub max_queued: u64,
    /// Who can be told, by names that buckets use: `arn:aws:sqs:REGION::NAME`.
    pub webhooks: BTreeMap<String, Webhook>,
}

/// Who is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The URL that each event is sent to, with POST.
    pub endpoint: String,
    /// What proves that it is us: `Authorization: Bearer TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNotification {
    /// It cannot stand in a resource name.
    #[error("notifications: {0:?} is no name for a webhook: up to 64 letters, digits, '-' and '_'")]
    Name(String),
    /// It cannot be sent to.
    #[error("notifications: the endpoint of {0} must be an http:// or https:// URL without a user, not {1:?}")]
    Endpoint(String, String),
    /// It cannot be a header.
    #[error("notifications: the token of {0} holds what a header cannot")]
    Token(String),
    /// Nothing could be sent.
    #[error("notifications: timeout and concurrency must be above 0, and timeout at most 25")]
    Pace,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            concurrency: 8,
            keep: Duration::from_secs(7 * 86_400),
            max_queued: 1_000_000,
            webhooks: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Looks whether it makes sense.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), InvalidNotification> {
        let longest = super::GRACE.saturating_sub(super::HURRY);
        if self.timeout.is_zero() || self.timeout >= longest || self.concurrency == 0 {
            return Err(InvalidNotification::Pace);
        }
        self.webhooks.iter().try_for_each(|(name, webhook)| webhook.check(name))
    }
}

impl Webhook {
    fn check(&self, name: &str) -> Result<(), InvalidNotification> {
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(is_good) {
            return Err(InvalidNotification::Name(name.to_owned()));
        }
        if self.uri().is_none() {
            return Err(InvalidNotification::Endpoint(name.to_owned(), self.endpoint.clone()));
        }
        let is_visible = |token: &Secret| !token.0.is_empty() && token.0.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.token.as_ref().is_none_or(is_visible) {
            return Err(InvalidNotification::Token(name.to_owned()));
        }
        Ok(())
    }

    /// The endpoint; `None` if it is none.
    pub(super) fn uri(&self) -> Option<Uri> {
        let uri: Uri = self.endpoint.parse().ok()?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_plain = uri.authority().is_some_and(|host| !host.as_str().contains('@') && !host.host().is_empty());
        Some(uri).filter(|_| is_web && is_plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let check = |text: &str| toml::from_str::<Config>(text).unwrap().check();
        assert_eq!(check("[webhooks.a-B_1]\nendpoint = \"https://h:1/p?q=1\"\ntoken = \"t\""), Ok(()));
        assert_eq!(check("timeout = 0"), Err(InvalidNotification::Pace));
        assert_eq!(check("timeout = 30"), Err(InvalidNotification::Pace));
        assert_eq!(check("concurrency = 0"), Err(InvalidNotification::Pace));
        assert_eq!(check("[webhooks.\"a/b\"]\nendpoint = \"http://h\""), Err(InvalidNotification::Name("a/b".into())));
        for endpoint in ["h", "/p", "ftp://h", "http://u:p@h/", "http://", ""] {
            let refused = check(&format!("[webhooks.w]\nendpoint = {endpoint:?}"));
            assert_eq!(refused, Err(InvalidNotification::Endpoint("w".into(), endpoint.into())));
        }
        let refused = check("[webhooks.w]\nendpoint = \"http://h\"\ntoken = \"a b\"");
        assert_eq!(refused, Err(InvalidNotification::Token("w".into())));
    }
}
