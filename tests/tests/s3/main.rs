//! S3 as its clients speak it: real programs with real data, what the face does beyond Swift's own S3 tests, and what it refuses.

mod backups;
mod bad_input;
mod checksums;
mod clients;
mod encryption;
mod hosts;
mod lifecycle;
mod lock;
mod notification;
mod subresources;
