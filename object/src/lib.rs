//! The object room: objects on disks, and the server that proxies store them through.
//!
//! [`store`] is what an object is and how it gets on a disk; the server speaks Swift's backend HTTP in front of it:
//! `GET HEAD PUT POST DELETE /<device>/<partition>/<account>/<container>/<object>`. [`serve`] runs it; [`check_device`] says in one
//! sentence why a folder cannot be a device. [`Receiver`] takes what the replicators of other nodes push, and
//! [`repair`] gets from other nodes what was found damaged here.

mod config;
mod replication;
mod server;
pub mod store;

pub use config::Config;
pub use replication::{Receiver, outgoing, pace, repair};
pub use server::{StartError, check_device, close_journals, open_journals, serve};
pub use store::{CRASH_POINTS, RECEIVE_CRASH_POINTS};
