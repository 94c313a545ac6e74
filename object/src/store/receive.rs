//! Writing many files of other nodes at once: the same steps as a PUT's ([`write`](super::write)), each done for the whole batch
//! before the next, so that a batch costs two flushes of the filesystem where a file alone costs four of its own.
//!
//! | step | after a crash here |
//! |---|---|
//! | 1. for each file: without a name, body, metadata; make the folder | nothing, or empty folders |
//! | 2. flush all files and folders; mark the objects as changed | as 1 |
//! | 3. link each file to its name, unless a [`fence`] forbids it | for each object old or new: the file behind every name is whole |
//! | 4. flush all folders | new |
//! | 5. remove what is replaced; look whether the device is still there; confirm | new |
//!
//! Files come in any order, again, and from several nodes at once: one that is there already, or that something there
//! replaces, is confirmed and not written.

use std::path::PathBuf;

use apus_base::clock;
use apus_base::crash;
use apus_base::fs::{Device, Mark, NewDirs};

use super::attributes;
use super::crash_points::RECEIVE;
use super::error::StoreError;
use super::fence::{self, Entry};
use super::index;
use super::location::Location;
use super::metadata::Metadata;
use super::names::{FileName, Kind};
use super::quarantine::Finder;
use super::read::{self, Found};
use super::write::{Staged, make_folder, remove_obsolete};

/// Up to so many files are flushed one by one: little else waits then for a flush of the whole filesystem.
const FEW: usize = 2;

/// A file of another node, whole and checked, and without a name.
#[derive(Debug)]
pub struct Received {
    /// The object.
    pub location: Location,
    /// The file's name in its folder.
    pub name: FileName,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its body.
    pub staged: Staged,
}

/// What became of a received file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It, or what replaces it, is on stable storage.
    Done,
    /// Another object with the same hash is there.
    Collision,
}

/// A received file between two steps.
struct Step {
    file: Received,
    dirs: NewDirs,
    _mark: Mark,
}

/// Whether a file is news to this device. Blocking.
///
/// # Errors
/// What the disk says.
pub fn is_news(location: &Location, name: &FileName) -> Result<bool, StoreError> {
    let names = index_names(location)?;
    Ok(index::wanted(&names, std::slice::from_ref(name)) == [true])
}

fn index_names(location: &Location) -> Result<Vec<String>, StoreError> {
    index::file_names(&location.folder()).map_err(StoreError::while_doing("list an object's files"))
}

/// Makes files part of their objects, and says what became of each, in order. All are on one device. Blocking.
pub fn commit(device: &Device, files: Vec<Received>) -> Vec<Result<Kept, StoreError>> {
    crash::point(RECEIVE.written);
    let mut outcomes = Vec::with_capacity(files.len());
    let mut steps = Vec::new();
    for (place, file) in files.into_iter().enumerate() {
        match prepare(file) {
            Ok(Prepared::Step(step)) => {
                steps.push((place, *step));
                outcomes.push(Ok(Kept::Done));
            }
            Ok(Prepared::Already(kept)) => outcomes.push(Ok(kept)),
            Err(error) => outcomes.push(Err(error)),
        }
    }
    crash::point(RECEIVE.folder_made);
    // What fails for the batch fails for each.
    if let Err((doing, error)) = finish(device, &steps, &mut outcomes) {
        for (place, step) in &steps {
            step.dirs.undo();
            let copy = std::io::Error::new(error.kind(), error.to_string());
            let copy = error.raw_os_error().map_or(copy, std::io::Error::from_raw_os_error);
            outcomes[*place] = Err(StoreError::while_doing(doing)(copy));
        }
    }
    crash::point(RECEIVE.cleaned);
    outcomes
}

enum Prepared {
    Step(Box<Step>),
    Already(Kept),
}

fn prepare(mut file: Received) -> Result<Prepared, StoreError> {
    // Also moves what is damaged there out of the way.
    if let Found::Collision = read::open(&file.location, clock::now(), true, Finder::Replication)? {
        return Ok(Prepared::Already(Kept::Collision));
    }
    if !is_news(&file.location, &file.name)? {
        return Ok(Prepared::Already(Kept::Done));
    }
    file.staged.end()?;
    attributes::write(file.staged.tmp.file(), &file.metadata, file.staged.length())?;
    let dirs = make_folder(&file.location)?;
    let _mark = index::mark(&file.location)?;
    Ok(Prepared::Step(Box::new(Step { file, dirs, _mark })))
}

type BatchError = (&'static str, std::io::Error);

/// Flushes, links and flushes again.
fn finish(
    device: &Device,
    steps: &[(usize, Step)],
    outcomes: &mut [Result<Kept, StoreError>],
) -> Result<(), BatchError> {
    if steps.is_empty() {
        return Ok(());
    }
    flush_files(device, steps).map_err(|e| ("flush the files", e))?;
    crash::point(RECEIVE.folder_flushed);
    let mut entries = Vec::with_capacity(steps.len());
    for (place, step) in steps {
        match link(step) {
            Ok(entry) => entries.push(entry),
            Err(error) => outcomes[*place] = Err(error),
        }
    }
    crash::point(RECEIVE.linked);
    flush_names(device, steps).map_err(|e| ("flush the objects' folders", e))?;
    drop(entries);
    crash::point(RECEIVE.link_flushed);
    steps.iter().for_each(|(_, step)| remove_obsolete(&step.file.location));
    device.check().map_err(|error| ("find the device", std::io::Error::other(error)))
}

/// Whoever pushes keeps what a fence refuses, and tries again.
fn link(step: &Step) -> Result<Option<Entry>, StoreError> {
    let name = &step.file.name;
    // A POST decides nothing that a condition asks about.
    let guarded = name.kind != Kind::Meta;
    let entry = if guarded { Some(fence::enter(&step.file.location, name.timestamp)?) } else { None };
    match step.file.staged.tmp.link(&target(step)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(StoreError::while_doing("name the file")(error))
        }
        _ => Ok(entry),
    }
}

fn target(step: &Step) -> PathBuf {
    step.dirs.path.join(step.file.name.text())
}

fn flush_files(device: &Device, steps: &[(usize, Step)]) -> std::io::Result<()> {
    if steps.len() > FEW {
        return device.flush_all();
    }
    for (_, step) in steps {
        device.flush_file(step.file.staged.tmp.file())?;
        device.flush_dirs(&step.dirs)?;
    }
    Ok(())
}

fn flush_names(device: &Device, steps: &[(usize, Step)]) -> std::io::Result<()> {
    if steps.len() > FEW {
        return device.flush_all();
    }
    steps.iter().try_for_each(|(_, step)| device.flush_name(step.file.staged.tmp.file(), &step.dirs.path))
}
