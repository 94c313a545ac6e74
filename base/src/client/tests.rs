//! The client against fake nodes: each is a real server on loopback that does what its verb says.

mod fake;
mod lookup;
mod nodes;
mod put;
mod read;
mod short;
mod write;
