//! What an operation is about: an account, a container or an object, by name.

use std::sync::Arc;

use crate::constraints::Level;

/// A name of up to three parts. Containers and accounts are never empty and hold no slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// An account.
    Account(String),
    /// An account's container.
    Container(String, String),
    /// A container's object.
    Object(ObjectName),
}

/// The full name of an object. A request is about one name, which many have to know: copies are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Its account.
    pub account: Arc<str>,
    /// Its container.
    pub container: Arc<str>,
    /// Its name in the container, in which slashes mean nothing.
    pub object: Arc<str>,
}

impl Resource {
    /// The account that it is, or is in.
    pub fn account(&self) -> &str {
        match self {
            Self::Account(account) | Self::Container(account, _) => account,
            Self::Object(path) => &path.account,
        }
    }

    /// The container that it is, or is in.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Account(_) => None,
            Self::Container(_, container) => Some(container),
            Self::Object(path) => Some(&path.container),
        }
    }

    /// Which of the three it is.
    pub fn level(&self) -> Level {
        match self {
            Self::Account(_) => Level::Account,
            Self::Container(..) => Level::Container,
            Self::Object(_) => Level::Object,
        }
    }
}
