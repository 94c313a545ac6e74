//! The foundation that every room stands on: what a timestamp, a hash path, a ring and a policy are,
//! how disks and databases are touched (`fs`, `db`), and how sockets are (`serve`, `client`).
//!
//! A module here never imports a room. `timestamp`, `ballot`, `hash_path`, `hex`, `object_lock`, `policy`, `quorum`, `ring`, `pickle`, `crypto` and
//! `wire` are pure: values in, values out, no clock, no I/O. Only `fs` and `db` touch a disk (`serve` and `link` read their
//! certificates), only `serve`, `client` and `link` a socket.

pub mod ballot;
pub mod body;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod conditional;
pub mod crash;
pub mod crypto;
pub mod db;
pub mod expiring;
pub mod fs;
pub mod hash_path;
pub mod here;
pub mod hex;
pub mod link;
pub mod listing;
pub mod metrics;
pub mod near;
pub mod object_lock;
pub mod pass;
pub mod pickle;
pub mod policy;
pub mod quorum;
pub mod range;
pub mod recon;
pub mod ring;
pub mod seconds;
pub mod serve;
pub mod timestamp;
pub mod wire;
