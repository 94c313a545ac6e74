//! The replicator room: every pass that moves data from where it is to where it belongs.
//!
//! [`pass`] is what all passes share: the filter of `apus pass NAME`, how far one has come, once or for ever. Each pass is a module
//! of its own and knows nothing of the others.

pub mod pass;
pub mod replicate;

pub use pass::{Filter, Pass, Progress};
pub use replicate::Replicate;
