//! The auditor room: every pass that reads to distrust.
//!
//! [`object`] reads every object of a node's devices and moves to quarantine what is not what was written; who repairs is told
//! by the store. [`listing`] does the same with accounts and containers. Both go at a share of the disk's time ([`pace`]) and remember their place ([`place`]). [`watch`] are those who
//! look on: an operator's program, and the one that looks for objects that no container lists.

mod config;
pub mod listing;
pub mod object;
pub mod pace;
pub mod place;
pub mod watch;

pub use config::{Config, InvalidConfig};

/// The places where the crash tests kill an audit.
pub const CRASH_POINTS: &[&str] = &[object::AUDITED, listing::AUDITED];
