//! A device that is a filesystem of its own: a small one, that can be unmounted, replaced and filled to its last byte.
//!
//! It is an ext4 image on a loop device, which needs root, `losetup` and `mkfs.ext4`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::net::run;

/// A mounted image; dropping it takes it all away.
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    bytes: u64,
    device: String,
}

impl Disk {
    /// Makes an image beside the folder and mounts it there.
    ///
    /// # Errors
    /// What the system says, where this is not permitted.
    pub fn new(at: &Path, bytes: u64) -> Result<Self, String> {
        let image = at.with_extension("image");
        let device = attach(&image, bytes)?;
        let disk = Self { image, at: at.to_owned(), bytes, device };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &[&self.device, &self.at.to_string_lossy()]).map(drop)
    }

    /// Unmounts it under those who use it, who see it until they let go.
    pub fn take_away(&self) {
        run("umount", &["--lazy", &self.at.to_string_lossy()]).expect("a disk to take away");
    }

    /// Mounts it again.
    pub fn give_back(&self) {
        self.mount().expect("a disk to give back");
    }

    /// Puts an empty one in its place.
    pub fn replace(&mut self) {
        self.take_away();
        // Those who still use the old one keep it, without a name.
        let _ = run("losetup", &["--detach", &self.device]);
        fs::remove_file(&self.image).expect("the image");
        self.device = attach(&self.image, self.bytes).expect("a new disk");
        self.give_back();
    }

    /// Leaves not a byte free.
    pub fn fill(&self) {
        let file = File::create(self.ballast()).expect("a file that takes all room");
        let (mut length, mut step) = (0, self.bytes);
        while step >= 4096 {
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), length, step) {
                Ok(()) => length += step,
                Err(_) => step /= 2,
            }
        }
    }

    /// Ends that.
    pub fn drain(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy", &self.at.to_string_lossy()]);
        let _ = run("losetup", &["--detach", &self.device]);
    }
}

/// A formatted image of that length on a loop device: one for as long as the image lives, so that mounting it again while
/// somebody still uses it is the same filesystem.
fn attach(image: &Path, bytes: u64) -> Result<String, String> {
    let name = image.to_string_lossy();
    File::create(image).and_then(|file| file.set_len(bytes)).map_err(|e| format!("{name}: {e}"))?;
    run("mkfs.ext4", &["-q", "-m", "0", &name])?;
    run("losetup", &["--find", "--show", &name])
}
