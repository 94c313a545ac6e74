//! Where a run leaves what it stored: files by the hundred thousand, which some filesystems take many minutes to remove, above all
//! those that tell the disk of every block that becomes free. Nobody waits for that.

use std::cell::Cell;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder whose content is removed after the run, by a process of its own.
pub(crate) struct Bin {
    folder: Option<TempDir>,
    thrown: Cell<usize>,
}

impl Bin {
    pub(crate) fn new() -> Self {
        Self { folder: Some(TempDir::new().expect("a temporary folder")), thrown: Cell::new(0) }
    }

    /// Takes a folder of the same filesystem away from where it is; nothing is removed before the run ends. Where that is not
    /// possible, it stays, for who made it.
    pub(crate) fn throw(&self, folder: &Path) {
        let number = self.thrown.replace(self.thrown.get() + 1);
        let Some(bin) = &self.folder else { return };
        let _ = fs::rename(folder, bin.path().join(number.to_string()));
    }
}

impl Drop for Bin {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take().map(TempDir::keep) else { return };
        let mut rm = Command::new("rm");
        rm.arg("-rf").arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let became = match rm.spawn() {
            Ok(child) => format!("is being removed by process {}, from", child.id()),
            Err(e) => format!("is left ({e}) in"),
        };
        println!("what was stored {became} {}", folder.display());
    }
}
