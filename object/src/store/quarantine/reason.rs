//! The record beside what is in quarantine: `.reason`, one JSON object of a version 1.
//!
//! It is small and written whole, so that it is there or not. One that cannot be read counts as none: it says something
//! about what lies beside it, and nothing depends on it but that a good copy is looked for.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use apus_base::clock;
use apus_base::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::location::Location;

const FILE: &str = ".reason";
/// The version of the form.
const VERSION: u32 = 1;
/// The most bytes of a reason in words, which an error of the system or a watcher gave.
const MAX_WHY_BYTES: usize = 1024;
/// The largest record read: a name of a kilobyte, escaped, and the reason leave much room.
const MAX_BYTES: u64 = 64 * 1024;

/// Why, when and by whom something was moved to quarantine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The version of this form, now 1.
    pub version: u32,
    /// The object's path, `/account/container/object`; empty when its files do not say it.
    pub name: String,
    /// The partition whose folder it was in.
    pub partition: u32,
    /// Files up to this one were moved; zero when it was all that there was.
    pub damaged: Timestamp,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Finder,
    /// Why, in words.
    pub why: String,
    /// Once a good copy is in its place again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<Repaired>,
}

/// Who found something damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finder {
    /// A client's request, or a pass's.
    Request,
    /// The auditor.
    Audit,
    /// Replication, which sent it or wanted to write in its place.
    Replication,
    /// A watcher of the auditor, which does not want it there: it is sound, and no other copy is wanted.
    Watcher,
}

/// How it was repaired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repaired {
    /// When.
    pub at: Timestamp,
    /// Where the good copy is from.
    pub from: String,
}

impl fmt::Display for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Audit => "audit",
            Self::Replication => "replication",
            Self::Watcher => "watcher",
        })
    }
}

impl Repaired {
    pub(super) fn now(from: &str) -> Self {
        Self { at: clock::now(), from: from.to_owned() }
    }
}

impl Reason {
    pub(super) fn new(location: &Location, damaged: Timestamp, by: Finder, why: &dyn fmt::Display) -> Self {
        let mut why = why.to_string();
        let end = (0..=MAX_WHY_BYTES.min(why.len())).rev().find(|at| why.is_char_boundary(*at));
        why.truncate(end.unwrap_or(0));
        let (name, partition) = (location.name.clone(), location.partition);
        Self { version: VERSION, name, partition, damaged, at: clock::now(), by, why, repaired: None }
    }

    /// Whether a good copy is to be brought in its place, and was not yet.
    pub fn wants_repair(&self) -> bool {
        self.by != Finder::Watcher && self.repaired.is_none()
    }

    /// Reads the record in a folder.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        let mut text = Vec::new();
        File::open(folder.join(FILE)).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|reason: &Self| reason.version == VERSION)
    }

    /// Writes the record into a folder, and flushes it; the folder's entry is the caller's.
    pub(super) fn save(&self, folder: &Path) -> io::Result<()> {
        let partial = folder.join(".reason.partial");
        let mut file = File::create(&partial)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(partial, folder.join(FILE))
    }

    /// Removes a folder in which there is nothing but a record.
    pub(super) fn forget(folder: &Path) {
        let _ = std::fs::remove_file(folder.join(FILE));
        let _ = std::fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finder() -> impl Strategy<Value = Finder> {
        prop::sample::select(vec![Finder::Request, Finder::Audit, Finder::Replication, Finder::Watcher])
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "\\PC{0,80}", why in "\\PC{0,2000}", secs in any::<u32>(), by in finder(), from in "[a-z]{0,9}") {
            let folder = tempfile::tempdir().unwrap();
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("d1")).unwrap();
            let device = apus_base::fs::Devices::new(root.path(), 1).get("d1").unwrap();
            let (policy, hash) = (apus_base::policy::PolicyIndex(0), apus_base::hash_path::PathHash([7; 16]));
            let location = Location { device, policy, partition: secs, hash, name };
            let mut reason = Reason::new(&location, Timestamp::from_secs(secs.into()), by, &why);
            prop_assert!(reason.why.len() <= MAX_WHY_BYTES && why.starts_with(&reason.why));
            prop_assert_eq!(reason.wants_repair(), by != Finder::Watcher);
            reason.repaired = (!from.is_empty()).then(|| Repaired::now(&from));
            reason.save(folder.path()).unwrap();
            prop_assert_eq!(Reason::load(folder.path()), Some(reason));
            Reason::forget(folder.path());
            prop_assert_eq!(Reason::load(folder.path()), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reason::parse(&text);
        }
    }
}
