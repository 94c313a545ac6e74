//! Reading a tar as it streams by: one file's header, its bytes, the next one's header. Nothing of a file is kept, and
//! what headers may claim is bounded.
//!
//! The forms are POSIX's ustar and pax and GNU's. The fields of a header are read by the `tar` package; the walk over the
//! blocks is our own, because that package reads an extended header of any length into memory.

use std::io;

use bytes::{Bytes, BytesMut};
use tar::{EntryType, Header};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::pax::Extension;

const BLOCK: u64 = 512;
/// Solaris has a type of its own for extended headers.
const SOLARIS_EXTENDED: u8 = b'X';
/// Names and extended attributes of one file; Linux has at most 64 KiB of each attribute.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// Extended headers in front of one file: of its own, global ones, long names and long links.
const MAX_EXTENSIONS: usize = 16;
/// A file's bytes are passed on in pieces of that size.
const CHUNK_BYTES: usize = 64 << 10;

/// Why an archive cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It ends in the middle.
    #[error("unexpected end of data")]
    Truncated,
    /// There is no byte of it.
    #[error("empty file")]
    Empty,
    /// What stands where a header should is none.
    #[error("bad checksum")]
    Checksum,
    /// A number in a header is none.
    #[error("invalid header")]
    Header,
    /// An extended header is malformed.
    #[error("invalid extended header")]
    Extension,
    /// Extended headers longer than anybody needs.
    #[error("the extended headers of a file are too long")]
    LongExtension,
    /// Its bytes could not be read: they are not compressed as promised, or they are a bomb.
    #[error("{0}")]
    Read(String),
    /// They did not come.
    #[error("the archive did not come whole")]
    Stalled,
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as it stands there.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub size: u64,
    /// What its extended headers say, the global ones included.
    pub extension: Extension,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A file whose holes were left out.
    Sparse,
    /// A folder, a link, a device.
    Other,
}

/// An archive that is being read.
pub struct Archive<R> {
    reader: R,
    /// What global headers said.
    global: Extension,
    /// Bytes of the present member that were not read yet.
    left: u64,
    /// What fills up the present member's last block.
    padding: u64,
    begun: bool,
}

impl<R: AsyncRead + Unpin> Archive<R> {
    /// One of which nothing was read yet.
    pub fn new(reader: R) -> Self {
        Self { reader, global: Extension::default(), left: 0, padding: 0, begun: false }
    }

    /// The next member, whatever of the present one was not read; `None` at the end.
    ///
    /// # Errors
    /// When there should be one and is not.
    pub async fn next(&mut self) -> Result<Option<Member>, Broken> {
        let mut extension = self.global.clone();
        let mut long_path = None;
        for _ in 0..MAX_EXTENSIONS {
            self.skip().await?;
            let Some(header) = self.header().await? else { return Ok(None) };
            let size = header.entry_size().map_err(|_| Broken::Header)?;
            match header.entry_type() {
                kind if kind == EntryType::XHeader || kind.as_byte() == SOLARIS_EXTENDED => {
                    extension.read(&self.extension(size).await?)?;
                }
                EntryType::XGlobalHeader => self.globally(size, &mut extension).await?,
                EntryType::GNULongName => long_path = Some(until_nul(self.extension(size).await?)),
                EntryType::GNULongLink => drop(self.extension(size).await?),
                kind => return self.member(&header, kind, size, long_path, extension).map(Some),
            }
        }
        Err(Broken::LongExtension)
    }

    /// A piece of the present member; `None` at its end.
    ///
    /// # Errors
    /// When the archive ends before it does.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(self.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut chunk = BytesMut::with_capacity(most);
        // Small pieces cost as much as large ones on their way to each replica.
        while chunk.len() < most {
            let room = (most - chunk.len()) as u64;
            let read = (&mut self.reader).take(room).read_buf(&mut chunk).await.map_err(|error| broken(&error))?;
            if read == 0 {
                return Err(Broken::Truncated);
            }
        }
        self.left -= chunk.len() as u64;
        Ok(Some(chunk.freeze()))
    }

    /// Reads what follows the end, so that the connection can be used again, but not for ever.
    pub async fn drain(&mut self, most: u64) {
        // Whatever is there, it belongs to no file.
        let _ = tokio::io::copy(&mut (&mut self.reader).take(most), &mut tokio::io::sink()).await;
    }

    /// Leaves the rest of the present member behind.
    async fn skip(&mut self) -> Result<(), Broken> {
        let rest = self.left.checked_add(self.padding).ok_or(Broken::Header)?;
        let skipped = tokio::io::copy(&mut (&mut self.reader).take(rest), &mut tokio::io::sink()).await;
        (self.left, self.padding) = (0, 0);
        if skipped.map_err(|error| broken(&error))? == rest { Ok(()) } else { Err(Broken::Truncated) }
    }

    /// The next header; `None` at the end, which is a block of zeros or just an end.
    async fn header(&mut self) -> Result<Option<Header>, Broken> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < block.len() {
            match self.reader.read(&mut block[filled..]).await.map_err(|error| broken(&error))? {
                0 if filled > 0 => return Err(Broken::Truncated),
                0 if !self.begun => return Err(Broken::Empty),
                0 => return Ok(None),
                read => filled += read,
            }
        }
        self.begun = true;
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        if is_sound(&header) { Ok(Some(header)) } else { Err(Broken::Checksum) }
    }

    async fn extension(&mut self, size: u64) -> Result<Vec<u8>, Broken> {
        if size > MAX_EXTENSION_BYTES {
            return Err(Broken::LongExtension);
        }
        self.enter(size);
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    async fn globally(&mut self, size: u64, extension: &mut Extension) -> Result<(), Broken> {
        let records = self.extension(size).await?;
        self.global.read(&records)?;
        // A name or a size for all files makes no sense.
        (self.global.path, self.global.size) = (None, None);
        if self.global.len() as u64 > MAX_EXTENSION_BYTES {
            return Err(Broken::LongExtension);
        }
        extension.read(&records)
    }

    fn member(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        long_path: Option<Vec<u8>>,
        extension: Extension,
    ) -> Result<Member, Broken> {
        let path = extension.path.clone().or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match kind {
            // Before there were types for folders, the names of folders ended in a slash.
            EntryType::Regular if path.ends_with(b"/") => Kind::Other,
            EntryType::Regular | EntryType::Continuous if !extension.is_sparse => Kind::File,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::Sparse,
            _ => Kind::Other,
        };
        let has_bytes = !is_known(header.entry_type());
        let size = extension.size.unwrap_or(size);
        self.enter(if has_bytes { size } else { 0 });
        if self.left.checked_add(self.padding).is_none() {
            return Err(Broken::Header);
        }
        Ok(Member { path, kind, size, extension })
    }

    /// From here on come so many bytes, up to the end of a block.
    fn enter(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }
}

/// Types that never have bytes of their own, whatever their size says.
fn is_known(kind: EntryType) -> bool {
    kind.is_hard_link()
        || kind.is_symlink()
        || kind.is_character_special()
        || kind.is_block_special()
        || kind.is_dir()
        || kind.is_fifo()
}

/// Whether the sum of its bytes, its checksum's taken for spaces, is its checksum.
fn is_sound(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let own = 148..156;
    let each = || bytes.iter().enumerate().map(|(at, b)| if own.contains(&at) { b' ' } else { *b });
    let sum: u32 = each().map(u32::from).sum();
    // Some old programs took bytes for signed.
    let signed: i32 = each().map(|b| i32::from(b.cast_signed())).sum();
    header.cksum().is_ok_and(|said| said == sum || i32::try_from(said) == Ok(signed))
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|b| *b == 0) {
        name.truncate(end);
    }
    name
}

fn broken(error: &io::Error) -> Broken {
    let is_body = error.get_ref().is_some_and(|inner| inner.is::<apus_base::body::BodyError>());
    match error.kind() {
        _ if is_body => Broken::Stalled,
        io::ErrorKind::UnexpectedEof => Broken::Truncated,
        _ => Broken::Read(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
