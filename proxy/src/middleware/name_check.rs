//! Refuses paths with characters or patterns that an operator forbids, or longer than they allow: for clusters whose
//! names go to systems that cannot take them. Off unless configured.

use http::{Request, StatusCode};
use percent_encoding::percent_decode_str;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::Body;

use crate::Proxy;
use crate::pipeline::{Answer, Next};
use crate::swift::response::text_html;

/// What is forbidden, the `[proxy.name_check]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether anything is checked.
    pub enabled: bool,
    /// Characters that no path may hold.
    pub forbidden_chars: String,
    /// The most bytes of a path, `/v1` included.
    pub maximum_length: usize,
    /// What no path may match; empty forbids nothing. It takes time in proportion to the path, so it knows no
    /// look-around and no back-references.
    pub forbidden_regexp: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            forbidden_chars: "'\"`<>".into(),
            maximum_length: 255,
            forbidden_regexp: r"/\./|/\.\./|/\.$|/\.\.$".into(),
        }
    }
}

/// What checks paths.
#[derive(Clone, Debug)]
pub struct NameCheck {
    config: Config,
    forbidden: Option<Regex>,
}

impl NameCheck {
    /// From a configuration; `None` if nothing is checked.
    ///
    /// # Errors
    /// When the regular expression is none.
    pub fn new(config: &Config) -> Result<Option<Self>, regex::Error> {
        if !config.enabled {
            return Ok(None);
        }
        let is_empty = config.forbidden_regexp.is_empty();
        let forbidden = if is_empty { None } else { Some(Regex::new(&config.forbidden_regexp)?) };
        Ok(Some(Self { config: config.clone(), forbidden }))
    }

    /// Why a path, as it came, is refused.
    fn refusal(&self, path: &str) -> Option<String> {
        self.refusal_of(&String::from_utf8_lossy(&percent_decode_str(path).collect::<Vec<u8>>()))
    }

    /// Why a decoded path is refused.
    pub(crate) fn refusal_of(&self, path: &str) -> Option<String> {
        let Config { forbidden_chars, maximum_length, forbidden_regexp, .. } = &self.config;
        if path.contains(|c| forbidden_chars.contains(c)) {
            return Some(format!("Object/Container/Account name contains forbidden chars from {forbidden_chars}"));
        }
        if path.len() > *maximum_length {
            return Some(format!("Object/Container/Account name longer than the allowed maximum {maximum_length}"));
        }
        self.forbidden.as_ref().filter(|forbidden| forbidden.is_match(path)).map(|_| {
            format!(
                "Object/Container/Account name contains a forbidden substring from regular expression {forbidden_regexp}"
            )
        })
    }
}

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    let refusal = proxy.name_check.as_ref().and_then(|check| check.refusal(request.uri().path()));
    match refusal {
        None => next.run(request),
        Some(refusal) => Box::pin(std::future::ready(text_html(StatusCode::BAD_REQUEST, refusal))),
    }
}

/// What `/info` says of it.
pub fn info(proxy: &Proxy) -> Option<Value> {
    let config = proxy.config.name_check.clone();
    config.enabled.then(|| {
        json!({
            "forbidden_chars": config.forbidden_chars,
            "maximum_length": config.maximum_length,
            "forbidden_regexp": config.forbidden_regexp,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: Config, path: &str) -> Option<String> {
        NameCheck::new(&Config { enabled: true, ..config }).unwrap().unwrap().refusal(path)
    }

    #[test]
    fn what_is_forbidden_by_default() {
        for path in ["/v1/a/c/o", "/v1/a/c/.o", "/v1/a/c/...", "/v1/a/c/o%20%C3%BC", &format!("/{}", "x".repeat(254))] {
            assert_eq!(refused(Config::default(), path), None, "{path}");
        }
        let chars = "Object/Container/Account name contains forbidden chars from '\"`<>";
        for path in ["/v1/a/c/%3Co", "/v1/a/c/o'", "/v1/a/c/o%60"] {
            assert_eq!(refused(Config::default(), path).as_deref(), Some(chars), "{path}");
        }
        let long = "Object/Container/Account name longer than the allowed maximum 255";
        assert_eq!(refused(Config::default(), &format!("/{}", "%C3%BC".repeat(128))).as_deref(), Some(long));
        for path in ["/v1/a/./o", "/v1/a/../o", "/v1/a/c/.", "/v1/a/c/%2E%2E"] {
            assert!(refused(Config::default(), path).unwrap().contains("forbidden substring"), "{path}");
        }
    }

    #[test]
    fn an_operator_chooses() {
        let none = Config { forbidden_regexp: String::new(), forbidden_chars: "ü".into(), ..Config::default() };
        assert_eq!(refused(none.clone(), "/v1/a/../<o>"), None);
        assert!(refused(none, "/v1/a/%C3%BC").is_some());
        assert!(NameCheck::new(&Config::default()).unwrap().is_none());
        assert!(NameCheck::new(&Config { enabled: true, forbidden_regexp: "(".into(), ..Config::default() }).is_err());
    }
}
