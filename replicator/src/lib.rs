//! The replicator room: every pass that moves data from where it is to where it belongs.
//!
//! Each pass is a module of its own and knows nothing of the others; [`apus_base::pass`] is what they share.

mod compared;
pub mod expire;
mod front;
mod listing;
pub mod listings;
pub mod reap;
pub mod reconcile;
pub mod rekey;
pub mod replicate;
mod rows;
mod share;
pub mod update;

pub use front::{Audit, Front, Side};
pub use listings::Listings;
pub use replicate::Replicate;
pub use share::Share;

/// The places where the crash tests kill a pass.
pub const CRASH_POINTS: &[&str] = &[
    update::BEFORE_REMOVE,
    update::REMOVED,
    expire::DELETED,
    expire::DEQUEUED,
    reap::OBJECT_DELETED,
    reap::CONTAINER_DELETED,
    reconcile::MOVED,
    reconcile::CLEANED,
    replicate::moves::PUSHED,
    replicate::REMOVED,
];
