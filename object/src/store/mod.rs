//! The object store: objects as files in Swift's own layout.
//!
//! ```text
//! <device>/objects[-N]/<partition>/<suffix>/<hash>/<timestamp>.data     a version: body, and metadata in xattrs
//!                                                  <timestamp>.meta     what a POST set since
//!                                                  <timestamp>.ts       a deletion
//!                                                  <timestamp>.rewrap   new metadata on its way into the .data
//! <device>/async_pending[-N]/<suffix>/<hash>-<timestamp>                a container update still to be sent
//! <device>/fences[-N]/<hash>                                            what a conditional write was promised
//! <device>/quarantined/objects[-N]/<hash>/                              what was found damaged, and why
//! <device>/tmp/                                                         files not yet named, where they need a name
//! <device>/journal/                                                     what was acknowledged and may not be in its place yet
//! ```
//!
//! [`names`] decides which files count, [`metadata`] and [`attributes`] are their contents, [`read`](mod@read) opens, and
//! [`write`](mod@write) says in its table what is true after a crash at each step. All functions block; a server runs them on the
//! device's queue. The store owns nothing in memory: every process that has the disk can read it.
//!
//! [`index`] keeps digests of it all for replication, in place of Swift's `hashes.pkl`; [`receive`] writes what other nodes
//! push. Every version gets in past its object's [`fence`]; a short one goes through the device's journal ([`redo`]).

pub mod attributes;
pub mod audit;
pub mod cached;
mod crash_points;
mod direct;
mod error;
pub mod fence;
mod folder;
pub mod hot;
pub mod index;
pub mod inode;
pub mod known;
mod location;
pub mod metadata;
pub mod names;
pub mod pending;
pub mod quarantine;
pub mod read;
pub mod receive;
pub mod redo;
pub mod rewrap;
pub mod write;

#[cfg(test)]
mod tests;

pub(crate) use crash_points::{BEFORE_ANSWER, BEFORE_UPDATE, HELD};
pub use crash_points::{CRASH_POINTS, RECEIVE_CRASH_POINTS};
pub use error::StoreError;
pub use known::Known;
pub use location::Location;
pub use metadata::Metadata;
pub use read::{Found, Object};
pub use write::{Committed, Staged};
