//! The harness under the stories of `tests/tests/`: it starts the release binary as a user would, breaks what a story
//! wants broken, and looks at what clients and disks see.
//!
//! [`Apus`] is a cluster in one process (`apus up`), [`Cluster`] one of separate processes on loopback addresses of
//! its own. [`Swift`] is a client with a token, [`Connection`] a socket for bytes that no client would send. Nothing
//! here sleeps: a wait is for a line, a byte or an exit, and ends with the log of the process that did not deliver.

pub mod boto;
pub mod certificate;
pub mod cluster;
pub mod copies;
pub mod disk;
pub mod garble;
pub mod http;
pub mod interrupt;
pub mod linear;
pub mod listing_copies;
pub mod load;
pub mod moment;
pub mod mount;
pub mod net;
pub mod process;
pub mod rclone;
pub mod rings;
pub mod s3;
pub mod storm;
pub mod suite;
pub mod swift;
pub mod target;
pub mod tools;
pub mod tree;
pub mod up;
pub mod usage;
pub mod webhook;

pub use certificate::Certificate;
pub use cluster::{Cluster, ClusterBuilder};
pub use http::{Connection, Request, Response};
pub use listing_copies::Copy;
pub use process::{Exit, Process};
pub use swift::{Session, Swift, User};
pub use target::Target;
pub use tree::tree;
pub use up::{Apus, UpBuilder};

/// The patience of every wait: far beyond what a healthy machine needs, so that only a fault runs into it.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Waits for what a server does by itself and tells nobody: looks again and again, with a short rest, until it is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never happened: {what}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// The MD5 of bytes in hexadecimal digits, which is what an ETag is.
pub fn md5_hex(bytes: &[u8]) -> String {
    use md5::{Digest as _, Md5};
    Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes that look random and are the same on every run.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// A number of bytes as people say it.
pub fn readable(size: usize) -> String {
    match size {
        _ if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}
