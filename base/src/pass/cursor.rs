//! Where a long pass was when it was stopped.
//!
//! `<device>/passes/<name>` holds the place as a line of text that the pass understands. It is written whole and not
//! flushed: after a power cut the pass is somewhat further back, which costs time and nothing else.

use std::io;
use std::path::{Path, PathBuf};

/// The place of one pass on one device.
#[derive(Clone, Debug)]
pub struct Cursor(PathBuf);

impl Cursor {
    /// The place of the pass `name` on the device whose folder is `device`.
    pub fn new(device: &Path, name: &str) -> Self {
        Self(device.join("passes").join(name))
    }

    /// Where it was stopped, if it was.
    pub fn load(&self) -> Option<String> {
        std::fs::read_to_string(&self.0).ok().filter(|place| !place.is_empty())
    }

    /// Remembers a place. Blocking.
    ///
    /// # Errors
    /// What the system says; the device's own folder is never made.
    pub fn save(&self, place: &str) -> io::Result<()> {
        if let Some(folder) = self.0.parent()
            && let Err(error) = std::fs::create_dir(folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let partial = self.0.with_extension("partial");
        std::fs::write(&partial, place)?;
        std::fs::rename(partial, &self.0)
    }

    /// The pass has ended: the next begins at the beginning.
    pub fn clear(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_until_the_pass_has_ended() {
        let device = tempfile::tempdir().unwrap();
        let cursor = Cursor::new(device.path(), "rekey-1");
        assert_eq!(cursor.load(), None);
        cursor.save("17").unwrap();
        cursor.save("18").unwrap();
        assert_eq!(Cursor::new(device.path(), "rekey-1").load().as_deref(), Some("18"));
        cursor.clear();
        assert_eq!(cursor.load(), None);
        assert!(Cursor::new(&device.path().join("gone"), "rekey").save("1").is_err());
    }
}
