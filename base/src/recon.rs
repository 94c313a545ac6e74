//! The recon cache: what each background pass did last, as JSON files that Swift's tools know how to read.
//!
//! `<folder>/{account,container,object}.recon` hold one JSON object on one line each. Several passes write into one file, so
//! a writer locks it, merges its entries in and replaces it. The files are for watching only: nothing is flushed, and a
//! damaged one is begun anew.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// The largest file that is read: a few hundred devices' worth of entries are well below.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The folder of the recon files.
#[derive(Clone, Debug)]
pub struct ReconCache {
    folder: PathBuf,
}

impl ReconCache {
    /// The files in `folder`, which is made when something is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The path of the file of one kind of server.
    pub fn path(&self, server: &str) -> PathBuf {
        self.folder.join(format!("{server}.recon"))
    }

    /// What is there; empty when there is nothing that can be read.
    pub fn load(&self, server: &str) -> Map<String, Value> {
        read(&self.path(server))
    }

    /// Merges entries into the file of one kind of server. An object replaces what it names one level deep; an empty
    /// object removes. A cache that cannot be written is only said so, since no data depends on it. Blocking.
    pub fn merge(&self, server: &str, entries: Map<String, Value>) {
        if let Err(error) = self.try_merge(server, entries) {
            tracing::warn!(%error, file = %self.path(server).display(), "the recon cache cannot be written");
        }
    }

    fn try_merge(&self, server: &str, entries: Map<String, Value>) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(server);
        let lock = File::create(self.folder.join(format!(".{server}.lock")))?;
        lock.lock()?;
        let mut cache = read(&path);
        entries.into_iter().for_each(|(key, value)| put(&mut cache, key, value));
        let fresh = self.folder.join(format!(".{server}.new"));
        let mut text = serde_json::to_vec(&cache)?;
        text.push(b'\n');
        fs::write(&fresh, text)?;
        fs::rename(fresh, path)
    }
}

fn read(path: &Path) -> Map<String, Value> {
    if fs::metadata(path).is_ok_and(|found| found.len() > MAX_BYTES) {
        return Map::new();
    }
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn put(cache: &mut Map<String, Value>, key: String, value: Value) {
    let Value::Object(items) = value else {
        cache.insert(key, value);
        return;
    };
    if items.is_empty() {
        cache.remove(&key);
        return;
    }
    let entry = cache.entry(key).or_insert_with(|| Map::new().into());
    if !entry.is_object() {
        *entry = Map::new().into();
    }
    let Value::Object(entry) = entry else { return };
    for (name, item) in items {
        match item {
            Value::Object(empty) if empty.is_empty() => _ = entry.remove(&name),
            item => _ = entry.insert(name, item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merge(cache: &ReconCache, entries: Value) -> Value {
        let Value::Object(entries) = entries else { panic!("an object") };
        cache.merge("object", entries);
        cache.load("object").into()
    }

    #[test]
    fn entries_of_several_passes_stand_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ReconCache::new(folder.path().join("recon"));
        merge(&cache, json!({"a": 1, "devices": {"d1": {"n": 1}, "d2": {"n": 2}}}));
        let now = merge(&cache, json!({"b": null, "devices": {"d1": {}, "d3": {"n": 3}}}));
        assert_eq!(now, json!({"a": 1, "b": null, "devices": {"d2": {"n": 2}, "d3": {"n": 3}}}));
        assert_eq!(merge(&cache, json!({"devices": {}})), json!({"a": 1, "b": null}));

        fs::write(cache.path("object"), "{half").unwrap();
        assert_eq!(merge(&cache, json!({"a": 2})), json!({"a": 2}));
    }
}
