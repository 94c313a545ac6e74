//! The replicator room: every pass that moves data from where it is to where it belongs.
//!
//! [`pass`] is what all passes share: the filter of `apus pass NAME`, how far one has come, once or for ever. Each pass is a module
//! of its own and knows nothing of the others.

pub mod expire;
mod front;
mod here;
mod listing;
pub mod listings;
pub mod pass;
pub mod reap;
pub mod rekey;
pub mod replicate;
mod rows;
pub mod update;

pub use front::{Front, Side};
pub use here::Here;
pub use listings::Listings;
pub use pass::{Filter, Pass, Progress};
pub use replicate::Replicate;

/// The places where the crash tests kill a pass that updates, expires or reaps.
pub const CRASH_POINTS: &[&str] = &[
    update::BEFORE_REMOVE,
    update::REMOVED,
    expire::DELETED,
    expire::DEQUEUED,
    reap::OBJECT_DELETED,
    reap::CONTAINER_DELETED,
];
