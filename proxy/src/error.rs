//! Why an operation was not done, by whose fault. A face turns it into its own answer, once.

use http::StatusCode;

use apus_base::body::BodyError;

use crate::auth::Denied;
use crate::auth::account_acl::InvalidAccountAcl;
use crate::auth::acl::InvalidAcl;
use crate::constraints::{BadLength, Invalid};
use crate::ops::crypto::{Locked, Undecryptable};
use crate::ops::history::HistoryError;
use crate::ops::large::LargeError;
use crate::ops::lock::LockError;
use crate::ops::quota::Quota;
use crate::ops::symlink::LinkError;
use crate::ops::versions::VersionError;
use crate::ratelimit::Limited;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Who asks may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A header or a name breaks a limit or a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// An ACL means nothing.
    #[error(transparent)]
    Acl(#[from] InvalidAcl),
    /// An account's ACL means nothing; with what was sent.
    #[error("X-Account-Access-Control invalid: {0}\n\nInput: {1}\n")]
    AccountAcl(InvalidAccountAcl, String),
    /// The length of a body is not known.
    #[error(transparent)]
    Length(#[from] BadLength),
    /// `X-Storage-Policy` names none.
    #[error("Invalid X-Storage-Policy '{0}'")]
    UnknownPolicy(String),
    /// `X-Storage-Policy` names one that takes no new containers.
    #[error("Storage Policy '{0}' is deprecated")]
    DeprecatedPolicy(String),
    /// A PUT with an `If-None-Match` other than `*`.
    #[error("If-None-Match only supports *")]
    IfNoneMatch,
    /// What is there does not meet the condition of a write. Nothing was written.
    #[error("what is there does not meet the condition")]
    Unmet {
        /// Whether there is an object.
        exists: bool,
    },
    /// Others wrote the object at the same time again and again. Surely nothing was written; it may be tried again.
    #[error("others write the object at the same time")]
    Contended,
    /// There is no such account, container or object.
    #[error("it does not exist")]
    NotFound,
    /// The account was deleted and waits for its reaper.
    #[error("the account was deleted")]
    Gone,
    /// The account has all the containers it may have.
    #[error("Reached container limit of {0}")]
    TooManyContainers(u64),
    /// Somebody asks too often.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// A quota refuses it.
    #[error(transparent)]
    Quota(#[from] Quota),
    /// A body longer than an object may be.
    #[error("Your request is too large.")]
    TooLarge,
    /// A link is not made, or leads nowhere.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Something went wrong at the end of links, at this path of the API.
    #[error("{error}")]
    Behind {
        /// Where, percent-encoded.
        path: String,
        /// What.
        error: Box<Error>,
    },
    /// Something is not done to a version, or to a container with versions.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Something is locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A container is not told to keep versions the old way.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A copy of an object longer than an object may be.
    #[error("the source of the copy is longer than an object may be")]
    SourceTooLarge,
    /// A large object cannot be stored, read or deleted.
    #[error(transparent)]
    Large(#[from] LargeError),
    /// The body of a request did not come whole.
    #[error("the body did not come whole: {0}")]
    Body(#[from] BodyError),
    /// A storage server refused, or a quorum of them did; with what they said, where a client may read it.
    #[error("the storage servers answered {0}")]
    Refused(StatusCode, String),
    /// What is stored cannot be decrypted.
    #[error(transparent)]
    Undecryptable(#[from] Undecryptable),
    /// It is encrypted with a key that the reader does not have.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Too few storage servers could do it.
    #[error("too few storage servers could do it")]
    Unavailable,
}

impl Error {
    /// The error itself, where links led to it.
    pub fn behind(&self) -> &Self {
        match self {
            Self::Behind { error, .. } => error.behind(),
            error => error,
        }
    }

    /// Whether what was asked for is not there, or what stands for it.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound => true,
            Self::Behind { error, .. } => error.is_not_found(),
            _ => false,
        }
    }
}
