//! Ctrl-C in a bench that has servers in process groups of their own: it unwinds, so that everything that was started ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM are only remembered, for [`check`].
pub fn watch() {
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut interrupts = signal(SignalKind::interrupt()).expect("a signal to wait for");
            let mut terminations = signal(SignalKind::terminate()).expect("a signal to wait for");
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::SeqCst);
        });
    });
}

/// Goes on unless a signal came.
///
/// # Panics
/// Then.
pub fn check() {
    assert!(!INTERRUPTED.load(Ordering::SeqCst), "interrupted");
}
