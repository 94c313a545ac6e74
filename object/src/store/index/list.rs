//! What the disk says: the objects of a suffix with their files that count, and the digest of all that.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use apus_base::hash_path::PathHash;
use md5::{Digest as _, Md5};

use super::Shelf;
use super::table::Entry;
use crate::store::error::is_not_found;
use crate::store::names::{FileName, FileSet, Kind};

/// One object: the files of it that count, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The hash of its path.
    pub hash: PathHash,
    /// Its files, sorted by name.
    pub files: Vec<FileName>,
}

/// The suffixes of a partition. Blocking.
///
/// # Errors
/// What the system says, but for a partition that is not there.
pub fn suffixes(shelf: &Shelf, partition: u32) -> io::Result<Vec<u16>> {
    let numbers = names(&shelf.partition(partition))?;
    let is_suffix = |name: &String| name.len() == 3 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    Ok(numbers.iter().filter(|name| is_suffix(name)).filter_map(|name| u16::from_str_radix(name, 16).ok()).collect())
}

/// The objects of a suffix that have any file, by hash. Blocking.
///
/// # Errors
/// What the system says, but for a suffix that is not there.
pub fn suffix(shelf: &Shelf, partition: u32, suffix: u16) -> io::Result<Vec<Version>> {
    each_object(shelf, partition, suffix, |_, names| counting(names))
}

/// As [`suffix`], and removes files that no longer count: a writer that was killed may have left some.
pub(super) fn tidied(shelf: &Shelf, partition: u32, suffix: u16) -> io::Result<Vec<Version>> {
    each_object(shelf, partition, suffix, |folder, names| {
        for name in FileSet::choose(names).obsolete {
            if let Err(error) = std::fs::remove_file(folder.join(&name))
                && !is_not_found(&error)
            {
                tracing::warn!(folder = %folder.display(), name, %error, "an older file stays");
            }
        }
        counting(names)
    })
}

fn each_object(
    shelf: &Shelf,
    partition: u32,
    suffix: u16,
    look: impl Fn(&Path, &[String]) -> Vec<FileName>,
) -> io::Result<Vec<Version>> {
    let folder = shelf.partition(partition).join(format!("{suffix:03x}"));
    let mut found = BTreeMap::new();
    for name in names(&folder)? {
        let Some(hash) = parse_hash(&name) else { continue };
        let object = folder.join(name);
        let files = match names(&object) {
            // Damaged: it is for who opens it to say so. It does not count, so that a good copy is brought.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Vec::new(),
            names => look(&object, &names?),
        };
        if !files.is_empty() {
            found.insert(hash, files);
        }
    }
    Ok(found.into_iter().map(|(hash, files)| Version { hash, files }).collect())
}

/// What the index says of a suffix that holds these; nothing when it is empty.
pub(super) fn entry(versions: &[Version]) -> Option<Entry> {
    let mut md5 = Md5::new();
    for version in versions {
        md5.update(version.hash.0);
        for file in &version.files {
            md5.update(file.text());
            md5.update(b"\n");
        }
    }
    let files = versions.iter().flat_map(|version| &version.files);
    let oldest_tombstone = files.filter(|file| file.kind == Kind::Tombstone).map(|file| file.timestamp).min();
    (!versions.is_empty()).then(|| Entry { digest: md5.finalize().into(), oldest_tombstone })
}

/// Which of the offered files are news to who has the files `here`: not there, and not replaced by what is there or by the
/// other offered files. Pure; merging so in any order and however often leads to the same files everywhere.
pub fn wanted(here: &[String], offered: &[FileName]) -> Vec<bool> {
    let texts: Vec<String> = offered.iter().map(FileName::text).collect();
    let all: Vec<&String> = here.iter().chain(&texts).collect();
    let obsolete = FileSet::choose(&all).obsolete;
    texts.iter().map(|text| !here.contains(text) && !obsolete.contains(text)).collect()
}

/// The files that count among these names, sorted by name. Pure.
pub fn counting(names: &[String]) -> Vec<FileName> {
    let obsolete = FileSet::choose(names).obsolete;
    let mut counting: Vec<&String> = names.iter().filter(|name| !obsolete.contains(name)).collect();
    counting.sort();
    counting.into_iter().filter_map(|name| FileName::parse_shared(name)).collect()
}

/// The hash that an object's folder is named by.
pub fn parse_hash(name: &str) -> Option<PathHash> {
    let digits = name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let number = u128::from_str_radix(name, 16).ok().filter(|_| digits)?;
    Some(PathHash(number.to_be_bytes()))
}

/// The names in a folder; none when it is not there. Blocking.
///
/// # Errors
/// What the system says.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if is_not_found(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| entry.map(|e| e.file_name().into_string().unwrap_or_default())).collect()
}
