//! Files that have to be the same on every node, by their MD5: the rings, `swift.conf`, and what our own configuration says
//! of the cluster.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use crate::hex::hex;

/// The name under which the MD5 of our own configuration stands beside that of `swift.conf`.
pub const CLUSTER: &str = "apus.toml [cluster]";

/// What the sum of a file depends on.
type Stamp = (SystemTime, u64);

/// The sums of one node.
#[derive(Debug, Default)]
pub struct Sums {
    rings: Vec<PathBuf>,
    swift_conf: PathBuf,
    cluster: String,
    /// Rings can be large, and are seldom changed.
    known: Mutex<HashMap<PathBuf, (Stamp, String)>>,
}

impl Sums {
    /// Of these ring files, a `swift.conf` that need not be there, and what the node's `[cluster]` table says, as text
    /// that is the same wherever the table is.
    pub fn new(rings: Vec<PathBuf>, swift_conf: PathBuf, cluster: &str) -> Self {
        Self { rings, swift_conf, cluster: Self::of_cluster(cluster), known: Mutex::default() }
    }

    /// The sum of what a `[cluster]` table says.
    pub fn of_cluster(canonical: &str) -> String {
        hex(&Md5::digest(canonical))
    }

    /// Each ring file that is there. Blocking.
    pub(super) fn rings(&self) -> Value {
        let there = self.rings.iter().filter(|path| path.exists());
        there.map(|path| (path.display().to_string(), self.of(path).into())).collect::<Map<_, _>>().into()
    }

    /// The configuration. Blocking.
    pub(super) fn configuration(&self) -> Value {
        json!({self.swift_conf.display().to_string(): self.of(&self.swift_conf), CLUSTER: self.cluster})
    }

    /// The sum of a file; none when it cannot be read.
    fn of(&self, path: &Path) -> Option<String> {
        let found = fs::metadata(path).ok()?;
        let stamp = (found.modified().ok()?, found.len());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some((_, sum)) = known.filter(|(then, _)| *then == stamp) {
            return Some(sum);
        }
        let sum = file_md5(path).inspect_err(|error| tracing::warn!(%error, path = %path.display(), "no MD5")).ok()?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), (stamp, sum.clone()));
        Some(sum)
    }
}

/// The MD5 of a file in hexadecimal digits. Blocking.
///
/// # Errors
/// What the system says.
pub fn file_md5(path: &Path) -> io::Result<String> {
    let (mut file, mut md5, mut chunk) = (File::open(path)?, Md5::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&md5.finalize())),
            read => md5.update(&chunk[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_changes_has_another_sum() {
        let folder = tempfile::tempdir().unwrap();
        let (ring, gone) = (folder.path().join("object.ring.gz"), folder.path().join("object-1.ring.gz"));
        fs::write(&ring, "one").unwrap();
        let sums = Sums::new(vec![ring.clone(), gone], folder.path().join("swift.conf"), "cluster");
        let name = ring.display().to_string();
        assert_eq!(sums.rings(), json!({&name: "f97c5d29941bfb1b2fdab0874906ab82"}));
        fs::write(&ring, "three").unwrap();
        assert_eq!(sums.rings(), json!({&name: "35d6d33467aae9a2e3dccb4b6b027878"}));
        assert_eq!(sums.configuration()[folder.path().join("swift.conf").display().to_string()], Value::Null);
        assert_eq!(sums.configuration()[CLUSTER], "06b2d4b91b5c9eaa8c20a1c270f95b3c");
    }
}
