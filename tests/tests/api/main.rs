//! Swift's API, as its clients see it: every verb, header, status and limit that they rely on.
//!
//! `APUS_TARGET=HOST:PORT` runs these stories against another Swift (see [`apus_tests::target`]).

mod access;
mod accounts;
mod conditional;
mod containers;
mod copy;
mod cors;
mod expiry;
mod info;
mod limits;
mod listings;
mod metadata;
mod objects;
mod races;
mod ranges;
