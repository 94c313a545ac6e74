//! Building rings: where each replica of each partition lives, and what moves when devices come and go.
//!
//! A [`Builder`] holds the devices with their weights, the assignments and when each partition moved last. It is a plain
//! value: [`Builder::rebalance`] takes a seed and the time and decides everything by them. Builder files are those of Swift
//! (`swift-ring-builder` reads ours and we read its); [`command::run`] is the `apus ring` command with its grammar.
//!
//! The way of a rebalance: `builder.rs` takes removed devices out and sizes the table, `plan/` says how much each region,
//! zone, server and device should hold, `place/` moves replicas there, `report.rs` measures what came out.

mod builder;
pub mod command;
mod error;
mod file;
mod place;
mod plan;
mod random;
mod rebalance;
mod report;
mod tree;

pub use builder::{Builder, BuilderDevice, NewDevice};
pub use error::Error;
pub use rebalance::Outcome;
pub use report::{MAX_BALANCE, TierReport};
