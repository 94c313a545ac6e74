//! Reading what the kernel has in memory, on a thread that must not wait for a disk.

use std::fs::File;
use std::io::IoSliceMut;

use rustix::io::{ReadWriteFlags, preadv2};

/// Bytes of a file, if all of them are in memory.
pub fn read(file: &File, from: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let rest = &mut [IoSliceMut::new(&mut bytes[filled..])];
        match preadv2(file, rest, from + filled as u64, ReadWriteFlags::NOWAIT) {
            Ok(read) if read > 0 => filled += read,
            _ => return None,
        }
    }
    Some(bytes)
}
