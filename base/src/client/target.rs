//! What a request is about, and the rings that say where it lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::hash_path::{HashPath, PathHash};
use crate::policy::PolicyIndex;
use crate::ring::Ring;

/// The rings of a cluster. A reload replaces all of them at once.
#[derive(Clone, Debug)]
pub struct Rings {
    /// Where accounts live.
    pub account: Arc<Ring>,
    /// Where containers live.
    pub container: Arc<Ring>,
    /// Where the objects of each policy live.
    pub objects: BTreeMap<PolicyIndex, Arc<Ring>>,
}

/// An object and the policy that its container follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectPath<'a> {
    /// The policy, which chooses the ring.
    pub policy: PolicyIndex,
    /// The account.
    pub account: &'a str,
    /// The container.
    pub container: &'a str,
    /// The object.
    pub object: &'a str,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// An account.
    Account {
        /// Its name.
        account: &'a str,
    },
    /// A container.
    Container {
        /// Its account.
        account: &'a str,
        /// Its name.
        container: &'a str,
    },
    /// An object.
    Object(ObjectPath<'a>),
}

impl<'a> Target<'a> {
    /// The ring that it follows; `None` if the policy has no ring here.
    pub fn ring(&self, rings: &Rings) -> Option<Arc<Ring>> {
        match self {
            Self::Account { .. } => Some(Arc::clone(&rings.account)),
            Self::Container { .. } => Some(Arc::clone(&rings.container)),
            Self::Object(object) => rings.objects.get(&object.policy).cloned(),
        }
    }

    /// The hash that chooses its partition.
    pub fn hash(&self, salt: &HashPath) -> PathHash {
        match self {
            Self::Account { account } => salt.account(account),
            Self::Container { account, container } => salt.container(account, container),
            Self::Object(o) => salt.object(o.account, o.container, o.object),
        }
    }

    /// Its names, for the path of a backend request.
    pub fn names(&self) -> Vec<&'a str> {
        match *self {
            Self::Account { account } => vec![account],
            Self::Container { account, container } => vec![account, container],
            Self::Object(o) => vec![o.account, o.container, o.object],
        }
    }

    /// Whether it is an object, whose reads can go on at another replica.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// The kind of server that holds it, for logs and metrics.
    pub fn server(&self) -> &'static str {
        match self {
            Self::Account { .. } => "account",
            Self::Container { .. } => "container",
            Self::Object(_) => "object",
        }
    }
}
