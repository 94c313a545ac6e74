//! Files for clients to keep in step with a container.

use std::fs;

use tempfile::TempDir;

use crate::bytes;

/// A small tree with an empty file, names with spaces and in Unicode, and `large.bin`, so long that a client cuts it up.
pub fn tree(large: usize) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let files =
        [("a.txt", 12), ("empty", 0), ("with space/and+more.bin", 70_000), ("naïve/☃.dat", 4096), ("large.bin", large)];
    for (seed, (name, length)) in files.into_iter().enumerate() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes(seed as u64, length)).expect("a file");
    }
    folder
}
