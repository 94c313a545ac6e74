//! What is done on this node's own disk: listing, removing, and remembering. Everything runs on the device's queue.

use std::io;

use apus_base::clock;
use apus_base::hash_path::PathHash;
use apus_base::timestamp::Timestamp;
use apus_object::store::StoreError;
use apus_object::store::index::{self, Shelf, Version};
use apus_object::store::names::{FileName, Kind};

/// The file that says when the last whole pass was.
const WHOLE_PASS: &str = ".replicated";

/// The objects of a suffix.
pub(super) async fn list(shelf: &Shelf, partition: u32, suffix: u16) -> Result<Vec<Version>, StoreError> {
    let listing = shelf.clone();
    let listed = shelf.device.queue().run(move || index::suffix(&listing, partition, suffix)).await?;
    listed.map_err(StoreError::while_doing("list a suffix"))
}

/// How many bytes the bodies of a partition have; files that come or go meanwhile may or may not count.
pub(super) async fn bytes(shelf: &Shelf, partition: u32) -> u64 {
    let weighing = shelf.clone();
    let weighed = shelf.device.queue().run(move || weigh(&weighing, partition));
    weighed.await.map_err(io::Error::other).flatten().unwrap_or(0)
}

fn weigh(shelf: &Shelf, partition: u32) -> io::Result<u64> {
    let mut bytes = 0;
    for suffix in index::suffixes(shelf, partition)? {
        for version in index::suffix(shelf, partition, suffix)? {
            let folder = shelf.object(partition, version.hash, "").folder();
            let bodies = version.files.iter().filter(|file| file.kind == Kind::Data);
            bytes += bodies
                .filter_map(|file| std::fs::metadata(folder.join(file.text())).ok())
                .map(|m| m.len())
                .sum::<u64>();
        }
    }
    Ok(bytes)
}

/// Removes files, and folders that are empty then; says how many were there.
pub(super) async fn remove(
    shelf: &Shelf,
    partition: u32,
    files: Vec<(PathHash, Vec<FileName>)>,
) -> Result<u64, StoreError> {
    let removing = shelf.clone();
    let removed = shelf.device.queue().run(move || {
        let one = |(hash, names): &(PathHash, Vec<FileName>)| remove_now(&removing, partition, *hash, names);
        files.iter().map(one).sum::<Result<u64, StoreError>>()
    });
    removed.await?
}

fn remove_now(shelf: &Shelf, partition: u32, hash: PathHash, names: &[FileName]) -> Result<u64, StoreError> {
    let location = shelf.object(partition, hash, "");
    let _mark = index::mark(&location)?;
    let folder = location.folder();
    let mut removed = 0;
    for name in names {
        match std::fs::remove_file(folder.join(name.text())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => {
                done.map_err(StoreError::while_doing("remove a file"))?;
                removed += 1;
            }
        }
    }
    shelf.device.forget_dir(&location.relative());
    // Only when nothing is left in them.
    if std::fs::remove_dir(&folder).is_ok()
        && let Some(suffix) = folder.parent()
    {
        let _ = std::fs::remove_dir(suffix);
    }
    Ok(removed)
}

/// When this device last had a whole pass without failure.
pub(super) async fn last_whole_pass(shelf: &Shelf) -> Option<Timestamp> {
    let path = shelf.folder().join(WHOLE_PASS);
    let text = shelf.device.queue().run(move || std::fs::read_to_string(path)).await.ok()?.ok()?;
    text.trim().parse().ok()
}

/// Remembers that there was one just now.
pub(super) async fn remember_whole_pass(shelf: &Shelf) {
    let path = shelf.folder().join(WHOLE_PASS);
    let written = shelf.device.queue().run(move || {
        let partial = path.with_extension("partial");
        std::fs::write(&partial, clock::now().internal())?;
        std::fs::rename(partial, path)
    });
    match written.await {
        Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "it cannot be remembered when the last replication was");
        }
        _ => {}
    }
}
