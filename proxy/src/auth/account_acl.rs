//! Account ACLs: `X-Account-Access-Control`, a JSON object of who may do what in a whole account.
//!
//! `{"admin": [...], "read-write": [...], "read-only": [...]}`, each a list of groups. It is stored in the account's
//! system metadata, so that nobody but this module and the account's owners sees it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What clients set and see.
pub const HEADER: &str = "x-account-access-control";
/// What the account server stores.
pub const SYSMETA: &str = "x-account-sysmeta-core-access-control";
/// The same in an account's info, without the prefix.
pub const SYSMETA_KEY: &str = "core-access-control";

/// Who may do what in an account, beside its own users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct AccountAcl {
    /// May do everything that the account's own admins may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admin: Vec<String>,
    /// May read the account, its containers and objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<String>,
    /// May read, and write containers and objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_write: Vec<String>,
}

/// Why an account ACL is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccountAcl {
    /// Not a JSON object.
    #[error("Syntax error in input ('{0}')")]
    Syntax(String),
    /// Something else than the three lists.
    #[error("Key {0:?} not recognized")]
    Key(String),
    /// A list that is none.
    #[error("Value for key {0:?} must be a list")]
    NoList(&'static str),
    /// A list of other things than texts.
    #[error("Elements of {0:?} list must be strings")]
    NoText(&'static str),
}

impl AccountAcl {
    /// Reads a stored ACL; what is absent, empty or damaged allows nobody.
    pub fn parse(stored: Option<&str>) -> Self {
        stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.admin.is_empty() && self.read_only.is_empty() && self.read_write.is_empty()
    }

    /// The text in headers: compact JSON, all ASCII, keys in order; empty when it allows nobody.
    pub fn to_header(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        // Texts and lists of texts always serialize.
        let json = serde_json::to_string(self).unwrap_or_default();
        json.chars().fold(String::with_capacity(json.len()), |mut ascii, c| {
            match c {
                ' '..='~' => ascii.push(c),
                _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}"))),
            }
            ascii
        })
    }
}

/// Checks what a client sent and writes it the one way in which it is stored; the empty text removes the ACL.
///
/// # Errors
/// When it is not an object of lists of texts under the three known keys.
pub fn clean(text: &str) -> Result<String, InvalidAccountAcl> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(InvalidAccountAcl::Syntax(text.to_owned()));
    };
    if let Some(key) = object.keys().find(|key| !["admin", "read-write", "read-only"].contains(&key.as_str())) {
        return Err(InvalidAccountAcl::Key(key.clone()));
    }
    let list = |key: &'static str| object.get(key).map_or(Ok(Vec::new()), |value| texts(key, value));
    Ok(AccountAcl { admin: list("admin")?, read_write: list("read-write")?, read_only: list("read-only")? }.to_header())
}

fn texts(key: &'static str, value: &Value) -> Result<Vec<String>, InvalidAccountAcl> {
    let list = value.as_array().ok_or(InvalidAccountAcl::NoList(key))?;
    let text = |item: &Value| item.as_str().map(str::to_owned).ok_or(InvalidAccountAcl::NoText(key));
    list.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_checked_and_made_ascii() {
        let cleaned = clean("{\"read-only\": [\"bob\"], \"admin\": [\"zoë 𝄞\"], \"read-write\": []}").unwrap();
        assert_eq!(cleaned, "{\"admin\":[\"zo\\u00eb \\ud834\\udd1e\"],\"read-only\":[\"bob\"]}");
        assert_eq!(AccountAcl::parse(Some(&cleaned)).admin, ["zoë 𝄞"]);
        assert_eq!(clean("{\"admin\":[]}"), Ok(String::new()));
    }

    #[test]
    fn each_mistake_is_named() {
        let refused = |text| clean(text).unwrap_err().to_string();
        assert_eq!(refused("[]"), "Syntax error in input ('[]')");
        assert_eq!(refused("{"), "Syntax error in input ('{')");
        assert_eq!(refused("{\"other\":[]}"), "Key \"other\" not recognized");
        assert_eq!(refused("{\"admin\":\"bob\"}"), "Value for key \"admin\" must be a list");
        assert_eq!(refused("{\"read-only\":[1]}"), "Elements of \"read-only\" list must be strings");
    }

    proptest! {
        #[test]
        fn any_text_is_cleaned_or_refused(text in "\\PC{0,40}|\\{\"admin\":\\[\"\\PC{0,9}\"\\]\\}") {
            let _ = AccountAcl::parse(Some(&text));
            if let Ok(cleaned) = clean(&text) {
                prop_assert!(cleaned.is_ascii());
                prop_assert_eq!(clean(&cleaned), Ok(cleaned));
            }
        }
    }
}
