//! Where Swift's databases are on a device: `accounts/<partition>/<suffix>/<hash>/<hash>.db`, `containers/` alike.
//!
//! A container that is divided into shards has `<hash>_<epoch>.db` instead, and while it is being divided both. Other files
//! there (`.pending`, `.lock`, what a killed replicator left) are nobody's database.

use std::io;
use std::path::{Path, PathBuf};

use apus_base::db::Kind;
use apus_base::hash_path::PathHash;

/// The database of one account or container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    /// What its folder is called.
    pub(super) hash: PathHash,
    pub(super) folder: PathBuf,
    /// Its files, an undivided one first, then by epoch.
    pub(super) files: Vec<String>,
}

impl Found {
    /// The file of an account or container that is not just being divided.
    pub(super) fn only_file(&self) -> Option<PathBuf> {
        let [only] = self.files.as_slice() else { return None };
        Some(self.folder.join(only))
    }
}

/// The folder on a device for databases of a kind.
pub(super) fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::Account => "accounts",
        Kind::Container => "containers",
    }
}

/// The partitions of a folder that have a folder of their own, in order; none when there is no such folder. Blocking.
pub(super) fn partitions(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let numbered = |name: String| Some((name.parse().ok()?, folder.join(name)));
    let mut found: Vec<_> = names(folder)?.into_iter().filter_map(numbered).collect();
    found.sort();
    Ok(found)
}

/// The databases below a partition's folder. Blocking.
pub(super) fn databases(partition: &Path, kind: Kind) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for suffix in names(partition)? {
        let suffix = partition.join(suffix);
        for name in names(&suffix)? {
            let Some(hash) = PathHash::from_hex(&name) else { continue };
            let folder = suffix.join(&name);
            let mut files: Vec<_> = names(&folder)?.into_iter().filter(|file| is_database(file, &name)).collect();
            // '.' is before '_', so the one without an epoch comes first.
            files.sort();
            if !files.is_empty() {
                found.push(Found { kind, hash, folder, files });
            }
        }
    }
    Ok(found)
}

fn is_database(file: &str, hash: &str) -> bool {
    let Some(rest) = file.strip_prefix(hash).and_then(|rest| rest.strip_suffix(".db")) else { return false };
    rest.is_empty() || rest.strip_prefix('_').is_some_and(|epoch| epoch.parse::<f64>().is_ok())
}

/// The names in a folder; none when it is no folder, or not there. Blocking.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    // What is not UTF-8 is none of Swift's.
    let named = |entry: io::Result<std::fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok());
    entries.filter_map(|entry| named(entry).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_are_found() {
        let root = tempfile::tempdir().unwrap();
        let hash = "0123456789abcdef0123456789abcdef";
        let folder = root.path().join("17/def").join(hash);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(root.path().join("x/def")).unwrap();
        for name in [".db", "_1712345678.12345.db", ".db.pending", ".db-journal", "_x.db", ".db.tmp"] {
            std::fs::write(folder.join(format!("{hash}{name}")), "").unwrap();
        }
        std::fs::write(root.path().join("17/.lock"), "").unwrap();
        let partitions = partitions(root.path()).unwrap();
        assert_eq!(partitions, [(17, root.path().join("17"))]);
        let found = databases(&partitions[0].1, Kind::Container).unwrap();
        assert_eq!(found[0].files, [format!("{hash}.db"), format!("{hash}_1712345678.12345.db")]);
        assert_eq!((found.len(), found[0].only_file()), (1, None));
        assert!(partitions_of_nothing());
    }

    fn partitions_of_nothing() -> bool {
        partitions(Path::new("/nonexistent")).unwrap().is_empty()
    }
}
