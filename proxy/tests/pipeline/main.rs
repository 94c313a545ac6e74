//! Requests through the whole pipeline.

mod access;
mod edge;
mod rig;
mod tokens;
mod views;
