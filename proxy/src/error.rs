//! Why an operation was not done, by whose fault. A face turns it into its own answer, once.

use http::StatusCode;

use apus_base::body::BodyError;

use crate::auth::Denied;
use crate::auth::account_acl::InvalidAccountAcl;
use crate::auth::acl::InvalidAcl;
use crate::constraints::{BadLength, Invalid};
use crate::ops::crypto::Undecryptable;

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
    /// There is no such account, container or object.
    #[error("it does not exist")]
    NotFound,
    /// The account was deleted and waits for its reaper.
    #[error("the account was deleted")]
    Gone,
    /// The account has all the containers it may have.
    #[error("Reached container limit of {0}")]
    TooManyContainers(u64),
    /// A body longer than an object may be.
    #[error("Your request is too large.")]
    TooLarge,
    /// A copy of an object longer than an object may be.
    #[error("the source of the copy is longer than an object may be")]
    SourceTooLarge,
    /// The body of a request did not come whole.
    #[error("the body did not come whole: {0}")]
    Body(#[from] BodyError),
    /// A storage server refused, or a quorum of them did; with what they said, where a client may read it.
    #[error("the storage servers answered {0}")]
    Refused(StatusCode, String),
    /// What is stored cannot be decrypted.
    #[error(transparent)]
    Undecryptable(#[from] Undecryptable),
    /// Too few storage servers could do it.
    #[error("too few storage servers could do it")]
    Unavailable,
}
