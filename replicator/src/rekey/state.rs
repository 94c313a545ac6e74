//! Where the pass is, in a file that is replaced in one step.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a round has come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Containers.
    pub containers: u64,
    /// Objects, each once.
    pub objects: u64,
    /// Replicas of objects that were brought under the active secret.
    pub rewrapped: u64,
    /// Objects that could not be: their secret is not configured, say. The log has the reasons.
    pub failed: u64,
    /// Replicas and devices that gave no answer.
    pub unreachable: u64,
}

impl Counts {
    /// Whether this round has proven that nothing is left to do.
    pub fn proves(&self) -> bool {
        self.rewrapped == 0 && self.failed == 0 && self.unreachable == 0
    }
}

/// The place of the pass: all before it is done in this round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The id of the secret that everything is brought under. With another one the pass begins anew.
    active: Option<String>,
    pub(super) round: u32,
    /// The number, in the ring, of the device whose containers are asked for.
    pub(super) device: usize,
    /// The marker in its inventory.
    pub(super) marker: Option<String>,
    /// The container after that marker that was begun, as account and name, and the last object of it that is done.
    pub(super) begun: Option<(String, String, String)>,
    pub(super) counts: Counts,
    #[serde(skip)]
    path: PathBuf,
}

/// The place cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the place of the pass in {}: {source}", .path.display())]
pub struct BadState {
    path: PathBuf,
    source: io::Error,
}

impl State {
    /// Where a pass of the same aim was left, or the beginning.
    pub(super) fn open(path: &Path, active: Option<&str>) -> Result<Self, BadState> {
        let active = active.map(str::to_owned);
        let beginning = Self { active: active.clone(), round: 1, path: path.to_owned(), ..Self::default() };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(beginning),
            Err(source) => return Err(BadState { path: path.to_owned(), source }),
        };
        // What cannot be read is no place: everything is gone through again.
        let left: Option<Self> = serde_json::from_slice(&text).ok();
        let left = left.filter(|left| left.active == active).map(|left| Self { path: path.to_owned(), ..left });
        Ok(left.unwrap_or(beginning))
    }

    pub(super) fn save(&self) -> Result<(), BadState> {
        let written = || -> io::Result<()> {
            let partial = self.path.with_extension("partial");
            let mut file = File::create(&partial)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&partial, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        written().map_err(|source| BadState { path: self.path.clone(), source })
    }

    /// To the beginning of a further round.
    pub(super) fn next_round(&mut self) -> Result<(), BadState> {
        *self = Self {
            active: self.active.take(),
            round: self.round.saturating_add(1),
            path: std::mem::take(&mut self.path),
            ..Self::default()
        };
        self.save()
    }

    /// Forgets the place: the pass has ended.
    pub(super) fn remove(&self) -> Result<(), BadState> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BadState { path: self.path.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_goes_on_where_it_was_unless_its_aim_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rekey.state");
        let mut state = State::open(&path, Some("2")).unwrap();
        assert_eq!((state.round, state.device, &state.marker), (1, 0, &None));
        (state.device, state.marker) = (3, Some("ab".into()));
        state.begun = Some(("a".into(), "c".into(), "o".into()));
        state.counts.objects = 7;
        state.save().unwrap();
        assert_eq!(State::open(&path, Some("2")).unwrap(), state);
        assert_eq!(State::open(&path, Some("3")).unwrap().device, 0);
        assert_eq!(State::open(&path, None).unwrap().device, 0);
        // A further round begins at the beginning.
        state.next_round().unwrap();
        let again = State::open(&path, Some("2")).unwrap();
        assert_eq!((again.round, again.device, again.counts), (2, 0, Counts::default()));
        // What is damaged is no place.
        fs::write(&path, b"{").unwrap();
        assert_eq!(State::open(&path, Some("2")).unwrap().round, 1);
        state.remove().unwrap();
        state.remove().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
