//! Writing ring files; `read.rs` tells the formats.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::gzip::Writer;
use super::json::to_ascii;
use super::read::{IndexEntry, MAGIC};
use super::{Device, Error, IdWidth, Ring};
use crate::hex::hex;

#[derive(Serialize)]
struct HeadV1<'a> {
    byteorder: &'a str,
    devs: &'a [Option<Device>],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_part_power: Option<u8>,
    part_shift: u8,
    replica_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

pub(super) fn v1(ring: &Ring, file_name: &str) -> Result<Vec<u8>, Error> {
    let table = ring.table();
    if table.width() != IdWidth::TwoBytes {
        return Err(Error::WideIds);
    }
    let head = HeadV1 {
        byteorder: "little",
        devs: ring.devices(),
        next_part_power: ring.next_part_power(),
        part_shift: ring.part_shift(),
        replica_count: table.row_count(),
        version: ring.version(),
    };
    let json = to_ascii("header", &head)?;
    let len = u32::try_from(json.len()).map_err(|_| Error::Limit("4 GiB of devices"))?;
    let mut writer = begin(file_name, 1);
    writer.write(&len.to_be_bytes())?;
    writer.write(&json)?;
    write_ids(&mut writer, ring, |id| *id.to_le_bytes().first_chunk::<2>().unwrap_or(&[0; 2]))?;
    writer.flush()?;
    Ok(writer.finish())
}

#[derive(Serialize)]
struct MetadataV2 {
    dev_id_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_part_power: Option<u8>,
    part_shift: u8,
    replica_count: f64,
    version: Option<u64>,
}

pub(super) fn v2(ring: &Ring, file_name: &str) -> Result<Vec<u8>, Error> {
    let table = ring.table();
    let metadata = MetadataV2 {
        dev_id_bytes: table.width().bytes(),
        next_part_power: ring.next_part_power(),
        part_shift: ring.part_shift(),
        replica_count: table.replica_count(),
        version: ring.version(),
    };
    let metadata = to_ascii("metadata", &metadata)?;
    let devices = to_ascii("devices", &ring.devices())?;
    let mut writer = begin(file_name, 2);
    let mut index = BTreeMap::new();
    index.insert("swift/ring/metadata", section(&mut writer, metadata.len(), |to| to.write(&metadata))?);
    index.insert("swift/ring/devices", section(&mut writer, devices.len(), |to| to.write(&devices))?);
    let assignments = section(&mut writer, table.bytes(), |to| match table.width() {
        IdWidth::TwoBytes => write_ids(to, ring, |id| *id.to_be_bytes().last_chunk::<2>().unwrap_or(&[0; 2])),
        IdWidth::FourBytes => write_ids(to, ring, u32::to_be_bytes),
    })?;
    index.insert("swift/ring/assignments", assignments);
    write_index(writer, &index)
}

/// The index and where it begins, so that a reader finds it 31 bytes before the end of the file.
fn write_index(mut writer: Writer, index: &BTreeMap<&str, IndexEntry>) -> Result<Vec<u8>, Error> {
    let (raw, file) = (writer.raw_offset(), writer.file_offset());
    let index = to_ascii("index", index)?;
    writer.write(&(index.len() as u64).to_be_bytes())?;
    writer.write(&index)?;
    writer.flush()?;
    writer.stored(&raw.to_be_bytes());
    writer.stored(&file.to_be_bytes());
    Ok(writer.finish())
}

fn begin(file_name: &str, version: u8) -> Writer {
    let [r, one, n, g] = *MAGIC;
    let mut writer = Writer::new(file_name);
    writer.stored(&[r, one, n, g, 0, version]);
    writer
}

/// Where ids and sections go: a bare file, or one whose digest is kept.
trait Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Sink for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        Writer::write(self, bytes)
    }
}

struct Digesting<'w> {
    writer: &'w mut Writer,
    digest: Sha256,
}

impl Sink for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.writer.write(bytes)
    }
}

/// Writes one section, begun and ended by a flush, and tells its index entry.
fn section(
    writer: &mut Writer,
    len: usize,
    write: impl FnOnce(&mut Digesting<'_>) -> io::Result<()>,
) -> Result<IndexEntry, Error> {
    let start = (writer.file_offset(), writer.raw_offset());
    let mut sink = Digesting { writer, digest: Sha256::new() };
    sink.write(&(len as u64).to_be_bytes())?;
    write(&mut sink)?;
    let digest = hex(&sink.digest.finalize());
    writer.flush()?;
    let end = (writer.file_offset(), writer.raw_offset());
    Ok((start.0, start.1, Some(end.0), Some(end.1), "sha256".to_owned(), digest))
}

/// Ids are encoded and compressed in blocks of this many, so that a large table is not held twice.
const BLOCK_IDS: usize = 32 << 10;

fn write_ids<const N: usize>(to: &mut impl Sink, ring: &Ring, encode: impl Fn(u32) -> [u8; N]) -> io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK_IDS * N);
    for id in ring.table().ids() {
        block.extend(encode(id));
        if block.len() == BLOCK_IDS * N {
            to.write(&block)?;
            block.clear();
        }
    }
    to.write(&block)
}
