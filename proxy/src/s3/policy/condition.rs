//! The conditions of a policy's statement: operators, keys, and what a request says to them. Pure.

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ipnet::IpNet;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::document::{Malformed, texts};
use super::pattern::Pattern;

/// What a request says to a key, in lower case; nothing if the key is not there. Most have one value.
pub(super) trait Asks {
    /// The values of a key.
    fn values(&self, key: &str) -> Vec<String>;
}

/// How a key's values are compared with the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Order),
    Date(Order),
    Bool,
    Binary,
    IpAddress,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

/// What an operator does with several values of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    /// There is one value, and if there are more, one of them is enough.
    Single,
    /// All of them have to pass; none are all.
    All,
    /// One has to.
    Any,
}

/// One key under one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    quantifier: Quantifier,
    test: Test,
    negated: bool,
    if_exists: bool,
    /// In lower case.
    pub(super) key: String,
    values: Vec<String>,
}

/// Reads the `Condition` of a statement.
///
/// # Errors
/// When there is no such operator or key, or a value is none for it.
pub(super) fn read(value: &Value) -> Result<Vec<Condition>, Malformed> {
    let operators = value.as_object().ok_or(Malformed("Conditions must be objects".into()))?;
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let keys = keys.as_object().ok_or_else(|| Malformed(format!("Invalid Condition : {operator}")))?;
        for (key, values) in keys {
            let condition = Condition::new(operator, key, texts(values)?)?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

impl Condition {
    fn new(operator: &str, key: &str, values: Vec<String>) -> Result<Self, Malformed> {
        let (quantifier, rest) = match operator.split_once(':') {
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            _ => (Quantifier::Single, operator),
        };
        let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
        let unknown = || Malformed(format!("Invalid Condition type : {operator}"));
        let (test, negated) = test(rest).ok_or_else(unknown)?;
        let key = key.to_ascii_lowercase();
        if !key.starts_with("aws:") && !key.starts_with("s3:") {
            return Err(Malformed("Policy has an invalid condition key".into()));
        }
        let condition = Self { quantifier, test, negated, if_exists: if_exists && test != Test::Null, key, values };
        let is_value = |value: &String| condition.test.is_value(value);
        if condition.values.iter().all(is_value) && !condition.values.is_empty() {
            Ok(condition)
        } else {
            Err(Malformed(format!("Invalid value for the condition {operator} of {}", condition.key)))
        }
    }

    /// Whether a request meets it.
    pub(super) fn is_met(&self, request: &dyn Asks, has_variables: bool) -> bool {
        let values = request.values(&self.key);
        if self.test == Test::Null {
            return self.values.iter().any(|wanted| wanted.eq_ignore_ascii_case("true") == values.is_empty());
        }
        if values.is_empty() {
            let passes = self.quantifier == Quantifier::All || (self.negated && self.quantifier == Quantifier::Single);
            return self.if_exists || passes;
        }
        let expanded = |wanted: &str| match has_variables {
            true => Pattern::expand(wanted, |name| request.values(&name.to_ascii_lowercase()).into_iter().next()),
            false => Some(Pattern::new(wanted)),
        };
        let one = |value: &String| {
            let fits = self.values.iter().any(|wanted| self.test.passes(wanted, value, &expanded));
            fits != self.negated
        };
        match self.quantifier {
            Quantifier::All => values.iter().all(one),
            Quantifier::Any => values.iter().any(one),
            // "Not equal to any of these" of several values is about all of them.
            Quantifier::Single if self.negated => values.iter().all(one),
            Quantifier::Single => values.iter().any(one),
        }
    }

    /// Whether it names who may come so closely that a statement with it is not for everybody.
    pub(super) fn narrows(&self) -> bool {
        const FIXED: [&str; 9] = [
            "aws:sourceip",
            "aws:sourcearn",
            "aws:sourceaccount",
            "aws:sourcevpc",
            "aws:sourcevpce",
            "aws:userid",
            "aws:username",
            "aws:principalarn",
            "aws:principalaccount",
        ];
        if self.negated || self.if_exists || self.quantifier == Quantifier::All || !FIXED.contains(&self.key.as_str()) {
            return false;
        }
        match self.test {
            Test::StringEquals | Test::StringEqualsIgnoreCase => true,
            Test::StringLike => self.values.iter().all(|value| !value.contains(['*', '?'])),
            Test::IpAddress => self.values.iter().all(|value| is_narrow(value)),
            _ => false,
        }
    }
}

/// AWS takes networks that are larger than these for the whole world.
fn is_narrow(network: &str) -> bool {
    match net(network) {
        Some(IpNet::V4(network)) => network.prefix_len() >= 8,
        Some(IpNet::V6(network)) => network.prefix_len() >= 32,
        None => false,
    }
}

/// An operator, and whether it is said with a "not".
fn test(name: &str) -> Option<(Test, bool)> {
    let order = |name: &str| {
        Some(match name {
            "Equals" | "NotEquals" => Order::Equals,
            "LessThan" => Order::LessThan,
            "LessThanEquals" => Order::LessThanEquals,
            "GreaterThan" => Order::GreaterThan,
            "GreaterThanEquals" => Order::GreaterThanEquals,
            _ => return None,
        })
    };
    Some(match name {
        // ARNs of this server have no parts that a wildcard must not cross.
        "StringEquals" => (Test::StringEquals, false),
        "StringNotEquals" => (Test::StringEquals, true),
        "StringEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, true),
        "StringLike" | "ArnLike" | "ArnEquals" => (Test::StringLike, false),
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (Test::StringLike, true),
        "Bool" => (Test::Bool, false),
        "BinaryEquals" => (Test::Binary, false),
        "IpAddress" => (Test::IpAddress, false),
        "NotIpAddress" => (Test::IpAddress, true),
        "Null" => (Test::Null, false),
        other => match (other.strip_prefix("Numeric"), other.strip_prefix("Date")) {
            (Some(rest), _) => (Test::Numeric(order(rest)?), rest == "NotEquals"),
            (_, Some(rest)) => (Test::Date(order(rest)?), rest == "NotEquals"),
            _ => return None,
        },
    })
}

impl Test {
    /// Whether a policy may compare with that.
    fn is_value(self, text: &str) -> bool {
        match self {
            Self::Numeric(_) => number(text).is_some(),
            Self::Date(_) => date(text).is_some(),
            Self::Bool | Self::Null => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
            Self::Binary => BASE64_STANDARD.decode(text).is_ok(),
            Self::IpAddress => net(text).is_some(),
            Self::StringEquals | Self::StringEqualsIgnoreCase | Self::StringLike => true,
        }
    }

    fn passes(self, wanted: &str, value: &str, expanded: &dyn Fn(&str) -> Option<Pattern>) -> bool {
        match self {
            Self::StringEquals => expanded(wanted).is_some_and(|wanted| wanted.text() == value),
            Self::StringEqualsIgnoreCase => {
                expanded(wanted).is_some_and(|wanted| wanted.text().to_lowercase() == value.to_lowercase())
            }
            Self::StringLike => expanded(wanted).is_some_and(|pattern| pattern.fits(value)),
            Self::Numeric(order) => number(value).zip(number(wanted)).is_some_and(|(v, w)| order.holds(&v, &w)),
            Self::Date(order) => date(value).zip(date(wanted)).is_some_and(|(v, w)| order.holds(&v, &w)),
            Self::Bool => wanted.eq_ignore_ascii_case(value),
            Self::Binary => wanted == value,
            Self::IpAddress => {
                let address: Option<IpAddr> = value.parse().ok();
                address.zip(net(wanted)).is_some_and(|(address, net)| net.contains(&address.to_canonical()))
            }
            Self::Null => false,
        }
    }
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, wanted: &T) -> bool {
        match self {
            Self::Equals => value == wanted,
            Self::LessThan => value < wanted,
            Self::LessThanEquals => value <= wanted,
            Self::GreaterThan => value > wanted,
            Self::GreaterThanEquals => value >= wanted,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A moment as ISO 8601 or in seconds since 1970.
fn date(text: &str) -> Option<i64> {
    let whole = if text.len() == "2026-01-02".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let iso = OffsetDateTime::parse(&whole, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
    iso.or_else(|| text.parse().ok())
}

/// A network, or one address as a network of its own.
fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// What a request says: `key=value`, as often as it likes.
    struct Said(&'static [(&'static str, &'static str)]);

    impl Asks for Said {
        fn values(&self, key: &str) -> Vec<String> {
            self.0.iter().filter(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()).collect()
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is written where the function is called")]
    fn met(condition: Value, said: &'static [(&'static str, &'static str)]) -> bool {
        let conditions = read(&condition).unwrap();
        conditions.iter().all(|condition| condition.is_met(&Said(said), true))
    }

    #[test]
    fn each_operator() {
        let said: &'static [(&str, &str)] = &[
            ("aws:username", "test:tester"),
            ("aws:sourceip", "::ffff:192.0.2.7"),
            ("aws:securetransport", "false"),
            ("aws:currenttime", "2026-05-06T07:08:09Z"),
            ("s3:max-keys", "10"),
            ("s3:prefix", "home/test:tester/a"),
        ];
        for (operator, key, value, expected) in [
            ("StringEquals", "aws:UserName", json!("test:tester"), true),
            ("StringEquals", "aws:username", json!(["x", "test:tester"]), true),
            ("StringEquals", "aws:username", json!("test:*"), false),
            ("StringEqualsIgnoreCase", "aws:username", json!("TEST:Tester"), true),
            ("StringNotEquals", "aws:username", json!(["x", "test:tester"]), false),
            ("StringLike", "s3:prefix", json!("home/${aws:username}/*"), true),
            ("StringNotLike", "s3:prefix", json!("home/*"), false),
            ("NumericLessThanEquals", "s3:max-keys", json!("10"), true),
            ("NumericGreaterThan", "s3:max-keys", json!(10), false),
            ("NumericNotEquals", "s3:max-keys", json!(11), true),
            ("DateLessThan", "aws:CurrentTime", json!("2026-05-06T07:08:10Z"), true),
            ("DateGreaterThan", "aws:CurrentTime", json!("2026-05-07"), false),
            ("Bool", "aws:SecureTransport", json!(false), true),
            ("IpAddress", "aws:SourceIp", json!("192.0.2.0/24"), true),
            ("NotIpAddress", "aws:SourceIp", json!(["10.0.0.0/8", "192.0.2.7"]), false),
            ("Null", "s3:delimiter", json!("true"), true),
            ("Null", "s3:prefix", json!(true), false),
            // What is not there passes only where it is said that it may, or that it must not be something.
            ("StringEquals", "s3:delimiter", json!("/"), false),
            ("StringEqualsIfExists", "s3:delimiter", json!("/"), true),
            ("StringNotEquals", "s3:delimiter", json!("/"), true),
        ] {
            assert_eq!(met(json!({ operator: { key: value.clone() } }), said), expected, "{operator} {key} {value}");
        }
    }

    #[test]
    fn keys_with_several_values() {
        const KEY: &str = "s3:requestobjecttagkeys";
        let tags: &'static [(&str, &str)] = &[(KEY, "a"), (KEY, "b")];
        for (operator, values, said, expected) in [
            ("ForAllValues:StringEquals", json!(["a", "b", "c"]), tags, true),
            ("ForAllValues:StringEquals", json!(["a"]), tags, false),
            ("ForAllValues:StringEquals", json!(["a"]), &[], true),
            ("ForAnyValue:StringEquals", json!(["a"]), tags, true),
            ("ForAnyValue:StringEquals", json!(["c"]), tags, false),
            ("ForAnyValue:StringEquals", json!(["a"]), &[], false),
            ("ForAnyValue:StringNotEquals", json!(["a"]), tags, true),
        ] {
            assert_eq!(met(json!({ operator: { KEY: values.clone() } }), said), expected, "{operator} {values}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            json!([]),
            json!({ "StringEquals": "x" }),
            json!({ "StringSomething": { "aws:username": "x" } }),
            json!({ "StringEquals": { "username": "x" } }),
            json!({ "StringEquals": { "aws:username": {} } }),
            json!({ "StringEquals": { "aws:username": [] } }),
            json!({ "NumericEquals": { "s3:max-keys": "x" } }),
            json!({ "Bool": { "aws:securetransport": "x" } }),
            json!({ "IpAddress": { "aws:sourceip": "192.0.2.0/33" } }),
            json!({ "DateEquals": { "aws:currenttime": "tomorrow" } }),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_negated_operator_says_the_opposite(value in "[ab*?]{0,4}", wanted in "[ab*?]{0,4}") {
            let said = [("aws:username", value)];
            struct Owned<'a>(&'a [(&'static str, String)]);
            impl Asks for Owned<'_> {
                fn values(&self, key: &str) -> Vec<String> {
                    self.0.iter().filter(|(name, _)| *name == key).map(|(_, value)| value.clone()).collect()
                }
            }
            for (plain, negated) in [("StringEquals", "StringNotEquals"), ("StringLike", "StringNotLike")] {
                let one = |operator: &str| read(&json!({ operator: { "aws:username": wanted.clone() } })).unwrap();
                prop_assert_ne!(one(plain)[0].is_met(&Owned(&said), false), one(negated)[0].is_met(&Owned(&said), false));
            }
        }
    }
}
