//! Taking pushed files: gathered into batches, written, and confirmed.
//!
//! Small files gather in memory until there are enough for a batch; while it is written the next one gathers. A large file
//! goes to the disk as it comes and ends its batch. A file that is refused is read past, so that those after it are not lost with it.

use std::io;

use apus_base::hash_path::PathHash;
use apus_base::hex::hex;
use apus_base::link::Receiver as From;
use apus_base::link::{LinkError, Stream};
use apus_base::wire::replication::{Answer, FileHead, Outcome, Refusal};
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::{Receiver, refuse};
use crate::store::index::Shelf;
use crate::store::metadata::{ETAG, NAME, TIMESTAMP};
use crate::store::names::{FileName, Kind};
use crate::store::receive::{self, Kept, Received};
use crate::store::{Location, Metadata, Staged, StoreError};

/// Files in one batch.
const MAX_BATCH: usize = 256;
/// Bytes of bodies in one batch.
const MAX_BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// A longer body goes to the disk as it comes.
const SMALL_BYTES: u64 = 1024 * 1024;
/// Bytes of a long body that are written at once.
const WRITE_BYTES: usize = 1024 * 1024;

/// A file whose head makes sense.
pub(super) struct Expected {
    location: Location,
    name: FileName,
    metadata: Metadata,
    length: u64,
}

/// A file as it came.
pub(super) enum Arrived {
    Refused(Outcome),
    Small(Expected, Vec<Bytes>),
    Large(Box<Expected>, Staged, Box<Md5>),
}

/// What is written together.
#[derive(Default)]
struct Batch {
    files: Vec<Arrived>,
    ended: bool,
}

impl Receiver {
    /// Takes files until the peer has no more.
    pub(super) async fn push(&self, shelf: Shelf, stream: &mut Stream) -> Result<(), LinkError> {
        let Ok(_place) = self.pushes.try_acquire() else {
            return refuse(stream, Refusal::Busy).await;
        };
        self.take_all(shelf, stream).await
    }

    /// The same, for who has asked for them.
    pub(super) async fn take_all(&self, shelf: Shelf, stream: &mut Stream) -> Result<(), LinkError> {
        let Stream { sender, receiver } = stream;
        let mut batch = self.gather(&shelf, receiver).await?;
        loop {
            let ended = batch.ended;
            let gathering = async { if ended { Ok(Batch::default()) } else { self.gather(&shelf, receiver).await } };
            // A batch that came whole is kept, also when the peer breaks off after it.
            let (outcomes, next) = tokio::join!(self.keep(&shelf, batch.files), gathering);
            if !outcomes.is_empty() {
                sender.message(&Answer::Stored(outcomes)).await?;
            }
            if ended {
                sender.finish();
                return Ok(());
            }
            batch = next?;
        }
    }

    async fn gather(&self, shelf: &Shelf, from: &mut From) -> Result<Batch, LinkError> {
        let (mut batch, mut bytes) = (Batch::default(), 0);
        while batch.files.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Some(head) = from.message::<FileHead>().await? else {
                batch.ended = true;
                break;
            };
            bytes += head.length;
            batch.files.push(self.take(shelf, head, from).await?);
        }
        Ok(batch)
    }

    async fn take(&self, shelf: &Shelf, head: FileHead, from: &mut From) -> Result<Arrived, LinkError> {
        let length = head.length;
        match self.expected(shelf, &head) {
            Err(outcome) => {
                read_past(from, length).await?;
                Ok(Arrived::Refused(outcome))
            }
            Ok(expected) if length <= SMALL_BYTES => Ok(Arrived::Small(expected, read_whole(from, length).await?)),
            Ok(expected) => self.take_large(expected, from).await,
        }
    }

    /// Checks a head: the name is of our kinds, and the metadata is of that object and that version.
    pub(super) fn expected(&self, shelf: &Shelf, head: &FileHead) -> Result<Expected, Outcome> {
        let name = FileName::parse_shared(&head.name).ok_or(Outcome::Misplaced)?;
        let metadata = Metadata::from_pickle(&head.metadata).map_err(|_| Outcome::Damaged)?;
        let hash = PathHash(head.hash);
        let path = metadata.text(NAME).ok_or(Outcome::Damaged)?.to_owned();
        if self.cluster.hash_path.of_object_path(&path) != Some(hash) || !is_prefix(head.partition, hash) {
            return Err(Outcome::Misplaced);
        }
        let body = if name.kind == Kind::Data { metadata.content_length() } else { Some(0) };
        if metadata.timestamp(TIMESTAMP) != Some(name.timestamp) || body != Some(head.length) {
            return Err(Outcome::Damaged);
        }
        let location = shelf.object(head.partition, hash, path);
        Ok(Expected { location, name, metadata, length: head.length })
    }

    async fn take_large(&self, expected: Expected, from: &mut From) -> Result<Arrived, LinkError> {
        let queue = expected.location.device.queue().clone();
        let (location, reserve, length) = (expected.location.clone(), self.reserve, expected.length);
        let created = queue.run(move || Staged::create(&location, Some(length), reserve)).await;
        let mut file = match created.map_err(StoreError::from).and_then(|created| created) {
            Ok(staged) => Ok((staged, Md5::new())),
            Err(error) => Err(outcome(&error)),
        };
        let mut left = expected.length;
        while left > 0 {
            let chunks = read_some(from, &mut left).await?;
            if let Ok((mut staged, mut md5)) = file {
                let written = queue.run(move || {
                    chunks.iter().for_each(|chunk| md5.update(chunk));
                    staged.write(&chunks).map(|()| (staged, md5))
                });
                file = written.await.map_err(StoreError::from).and_then(|w| w).map_err(|error| outcome(&error));
            }
        }
        Ok(match file {
            Ok((staged, md5)) => Arrived::Large(Box::new(expected), staged, Box::new(md5)),
            Err(outcome) => Arrived::Refused(outcome),
        })
    }

    /// Writes a batch, and says what became of each file.
    pub(super) async fn keep(&self, shelf: &Shelf, files: Vec<Arrived>) -> Vec<Outcome> {
        if files.is_empty() {
            return Vec::new();
        }
        let (many, device, reserve) = (files.len(), std::sync::Arc::clone(&shelf.device), self.reserve);
        let kept = shelf.device.queue().run(move || {
            let mut outcomes = vec![Outcome::Stored; files.len()];
            let (mut places, mut received, mut bytes) = (Vec::new(), Vec::new(), 0);
            for (place, file) in files.into_iter().enumerate() {
                match checked(file, reserve) {
                    Ok(file) => {
                        bytes += file.staged.length();
                        places.push(place);
                        received.push(file);
                    }
                    Err(outcome) => outcomes[place] = outcome,
                }
            }
            for (place, kept) in places.into_iter().zip(receive::commit(&device, received)) {
                outcomes[place] = match kept {
                    Ok(Kept::Done) => Outcome::Stored,
                    Ok(Kept::Collision) => Outcome::Misplaced,
                    Err(error) => outcome(&error),
                };
            }
            (outcomes, bytes)
        });
        let (outcomes, bytes) = kept.await.unwrap_or_else(|_| (vec![Outcome::Failed; many], 0));
        let stored = outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count();
        self.counters.files.inc_by(stored as u64);
        self.counters.refused.inc_by((many - stored) as u64);
        self.counters.bytes.inc_by(bytes);
        outcomes
    }
}

/// Checks a file's body against its metadata; a small one is written to a file without a name first. Blocking.
fn checked(file: Arrived, reserve: apus_base::fs::Reserve) -> Result<Received, Outcome> {
    let (expected, staged, md5) = match file {
        Arrived::Refused(outcome) => return Err(outcome),
        Arrived::Large(expected, staged, md5) => (*expected, staged, *md5),
        Arrived::Small(expected, chunks) => {
            let mut md5 = Md5::new();
            chunks.iter().for_each(|chunk| md5.update(chunk));
            // Deleting is what makes room.
            let reserve = if expected.name.kind == Kind::Data { reserve } else { apus_base::fs::Reserve::Bytes(0) };
            let staged = Staged::create(&expected.location, Some(expected.length), reserve);
            let written = staged.and_then(|mut staged| staged.write(&chunks).map(|()| staged));
            (expected, written.map_err(|error| outcome(&error))?, md5)
        }
    };
    let Expected { location, name, metadata, .. } = expected;
    let sound = name.kind != Kind::Data || metadata.text(ETAG) == Some(hex(&md5.finalize()).as_str());
    if sound { Ok(Received { location, name, metadata, staged }) } else { Err(Outcome::Damaged) }
}

fn outcome(error: &StoreError) -> Outcome {
    tracing::warn!(%error, "a pushed file is not kept");
    let full = |source: &io::Error| source.kind() == io::ErrorKind::StorageFull;
    match error {
        StoreError::Device(apus_base::fs::DeviceError::Full(_)) => Outcome::Full,
        StoreError::Disk { source, .. } if full(source) => Outcome::Full,
        _ => Outcome::Failed,
    }
}

/// Whether a partition is the beginning of a hash, for whichever number of partitions.
fn is_prefix(partition: u32, hash: PathHash) -> bool {
    let [a, b, c, d, ..] = hash.0;
    let top = u32::from_be_bytes([a, b, c, d]);
    (0..=32u32).any(|shift| top.checked_shr(shift).unwrap_or(0) == partition)
}

async fn read_past(from: &mut From, mut left: u64) -> Result<(), LinkError> {
    while left > 0 {
        read_some(from, &mut left).await?;
    }
    Ok(())
}

async fn read_whole(from: &mut From, mut left: u64) -> Result<Vec<Bytes>, LinkError> {
    read_some(from, &mut left).await
}

/// The next bytes of a body, as many as are written at once.
async fn read_some(from: &mut From, left: &mut u64) -> Result<Vec<Bytes>, LinkError> {
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    while *left > 0 && bytes < WRITE_BYTES {
        let chunk = from.body(*left).await?;
        *left -= chunk.len() as u64;
        bytes += chunk.len();
        chunks.push(chunk);
    }
    Ok(chunks)
}
