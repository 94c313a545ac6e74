//! Builder and ring files of one command: names, reading, writing so that a crash leaves the old or the new, backups, lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use apus_base::ring::Ring;

use crate::{Builder, Error};

/// A builder file of the largest ring is below this.
const MAX_BUILDER_BYTES: u64 = 2 << 30;

/// A ring file unpacks to at most 256 MiB, and ids hardly grow when packed.
const MAX_RING_FILE_BYTES: u64 = 300 << 20;

pub(super) struct Files {
    pub(super) builder: PathBuf,
    pub(super) ring: PathBuf,
}

impl Files {
    /// `x.builder`, `x.ring.gz` and plain `x` all name a builder and a ring.
    pub(super) fn named(typed: &Path) -> Files {
        let text = typed.to_string_lossy();
        if let Some(stem) = text.strip_suffix(".ring.gz") {
            return Files { builder: format!("{stem}.builder").into(), ring: typed.to_owned() };
        }
        let stem = text.strip_suffix(".builder").unwrap_or(&text);
        Files { builder: typed.to_owned(), ring: format!("{stem}.ring.gz").into() }
    }

    fn folder(&self) -> PathBuf {
        match self.builder.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// Keeps other `apus ring` commands from changing files in this folder as long as the answer lives.
    pub(super) fn lock(&self) -> Result<File, Error> {
        let folder = self.folder();
        let io = |source| Error::Io { doing: "cannot lock the folder", path: folder.clone(), source };
        let lock = File::open(&folder).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(folder)),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    pub(super) fn load(&self) -> Result<Builder, Error> {
        match read(&self.builder, MAX_BUILDER_BYTES) {
            Ok(bytes) => Builder::from_bytes(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoBuilder(self.builder.clone())),
            Err(source) => Err(Error::Io { doing: "cannot read", path: self.builder.clone(), source }),
        }
    }

    /// The ring file beside the builder, if there is one.
    pub(super) fn load_ring(&self) -> Result<Option<Ring>, Error> {
        match read(&self.ring, MAX_RING_FILE_BYTES) {
            Ok(bytes) => Ok(Some(Ring::from_bytes(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { doing: "cannot read", path: self.ring.clone(), source }),
        }
    }

    pub(super) fn save(&self, builder: &mut Builder) -> Result<(), Error> {
        write(&self.builder, &identified(builder)?)
    }

    pub(super) fn save_with_backup(&self, builder: &mut Builder, now: u64) -> Result<(), Error> {
        let bytes = identified(builder)?;
        write(&self.backup(&self.builder, now)?, &bytes)?;
        write(&self.builder, &bytes)
    }

    pub(super) fn save_ring(&self, ring: &Ring, format_version: u8, now: u64) -> Result<(), Error> {
        let name = self.ring.file_name().unwrap_or_default().to_string_lossy();
        let bytes = if format_version == 2 { ring.to_v2_bytes(&name)? } else { ring.to_v1_bytes(&name)? };
        write(&self.backup(&self.ring, now)?, &bytes)?;
        write(&self.ring, &bytes)
    }

    /// `backups/<seconds>.<name>`, in a folder that exists.
    fn backup(&self, file: &Path, now: u64) -> Result<PathBuf, Error> {
        let folder = self.folder().join("backups");
        match fs::create_dir(&folder) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::Io { doing: "cannot make the folder", path: folder, source })
            }
            _ => Ok(folder.join(format!("{now}.{}", file.file_name().unwrap_or_default().to_string_lossy()))),
        }
    }
}

fn identified(builder: &mut Builder) -> Result<Vec<u8>, Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Error::Output(io::Error::other(error)))?;
    builder.ensure_id(u128::from_be_bytes(id));
    Ok(builder.to_bytes())
}

fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let size = fs::metadata(path)?.len();
    if size > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{size} bytes are more than {max}")));
    }
    fs::read(path)
}

/// Writes a file so that a crash leaves the old one or the new one: under a temporary name, flushed, renamed, and the
/// folder flushed.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_added_extension(format!("tmp{}", std::process::id()));
    let done = write_renamed(path, &temporary, bytes);
    if done.is_err() {
        // Whatever is left of it is in nobody's way but should not stay.
        let _ = fs::remove_file(&temporary);
    }
    done.map_err(|source| Error::Io { doing: "cannot write", path: path.to_owned(), source })
}

fn write_renamed(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
