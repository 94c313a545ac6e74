//! What a flush of a folder does for those that lead to it.
//!
//! On XFS and ext4 all changes of metadata go through one journal in their order: what was flushed has all before it that it depends
//! on. A folder is made by the very transaction that gives it its name in its parent, and that by one behind the parent's own; so
//! whoever flushes the last folder of a path has flushed them all. (Dave Chinner calls it *strictly ordered metadata consistency*,
//! <https://lkml.iu.edu/hypermail/linux/kernel/1809.1/05770.html> and
//! <https://www.spinics.net/lists/linux-fsdevel/msg139771.html>; xfstests checks it with power cuts.) A flush of the parents would
//! write nothing, and yet have the disk empty its cache, once for each of them.
//!
//! ext4 without a journal keeps no order. But there a flush of what is new goes on to its parent, and on upwards as long as that
//! is new, too, until somebody has flushed it (Linux 2.6.35, 14ece1028b3e, and 0893ed458b4b since: `ext4_sync_parent`). So
//! whoever has *made* folders need not flush their parents; who *finds* one must, since its maker may not be done.
//!
//! Where it is not certain (another filesystem, nothing to read about it in `/proc`), every parent is flushed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where mounted filesystems are listed.
const MOUNTS: &str = "/proc/self/mountinfo";
/// Where each journal of ext4 has a folder, named by its disk and its inode.
const JOURNALS: &str = "/proc/fs/jbd2";

/// What is flushed with a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// All folders that lead to it.
    All,
    /// Those that lead to it and have not been flushed since they were made.
    New,
    /// Nothing else.
    #[default]
    Itself,
}

impl Reach {
    /// What is certain about the filesystem of a folder. Reads two small files.
    pub(super) fn of(folder: &Path) -> Self {
        let (Ok(folder), Ok(mounts)) = (fs::metadata(folder), fs::read_to_string(MOUNTS)) else { return Self::Itself };
        match filesystem(&mounts, folder.dev()) {
            Some(("xfs", _)) => Self::All,
            Some(("ext4", disk)) if has_journal(disk, &journals()) => Self::All,
            // Also with a journal that is not recognised: then it keeps the order, and a flush does no less.
            Some(("ext4", _)) => Self::New,
            _ => Self::Itself,
        }
    }
}

/// The type and the disk of a mounted filesystem.
fn filesystem(mounts: &str, device: u64) -> Option<(&str, &str)> {
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&number))?;
    let (_, of_its_type) = line.split_once(" - ")?;
    let mut words = of_its_type.split(' ');
    Some((words.next()?, words.next()?))
}

fn journals() -> Vec<String> {
    let entries = fs::read_dir(JOURNALS).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// `vda-8` is the journal of `/dev/vda`: the number is the journal's inode, 8 wherever it is inside of the filesystem.
fn has_journal(disk: &str, journals: &[String]) -> bool {
    let name = disk.rsplit('/').next().unwrap_or(disk);
    journals.iter().any(|journal| journal.strip_suffix("-8") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 22 0:26 / /dev/shm rw - tmpfs tmpfs rw
31 22 8:17 /a /srv/a\\040b rw master:1 - xfs /dev/sdb1 rw
";

    #[test]
    fn a_filesystem_is_found_by_its_number() {
        let of = |major, minor| filesystem(LINES, rustix::fs::makedev(major, minor));
        assert_eq!(of(254, 0), Some(("ext4", "/dev/vda")));
        assert_eq!(of(8, 17), Some(("xfs", "/dev/sdb1")));
        assert_eq!(of(0, 26), Some(("tmpfs", "tmpfs")));
        assert_eq!(of(8, 1), None);
        assert_eq!(filesystem("nonsense\n254:0 - x\n", rustix::fs::makedev(254, 0)), None);
    }

    #[test]
    fn a_journal_belongs_to_its_disk() {
        let journals = ["vda-8".to_owned(), "dm-1-8".to_owned(), "sdc-12".to_owned()];
        assert!(has_journal("/dev/vda", &journals) && has_journal("/dev/dm-1", &journals));
        assert!(
            !has_journal("/dev/vdb", &journals) && !has_journal("/dev/sdc", &journals) && !has_journal("", &journals)
        );
    }

    #[test]
    fn only_what_is_certain_is_relied_on() {
        assert_eq!([Reach::of(Path::new("/proc")), Reach::of(Path::new("/nowhere"))], [Reach::Itself; 2]);
    }
}
