//! The object room: objects on disks, and the server that proxies store them through.
//!
//! [`store`] is what an object is and how it gets on a disk; [`server`] speaks Swift's backend HTTP in front of it.

pub mod store;
