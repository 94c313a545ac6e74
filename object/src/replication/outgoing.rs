//! Files on their way to another node: opened, sent, and confirmed there.
//!
//! What is sent is what is on the disk; the receiver checks each body against its MD5. When it says that one is damaged, the
//! file is read again here, and moved to quarantine if it really is. All reading is done on the device's queue.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use apus_base::hash_path::PathHash;
use apus_base::hex::hex;
use apus_base::link::{LinkError, Receiver, Sender, Stream};
use apus_base::wire::replication::{Answer, FileHead, Outcome, Refusal};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use md5::{Digest as _, Md5};
use prometheus_client::metrics::counter::Counter;

use super::pace::Pace;
use crate::store::attributes::{self, Attributes, Damage, ReadError};
use crate::store::index::Shelf;
use crate::store::metadata::{ETAG, NAME};
use crate::store::names::{FileName, Kind};
use crate::store::quarantine::{Finder, quarantine};
use crate::store::{Location, StoreError};

/// Bytes read at once, and the longest body that is read ahead.
const CHUNK: u64 = 256 * 1024;
/// Small files read ahead of the one that is being sent.
const READ_AHEAD: usize = 16;

/// Why files did not get to a peer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The link, or the peer's end of it.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The peer does not want them.
    #[error("it refused: {0}")]
    Refused(Refusal),
    /// The peer says what makes no sense.
    #[error("its answer makes no sense")]
    Nonsense,
    /// Not its fault: what was to be sent to it cannot be read.
    #[error("a file here cannot be read to its end")]
    Unreadable,
}

/// A file to be sent.
#[derive(Clone, Debug)]
pub struct Source {
    /// The partition whose folder it is in.
    pub partition: u32,
    /// The hash of the object's path.
    pub hash: PathHash,
    /// The file's name.
    pub name: FileName,
}

/// What became of files that were sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Of each file that was come to, in order: whether it was there to be sent.
    pub sent: Vec<bool>,
    /// What the peer said of those that were sent, in order.
    pub outcomes: Vec<Outcome>,
}

/// A file that is being sent.
struct Opened {
    head: FileHead,
    /// All of a short body.
    beginning: Bytes,
    file: Arc<File>,
}

/// Sends files on a stream on which the peer waits for them, and takes its confirmations. What was done until an error comes stays so;
/// bytes of bodies are counted in `bytes`.
///
/// # Errors
/// Whoever's fails first, the sending or the confirming.
pub async fn send(
    stream: &mut Stream,
    shelf: &Shelf,
    files: Vec<Source>,
    bytes: &Counter,
    pace: &Pace,
) -> (Sent, Result<(), SendError>) {
    let Sent { mut sent, mut outcomes } = Sent::default();
    let sending = send_all(&mut stream.sender, shelf, files, &mut sent, (bytes, pace));
    let done = tokio::try_join!(sending, confirmations(&mut stream.receiver, &mut outcomes)).map(|_| ());
    (Sent { sent, outcomes }, done)
}

/// Sends what is there, and notes of each file whether it was.
async fn send_all(
    sender: &mut Sender,
    shelf: &Shelf,
    files: Vec<Source>,
    sent: &mut Vec<bool>,
    (bytes, pace): (&Counter, &Pace),
) -> Result<(), SendError> {
    let mut opened = stream::iter(files).map(|file| open(shelf, file)).buffered(READ_AHEAD);
    while let Some(file) = opened.next().await {
        if let Some(file) = file {
            bytes.inc_by(file.head.length);
            file.send(sender, shelf, pace).await?;
            sent.push(true);
        } else {
            sent.push(false);
        }
    }
    sender.finish();
    Ok(())
}

async fn confirmations(receiver: &mut Receiver, outcomes: &mut Vec<Outcome>) -> Result<(), SendError> {
    while let Some(answer) = receiver.message().await? {
        match answer {
            Answer::Stored(some) => outcomes.extend(some),
            Answer::Refused(refusal) => return Err(SendError::Refused(refusal)),
            _ => return Err(SendError::Nonsense),
        }
    }
    Ok(())
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

/// Opens a file, and reads a short body. `None` when it is gone, damaged (and then moved away), or cannot be read.
async fn open(shelf: &Shelf, source: Source) -> Option<Opened> {
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
    async fn send(mut self, sender: &mut Sender, shelf: &Shelf, pace: &Pace) -> Result<(), SendError> {
        sender.message::<FileHead>(&self.head).await?;
        let mut left = self.head.length;
        if !self.beginning.is_empty() {
            left -= self.beginning.len() as u64;
            pace.take(self.beginning.len() as u64).await;
            sender.body(std::mem::take(&mut self.beginning)).await?;
        }
        while left > 0 {
            // A file that cannot be read to its end cannot be sent to its end: the stream breaks off.
            let chunk = self.read_on(shelf, left).await.ok_or(SendError::Unreadable)?;
            left -= chunk.len() as u64;
            pace.take(chunk.len() as u64).await;
            sender.body(chunk).await?;
        }
        Ok(())
    }

    /// The next piece of a long body; `None` when it cannot be read.
    async fn read_on(&self, shelf: &Shelf, left: u64) -> Option<Bytes> {
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
///
/// # Errors
/// What the disk says.
pub async fn quarantine_if_damaged(shelf: &Shelf, source: Source) -> Result<bool, StoreError> {
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
    let found = hex(&md5.finalize());
    let length = attributes.metadata.content_length();
    let sound = attributes.metadata.text(ETAG) == Some(&found) && length == Some(opened.head.length);
    if sound || source.name.kind != Kind::Data {
        return Ok(false);
    }
    let name = attributes.metadata.text(NAME).unwrap_or_default().to_owned();
    put_away(shelf, source, &name, &Damage::Contradiction(format!("its MD5 is {found}"))).map(|()| true)
}

fn put_away(shelf: &Shelf, source: &Source, name: &str, damage: &Damage) -> Result<(), StoreError> {
    quarantine(&source.location(shelf, name), source.name.timestamp, Finder::Replication, damage).map(|_| ())
}
