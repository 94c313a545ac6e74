//! What account and container listings have in common, apart from the disk: how names are walked, how metadata with a
//! timestamp per item merges, how a backend request about a listing is read and refused.
//!
//! The disk's half is [`db`](crate::db); the rooms `account` and `container` bring their rows and their rules.

pub mod ask;
pub mod describe;
pub mod json;
pub mod metadata;
pub mod query;
pub mod receiver;
pub mod redundancy;
pub mod request;
pub mod walk;

pub use metadata::Metadata;
pub use query::{LISTING_LIMIT, Query};
pub use request::{Refusal, Target};
