//! The gzip shell of ring files: bounded unpacking, and a writer with the seams that version 2 needs.
//!
//! A reader of version 2 may start inflating at any section, so each begins after a full flush, and the last three pieces
//! of the file have known sizes because they are stored, not compressed.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::Error;

/// What a ring file may unpack to: 2^25 partitions with four replicas. The largest rings known are 2^23 with three.
pub(super) const MAX_RING_BYTES: usize = 256 << 20;

/// Deflate cannot do better than this, so a longer announced size is a lie.
const MAX_RATIO: usize = 1032;

/// Unpacks a whole ring file. A bomb stops at [`MAX_RING_BYTES`]; a lying size in the trailer allocates nothing by itself.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let announced = bytes.last_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let mut raw = Vec::with_capacity(announced.min(MAX_RING_BYTES).min(bytes.len().saturating_mul(MAX_RATIO)));
    let mut rest = bytes;
    let mut limited = GzDecoder::new(&mut rest).take(MAX_RING_BYTES as u64 + 1);
    limited.read_to_end(&mut raw)?;
    if raw.len() > MAX_RING_BYTES {
        return Err(Error::Limit("256 MiB, unpacked"));
    }
    if !rest.is_empty() {
        return Err(Error::Malformed("there are bytes after the end of the gzip stream"));
    }
    Ok(raw)
}

/// Fixed, so that equal rings are equal files (Swift's choice: the day its ring format was born).
const MTIME_SECONDS: u32 = 1_300_507_380;

/// The end of a full flush: an empty stored block.
const FLUSH: &[u8] = &[0, 0, 0, 0xff, 0xff];

pub(super) struct Writer {
    file: Vec<u8>,
    crc: Crc,
    deflate: Compress,
}

impl Writer {
    pub(super) fn new(file_name: &str) -> Writer {
        let mut file = vec![0x1f, 0x8b, 8, 8];
        file.extend(MTIME_SECONDS.to_le_bytes());
        file.extend([2, 255]);
        let name = file_name.strip_suffix(".gz").unwrap_or(file_name);
        file.extend(name.bytes().filter(|b| *b != 0));
        file.push(0);
        Writer { file, crc: Crc::new(), deflate: Compress::new(Compression::best(), false) }
    }

    /// Writes a few bytes as they are, and a flush after them.
    pub(super) fn stored(&mut self, bytes: &[u8]) {
        #[expect(clippy::cast_possible_truncation, reason = "only magic numbers and offsets are stored, 6 or 8 bytes")]
        let len = bytes.len() as u16;
        self.crc.update(bytes);
        self.file.push(0);
        self.file.extend(len.to_le_bytes());
        self.file.extend((!len).to_le_bytes());
        self.file.extend(bytes);
        self.file.extend(FLUSH);
    }

    /// Compresses bytes; they reach the file at the next flush.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.pump(bytes, FlushCompress::None)
    }

    /// A point at which a reader may start inflating.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.pump(&[], FlushCompress::Full)
    }

    fn pump(&mut self, mut bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        loop {
            self.file.reserve(PUMP_BYTES);
            let (before, room) = (self.deflate.total_in(), self.file.capacity() - self.file.len());
            let written = self.file.len();
            let status = self.deflate.compress_vec(bytes, &mut self.file, flush).map_err(io::Error::other)?;
            let taken = usize::try_from(self.deflate.total_in() - before).map_err(io::Error::other)?;
            bytes = bytes.get(taken..).unwrap_or_default();
            let filled = self.file.len() - written == room;
            if bytes.is_empty() && (!filled || status == Status::BufError) {
                return Ok(());
            }
        }
    }

    /// Uncompressed bytes so far.
    pub(super) fn raw_offset(&self) -> u64 {
        u64::from(self.crc.amount())
    }

    /// Bytes of the file so far; only meaningful after a flush.
    pub(super) fn file_offset(&self) -> u64 {
        self.file.len() as u64
    }

    /// The file. What was written must have been flushed; the empty last block and the trailer take 13 bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.file.extend([1, 0, 0, 0xff, 0xff]);
        self.file.extend(self.crc.sum().to_le_bytes());
        self.file.extend(self.crc.amount().to_le_bytes());
        self.file
    }
}

/// Room given to the compressor at a time.
const PUMP_BYTES: usize = 64 << 10;
