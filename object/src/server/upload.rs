//! The body of a PUT on its way to the disk.
//!
//! Chunks are gathered to the size that the disk likes; while one is written the next is gathered, so two are in memory at
//! most. A proxy that hashes the body itself tells the MD5 and a CRC-32 in headers, or announces them as trailers; then only the
//! CRC is computed here.

use apus_base::body::{Body, BodyError};
use apus_base::fs::DiskQueue;
use apus_base::hex::hex;
use apus_base::wire::header as backend;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};

use super::refusal::Refusal;
use super::target::text;
use crate::store::{Staged, StoreError};

/// A body being written.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) staged: Staged,
    pub(super) digest: Digest,
}

/// What is computed over a body.
#[derive(Debug)]
pub(super) enum Digest {
    /// Its MD5, which becomes the ETag.
    Md5(Box<Md5>),
    /// Its CRC-32, since the proxy tells both.
    Crc(crc32fast::Hasher),
}

impl Digest {
    /// What the request's headers tell or announce.
    pub(super) fn announced(headers: &HeaderMap) -> Self {
        let announced = text(headers, "trailer").unwrap_or("");
        let has = |name: &str| {
            headers.contains_key(name) || announced.split(',').any(|t| t.trim().eq_ignore_ascii_case(name))
        };
        if has(backend::BODY_ETAG) && has(backend::BODY_CRC) {
            Self::Crc(crc32fast::Hasher::new())
        } else {
            Self::Md5(Box::default())
        }
    }

    fn update(&mut self, chunk: &[u8]) {
        match self {
            Self::Md5(md5) => md5.update(chunk),
            Self::Crc(crc) => crc.update(chunk),
        }
    }

    /// The ETag: computed, or told and vouched for by the CRC, which is given too.
    pub(super) fn finish(self, headers: &HeaderMap, trailers: &HeaderMap) -> Result<(String, Option<u32>), Refusal> {
        let crc = match self {
            Self::Md5(md5) => return Ok((hex(&md5.finalize()), None)),
            Self::Crc(crc) => crc.finalize(),
        };
        let told = |name: &str| {
            let told = text(trailers, name).or_else(|| text(headers, name));
            told.map(str::trim).ok_or_else(|| Refusal::incomplete("the announced trailers did not arrive"))
        };
        let (etag, told) = (told(backend::BODY_ETAG)?, told(backend::BODY_CRC)?);
        if etag.len() != 32 || !etag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Refusal::bad_request("X-Backend-Etag is not an MD5"));
        }
        if u32::from_str_radix(told, 16) != Ok(crc) {
            let text = "the body was damaged on its way: its CRC-32 is not the one that was told".to_owned();
            return Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        Ok((etag.to_owned(), Some(crc)))
    }
}

impl Upload {
    /// Appends chunks. Blocking.
    pub(super) fn write(&mut self, chunks: &[Bytes]) -> Result<(), StoreError> {
        chunks.iter().for_each(|chunk| self.digest.update(chunk));
        self.staged.write(chunks)
    }

    async fn write_queued(mut self, queue: &DiskQueue, chunks: Vec<Bytes>) -> Result<Self, Refusal> {
        let written = queue.go_on(move || self.write(&chunks).map(|()| self)).await?;
        Ok(written?)
    }
}

/// The end of a body, which the last piece of work writes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) chunks: Vec<Bytes>,
    pub(super) trailers: HeaderMap,
}

/// Limits on a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) chunk_size: usize,
    pub(super) max_file_size: u64,
}

/// Receives a body that is said to be no longer than a chunk.
pub(super) async fn receive_short(mut body: Body, limits: BodyLimits) -> Result<Tail, Refusal> {
    let mut left = limits.max_file_size.min(limits.chunk_size as u64);
    let short = gather(&mut body, BodyLimits { chunk_size: usize::MAX, ..limits }, &mut left).await?;
    Ok(short.tail)
}

/// Receives a body and writes all of it but its tail.
pub(super) async fn receive(
    mut body: Body,
    mut upload: Upload,
    queue: &DiskQueue,
    limits: BodyLimits,
) -> Result<(Upload, Tail), Refusal> {
    let mut left = limits.max_file_size;
    let mut gathered = gather(&mut body, limits, &mut left).await?;
    while !gathered.ended {
        let writing = upload.write_queued(queue, gathered.tail.chunks);
        let (written, next) = tokio::join!(writing, gather(&mut body, limits, &mut left));
        (upload, gathered) = (written?, next?);
    }
    Ok((upload, gathered.tail))
}

#[derive(Default)]
struct Gathered {
    tail: Tail,
    ended: bool,
}

async fn gather(body: &mut Body, limits: BodyLimits, left: &mut u64) -> Result<Gathered, Refusal> {
    let (mut gathered, mut bytes) = (Gathered::default(), 0);
    while bytes < limits.chunk_size {
        let Some(frame) = body.frame().await else {
            gathered.ended = true;
            break;
        };
        match frame?.into_data() {
            Ok(data) => {
                let too_long = BodyError::TooLong(limits.max_file_size);
                *left = left.checked_sub(data.len() as u64).ok_or(too_long)?;
                bytes += data.len();
                gathered.tail.chunks.push(data);
            }
            Err(other) => gathered.tail.trailers.extend(other.into_trailers().unwrap_or_default()),
        }
    }
    Ok(gathered)
}
