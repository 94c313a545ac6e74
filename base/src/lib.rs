//! Room.

pub mod pickle;
pub mod ring;
