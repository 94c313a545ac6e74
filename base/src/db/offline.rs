//! Reading a device's listings without having them: beside a server that has, or when none runs.

use std::path::Path;

use rocksdb::{DB, Options};

use super::database::FOLDER;
use super::{DbError, Get};

/// The listings of a device as they were when they were opened.
pub struct Offline {
    rocks: DB,
    device: String,
}

impl Offline {
    /// Opens the listings in the folder of a device as a secondary reader, which changes nothing there and is not disturbed
    /// by who writes; its own log goes to `scratch`. Blocks on the disk.
    ///
    /// # Errors
    /// When there are none, they are damaged, or the disk fails.
    pub fn open(device: &Path, scratch: &Path) -> Result<Self, DbError> {
        let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut options = Options::default();
        // A secondary must be able to open every file that there is.
        options.set_max_open_files(-1);
        let opened = DB::open_as_secondary(&options, &device.join(FOLDER), &scratch.to_owned());
        let rocks = opened.map_err(|error| DbError::from_rocks(&name, &error))?;
        rocks.try_catch_up_with_primary().map_err(|error| DbError::from_rocks(&name, &error))?;
        Ok(Self { rocks, device: name })
    }
}

impl Get for Offline {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        super::view::get(&self.rocks, &self.device, key)
    }
}
