//! Room.

pub mod pickle;
