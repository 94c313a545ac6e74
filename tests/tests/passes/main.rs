//! The passes that bring late news home and take away what shall go: update, expire, reap, reconcile. Each story breaks something,
//! runs passes once, and looks at every replica.

mod expire;
mod reap;
mod reconcile;
mod update;
