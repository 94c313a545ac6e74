//! Symlinks: objects that stand for other objects.
//!
//! A link is an empty object whose system metadata names its target, `container/object` in its own account or in another
//! one. Reading it reads the target, which the reader has to be allowed to read; deleting or copying over it changes the
//! link. A *static* link also says which ETag its target has, and is broken (409) when the target has another one. How
//! links are stored is Swift's, so that either reads the other's.
//!
//! The listing's row of a link has the target behind the hash, from where `ops::rows` takes it.
//!
//! Links that the cluster makes itself, as object versioning does, may point where clients may not: such a link says so
//! in its metadata (which no client can set), and who may read the link may read its target.

mod follow;
mod link;
mod put;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use follow::read;
pub use link::{InvalidLink, Link};
pub(super) use put::{create, is_empty, put};

/// The paths of the API that rows and `Content-Location` name begin so, whichever of its names a request used.
pub(super) const ROOT: &str = "/v1";
/// The MD5 of nothing, which every link is.
pub(super) const EMPTY_MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// The `[proxy.symlink]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most links from a name to an object.
    pub symloop_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { symloop_max: 2 }
    }
}

/// What `/info` says.
pub fn info(config: &Config) -> Value {
    json!({ "symloop_max": config.symloop_max, "static_links": true })
}

/// Why a link is not made or leads nowhere; the texts are Swift's.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// What a request says of a link makes no sense.
    #[error(transparent)]
    Invalid(#[from] InvalidLink),
    /// A link with bytes of its own.
    #[error("Symlink requests require a zero byte body")]
    Body,
    /// A POST cannot make or change a link.
    #[error("A PUT request is required to set a symlink target")]
    Post,
    /// Links to links to links, or a circle of them.
    #[error("Too many levels of symbolic links, maximum allowed is {0}")]
    TooMany(usize),
    /// The target of a static link is itself a static link, and to something else.
    #[error("X-Symlink-Target-Etag headers do not match")]
    OtherLink,
    /// The target of a static link is not what it was.
    #[error("Object Etag '{found}' does not match X-Symlink-Target-Etag header '{wanted}'")]
    Changed {
        /// What it is.
        found: String,
        /// What the link says that it is.
        wanted: String,
    },
    /// The target of a static link is not there.
    #[error("X-Symlink-Target does not exist")]
    NoTarget,
}
