//! Moments of the wall clock, for stories of what expires.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// A moment worth waiting for, and far enough away for the few writes that come before it, also where a disk is slow.
#[must_use]
pub fn soon() -> u64 {
    now() + 8
}
