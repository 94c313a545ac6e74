//! A bucket's policy as it is written, and what it says to one request. Pure.
//!
//! # Who is who
//!
//! Users are those of tempauth. `arn:aws:iam::ACCOUNT:user/NAME` and `ACCOUNT:NAME` name one user,
//! `arn:aws:iam::ACCOUNT:root` and `ACCOUNT` all users of an account, `*` everybody and who shows no key. Canonical users
//! are named by the IDs that owners have here, `ACCOUNT:NAME`. Services and federated users are known to nobody.

use serde_json::{Map, Value};

use super::condition::{self, Asks, Condition};
use super::pattern::Pattern;

/// The longest policy, in bytes: AWS's.
pub(super) const MAX_BYTES: usize = 20 * 1024;
const ARN: &str = "arn:aws:s3:::";
const USERS: &str = "arn:aws:iam::";

/// Why a policy is none. The text is for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) String);

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    statements: Vec<Statement>,
    /// Whether `${…}` means something: it does since 2012.
    has_variables: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    denies: bool,
    principals: Listed,
    actions: Listed,
    resources: Listed,
    conditions: Vec<Condition>,
}

/// What a statement is about, or what it is not about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    items: Vec<String>,
    negated: bool,
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It forbids it, whatever else allows it.
    Deny,
    /// It allows it.
    Allow,
}

/// One thing that somebody wants to do.
pub(super) struct Request<'a> {
    /// `account:user`; nobody known without it.
    pub(super) user: Option<&'a str>,
    /// `s3:GetObject`.
    pub(super) action: &'a str,
    /// `bucket` or `bucket/key`.
    pub(super) resource: &'a str,
    /// What conditions look at.
    pub(super) asks: &'a dyn Asks,
}

/// One text, or a list of texts. Numbers and booleans are texts too.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, Malformed> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(Malformed("Policies must be valid JSON with texts where texts belong".into())),
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn malformed<T>(sentence: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(sentence.into()))
}

impl Policy {
    /// Reads the policy of a bucket.
    ///
    /// # Errors
    /// When it is none, or speaks of what is not the bucket's.
    pub(super) fn parse(text: &str, bucket: &str) -> Result<Self, Malformed> {
        let invalid = || Malformed("Policies must be valid JSON and the first byte must be '{'".into());
        let document: Value = serde_json::from_str(text).map_err(|_| invalid())?;
        let document = document.as_object().ok_or_else(invalid)?;
        only(document, &["Version", "Id", "Statement"])?;
        let has_variables = match document.get("Version").map(Value::as_str) {
            Some(Some("2012-10-17")) => true,
            None | Some(Some("2008-10-17")) => false,
            _ => return malformed("The policy must contain a valid version string"),
        };
        let statements = match document.get("Statement") {
            None => return malformed("Missing required field Statement"),
            Some(Value::Array(list)) => {
                list.iter().map(|one| Statement::read(one, bucket)).collect::<Result<_, _>>()?
            }
            Some(one) => vec![Statement::read(one, bucket)?],
        };
        if statements.is_empty() {
            return malformed("Could not parse the policy: Statement is empty!");
        }
        Ok(Self { statements, has_variables })
    }

    /// What it says to a request, if anything.
    pub(super) fn says(&self, request: &Request<'_>) -> Option<Effect> {
        let mut said = None;
        for statement in self.statements.iter().filter(|statement| statement.is_about(request, self.has_variables)) {
            if statement.denies {
                return Some(Effect::Deny);
            }
            said = Some(Effect::Allow);
        }
        said
    }

    /// Whether it lets everybody do something.
    pub(super) fn is_public(&self) -> bool {
        let is_open = |statement: &Statement| {
            let everybody = statement.principals.negated || statement.principals.items.iter().any(|item| item == "*");
            !statement.denies && everybody && !statement.conditions.iter().any(Condition::narrows)
        };
        self.statements.iter().any(is_open)
    }

    /// Whether it looks at the tags of objects.
    pub(super) fn asks_for_tags(&self) -> bool {
        let mut conditions = self.statements.iter().flat_map(|statement| &statement.conditions);
        conditions.any(|condition| condition.key.starts_with(super::keys::EXISTING_TAG))
    }
}

impl Statement {
    fn read(value: &Value, bucket: &str) -> Result<Self, Malformed> {
        let statement = value.as_object().ok_or_else(|| Malformed("Statements must be objects".into()))?;
        only(
            statement,
            &[
                "Sid",
                "Effect",
                "Principal",
                "NotPrincipal",
                "Action",
                "NotAction",
                "Resource",
                "NotResource",
                "Condition",
            ],
        )?;
        let denies = match statement.get("Effect").map(Value::as_str) {
            Some(Some("Allow")) => false,
            Some(Some("Deny")) => true,
            None => return malformed("Missing required field Effect"),
            Some(effect) => return malformed(format!("Invalid effect : {}", effect.unwrap_or_default())),
        };
        let read = Self {
            denies,
            principals: Listed::of(statement, "Principal", "NotPrincipal", principals)?,
            actions: Listed::of(statement, "Action", "NotAction", texts)?,
            resources: Listed::of(statement, "Resource", "NotResource", texts)?,
            conditions: statement.get("Condition").map(condition::read).transpose()?.unwrap_or_default(),
        };
        let is_action = |action: &String| action == "*" || prefixed(action, "s3:");
        if !read.actions.items.iter().all(is_action) {
            return malformed("Policy has invalid action");
        }
        if !read.resources.items.iter().all(|resource| is_of(resource, bucket)) {
            return malformed("Policy has invalid resource");
        }
        Ok(read)
    }

    fn is_about(&self, request: &Request<'_>, has_variables: bool) -> bool {
        self.principals.holds(|item| names(item, request.user))
            && self.actions.holds(|item| Pattern::new(&item.to_lowercase()).fits(&request.action.to_lowercase()))
            && self.resources.holds(|item| fits(item, request, has_variables))
            && self.conditions.iter().all(|condition| condition.is_met(request.asks, has_variables))
    }
}

impl Listed {
    fn of(
        statement: &Map<String, Value>,
        name: &str,
        not: &str,
        read: impl Fn(&Value) -> Result<Vec<String>, Malformed>,
    ) -> Result<Self, Malformed> {
        let (value, negated) = match (statement.get(name), statement.get(not)) {
            (Some(value), None) => (value, false),
            (None, Some(value)) => (value, true),
            (None, None) => return malformed(format!("Missing required field {name}")),
            (Some(_), Some(_)) => return malformed(format!("Statement has both {name} and {not}")),
        };
        let items = read(value)?;
        if items.is_empty() { malformed(format!("{name} is empty")) } else { Ok(Self { items, negated }) }
    }

    fn holds(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.items.iter().any(|item| fits(item)) != self.negated
    }
}

/// Principals as texts; of kinds that nobody here is of, what is no user's name.
fn principals(value: &Value) -> Result<Vec<String>, Malformed> {
    let invalid = || Malformed("Invalid principal in policy".into());
    let kinds = match value {
        Value::String(text) if text == "*" => return Ok(vec!["*".into()]),
        Value::Object(kinds) => kinds,
        _ => return Err(invalid()),
    };
    let mut items = Vec::new();
    for (kind, value) in kinds {
        let listed = texts(value)?;
        match kind.as_str() {
            "AWS" | "CanonicalUser" if listed.iter().all(|item| is_principal(item)) => items.extend(listed),
            "Service" | "Federated" => items.extend(listed.into_iter().map(|item| format!("{kind}/{item}"))),
            _ => return Err(invalid()),
        }
    }
    Ok(items)
}

fn is_principal(text: &str) -> bool {
    text == "*" || who(text).is_some()
}

/// The account and, unless it is all of them, the user that a principal names.
fn who(text: &str) -> Option<(&str, Option<&str>)> {
    let named = |account: &str| !account.is_empty() && !account.contains(['*', '?', '/', ':']);
    let (account, user) = match text.strip_prefix(USERS) {
        Some(rest) => match rest.split_once(':')? {
            (account, "root") => (account, None),
            (account, user) => (account, Some(user.strip_prefix("user/")?)),
        },
        None if text.starts_with("arn:") => return None,
        None => text.split_once(':').map_or((text, None), |(account, user)| (account, Some(user))),
    };
    (named(account) && user.is_none_or(named)).then_some((account, user))
}

/// Whether a principal is that user.
fn names(principal: &str, user: Option<&str>) -> bool {
    if principal == "*" {
        return true;
    }
    let Some((account, name)) = user.and_then(|user| user.split_once(':')) else { return false };
    who(principal).is_some_and(|(of, only)| of == account && only.is_none_or(|only| only == name))
}

fn prefixed(text: &str, prefix: &str) -> bool {
    text.len() > prefix.len() && text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a resource can be a bucket or something in it.
fn is_of(resource: &str, bucket: &str) -> bool {
    let Some(path) = resource.strip_prefix(ARN) else { return resource == "*" };
    let name = path.split_once('/').map_or(path, |(name, _)| name);
    Pattern::new(name).fits(bucket) || (name.contains('*') && Pattern::new(path).fits(&format!("{bucket}/")))
}

fn fits(resource: &str, request: &Request<'_>, has_variables: bool) -> bool {
    let value = |name: &str| request.asks.values(&name.to_ascii_lowercase()).into_iter().next();
    let path = resource.strip_prefix(ARN).unwrap_or(resource);
    let pattern = if has_variables { Pattern::expand(path, value) } else { Some(Pattern::new(path)) };
    pattern.is_some_and(|pattern| pattern.fits(request.resource))
}

fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), Malformed> {
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => malformed(format!("Unknown field {unknown}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    struct Nothing;

    impl Asks for Nothing {
        fn values(&self, key: &str) -> Vec<String> {
            if key == "aws:username" { vec!["tester".into()] } else { Vec::new() }
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is written where the function is called")]
    fn policy(statement: Value) -> Result<Policy, Malformed> {
        Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statement }).to_string(), "pail")
    }

    fn says(statement: Value, user: Option<&str>, action: &str, resource: &str) -> Option<Effect> {
        policy(statement).unwrap().says(&Request { user, action, resource, asks: &Nothing })
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is written where the function is called")]
    fn statement(effect: &str, principal: Value, action: Value, resource: Value) -> Value {
        json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": resource })
    }

    #[test]
    fn principals_are_users_accounts_or_everybody() {
        let (one, other) = (Some("test:tester"), Some("test:tester3"));
        for (principal, who, allowed) in [
            (json!("*"), None, true),
            (json!({ "AWS": "*" }), other, true),
            (json!({ "AWS": "arn:aws:iam::test:user/tester" }), one, true),
            (json!({ "AWS": "arn:aws:iam::test:user/tester" }), other, false),
            (json!({ "AWS": ["test:tester3", "x"] }), other, true),
            (json!({ "AWS": "arn:aws:iam::test:root" }), other, true),
            (json!({ "AWS": "test" }), None, false),
            (json!({ "CanonicalUser": "test:tester" }), one, true),
            (json!({ "Service": "*" }), one, false),
        ] {
            let said =
                says(statement("Allow", principal.clone(), json!("s3:*"), json!("*")), who, "s3:GetObject", "pail/k");
            assert_eq!(said, allowed.then_some(Effect::Allow), "{principal} {who:?}");
        }
    }

    #[test]
    fn a_denial_wins_wherever_it_stands() {
        let allow = statement("Allow", json!("*"), json!(["s3:Get*", "s3:PutObject"]), json!("arn:aws:s3:::pail/*"));
        let deny = statement("Deny", json!("*"), json!("s3:getobject"), json!("arn:aws:s3:::pail/secret/*"));
        for both in [json!([allow.clone(), deny.clone()]), json!([deny, allow])] {
            let says = |action: &str, resource: &str| says(both.clone(), None, action, resource);
            assert_eq!(says("s3:GetObject", "pail/k"), Some(Effect::Allow));
            assert_eq!(says("s3:GetObject", "pail/secret/k"), Some(Effect::Deny));
            assert_eq!(says("s3:PutObject", "pail/secret/k"), Some(Effect::Allow));
            assert_eq!((says("s3:DeleteObject", "pail/k"), says("s3:GetObject", "pail")), (None, None));
        }
    }

    #[test]
    fn what_a_statement_is_not_about() {
        let value = json!({
            "Effect": "Deny", "NotPrincipal": { "AWS": "test:tester" }, "NotAction": "s3:GetObject",
            "NotResource": "arn:aws:s3:::pail/${aws:username}/*",
        });
        let says = |user, action, resource| says(value.clone(), user, action, resource);
        assert_eq!(says(None, "s3:PutObject", "pail/x"), Some(Effect::Deny));
        assert_eq!(says(None, "s3:PutObject", "pail/tester/x"), None);
        assert_eq!(says(None, "s3:GetObject", "pail/x"), None);
        assert_eq!(says(Some("test:tester"), "s3:PutObject", "pail/x"), None);
    }

    #[test]
    fn who_is_everybody() {
        let mut open = statement("Allow", json!("*"), json!("s3:GetObject"), json!("arn:aws:s3:::pail/*"));
        assert!(policy(open.clone()).unwrap().is_public());
        for (network, public) in [("192.0.2.0/24", false), ("0.0.0.0/0", true)] {
            open["Condition"] = json!({ "IpAddress": { "aws:SourceIp": network } });
            assert_eq!(policy(open.clone()).unwrap().is_public(), public);
        }
        let one = statement("Allow", json!({ "AWS": "test:tester" }), json!("s3:*"), json!("arn:aws:s3:::pail"));
        let deny = statement("Deny", json!("*"), json!("s3:*"), json!("arn:aws:s3:::pail"));
        assert!(!policy(json!([one, deny])).unwrap().is_public());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = statement("Allow", json!("*"), json!("s3:GetObject"), json!("arn:aws:s3:::pail/*"));
        assert!(policy(good.clone()).is_ok());
        for (field, value) in [
            ("Effect", json!("Maybe")),
            ("Principal", json!("test:tester")),
            ("Principal", json!({ "AWS": "arn:aws:iam::test:role/x" })),
            ("Principal", json!({ "AWS": "arn:aws:iam::*:user/x" })),
            ("Action", json!("ec2:Run")),
            ("Action", json!([])),
            ("Resource", json!("arn:aws:s3:::other/*")),
            ("Resource", json!("pail/*")),
            ("Condition", json!({ "Sometimes": { "aws:username": "x" } })),
            ("NotAction", json!("s3:*")),
            ("Whatever", json!(1)),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(policy(bad.clone()).is_err(), "{bad}");
        }
        for bad in ["", "[]", "{}", "{\"Version\":\"2012-10-17\",\"Statement\":[]}", "{\"Version\":\"2020-01-01\"}"] {
            assert!(Policy::parse(bad, "pail").is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}", principal in "[a-z:/*]{0,12}", resource in "[a-z:/*$\\{\\}]{0,14}") {
            let _ = Policy::parse(&text, "pail");
            let value = statement("Allow", json!({ "AWS": principal }), json!("s3:*"), json!(format!("{ARN}{resource}")));
            if let Ok(policy) = policy(value) {
                policy.says(&Request { user: Some("a:b"), action: "s3:GetObject", resource: "pail/k", asks: &Nothing });
            }
        }
    }
}
