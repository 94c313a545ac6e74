//! Resellers: whose accounts are whose, told from the beginning of their names.

use serde::{Deserialize, Serialize};

/// One family of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reseller {
    /// The beginning of its accounts' names, without the `_` that follows: `AUTH`. Empty: all accounts that no other
    /// reseller has.
    pub prefix: String,
    /// A group that users need, beside being admins of an account, to do anything in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_group: Option<String>,
}

/// The resellers of a cluster; the first one's prefix begins tokens and new accounts.
#[derive(Clone, Debug)]
pub struct Resellers {
    /// With the `_` at the end of each prefix that is not empty.
    list: Vec<Reseller>,
}

/// Why resellers are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResellers {
    /// There must be one.
    #[error("name at least one reseller, as in resellers = [{{ prefix = \"AUTH\" }}]")]
    None,
    /// A prefix that cannot begin an account's name or a token.
    #[error("the reseller prefix {0:?} may hold only letters, digits, '-', '.' and '_'")]
    Prefix(String),
    /// Two with the same prefix.
    #[error("two resellers have the prefix {0:?}")]
    Duplicate(String),
}

impl Resellers {
    /// Checks a configuration's resellers.
    ///
    /// # Errors
    /// When there is none, a prefix has odd characters, or two are the same.
    pub fn new(mut list: Vec<Reseller>) -> Result<Self, InvalidResellers> {
        if list.is_empty() {
            return Err(InvalidResellers::None);
        }
        for reseller in &mut list {
            let odd = |b: u8| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
            if reseller.prefix.bytes().any(odd) {
                return Err(InvalidResellers::Prefix(reseller.prefix.clone()));
            }
            if !reseller.prefix.is_empty() && !reseller.prefix.ends_with('_') {
                reseller.prefix.push('_');
            }
        }
        let twice = |(i, r): (usize, &Reseller)| list[..i].iter().any(|other| other.prefix == r.prefix);
        match list.iter().enumerate().find(|item| twice(*item)) {
            Some((_, reseller)) => Err(InvalidResellers::Duplicate(reseller.prefix.clone())),
            None => Ok(Self { list }),
        }
    }

    /// `AUTH_`, or empty.
    pub fn first_prefix(&self) -> &str {
        self.list.first().map_or("", |reseller| &reseller.prefix)
    }

    /// Every prefix, with its `_`.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|reseller| reseller.prefix.as_str())
    }

    /// Whose account that is. The empty prefix has those that no other has.
    pub fn of(&self, account: &str) -> Option<&Reseller> {
        let named = self.list.iter().find(|r| !r.prefix.is_empty() && account.starts_with(&r.prefix));
        named.or_else(|| self.list.iter().find(|r| r.prefix.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reseller(prefix: &str) -> Reseller {
        Reseller { prefix: prefix.into(), require_group: None }
    }

    #[test]
    fn the_empty_prefix_comes_last() {
        let resellers = Resellers::new(vec![reseller(""), reseller("AUTH"), reseller("SERVICE_")]).unwrap();
        assert_eq!(resellers.of("AUTH_x").unwrap().prefix, "AUTH_");
        assert_eq!(resellers.of("SERVICE_x").unwrap().prefix, "SERVICE_");
        assert_eq!(resellers.of("AUTHx").unwrap().prefix, "");
        assert!(Resellers::new(vec![reseller("AUTH")]).unwrap().of("x").is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Resellers::new(vec![]).unwrap_err(), InvalidResellers::None);
        assert_eq!(Resellers::new(vec![reseller("a b")]).unwrap_err(), InvalidResellers::Prefix("a b".into()));
        let twice = vec![reseller("A"), reseller("A_")];
        assert_eq!(Resellers::new(twice).unwrap_err(), InvalidResellers::Duplicate("A_".into()));
    }
}
