//! Storage policies: which ring an object's data follows.

mod claim;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use claim::Claim;

/// The number of a storage policy; 0 is the one that data from before policies belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyIndex(pub u32);

impl fmt::Display for PolicyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PolicyIndex {
    /// A folder or ring name of this policy: `objects`, or `objects-2`.
    pub fn suffixed(self, base: &str) -> String {
        if self.0 == 0 { base.to_owned() } else { format!("{base}-{}", self.0) }
    }
}

/// One storage policy, as a cluster's configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its number, in folder and ring names. Never reuse one.
    pub index: PolicyIndex,
    /// What clients call it in `X-Storage-Policy`; letters, digits and `-`, in any case.
    pub name: String,
    /// Other names that clients may use.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Whether containers created without a policy get this one.
    #[serde(default)]
    pub default: bool,
    /// Whether new containers may no longer choose it.
    #[serde(default)]
    pub deprecated: bool,
}

/// All policies of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    policies: Vec<Policy>,
    default: PolicyIndex,
}

/// Why a set of policies is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicies {
    /// Two policies have the same number.
    #[error("two storage policies have the index {0}")]
    DuplicateIndex(PolicyIndex),
    /// Two policies answer to the same name.
    #[error("two storage policies have the name {0:?}")]
    DuplicateName(String),
    /// A name with other than letters, digits and `-`.
    #[error("the storage policy name {0:?} may hold only letters, digits and '-'")]
    Name(String),
    /// None, or several, are the default, or a deprecated one is.
    #[error("exactly one storage policy that is not deprecated must say default = true")]
    Default,
}

impl Default for Policies {
    /// The one policy of a cluster that names none.
    fn default() -> Self {
        let policy = Policy {
            index: PolicyIndex(0),
            name: "Policy-0".into(),
            aliases: Vec::new(),
            default: true,
            deprecated: false,
        };
        Self { policies: vec![policy], default: PolicyIndex(0) }
    }
}

impl Policies {
    /// Checks and orders a configuration's policies; an empty list means the one `Policy-0`.
    ///
    /// # Errors
    /// When numbers or names repeat, a name has odd characters, or the default is not exactly one.
    pub fn new(mut policies: Vec<Policy>) -> Result<Self, InvalidPolicies> {
        if policies.is_empty() {
            return Ok(Self::default());
        }
        policies.sort_by_key(|p| p.index);
        if let Some(pair) = policies.windows(2).find(|w| w[0].index == w[1].index) {
            return Err(InvalidPolicies::DuplicateIndex(pair[0].index));
        }
        check_names(&policies)?;
        if policies.len() == 1 {
            policies[0].default = true;
        }
        let mut defaults = policies.iter().filter(|p| p.default);
        match (defaults.next(), defaults.next()) {
            (Some(one), None) if !one.deprecated => Ok(Self { default: one.index, policies }),
            _ => Err(InvalidPolicies::Default),
        }
    }

    /// The policy of containers that ask for none.
    pub fn default_index(&self) -> PolicyIndex {
        self.default
    }

    /// The policy with that number.
    pub fn get(&self, index: PolicyIndex) -> Option<&Policy> {
        self.policies.iter().find(|p| p.index == index)
    }

    /// The policy that answers to a name or alias, in any case.
    pub fn by_name(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|p| p.names().any(|n| n.eq_ignore_ascii_case(name)))
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter()
    }
}

impl Policy {
    fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.aliases)
    }
}

fn check_names(policies: &[Policy]) -> Result<(), InvalidPolicies> {
    let mut seen = std::collections::HashSet::new();
    for name in policies.iter().flat_map(Policy::names) {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(InvalidPolicies::Name(name.clone()));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(InvalidPolicies::DuplicateName(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(index: u32, name: &str, default: bool) -> Policy {
        Policy { index: PolicyIndex(index), name: name.into(), aliases: vec![], default, deprecated: false }
    }

    #[test]
    fn names_are_found_in_any_case() {
        let policies = Policies::new(vec![policy(1, "silver", false), policy(0, "Gold", true)]).unwrap();
        assert_eq!(policies.by_name("gOLD").unwrap().index, PolicyIndex(0));
        assert_eq!(policies.default_index(), PolicyIndex(0));
        assert_eq!(PolicyIndex(1).suffixed("objects"), "objects-1");
    }

    #[test]
    fn nonsense_is_refused() {
        use InvalidPolicies as E;
        let refused = |policies| Policies::new(policies).unwrap_err();
        assert_eq!(refused(vec![policy(0, "a", true), policy(0, "b", false)]), E::DuplicateIndex(PolicyIndex(0)));
        assert_eq!(refused(vec![policy(0, "a", true), policy(1, "A", false)]), E::DuplicateName("A".into()));
        assert_eq!(refused(vec![policy(0, "a b", true)]), E::Name("a b".into()));
        assert_eq!(refused(vec![policy(0, "a", true), policy(1, "b", true)]), E::Default);
    }
}
