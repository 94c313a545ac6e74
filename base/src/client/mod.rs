//! The cluster's client: how a proxy, a pass or a server talks to the servers that the ring names.
//!
//! [`pool`] is one request to one node. What builds on it (the order of nodes, handoffs, quorum, error limiting,
//! account and container info) stands beside it.

pub mod pool;
