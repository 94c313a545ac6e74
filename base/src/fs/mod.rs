//! The disk: devices and whether they are there, files that appear whole, folders that stay, what
//! changed since somebody looked, what was moved to quarantine, and one bounded queue of work for each device.
//!
//! Only this module and `db` touch a disk by themselves; rooms do it through a device's queue.

mod aside;
mod changes;
mod counts;
mod device;
mod dirs;
pub(crate) mod journal;
mod ordered;
mod queue;
mod reserve;
mod tmp;
mod writers;

pub use aside::SetAside;
pub use changes::{Mark, Taken};
pub use counts::DiskCounts;
pub use device::{Device, DeviceError, Devices};
pub use dirs::NewDirs;
pub use journal::{Applying, Journal};
pub use queue::{DiskQueue, QueueError};
pub use reserve::Reserve;
pub use tmp::{TMP_DIR, TmpFile, sweep};
pub use writers::{Promising, StillWriting, Writing};
