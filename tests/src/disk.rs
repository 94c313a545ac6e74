//! What lies on the devices, seen with no help of a server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::md5_hex;

/// All files below a folder, in order. A file that vanishes meanwhile does not count.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => found.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// The MD5 of every file below a folder, by its path there: two trees with equal contents are the same.
pub fn contents(folder: &Path) -> BTreeMap<String, String> {
    let named = |file: PathBuf| {
        let name = file.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
        (name, md5_hex(&fs::read(&file).expect("a file")))
    };
    files(folder).into_iter().map(named).collect()
}

/// The files that object writes leave on the devices in a folder: objects, temporary files, updates not yet sent; not those
/// of the index, which begin with a dot.
pub fn object_files(devices: &Path) -> Vec<PathBuf> {
    let kept = |path: &PathBuf| {
        let is_index = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let part = path.strip_prefix(devices).ok().and_then(|p| p.components().nth(1));
        !is_index
            && part.is_some_and(|p| {
                let name = p.as_os_str().to_string_lossy();
                ["objects", "tmp", "async_pending"].iter().any(|known| name.starts_with(known))
            })
    };
    files(devices).into_iter().filter(kept).collect()
}

/// The files of one kind, by the end of their name: `.data`, `.meta`, `.ts`.
pub fn with_suffix(devices: &Path, suffix: &str) -> Vec<PathBuf> {
    object_files(devices).into_iter().filter(|p| p.to_string_lossy().ends_with(suffix)).collect()
}

/// The container updates that wait for their server.
pub fn pending_updates(devices: &Path) -> Vec<PathBuf> {
    object_files(devices).into_iter().filter(|p| p.to_string_lossy().contains("async_pending")).collect()
}

/// Whether a process holds a file open whose path ends so.
pub fn has_open(pid: u32, suffix: &str) -> bool {
    let handles = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    handles.filter_map(|h| fs::read_link(h.path()).ok()).any(|p| p.to_string_lossy().ends_with(suffix))
}

/// How many files, sockets and pipes a process holds open.
pub fn open_handles(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
