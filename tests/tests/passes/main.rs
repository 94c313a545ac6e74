//! The passes that bring late news home and take away what shall go: update, expire, reap, reconcile. Each story breaks something,
//! runs passes once, and looks at every replica.

mod expire;
mod reap;
mod reconcile;
mod update;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use apus_tests::PATIENCE;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Does something until it has the wished effect.
#[track_caller]
fn until(wish: &str, mut attempt: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !attempt() {
        assert!(Instant::now() < deadline, "never: {wish}");
    }
}
