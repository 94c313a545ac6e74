//! The listing databases: one RocksDB for each device, in its folder `listings/`, shared by all accounts and containers
//! on it and by the account and the container role of a process.
//!
//! [`Databases`] opens and closes them as devices come and go. A [`Database`] is read through a [`View`] on the
//! device's queue, and changed by [`Database::commit`]: a closure over a [`Transaction`], which one committer per device
//! runs together with all others that wait, writes as one batch, flushes to stable storage (the database's `journal`), and only then answers.
//! Keys are in [`key`], values in [`codec`], what each database knows of itself in [`info`], its rows in [`table`].
//! What copies on several devices need to become and stay the same is in [`digest`], [`agreement`] and [`replica`].
//!
//! What fails: the device is gone, full or locked by another process, or its files are damaged. Each is a [`DbError`];
//! none ends the process, and the database is opened anew as soon as that helps.

pub mod agreement;
pub mod audit;
pub mod codec;
mod commit;
mod database;
pub mod digest;
mod error;
pub mod info;
mod journal;
pub mod key;
mod life;
mod offline;
mod registry;
pub mod replica;
mod settings;
pub mod table;
mod transaction;
mod view;

pub use commit::CRASH_POINTS;
pub use database::Database;
pub use error::DbError;
pub use info::Info;
pub use key::{Kind, ListingId};
pub use life::Life;
pub use offline::Offline;
pub use registry::{BegunAnew, Databases};
pub use transaction::Transaction;
pub use view::{Get, Scan, View};

#[cfg(test)]
mod tests;
