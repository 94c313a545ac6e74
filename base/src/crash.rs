//! Named crash points, where the crash tests pull the plug.
//!
//! `point("object.put.renamed")` does nothing but read one flag unless the process was started with that name armed
//! (`apus ... --crash-at object.put.renamed`); then it kills its own process with SIGKILL, which no destructor and no
//! buffer survives. After the restart a reader must find the old version or the new one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    name: String,
    passes_left: AtomicU64,
}

/// Arms one point: the process dies when it has been passed `skip` times and is reached once more.
///
/// Only the first call counts.
pub fn arm(name: &str, skip: u64) {
    let _ = ARMED.set(Armed { name: name.to_owned(), passes_left: AtomicU64::new(skip) });
}

/// Dies here if this point is armed.
pub fn point(name: &str) {
    if let Some(armed) = ARMED.get()
        && armed.name == name
        && armed.passes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err()
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
