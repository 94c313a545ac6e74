//! Rings that a move is from, kept on each device that has a part in it until that is done.
//!
//! `<device>/passes/move[-N].<id>.ring.gz`, N being the policy as in `objects-N` and the id a digest of the ring. Flushed
//! with its folder before the move begins.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use apus_base::fs::{Device as Disk, Devices};
use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_base::ring::{Device, Ring};
use md5::{Digest as _, Md5};

/// Rings kept for one device and policy. A fifth change before the first move is done pushes the oldest out, which leaves
/// to the walk what only that one knew.
const KEPT: usize = 4;
const ENDING: &str = ".ring.gz";

/// A move that has a part to be done on a device.
#[derive(Clone, Debug)]
pub(super) struct Unfinished {
    pub(super) ring: Arc<Ring>,
    path: PathBuf,
}

impl Unfinished {
    /// Equal rings of equal policies have equal ids.
    pub(super) fn id(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Its part is done. If that is not noted, it is looked at once more.
    pub(super) async fn forget(&self, disk: &Disk) {
        let done = self.clone();
        // A queue that is full is as if it were not noted.
        let _ = disk.queue().run(move || done.remove()).await;
    }

    fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a finished move cannot be forgotten");
        }
    }
}

/// Keeps the ring that a move is from.
pub(super) async fn remember(
    devices: &Devices,
    device: &Device,
    policy: PolicyIndex,
    ring: &Arc<Ring>,
) -> io::Result<()> {
    let device = devices.get(&device.device).map_err(io::Error::other)?;
    let (folder, ring) = (device.path().join("passes"), Arc::clone(ring));
    device.queue().run(move || write(&folder, policy, &ring)).await.map_err(io::Error::other)?
}

fn write(folder: &Path, policy: PolicyIndex, ring: &Ring) -> io::Result<()> {
    let bytes = ring.to_v2_bytes("object.ring.gz").map_err(io::Error::other)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let id = PathHash(Md5::digest(&bytes).into());
    let path = folder.join(format!("{}.{id}{ENDING}", policy.suffixed("move")));
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(partial, path)?;
    File::open(folder)?.sync_all()
}

/// What is to be done on a device, the latest begun first; what cannot be read is removed.
pub(super) async fn recall(devices: &Devices, name: &str, policy: PolicyIndex) -> Vec<Unfinished> {
    let Ok(device) = devices.get(name) else { return Vec::new() };
    let folder = device.path().join("passes");
    device.queue().run(move || read(&folder, policy)).await.unwrap_or_default()
}

fn read(folder: &Path, policy: PolicyIndex) -> Vec<Unfinished> {
    let prefix = format!("{}.", policy.suffixed("move"));
    let is_kept = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&prefix) && name.ends_with(ENDING)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_kept).collect();
    paths.sort_by_key(|path| std::cmp::Reverse(begun(path)));
    let mut kept = Vec::new();
    for path in paths {
        let ring = std::fs::read(&path).ok().and_then(|bytes| Ring::from_bytes(&bytes).ok());
        match ring.filter(|_| kept.len() < KEPT) {
            Some(ring) => kept.push(Unfinished { ring: Arc::new(ring), path }),
            None => {
                tracing::warn!(path = %path.display(), "a move is given up; the replicator brings what is lacking");
                let _ = std::fs::remove_file(path);
            }
        }
    }
    kept
}

fn begun(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::ring::{IdWidth, Table};

    fn ring(version: u64) -> Ring {
        let device = Device {
            device: "d".into(),
            id: 0,
            ip: "127.0.0.1".into(),
            meta: String::new(),
            port: 1,
            region: 1,
            replication_ip: "127.0.0.1".into(),
            replication_port: 1,
            weight: 1.0,
            zone: 1,
        };
        let table = Table::new(0, IdWidth::TwoBytes, std::iter::once(0)).unwrap();
        Ring::new(vec![Some(device)], table).unwrap().with_version(Some(version))
    }

    #[test]
    fn a_move_is_kept_until_it_is_done_and_not_too_many_are() {
        let device = tempfile::tempdir().unwrap();
        let folder = device.path().join("passes");
        assert!(read(&folder, PolicyIndex(0)).is_empty());
        for version in [1, 1, 2] {
            write(&folder, PolicyIndex(0), &ring(version)).unwrap();
        }
        write(&folder, PolicyIndex(1), &ring(1)).unwrap();
        let kept = read(&folder, PolicyIndex(0));
        assert_eq!(kept.len(), 2);
        assert_eq!(read(&folder, PolicyIndex(1)).len(), 1);
        kept.iter().for_each(Unfinished::remove);
        assert!(read(&folder, PolicyIndex(0)).is_empty());

        for version in 0..KEPT as u64 + 2 {
            write(&folder, PolicyIndex(0), &ring(version)).unwrap();
        }
        std::fs::write(folder.join("move.0.ring.gz"), "no ring").unwrap();
        assert!(read(&folder, PolicyIndex(0)).len() <= KEPT);
        assert!(read(&folder, PolicyIndex(0)).len() >= KEPT - 1);
    }
}
