//! The policy of a form: until when it holds, and what the fields of the form may say. Pure.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Fields;
use crate::s3::code::Code;
use crate::s3::fault::Fault;

/// More conditions than any form has fields.
const MAX_CONDITIONS: usize = 200;
/// What needs no condition.
const FREE: [&str; 6] =
    ["policy", "x-amz-signature", "signature", "awsaccesskeyid", "file", "x-amz-checksum-algorithm"];

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// In seconds since 1970.
    expiration: i64,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Equal(String, String),
    StartsWith(String, String),
    Length(u64, u64),
}

#[derive(Deserialize)]
struct Written {
    expiration: String,
    conditions: Vec<Value>,
}

fn invalid(sentence: &str) -> Fault {
    Fault::saying(Code::InvalidPolicyDocument, format!("Invalid Policy: {sentence}"))
}

impl Policy {
    /// Reads a policy as a form has it, in base64.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let json = BASE64_STANDARD.decode(text.trim()).map_err(|_| invalid("it is not in base64"))?;
        let written: Written = serde_json::from_slice(&json).map_err(|_| invalid("it is not the JSON of a policy"))?;
        let expiration =
            OffsetDateTime::parse(&written.expiration, &Rfc3339).map_err(|_| invalid("Invalid 'expiration'"))?;
        if written.conditions.len() > MAX_CONDITIONS {
            return Err(invalid("it has too many conditions"));
        }
        let mut conditions = Vec::new();
        for condition in &written.conditions {
            match condition {
                Value::Object(pairs) => {
                    for (name, value) in pairs {
                        let value = value.as_str().ok_or_else(|| invalid("a condition is no text"))?;
                        conditions.push(Condition::Equal(name.to_lowercase(), value.to_owned()));
                    }
                }
                Value::Array(words) => conditions.push(Condition::of(words)?),
                _ => return Err(invalid("a condition has no form")),
            }
        }
        Ok(Self { expiration: expiration.unix_timestamp(), conditions })
    }

    /// The lengths that a file may have.
    pub(super) fn lengths(&self) -> (u64, u64) {
        let ranges = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Length(least, most) => Some((*least, *most)),
            _ => None,
        });
        ranges.fold((0, u64::MAX), |(least, most), range| (least.max(range.0), most.min(range.1)))
    }

    /// # Errors
    /// When it expired, a condition does not hold, or a field has none.
    pub(super) fn check(&self, fields: &Fields, bucket: &str, now: i64) -> Result<(), Fault> {
        let denied = |sentence: String| Err(Fault::saying(Code::AccessDenied, sentence));
        if now > self.expiration {
            return denied("Invalid according to Policy: Policy expired.".into());
        }
        let value = |name: &str| if name == "bucket" { bucket } else { fields.get(name).unwrap_or_default() };
        for condition in &self.conditions {
            let holds = match condition {
                Condition::Equal(name, expected) => value(name) == expected,
                Condition::StartsWith(name, start) => value(name).starts_with(start.as_str()),
                Condition::Length(..) => true,
            };
            if !holds {
                return denied(format!("Invalid according to Policy: Policy Condition failed: {}", condition.shown()));
            }
        }
        let covered = |name: &str| self.conditions.iter().any(|condition| condition.name() == Some(name));
        let extra =
            fields.names().find(|name| !FREE.contains(name) && !name.starts_with("x-ignore-") && !covered(name));
        match extra {
            Some(name) => denied(format!("Invalid according to Policy: Extra input fields: {name}")),
            None => Ok(()),
        }
    }
}

impl Condition {
    fn of(words: &[Value]) -> Result<Self, Fault> {
        let [kind, first, second] = words else { return Err(invalid("a condition has no form")) };
        let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
        if kind == "content-length-range" {
            let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
            let range = number(first).zip(number(second));
            return range
                .map(|(least, most)| Self::Length(least, most))
                .ok_or_else(|| invalid("a range has no numbers"));
        }
        let name = first.as_str().and_then(|name| name.strip_prefix('$'));
        let (name, value) = name.zip(second.as_str()).ok_or_else(|| invalid("a condition has no form"))?;
        match kind.as_str() {
            "eq" => Ok(Self::Equal(name.to_lowercase(), value.to_owned())),
            "starts-with" => Ok(Self::StartsWith(name.to_lowercase(), value.to_owned())),
            _ => Err(invalid("a condition is of no kind")),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Equal(name, _) | Self::StartsWith(name, _) => Some(name),
            Self::Length(..) => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Equal(name, value) => format!("[\"eq\", \"${name}\", \"{value}\"]"),
            Self::StartsWith(name, value) => format!("[\"starts-with\", \"${name}\", \"{value}\"]"),
            Self::Length(least, most) => format!("[\"content-length-range\", {least}, {most}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn policy(conditions: &Value) -> Result<Policy, Fault> {
        let json = json!({ "expiration": "2030-01-01T00:00:00.000Z", "conditions": conditions });
        Policy::parse(&BASE64_STANDARD.encode(json.to_string()))
    }

    fn check(conditions: &Value, fields: &[(&str, &str)], now: i64) -> Result<(), String> {
        let mut all = Fields::default();
        fields.iter().for_each(|(name, value)| all.add(name, (*value).to_owned()));
        policy(conditions).unwrap().check(&all, "pail", now).map_err(|fault| fault.message.into_owned())
    }

    #[test]
    fn every_field_has_a_condition_that_holds() {
        let conditions = json!([{ "bucket": "pail" }, ["starts-with", "$key", "user/"], ["eq", "$ACL", "private"]]);
        let good = [("key", "user/1"), ("acl", "private"), ("policy", "p"), ("x-ignore-me", "1")];
        assert_eq!(check(&conditions, &good, 0), Ok(()));
        assert!(check(&conditions, &good, 2_000_000_000).unwrap_err().ends_with("Policy expired."));
        assert!(check(&conditions, &[("key", "other"), ("acl", "private")], 0).unwrap_err().contains("$key"));
        assert!(check(&conditions, &[("key", "user/")], 0).unwrap_err().contains("$acl"));
        let extra = [("key", "user/1"), ("acl", "private"), ("x-amz-meta-a", "b")];
        assert!(check(&conditions, &extra, 0).unwrap_err().ends_with("Extra input fields: x-amz-meta-a"));
        assert!(check(&json!([{ "bucket": "other" }]), &[], 0).is_err());
    }

    #[test]
    fn lengths_and_nonsense() {
        let range = json!([["content-length-range", 1, "10"], ["content-length-range", 5, 100]]);
        assert_eq!(policy(&range).unwrap().lengths(), (5, 10));
        for bad in [
            json!(["x"]),
            json!([["eq", "key", "x"]]),
            json!([["like", "$key", "x"]]),
            json!([{ "a": 1 }]),
            json!([["eq"]]),
        ] {
            assert_eq!(policy(&bad).unwrap_err().code, Code::InvalidPolicyDocument, "{bad}");
        }
        assert!(Policy::parse("!").is_err() && Policy::parse("e30=").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}", json in "[\\[\\]{}\":,a$0-9]{0,40}") {
            let _ = Policy::parse(&text);
            let _ = Policy::parse(&BASE64_STANDARD.encode(json));
        }
    }
}
