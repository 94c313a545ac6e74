//! The users of tempauth: who they are, their keys and their groups.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Identity;
use super::reseller::Resellers;

/// The group of an account's admins; in a token's groups the account's storage accounts stand in its place.
const ADMIN: &str = ".admin";
/// The group of those who may do everything in every account.
const RESELLER_ADMIN: &str = ".reseller_admin";
/// The group of those who may read everything in every account.
const RESELLER_READER: &str = ".reseller_reader";

/// Something that logs must not show.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A user, as the configuration's `[[proxy.users]]` and `--user` name one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The account that the user belongs to, without a reseller's prefix.
    pub account: String,
    /// The user's name within it.
    pub user: String,
    /// What proves that it is the user.
    pub key: Secret,
    /// `.admin`, `.reseller_admin`, `.reseller_reader`, and any others that ACLs may name.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Why a user is refused. The key never appears in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUser {
    /// Not the parts that there have to be.
    #[error("a user is written ACCOUNT:USER:KEY or ACCOUNT:USER:KEY:GROUP,GROUP; the key may hold anything but ':'")]
    Shape,
    /// The account or the user's name is empty or has a character that paths, ACLs or tokens use.
    #[error("the {0} {1:?} of a user may not be empty or hold '/', ':', ',' or control characters")]
    Name(&'static str, String),
    /// No key.
    #[error("the user {0:?} has no key")]
    NoKey(String),
    /// An empty group, or one that an ACL cannot name.
    #[error("the group {1:?} of the user {0:?} may not be empty or hold ',' or control characters")]
    Group(String, String),
    /// The same user twice.
    #[error("the user {0:?} is named twice")]
    Duplicate(String),
}

impl FromStr for User {
    type Err = InvalidUser;

    fn from_str(text: &str) -> Result<Self, InvalidUser> {
        Self::parse(text)
    }
}

impl User {
    /// Reads `ACCOUNT:USER:KEY[:GROUP[,GROUP]]`. The key may hold anything but `:`; a key that has one goes into the
    /// configuration file, where the parts stand apart.
    ///
    /// # Errors
    /// When a part is missing or has characters that it may not.
    pub fn parse(text: &str) -> Result<Self, InvalidUser> {
        let mut parts = text.splitn(4, ':');
        let (Some(account), Some(user), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidUser::Shape);
        };
        let groups = parts.next().map_or(Vec::new(), |groups| groups.split(',').map(str::to_owned).collect());
        let user = Self { account: account.into(), user: user.into(), key: Secret(key.into()), groups };
        user.check()?;
        Ok(user)
    }

    /// `account:user`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.account, self.user)
    }

    fn check(&self) -> Result<(), InvalidUser> {
        for (what, name) in [("account", &self.account), ("name", &self.user)] {
            if name.is_empty() || name.contains(|c: char| c.is_control() || matches!(c, '/' | ':' | ',')) {
                return Err(InvalidUser::Name(what, name.clone()));
            }
        }
        if self.key.0.is_empty() {
            return Err(InvalidUser::NoKey(self.name()));
        }
        let bad = |group: &&String| group.is_empty() || group.contains(|c: char| c.is_control() || c == ',');
        match self.groups.iter().find(bad) {
            Some(group) => Err(InvalidUser::Group(self.name(), group.clone())),
            None => Ok(()),
        }
    }

    /// What a token of this user proves.
    fn identity(&self, resellers: &Resellers) -> Identity {
        let is = |group: &str| self.groups.iter().any(|g| g == group);
        let mut groups = vec![self.account.clone(), self.name()];
        groups.extend(self.groups.iter().filter(|g| *g != ADMIN).cloned());
        if is(ADMIN) {
            groups.extend(resellers.prefixes().map(|prefix| format!("{prefix}{}", self.account)));
        }
        Identity { user: self.name(), groups, reseller_admin: is(RESELLER_ADMIN), reseller_reader: is(RESELLER_READER) }
    }
}

/// All users, found by `account:user`.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: HashMap<String, Known>,
}

/// A user with what a token of theirs proves.
#[derive(Clone, Debug)]
pub struct Known {
    /// What proves that it is the user.
    pub key: Secret,
    /// Who it is then.
    pub identity: std::sync::Arc<Identity>,
    /// The account without a reseller's prefix.
    pub account: String,
}

impl Users {
    /// Checks a configuration's users.
    ///
    /// # Errors
    /// When one has odd names, no key, or is there twice.
    pub fn new(users: Vec<User>, resellers: &Resellers) -> Result<Self, InvalidUser> {
        let mut by_name = HashMap::with_capacity(users.len());
        for user in users {
            user.check()?;
            let identity = std::sync::Arc::new(user.identity(resellers));
            let known = Known { key: user.key, identity, account: user.account };
            if let Some(twice) = by_name.insert(known.identity.user.clone(), known) {
                return Err(InvalidUser::Duplicate(twice.identity.user.clone()));
            }
        }
        Ok(Self { by_name })
    }

    /// The user `account:user`.
    pub fn get(&self, name: &str) -> Option<&Known> {
        self.by_name.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::reseller::Reseller;
    use proptest::prelude::*;

    fn resellers() -> Resellers {
        let reseller = |prefix: &str| Reseller { prefix: prefix.into(), require_group: None };
        Resellers::new(vec![reseller("AUTH"), reseller("SERVICE")]).unwrap()
    }

    #[test]
    fn admins_get_their_storage_accounts_as_groups() {
        let user = User::parse("test:tester:te st/ing=,é:.admin,friends").unwrap();
        assert_eq!(user.key.0, "te st/ing=,é");
        let users = Users::new(vec![user], &resellers()).unwrap();
        let identity = &users.get("test:tester").unwrap().identity;
        assert_eq!(identity.groups, ["test", "test:tester", "friends", "AUTH_test", "SERVICE_test"]);
        assert!(!identity.reseller_admin && !identity.reseller_reader);
    }

    #[test]
    fn each_mistake_is_named() {
        let refused = |text| User::parse(text).unwrap_err().to_string();
        assert!(refused("test:tester").starts_with("a user is written ACCOUNT:USER:KEY"));
        assert!(refused("te/st:tester:key").contains("account \"te/st\""));
        assert!(refused("test::key").contains("name \"\""));
        assert_eq!(refused("test:tester:"), "the user \"test:tester\" has no key");
        assert!(refused("test:tester:key:a,,b").contains("group \"\""));
        let twice = vec![User::parse("a:b:c").unwrap(), User::parse("a:b:d").unwrap()];
        assert_eq!(Users::new(twice, &resellers()).unwrap_err(), InvalidUser::Duplicate("a:b".into()));
        assert_eq!(format!("{:?}", Secret("key".into())), "(secret)");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a:,/.\\x00-]{0,12}|\\PC{0,30}") {
            if let Ok(user) = User::parse(&text) {
                let groups = if user.groups.is_empty() { String::new() } else { format!(":{}", user.groups.join(",")) };
                prop_assert_eq!(format!("{}:{}{groups}", user.name(), user.key.0), text);
            }
        }
    }
}
