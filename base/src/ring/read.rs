//! Reading ring files.
//!
//! Version 1, unpacked: `"R1NG"`, u16 1, u32 length of the JSON, the JSON, then rows of two-byte ids in the byte order the
//! JSON names. Version 2: `"R1NG"`, u16 2, then blobs (u64 length, bytes), the last of which is an index
//! `{section: [file start, raw start, file end, raw end, digest name, hex]}`, then the raw and the file offset of that index,
//! u64 each. Numbers are big end first. Digests cover a blob with its length. We unpack the file whole (the gzip checksum is
//! checked so, and a file that somebody packed anew still reads) and find the sections by their raw offsets.

use std::collections::HashMap;

use md5::Md5;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256, Sha512};

use super::device::StoredDevice;
use super::gzip::unpack;
use super::{Device, Error, IdWidth, MAX_PART_POWER, Ring, Table};
use crate::hex::hex;

pub(super) const MAGIC: &[u8; 4] = b"R1NG";

pub(super) fn ring(bytes: &[u8]) -> Result<Ring, Error> {
    let raw = unpack(bytes)?;
    let (magic, rest) = raw.split_first_chunk::<4>().ok_or(Error::Magic)?;
    if magic != MAGIC {
        return Err(Error::Magic);
    }
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(Error::Truncated("no version"))?;
    match u16::from_be_bytes(*version) {
        1 => v1(rest),
        2 => v2(&raw),
        other => Err(Error::Version(other)),
    }
}

#[derive(Deserialize)]
struct HeadV1 {
    byteorder: Option<ByteOrder>,
    devs: Vec<Option<StoredDevice>>,
    part_shift: u8,
    replica_count: usize,
    next_part_power: Option<u8>,
    version: Option<u64>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ByteOrder {
    Little,
    Big,
}

fn v1(rest: &[u8]) -> Result<Ring, Error> {
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(Error::Truncated("no length of the header"))?;
    let (json, rows) =
        rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(Error::Truncated("in the header"))?;
    let head: HeadV1 = parse("header", json)?;
    let part_power = part_power(head.part_shift)?;
    // A file without a byte order was written by a machine of the reader's kind; all of ours are little-endian.
    let order = head.byteorder.unwrap_or(ByteOrder::Little);
    let id = |pair: &[u8; 2]| match order {
        ByteOrder::Little => u16::from_le_bytes(*pair),
        ByteOrder::Big => u16::from_be_bytes(*pair),
    };
    let (pairs, odd) = rows.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(Error::Truncated("in the middle of an assignment"));
    }
    let table = Table::new(part_power, IdWidth::TwoBytes, pairs.iter().map(|pair| u32::from(id(pair))))?;
    // An empty last row counts in the file (3.001 replicas of few partitions) but holds nothing.
    if !(table.row_count()..=table.row_count() + 1).contains(&head.replica_count) {
        return Err(Error::Malformed("the number of replicas and the length of the assignments disagree"));
    }
    let ring = Ring::new(devices(head.devs)?, table)?;
    Ok(ring.with_version(head.version).with_next_part_power(head.next_part_power))
}

#[derive(Deserialize)]
struct MetadataV2 {
    part_shift: u8,
    dev_id_bytes: u8,
    version: Option<u64>,
    next_part_power: Option<u8>,
}

fn v2(raw: &[u8]) -> Result<Ring, Error> {
    let sections = Sections::new(raw)?;
    let metadata: MetadataV2 = parse("metadata", sections.get("swift/ring/metadata")?)?;
    let devs = parse("devices", sections.get("swift/ring/devices")?)?;
    let assignments = sections.get("swift/ring/assignments")?;
    let part_power = part_power(metadata.part_shift)?;
    let table = match metadata.dev_id_bytes {
        2 => {
            let (ids, odd) = assignments.as_chunks::<2>();
            whole(odd)?;
            Table::new(part_power, IdWidth::TwoBytes, ids.iter().map(|id| u32::from(u16::from_be_bytes(*id))))?
        }
        4 => {
            let (ids, odd) = assignments.as_chunks::<4>();
            whole(odd)?;
            Table::new(part_power, IdWidth::FourBytes, ids.iter().map(|id| u32::from_be_bytes(*id)))?
        }
        _ => {
            return Err(Error::Malformed("device ids of a width other than 2 and 4 bytes"));
        }
    };
    let ring = Ring::new(devices(devs)?, table)?;
    Ok(ring.with_version(metadata.version).with_next_part_power(metadata.next_part_power))
}

fn whole(odd: &[u8]) -> Result<(), Error> {
    if odd.is_empty() { Ok(()) } else { Err(Error::Truncated("in the middle of an assignment")) }
}

/// File start, raw start, file end, raw end, name of the digest, digest in hex.
pub(super) type IndexEntry = (u64, u64, Option<u64>, Option<u64>, String, String);

struct Sections<'a> {
    raw: &'a [u8],
    index: HashMap<String, IndexEntry>,
}

impl<'a> Sections<'a> {
    fn new(raw: &'a [u8]) -> Result<Sections<'a>, Error> {
        let (_, offsets) = raw.split_last_chunk::<16>().ok_or(Error::Truncated("no index"))?;
        let (index_at, _) = offsets.split_first_chunk::<8>().ok_or(Error::Truncated("no index"))?;
        let (_, json) = blob(raw, u64::from_be_bytes(*index_at))?;
        Ok(Sections { raw, index: parse("index", json)? })
    }

    fn get(&self, name: &'static str) -> Result<&'a [u8], Error> {
        let (_, start, _, end, digest, hex) =
            self.index.get(name).ok_or(Error::Malformed("a section is missing from the index"))?;
        let (with_length, data) = blob(self.raw, *start)?;
        if end.is_some_and(|end| end.checked_sub(*start) != Some(with_length.len() as u64)) {
            return Err(Error::Malformed("a section and the index disagree about its length"));
        }
        if hex_digest(digest, with_length)?.eq_ignore_ascii_case(hex) {
            Ok(data)
        } else {
            Err(Error::Checksum(name.to_owned()))
        }
    }
}

/// The blob at a raw offset, with its length and without.
fn blob(raw: &[u8], at: u64) -> Result<(&[u8], &[u8]), Error> {
    const CUT: Error = Error::Truncated("in a section");
    let from = usize::try_from(at).ok().and_then(|at| raw.get(at..)).ok_or(CUT)?;
    let (len, _) = from.split_first_chunk::<8>().ok_or(CUT)?;
    let end = usize::try_from(u64::from_be_bytes(*len)).ok().and_then(|len| len.checked_add(8)).ok_or(CUT)?;
    let with_length = from.get(..end).ok_or(CUT)?;
    Ok((with_length, &with_length[8..]))
}

fn hex_digest(name: &str, bytes: &[u8]) -> Result<String, Error> {
    match name {
        "md5" => Ok(hex(&Md5::digest(bytes))),
        "sha256" => Ok(hex(&Sha256::digest(bytes))),
        "sha512" => Ok(hex(&Sha512::digest(bytes))),
        _ => Err(Error::Malformed("a checksum that is none of md5, sha256 and sha512")),
    }
}

fn parse<T: DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|source| Error::Json { what, source })
}

fn part_power(part_shift: u8) -> Result<u8, Error> {
    MAX_PART_POWER.checked_sub(part_shift).ok_or(Error::Malformed("a part shift past 32"))
}

fn devices(stored: Vec<Option<StoredDevice>>) -> Result<Vec<Option<Device>>, Error> {
    let placed = stored.into_iter().enumerate();
    placed.map(|(place, device)| device.map(|device| device.at(place)).transpose()).collect()
}
