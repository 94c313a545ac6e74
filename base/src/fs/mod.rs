//! The disk: devices and whether they are there, and one bounded queue of work for each.
//!
//! Only this module and `db` touch a disk.

mod device;
mod queue;
mod reserve;

pub use device::{Device, DeviceError, Devices};
pub use queue::{DiskQueue, QueueError};
pub use reserve::Reserve;
