//! Whether the objects of a device can be served where they are: Swift's layout is ours, but for erasure coding.
//!
//! Nothing is written. Every object's folder is listed, and of each partition one object is opened: its name has to hash to
//! its folder, or no request would find it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use apus_base::cluster::Cluster;
use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_object::store::attributes;
use apus_object::store::metadata::NAME;
use apus_object::store::names::FileName;

use super::find;

/// What was seen of objects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) objects: u64,
    /// Files that are pieces of erasure-coded objects.
    pub(super) fragments: u64,
    /// Files that are none of Swift's, or of parts of it that Apus does not know.
    pub(super) others: u64,
    /// What is wrong, with a path.
    pub(super) wrong: Vec<String>,
}

/// The folders of objects on a device, with their policies. Blocking.
pub(super) fn shelves(device: &Path) -> io::Result<BTreeMap<PolicyIndex, PathBuf>> {
    let policy = |name: &str| match name.strip_prefix("objects")? {
        "" => Some(PolicyIndex(0)),
        number => number.strip_prefix('-')?.parse().ok().map(PolicyIndex),
    };
    let named = |name: String| Some((policy(&name)?, device.join(name)));
    Ok(find::names(device)?.into_iter().filter_map(named).collect())
}

/// Looks at all objects of a partition. Blocking.
pub(super) fn look(partition: &Path, cluster: &Cluster) -> io::Result<Seen> {
    let (mut seen, mut opened) = (Seen::default(), false);
    for suffix in find::names(partition)? {
        let suffix = partition.join(suffix);
        for name in find::names(&suffix)? {
            let Some(hash) = PathHash::from_hex(&name) else { continue };
            let folder = suffix.join(name);
            let files = find::names(&folder)?;
            seen.count(&files);
            let data = files.iter().find(|file| is_data(file)).filter(|_| !opened);
            if let Some(data) = data {
                opened = true;
                seen.wrong.extend(check(&folder.join(data), &hash, cluster));
            }
        }
    }
    Ok(seen)
}

impl Seen {
    fn count(&mut self, files: &[String]) {
        let known = files.iter().filter(|file| FileName::parse(file).is_some()).count() as u64;
        let fragments = files.iter().filter(|file| is_fragment(file)).count() as u64;
        self.objects += u64::from(known > 0);
        self.fragments += fragments;
        self.others += files.len() as u64 - known - fragments;
    }
}

fn is_data(file: &str) -> bool {
    FileName::parse(file).is_some() && file.ends_with(".data")
}

/// `<timestamp>#<fragment>[#d].data`, and the mark beside those of older Swifts.
fn is_fragment(file: &str) -> bool {
    (file.ends_with(".data") && file.contains('#')) || file.ends_with(".durable")
}

/// What is wrong with an object, if anything.
fn check(path: &Path, hash: &PathHash, cluster: &Cluster) -> Option<String> {
    let wrong = |why: &dyn std::fmt::Display| Some(format!("{}: {why}", path.display()));
    match name_hash(path, cluster) {
        Err(error) => wrong(&error),
        Ok(named) if named != *hash => wrong(&"its name does not hash to its folder, so no request would find it"),
        Ok(_) => None,
    }
}

/// The hash of the name that an object's file says it has. Blocking.
pub(super) fn name_hash(path: &Path, cluster: &Cluster) -> Result<PathHash, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let found = attributes::read(&file).map_err(|error| error.to_string())?;
    let name = found.metadata.text(NAME).unwrap_or_default();
    let mut parts = name.trim_start_matches('/').splitn(3, '/');
    let (Some(account), Some(container), Some(object)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("its metadata has no name".into());
    };
    Ok(cluster.hash_path.object(account, container, object))
}

/// Some objects' files on a device, with the partition and the hash by which each is found. Blocking.
pub(super) fn sample(device: &Path, many: usize) -> io::Result<Vec<(PolicyIndex, u32, PathHash, PathBuf)>> {
    let mut found = Vec::new();
    for (policy, shelf) in shelves(device)? {
        for (partition, folder) in find::partitions(&shelf)? {
            for suffix in find::names(&folder)? {
                for name in find::names(&folder.join(&suffix))? {
                    let Some(hash) = PathHash::from_hex(&name) else { continue };
                    let object = folder.join(&suffix).join(name);
                    let data = find::names(&object)?.into_iter().find(|file| is_data(file));
                    found.extend(data.map(|data| (policy, partition, hash, object.join(data))));
                    if found.len() >= many {
                        return Ok(found);
                    }
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apus_cannot_serve_is_told_apart() {
        let mut seen = Seen::default();
        let files = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        seen.count(&files(&["1712345678.12345.data", "1712345679.00000.meta"]));
        seen.count(&files(&["1712345678.12345#2#d.data", "1712345678.12345.durable", "core"]));
        assert_eq!(seen, Seen { objects: 1, fragments: 2, others: 1, wrong: Vec::new() });
    }

    #[test]
    fn shelves_by_policy() {
        let device = tempfile::tempdir().unwrap();
        for name in ["objects", "objects-12", "objects-x", "objectsold", "containers"] {
            std::fs::create_dir(device.path().join(name)).unwrap();
        }
        let policies: Vec<_> = shelves(device.path()).unwrap().into_keys().collect();
        assert_eq!(policies, [PolicyIndex(0), PolicyIndex(12)]);
    }
}
