//! The roles a process can have.

use std::str::FromStr;

use apus_base::client::Rings;
use apus_base::ring::Ring;

/// One server of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Proxy,
    Account,
    Container,
    Object,
}

impl Role {
    /// All of them, the public face last, so that it opens when the others are there.
    pub(crate) const ALL: [Self; 4] = [Self::Account, Self::Container, Self::Object, Self::Proxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Account => "account",
            Self::Container => "container",
            Self::Object => "object",
        }
    }

    /// The rings whose devices such servers have.
    pub(crate) fn rings(self, rings: &Rings) -> Vec<&Ring> {
        match self {
            Self::Proxy => Vec::new(),
            Self::Account => vec![&rings.account],
            Self::Container => vec![&rings.container],
            Self::Object => rings.objects.values().map(AsRef::as_ref).collect(),
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| format!("{text:?} is not a role; expected proxy, account, container or object"))
    }
}
