//! Requests through the whole pipeline.

#![expect(clippy::unwrap_used, reason = "the rig is part of the tests, where a panic is a failure with its line")]

mod access;
mod edge;
mod forms;
mod limits;
mod oracle;
mod rig;
mod signed;
mod sites;
mod tokens;
mod views;
mod wire;
