//! What is done on this node's own disk: listing, reading, removing, and remembering. Everything runs on the device's queue.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use apus_base::clock;
use apus_base::hash_path::PathHash;
use apus_base::timestamp::Timestamp;
use apus_base::wire::replication::FileHead;
use apus_object::store::attributes::{self, Attributes, Damage, ReadError};
use apus_object::store::index::{self, Shelf, Version};
use apus_object::store::metadata::{ETAG, NAME};
use apus_object::store::names::{FileName, Kind};
use apus_object::store::{Location, StoreError, quarantine};
use bytes::Bytes;
use md5::{Digest as _, Md5};

/// Bytes read at once, and the longest body that is read ahead.
const CHUNK: u64 = 256 * 1024;
/// The file that says when the last whole pass was.
const WHOLE_PASS: &str = ".replicated";

/// A file to be pushed.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) partition: u32,
    pub(super) hash: PathHash,
    pub(super) name: FileName,
}

/// A file that is being pushed.
pub(super) struct Opened {
    pub(super) head: FileHead,
    /// All of a short body.
    pub(super) beginning: Bytes,
    file: Arc<File>,
}

impl Source {
    fn location(&self, shelf: &Shelf, name: &str) -> Location {
        shelf.object(self.partition, self.hash, name)
    }

    fn path(&self, shelf: &Shelf) -> PathBuf {
        self.location(shelf, "").folder().join(self.name.text())
    }

    /// Whether the metadata of the version are being rewritten, or were when the power went: its own may be torn, and
    /// another pass brings it.
    fn is_rewrapped(&self, shelf: &Shelf) -> bool {
        let rewrap = FileName { kind: Kind::Rewrap, ..self.name.clone() };
        self.name.kind == Kind::Data && self.location(shelf, "").folder().join(rewrap.text()).exists()
    }

    /// Its attributes; `None` when they are being rewritten or damaged, and then the file is moved away.
    fn attributes(&self, shelf: &Shelf, file: &File) -> Result<Option<Attributes>, StoreError> {
        // The second look is for a rewriting that began and ended during the first.
        for last in [false, true] {
            if self.is_rewrapped(shelf) {
                return Ok(None);
            }
            match attributes::read(file) {
                Ok(attributes) => return Ok(Some(attributes)),
                Err(ReadError::Store(error)) => return Err(error),
                Err(ReadError::Damage(_)) if !last || self.is_rewrapped(shelf) => {}
                Err(ReadError::Damage(damage)) => put_away(shelf, self, "", &damage)?,
            }
        }
        Ok(None)
    }
}

/// The objects of a suffix.
pub(super) async fn list(shelf: &Shelf, partition: u32, suffix: u16) -> Result<Vec<Version>, StoreError> {
    let listing = shelf.clone();
    let listed = shelf.device.queue().run(move || index::suffix(&listing, partition, suffix)).await?;
    listed.map_err(StoreError::while_doing("list a suffix"))
}

/// How many bytes the bodies of a partition have; files that come or go meanwhile may or may not count.
pub(super) async fn bytes(shelf: &Shelf, partition: u32) -> u64 {
    let weighing = shelf.clone();
    let weighed = shelf.device.queue().run(move || weigh(&weighing, partition));
    weighed.await.map_err(io::Error::other).flatten().unwrap_or(0)
}

fn weigh(shelf: &Shelf, partition: u32) -> io::Result<u64> {
    let mut bytes = 0;
    for suffix in index::suffixes(shelf, partition)? {
        for version in index::suffix(shelf, partition, suffix)? {
            let folder = shelf.object(partition, version.hash, "").folder();
            let bodies = version.files.iter().filter(|file| file.kind == Kind::Data);
            bytes += bodies
                .filter_map(|file| std::fs::metadata(folder.join(file.text())).ok())
                .map(|m| m.len())
                .sum::<u64>();
        }
    }
    Ok(bytes)
}

/// Opens a file, and reads a short body. `None` when it is gone, damaged (and then moved away), or cannot be read.
pub(super) async fn open(shelf: &Shelf, source: Source) -> Option<Opened> {
    let opening = shelf.clone();
    let opened = shelf.device.queue().run(move || open_now(&opening, &source)).await;
    match opened.map_err(StoreError::from).and_then(|opened| opened) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(%error, "a file cannot be read for replication");
            None
        }
    }
}

fn open_now(shelf: &Shelf, source: &Source) -> Result<Option<Opened>, StoreError> {
    let file = match File::open(source.path(shelf)) {
        // Replaced by something newer since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(StoreError::while_doing("open a file"))?,
    };
    let Some(attributes) = source.attributes(shelf, &file)? else { return Ok(None) };
    let length = if source.name.kind == Kind::Data { attributes.body_length } else { 0 };
    let beginning = if length > 0 && length <= CHUNK {
        read_at(&file, 0, length).map_err(StoreError::while_doing("read a file"))?
    } else {
        Bytes::new()
    };
    let head = FileHead {
        partition: source.partition,
        hash: source.hash.0,
        name: source.name.text(),
        metadata: attributes.metadata.to_pickle(),
        length,
    };
    Ok(Some(Opened { head, beginning, file: Arc::new(file) }))
}

impl Opened {
    /// The next piece of a long body; `None` when it cannot be read.
    pub(super) async fn read_on(&mut self, shelf: &Shelf, left: u64) -> Option<Bytes> {
        let (file, from) = (Arc::clone(&self.file), self.head.length - left);
        let read = shelf.device.queue().run(move || read_at(&file, from, left.min(CHUNK))).await;
        match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(chunk) => Some(chunk),
            Err(error) => {
                tracing::error!(%error, "a file cannot be read to its end for replication");
                None
            }
        }
    }
}

fn read_at(file: &File, from: u64, length: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut chunk, from)?;
    Ok(chunk.into())
}

/// Reads a whole file, and moves its object to quarantine if it is not what was written; says whether it was not.
pub(super) async fn quarantine_if_damaged(shelf: &Shelf, source: Source) -> Result<bool, StoreError> {
    let looking = shelf.clone();
    shelf.device.queue().run(move || judge(&looking, &source)).await?
}

fn judge(shelf: &Shelf, source: &Source) -> Result<bool, StoreError> {
    let Some(opened) = open_now(shelf, source)? else { return Ok(true) };
    let Some(attributes) = source.attributes(shelf, &opened.file)? else { return Ok(true) };
    let (mut md5, mut from) = (Md5::new(), 0);
    while from < opened.head.length {
        let chunk = read_at(&opened.file, from, (opened.head.length - from).min(CHUNK));
        let chunk = chunk.map_err(StoreError::while_doing("read a file"))?;
        md5.update(&chunk);
        from += chunk.len() as u64;
    }
    let found: String = md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let length = attributes.metadata.content_length();
    let sound = attributes.metadata.text(ETAG) == Some(&found) && length == Some(opened.head.length);
    if sound || source.name.kind != Kind::Data {
        return Ok(false);
    }
    let name = attributes.metadata.text(NAME).unwrap_or_default().to_owned();
    put_away(shelf, source, &name, &Damage::Contradiction(format!("its MD5 is {found}"))).map(|()| true)
}

fn put_away(shelf: &Shelf, source: &Source, name: &str, damage: &Damage) -> Result<(), StoreError> {
    quarantine(&source.location(shelf, name), source.name.timestamp, damage).map(|_| ())
}

/// Removes files, and folders that are empty then; says how many were there.
pub(super) async fn remove(
    shelf: &Shelf,
    partition: u32,
    files: Vec<(PathHash, Vec<FileName>)>,
) -> Result<u64, StoreError> {
    let removing = shelf.clone();
    let removed = shelf.device.queue().run(move || {
        let one = |(hash, names): &(PathHash, Vec<FileName>)| remove_now(&removing, partition, *hash, names);
        files.iter().map(one).sum::<Result<u64, StoreError>>()
    });
    removed.await?
}

fn remove_now(shelf: &Shelf, partition: u32, hash: PathHash, names: &[FileName]) -> Result<u64, StoreError> {
    let location = shelf.object(partition, hash, "");
    let _mark = index::mark(&location)?;
    let folder = location.folder();
    let mut removed = 0;
    for name in names {
        match std::fs::remove_file(folder.join(name.text())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => {
                done.map_err(StoreError::while_doing("remove a file"))?;
                removed += 1;
            }
        }
    }
    shelf.device.forget_dir(&location.relative());
    // Only when nothing is left in them.
    if std::fs::remove_dir(&folder).is_ok()
        && let Some(suffix) = folder.parent()
    {
        let _ = std::fs::remove_dir(suffix);
    }
    Ok(removed)
}

/// When this device last had a whole pass without failure.
pub(super) async fn last_whole_pass(shelf: &Shelf) -> Option<Timestamp> {
    let path = shelf.folder().join(WHOLE_PASS);
    let text = shelf.device.queue().run(move || std::fs::read_to_string(path)).await.ok()?.ok()?;
    text.trim().parse().ok()
}

/// Remembers that there was one just now.
pub(super) async fn remember_whole_pass(shelf: &Shelf) {
    let path = shelf.folder().join(WHOLE_PASS);
    let written = shelf.device.queue().run(move || {
        let partial = path.with_extension("partial");
        std::fs::write(&partial, clock::now().internal())?;
        std::fs::rename(partial, path)
    });
    match written.await {
        Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "it cannot be remembered when the last replication was");
        }
        _ => {}
    }
}
