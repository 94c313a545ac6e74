//! Finding, reading and removing the updates that were kept on a device: the updater's side.
//!
//! Nothing here needs the object server to stand still: it may add updates at any moment, and a folder that is removed
//! under its hands is made again. All functions block.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::RowUpdate;
use xattr::FileExt as _;

use super::{FOLDER, Pending, VERSION, pickled};

/// Where a file notes which devices of container servers have its row, as JSON numbers. If it is lost they are told again.
const TOLD: &str = "user.apus.told";
/// The longest file: names, content type and headers of one request are far below.
const MAX_BYTES: u64 = 1024 * 1024;

/// One update that was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its file.
    pub path: PathBuf,
    /// The version that it tells of.
    pub timestamp: Timestamp,
    /// The row. Its partition may be an old ring's.
    pub update: RowUpdate,
    /// The container ring's ids of devices that have the row.
    pub told: Vec<u32>,
}

/// The files of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// The newest update of each object, which has in it what the older ones say.
    pub newest: Vec<PathBuf>,
    /// The older ones.
    pub outdated: Vec<PathBuf>,
}

/// How much waits on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Updates, the newest of each object.
    pub updates: u64,
    /// The version of the oldest of them.
    pub oldest: Option<Timestamp>,
}

/// Why an update cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The disk does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is none of ours or of Swift's: what it says is lost.
    #[error("not an update: {0}")]
    Malformed(String),
}

/// The folders with updates on a device, each with the policy of the objects in it. One without a number is of policy 0.
///
/// # Errors
/// What the disk says.
pub fn folders(device: &Path) -> io::Result<Vec<(PolicyIndex, PathBuf)>> {
    let mut found = Vec::new();
    for (name, path) in entries(device)? {
        let Some(policy) = policy_of(&name) else { continue };
        found.extend(entries(&path)?.into_iter().map(|(_, suffix)| (policy, suffix)).filter(|(_, path)| path.is_dir()));
    }
    Ok(found)
}

fn policy_of(folder: &OsString) -> Option<PolicyIndex> {
    match folder.to_str()?.strip_prefix(FOLDER)? {
        "" => Some(PolicyIndex(0)),
        suffix => suffix.strip_prefix('-')?.parse().ok().map(PolicyIndex),
    }
}

fn entries(folder: &Path) -> io::Result<Vec<(OsString, PathBuf)>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| (entry.file_name(), entry.path()))).collect(),
        // Somebody removed it when it was empty.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The updates in one folder. Files of other names are left alone.
///
/// # Errors
/// What the disk says.
pub fn list(folder: &Path) -> io::Result<Folder> {
    let named = entries(folder)?.into_iter().filter_map(|(name, path)| Some((parse(name.to_str()?)?, path)));
    let mut named: Vec<((String, Timestamp), PathBuf)> = named.collect();
    named.sort_by(|a, b| b.0.cmp(&a.0));
    let mut seen = HashSet::new();
    let (newest, outdated): (Vec<_>, Vec<_>) = named.into_iter().partition(|((hash, _), _)| seen.insert(hash.clone()));
    let paths = |files: Vec<((String, Timestamp), PathBuf)>| files.into_iter().map(|(_, path)| path).collect();
    Ok(Folder { newest: paths(newest), outdated: paths(outdated) })
}

/// How much waits for the objects of a policy, by the files' names.
///
/// # Errors
/// What the disk says.
pub fn waiting(device: &Path, policy: PolicyIndex) -> io::Result<Waiting> {
    let mut waiting = Waiting::default();
    for (_, folder) in folders(device)?.into_iter().filter(|(of, _)| *of == policy) {
        let newest = list(&folder)?.newest;
        waiting.updates += newest.len() as u64;
        let versions = newest.iter().filter_map(|path| Some(parse(path.file_name()?.to_str()?)?.1));
        waiting.oldest = waiting.oldest.into_iter().chain(versions).min();
    }
    Ok(waiting)
}

/// `<hash>-<timestamp>`.
fn parse(name: &str) -> Option<(String, Timestamp)> {
    let (hash, timestamp) = name.split_once('-')?;
    let is_hash = hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    Some((is_hash.then(|| hash.to_owned())?, timestamp.parse().ok()?))
}

/// Reads an update from the folder of a policy; none when somebody has removed it.
///
/// # Errors
/// When the disk does not give it, or it makes no sense.
pub fn load(path: PathBuf, policy: PolicyIndex) -> Result<Option<Kept>, Unreadable> {
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    (&mut file).take(MAX_BYTES).read_to_end(&mut bytes)?;
    let (update, mut told) = decode(&bytes, policy).map_err(Unreadable::Malformed)?;
    let noted = file.get_xattr(TOLD).ok().flatten();
    told.extend(noted.and_then(|json| serde_json::from_slice::<Vec<u32>>(&json).ok()).unwrap_or_default());
    let name = path.file_name().and_then(|name| name.to_str()).and_then(parse);
    let timestamp = name.map_or(update.row.timestamps.meta, |(_, timestamp)| timestamp);
    Ok(Some(Kept { path, timestamp, update, told }))
}

/// The row in a file's bytes, and which devices have it already.
fn decode(bytes: &[u8], policy: PolicyIndex) -> Result<(RowUpdate, Vec<u32>), String> {
    if bytes.first() != Some(&b'{') {
        return pickled::decode(bytes, policy);
    }
    let pending: Pending = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if pending.version != VERSION {
        return Err(format!("it is of version {}", pending.version));
    }
    Ok((pending.update, Vec::new()))
}

impl Kept {
    /// Notes which devices have the row, so that they are not told again at the next pass.
    pub fn note(&self, told: &[u32]) {
        let noted =
            serde_json::to_vec(told).map_err(io::Error::from).and_then(|json| xattr::set(&self.path, TOLD, &json));
        if let Err(error) = noted {
            tracing::debug!(%error, path = %self.path.display(), "not noted who has this update; all are told again");
        }
    }
}

/// Removes an update, and its folder when that was the last one.
///
/// # Errors
/// What the disk says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent() {
        // It fails as long as there is something in it, as it should.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// Moves what cannot be read to where Swift puts it, for somebody to look at.
///
/// # Errors
/// What the disk says.
pub fn set_aside(device: &Path, path: &Path) -> io::Result<()> {
    let folder = device.join("quarantined").join("objects");
    fs::create_dir_all(&folder)?;
    fs::rename(path, folder.join(path.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::fs::Devices;
    use apus_base::hash_path::PathHash;
    use apus_base::timestamp::RowTimestamps;
    use apus_base::wire::ObjectRow;
    use proptest::prelude::*;

    fn update(name: &str, at: Timestamp) -> RowUpdate {
        let row = ObjectRow {
            name: name.into(),
            timestamps: RowTimestamps::same(at),
            size: 5,
            content_type: "text/plain".into(),
            etag: "e".into(),
            deleted: false,
            policy: PolicyIndex(1),
        };
        RowUpdate { partition: 3, account: "a".into(), container: "c".into(), row }
    }

    #[test]
    fn what_was_kept_is_found_newest_first_and_removed_with_its_folder() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d1")).unwrap();
        let device = Devices::new(root.path(), 1).get("d1").unwrap();
        let (one, other) = (PathHash([1; 16]), PathHash([2; 16]));
        for (hash, name, secs) in [(one, "o", 1), (one, "o", 3), (one, "o", 2), (other, "p", 1)] {
            let pending = Pending::new(update(name, Timestamp::from_secs(secs)));
            super::super::write(&device, PolicyIndex(1), &hash, Timestamp::from_secs(secs), &pending).unwrap();
        }
        let found = folders(device.path()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|(policy, path)| *policy == PolicyIndex(1) && path.starts_with(device.path())));
        let (policy, folder) = found.iter().find(|(_, path)| path.ends_with(one.suffix())).unwrap();
        let listed = list(folder).unwrap();
        assert_eq!((listed.newest.len(), listed.outdated.len()), (1, 2));

        let kept = load(listed.newest[0].clone(), *policy).unwrap().unwrap();
        assert_eq!((&kept.update, kept.told.len()), (&update("o", Timestamp::from_secs(3)), 0));
        kept.note(&[4, 0]);
        assert_eq!(load(kept.path.clone(), *policy).unwrap().unwrap().told, [4, 0]);

        for path in listed.newest.iter().chain(&listed.outdated) {
            remove(path).unwrap();
        }
        assert!(load(kept.path, *policy).unwrap().is_none() && !folder.exists());
        assert_eq!(folders(device.path()).unwrap().len(), 1);
        // The server keeps one more although its folder is gone.
        let pending = Pending::new(update("o", Timestamp::from_secs(9)));
        super::super::write(&device, PolicyIndex(1), &one, Timestamp::from_secs(9), &pending).unwrap();
        assert_eq!(list(folder).unwrap().newest.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("async_pending/abc/00000000000000000000000000000abc-0000000001.00000");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for nonsense in ["", "{", "{\"version\":2}", "\u{80}"] {
            fs::write(&path, nonsense).unwrap();
            assert!(matches!(load(path.clone(), PolicyIndex(0)), Err(Unreadable::Malformed(_))), "{nonsense:?}");
        }
        set_aside(root.path(), &path).unwrap();
        assert!(!path.exists() && root.path().join("quarantined/objects").join(path.file_name().unwrap()).exists());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, PolicyIndex(0));
            let _ = decode(&[b"{\"version\":1,", bytes.as_slice()].concat(), PolicyIndex(0));
        }
    }
}
