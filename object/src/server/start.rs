//! Before serving: is a folder fit to be a device, and what did a killed process leave?

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apus_base::ballot::FENCE_LIFE;
use apus_base::fs::{Device, Devices, Journal, TmpFile, sweep as sweep_device};
use rustix::io::Errno;
use tokio::task::JoinHandle;
use xattr::FileExt as _;

use crate::store::{fence, redo};

/// Why a folder cannot be a device: one sentence each, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such folder.
    #[error("the device folder {0} does not exist")]
    Missing(PathBuf),
    /// Its rights or its mount forbid writing.
    #[error("the device folder {0} is not writable: {1}")]
    Unwritable(PathBuf, #[source] io::Error),
    /// Nothing more fits.
    #[error("the disk of the device folder {0} is full")]
    Full(PathBuf),
    /// The filesystem has no user extended attributes.
    #[error("the filesystem of {0} has no user extended attributes, which objects need; use ext4, XFS or btrfs")]
    NoXattrs(PathBuf),
    /// Anything else.
    #[error("the device folder {0} cannot be used: {1}")]
    Unusable(PathBuf, #[source] io::Error),
}

/// Looks whether a folder can hold objects, by writing a file without a name and an attribute on it. Blocking.
///
/// # Errors
/// Why not.
pub fn check_device(path: &Path) -> Result<(), StartError> {
    if !path.is_dir() {
        return Err(StartError::Missing(path.to_owned()));
    }
    let sorted = |error: io::Error| sort(path, error);
    let tmp = TmpFile::create(path).map_err(sorted)?;
    tmp.file().write_all_at(&[0; 4096], 0).map_err(sorted)?;
    tmp.file().set_xattr("user.apus.probe", b"1").map_err(sorted)?;
    tmp.file().sync_all().map_err(sorted)
}

fn sort(path: &Path, error: io::Error) -> StartError {
    let path = path.to_owned();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => StartError::Unwritable(path, error),
        Some(Errno::NOSPC | Errno::DQUOT) => StartError::Full(path),
        Some(Errno::OPNOTSUPP) => StartError::NoXattrs(path),
        _ => StartError::Unusable(path, error),
    }
}

/// Removes leftovers on all devices that are there. Nothing here stops a start: a broken device answers 507.
pub(super) async fn sweep(devices: &Arc<Devices>) {
    let root = devices.root().to_owned();
    let swept = tokio::task::spawn_blocking(move || {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
        folders.map(|path| (sweep_device(&path), path)).collect::<Vec<_>>()
    });
    for (swept, device) in swept.await.unwrap_or_default() {
        match swept {
            Ok(0) => {}
            Ok(files) => tracing::info!(device = %device.display(), files, "removed unfinished files"),
            Err(error) => tracing::warn!(device = %device.display(), %error, "cannot remove unfinished files"),
        }
    }
}

/// How old a record of a journal gets, at most, before its version is where it belongs.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// Opens the journals that are left on the devices, each of which takes `bytes` in each of two files. Returns when what they held is
/// where it belongs: before that nobody may look at the objects. A device without one gets it with its first request.
pub async fn open_journals(devices: &Arc<Devices>, bytes: u64) {
    each_device(devices, move |device| redo::open_left(&device, bytes)).await;
}

/// Ends the journals of all devices: on a node that is stopped there is none.
pub async fn close_journals(devices: &Arc<Devices>) {
    each_device(devices, |device| {
        if let Some(Err(error)) = device.journal().map(Journal::close) {
            tracing::warn!(device = device.name(), %error, "the journal stays, and is read at the next start");
        }
    })
    .await;
}

/// Empties the journals now and then, for as long as it runs, and opens those that come with a device meanwhile.
pub(super) async fn checkpoint(devices: Arc<Devices>, bytes: u64) {
    let mut working: HashMap<String, JoinHandle<()>> = HashMap::new();
    loop {
        tokio::time::sleep(CHECKPOINT_INTERVAL).await;
        for device in all(&devices) {
            // One that hangs holds up only itself.
            if working.get(device.name()).is_none_or(JoinHandle::is_finished) {
                let name = device.name().to_owned();
                working.insert(name, tokio::task::spawn_blocking(move || checkpoint_one(&device, bytes)));
            }
        }
    }
}

fn checkpoint_one(device: &Arc<Device>, bytes: u64) {
    redo::open_left(device, bytes);
    if let Some(Err(error)) = device.journal().map(Journal::checkpoint) {
        tracing::error!(device = device.name(), %error, "the journal cannot be emptied");
    }
}

/// Devices, and other folders beside them.
fn all(devices: &Devices) -> impl Iterator<Item = Arc<Device>> {
    devices.names().into_iter().filter_map(|name| devices.get(&name).ok())
}

/// Does something with each device that is there, with all at once, on threads of their own: it may take long.
async fn each_device(devices: &Arc<Devices>, work: impl Fn(Arc<Device>) + Clone + Send + 'static) {
    let begin = |device| {
        let work = work.clone();
        tokio::task::spawn_blocking(move || work(device))
    };
    let working: Vec<_> = all(devices).map(begin).collect();
    for done in working {
        if let Err(error) = done.await {
            tracing::error!(%error, "work on a device failed");
        }
    }
}

/// Removes fences that are no longer alive from all devices, for as long as it runs.
pub(super) async fn sweep_fences(devices: Arc<Devices>) {
    loop {
        for device in all(&devices) {
            let swept = Arc::clone(&device);
            match device.queue().run(move || fence::sweep(&swept)).await {
                Ok(Err(error)) => tracing::warn!(device = device.name(), %error, "old fences stay"),
                Err(error) => tracing::debug!(device = device.name(), %error, "old fences stay for now"),
                Ok(Ok(_)) => {}
            }
        }
        tokio::time::sleep(FENCE_LIFE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_for_each_trouble() {
        let root = tempfile::tempdir().unwrap();
        assert!(check_device(root.path()).is_ok());
        assert!(std::fs::read_dir(root.path()).unwrap().next().is_none());
        let gone = root.path().join("gone");
        let text = check_device(&gone).unwrap_err().to_string();
        assert_eq!(text, format!("the device folder {} does not exist", gone.display()));
        // procfs takes no files at all.
        assert!(check_device(Path::new("/proc/self")).is_err());
    }
}
