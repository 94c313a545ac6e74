//! The public face of the cluster. It knows no disk and no database: it parses what clients say, decides who may do
//! what, and asks the storage servers through `apus_base::client`.
//!
//! The way of a request: [`pipeline`] (one list of steps, in `middleware/`) → a face (`swift/`) → an operation (`ops/`)
//! → the cluster's client.

pub mod auth;
pub mod context;
pub mod pipeline;
pub mod swift;

/// What all requests share.
pub struct Proxy {}
