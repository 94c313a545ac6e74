//! A device that is a filesystem of its own: a small one, that can be unmounted, replaced and filled to its last byte.
//!
//! It is an ext4 image on a loop device, which needs root, `losetup` and `mkfs.ext4`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FallocateFlags;

use crate::net::run;

/// Inodes that hold short files and small folders whole, with their attributes; no journal, no blocks kept for root.
const FOR_FILES: &[&str] = &["-I", "1024", "-O", "inline_data,^has_journal,^resize_inode", "-E", "nodiscard"];
/// Bytes of an image for each of its files: an inode, and as much again for the folders that are too large for theirs, which takes no
/// room until it is written.
const BYTES_FOR_EACH: u64 = 2048;

/// A mounted image; dropping it takes it all away.
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    size: Size,
    device: String,
}

/// What a disk has room for.
#[derive(Clone, Copy, Debug)]
pub enum Size {
    /// So many bytes, in a filesystem as it is made by default.
    Bytes(u64),
    /// The same without a journal.
    Unjournaled(u64),
    /// So many files and folders, most of them of a few hundred bytes.
    Files(u64),
}

impl Disk {
    /// Makes an image beside the folder and mounts it there.
    ///
    /// # Errors
    /// What the system says, where this is not permitted.
    pub fn new(at: &Path, size: Size) -> Result<Self, String> {
        let image = at.with_extension("image");
        let device = attach(&image, size)?;
        let disk = Self { image, at: at.to_owned(), size, device };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "noatime", &self.device, &self.at.to_string_lossy()]).map(drop)
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
        self.device = attach(&self.image, self.size).expect("a new disk");
        self.give_back();
    }

    /// Takes away all that is in memory only, as a power cut does, and mounts what is left. Those who used the disk are killed
    /// before.
    pub fn cut_power(&mut self) {
        let left = self.image.with_extension("left");
        fs::copy(&self.image, &left).expect("what the disk has by now");
        self.take_away();
        let _ = run("losetup", &["--detach", &self.device]);
        fs::rename(&left, &self.image).expect("the disk after the cut");
        let name = self.image.to_string_lossy();
        // It says 1 where it has mended something, as it has to without a journal.
        let checked = Command::new("e2fsck").args(["-fy", &name]).output().expect("e2fsck");
        assert!(checked.status.code().is_some_and(|code| code <= 1), "{checked:?}");
        self.device = run("losetup", &["--find", "--show", &name]).expect("a loop device");
        self.give_back();
    }

    /// Leaves not a byte free.
    pub fn fill(&self) {
        let file = File::create(self.ballast()).expect("a file that takes all room");
        let (mut length, mut step) = (0, self.size.bytes());
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
        // It is beside its folder, and so not always in one that goes by itself.
        let _ = fs::remove_file(&self.image);
    }
}

impl Size {
    fn bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) | Self::Unjournaled(bytes) => bytes,
            Self::Files(files) => files * BYTES_FOR_EACH,
        }
    }

    fn format(self, image: &str) -> Result<String, String> {
        match self {
            Self::Bytes(_) => run("mkfs.ext4", &["-q", "-m", "0", image]),
            Self::Unjournaled(_) => run("mkfs.ext4", &["-q", "-m", "0", "-O", "^has_journal", image]),
            Self::Files(files) => {
                run("mkfs.ext4", &[&["-q", "-m", "0"], FOR_FILES, &["-N", &files.to_string(), image]].concat())
            }
        }
    }
}

/// A formatted image on a loop device: one for as long as the image lives, so that mounting it again while somebody still uses it
/// is the same filesystem. What is written goes around the page cache of the image's own file, where that can be.
fn attach(image: &Path, size: Size) -> Result<String, String> {
    let name = image.to_string_lossy();
    File::create(image).and_then(|file| file.set_len(size.bytes())).map_err(|e| format!("{name}: {e}"))?;
    size.format(&name)?;
    let direct = run("losetup", &["--direct-io=on", "--find", "--show", &name]);
    direct.or_else(|_| run("losetup", &["--find", "--show", &name]))
}
