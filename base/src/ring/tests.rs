use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};

use flate2::read::GzDecoder;
use md5::{Digest, Md5};
use proptest::prelude::*;

use super::{Device, Error, IdWidth, Ring, Table};

fn device(id: u32, region: u32, zone: u32, server: u32) -> Device {
    let ip = format!("10.{region}.{zone}.{server}");
    Device {
        id,
        region,
        zone,
        replication_ip: ip.clone(),
        ip,
        port: 6200,
        replication_port: 6300,
        device: format!("sd{id}"),
        weight: 100.0,
        meta: "rack \u{e9} \u{1f426} \"7\"".into(),
    }
}

/// A sound ring of any shape: devices with holes, and assignments drawn from the devices that are there.
fn any_ring() -> impl Strategy<Value = Ring> {
    let devices = prop::collection::vec(prop::option::weighted(0.8, (1u32..4, 1u32..4, 1u32..4)), 1..40);
    let shape = (0u8..7, 1.0f64..5.0, any::<bool>(), any::<u64>());
    (devices, shape).prop_filter_map("no devices", |(devices, (part_power, replicas, wide, seed))| {
        let devices: Vec<_> = (0..).zip(devices).map(|(id, d)| d.map(|(r, z, s)| device(id, r, z, s))).collect();
        let ids: Vec<u32> = devices.iter().flatten().map(|d| d.id).collect();
        let width = if wide { IdWidth::FourBytes } else { IdWidth::TwoBytes };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
        let cells = (f64::from(1u32 << part_power) * replicas) as u64;
        let pick = |cell: u64| {
            let digest = Md5::digest((seed ^ cell).to_be_bytes());
            ids.get(usize::from(u16::from_be_bytes([digest[0], digest[1]])) % ids.len().max(1)).copied()
        };
        let cells: Option<Vec<u32>> = (0..cells).map(pick).collect();
        let table = Table::new(part_power, width, cells?.into_iter()).ok()?;
        Some(Ring::new(devices, table).ok()?.with_version(Some(seed >> 1)))
    })
}

/// Swift's `get_more_nodes` as a plain reading of its definition, slow and eager.
fn handoffs_by_the_book(ring: &Ring, part: u32) -> Vec<u32> {
    let parts = ring.part_count();
    let assigned: BTreeSet<u32> = ring.table().ids().collect();
    let domains = |d: &Device| {
        let ip = d.ip.clone();
        [
            (d.region, None, None, None),
            (d.region, Some(d.zone), None, None),
            (d.region, Some(d.zone), Some(ip.clone()), None),
            (d.region, Some(d.zone), Some(ip), Some(d.id)),
        ]
    };
    let all = |level: usize| -> HashSet<_> {
        assigned.iter().map(|id| domains(ring.device(*id).unwrap())[level].clone()).collect()
    };
    let mut used: Vec<HashSet<_>> = vec![HashSet::new(); 4];
    let mark = |used: &mut Vec<HashSet<_>>, d: &Device| {
        for (set, domain) in used.iter_mut().zip(domains(d)) {
            set.insert(domain);
        }
    };
    ring.primaries(part).for_each(|d| mark(&mut used, d));
    let start = ring.partition(&Md5::digest(part.to_string()).into()) as usize;
    let inc = (parts / 65536).max(1);
    let walk: Vec<usize> =
        (start..parts).step_by(inc).chain((inc - (parts - start) % inc..start).step_by(inc)).collect();
    let mut found = Vec::new();
    for level in 0..4 {
        let everything = all(level).len();
        for part in &walk {
            for row in 0..ring.table().row_count() {
                let Some(id) = ring.table().get(row, *part) else {
                    continue;
                };
                let d = ring.device(id).unwrap();
                let device_used = used[3].contains(&domains(d)[3]);
                if used[level].len() < everything && !device_used && !used[level].contains(&domains(d)[level]) {
                    mark(&mut used, d);
                    found.push(id);
                }
            }
        }
    }
    found
}

fn small_ring() -> Ring {
    let devices = vec![Some(device(0, 1, 1, 1)), None, Some(device(2, 1, 2, 1)), Some(device(3, 2, 1, 1))];
    let table = Table::new(2, IdWidth::TwoBytes, [0, 2, 3, 0, 2, 3, 0, 2, 3, 0].into_iter()).unwrap();
    Ring::new(devices, table).unwrap().with_version(Some(7))
}

#[test]
fn a_partition_is_the_top_of_the_digest() {
    let mut digest = [0xff; 16];
    digest[..4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    assert_eq!(super::partition(&digest, 0), 0);
    assert_eq!(super::partition(&digest, 8), 0x12);
    assert_eq!(super::partition(&digest, 32), 0x1234_5678);
}

#[test]
fn two_and_a_half_replicas_give_the_lower_half_three() {
    let ring = small_ring();
    let primaries = |part| ring.primaries(part).map(|d| d.id).collect::<Vec<_>>();
    assert!((ring.replica_count() - 2.5).abs() < 1e-9);
    assert_eq!(primaries(0), [0, 2, 3]);
    // The last row has two cells only, and partition 4 does not exist.
    assert_eq!(primaries(1), [2, 3, 0]);
    assert_eq!(primaries(2), [3, 0]);
    assert_eq!(primaries(4), [0; 0]);
}

#[test]
fn a_device_that_holds_two_replicas_comes_once() {
    let devices = vec![Some(device(0, 1, 1, 1)), Some(device(1, 1, 1, 1))];
    let table = Table::new(0, IdWidth::TwoBytes, [1, 1, 0].into_iter()).unwrap();
    let ring = Ring::new(devices, table).unwrap();
    assert_eq!(ring.primaries(0).map(|d| d.id).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn the_seams_of_a_version_2_file_are_where_readers_seek() {
    let file = small_ring().to_v2_bytes("object.ring.gz").unwrap();
    // The header names the file, and file(1) finds the magic stored right after it.
    assert!(file.starts_with(
        b"\x1f\x8b\x08\x08\xf4\x2a\x84\x4d\x02\xffobject.ring\x00\x00\x06\x00\xf9\xffR1NG\x00\x02\x00\x00\x00\xff\xff"
    ));
    // 31 bytes before the end stands the file offset of the index, stored.
    let tail = &file[file.len() - 31..];
    assert_eq!(tail[..5], [0, 8, 0, 0xf7, 0xff]);
    let index_at = usize::try_from(u64::from_be_bytes(tail[5..13].try_into().unwrap())).unwrap();
    assert_eq!(tail[13..23], [0, 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]);
    // Inflating may begin there.
    let mut index = [0; 100];
    flate2::read::DeflateDecoder::new(&file[index_at..]).read_exact(&mut index).unwrap();
    assert!(index[8..].starts_with(b"{\"swift/ring/assignments\": ["));
}

#[test]
fn equal_rings_are_equal_files() {
    assert_eq!(small_ring().to_v1_bytes("a.ring.gz").unwrap(), small_ring().to_v1_bytes("a.ring.gz").unwrap());
    assert_eq!(small_ring().to_v2_bytes("a.ring.gz").unwrap(), small_ring().to_v2_bytes("a.ring.gz").unwrap());
}

#[test]
fn a_recompressed_version_2_file_still_reads() {
    let raw = unpacked(&small_ring().to_v2_bytes("object.ring.gz").unwrap());
    assert_eq!(Ring::from_bytes(&packed(&raw)).unwrap(), small_ring());
}

#[test]
fn a_wrong_checksum_in_the_index_is_noticed() {
    let mut raw = unpacked(&small_ring().to_v2_bytes("object.ring.gz").unwrap());
    let devices = raw.windows(8).position(|w| w == b"10.1.1.1").unwrap();
    raw[devices] = b'2';
    assert!(matches!(Ring::from_bytes(&packed(&raw)), Err(Error::Checksum(name)) if name == "swift/ring/devices"));
}

#[test]
fn what_is_no_sound_ring_is_refused() {
    let raw = unpacked(&small_ring().to_v1_bytes("object.ring.gz").unwrap());
    let refused = |raw: &[u8]| Ring::from_bytes(&packed(raw)).unwrap_err().to_string();
    assert!(matches!(Ring::from_bytes(b""), Err(Error::Gzip(_))));
    assert!(matches!(Ring::from_bytes(b"plain text"), Err(Error::Gzip(_))));
    assert_eq!(refused(b"no ring"), "this is not a ring file: it does not begin with R1NG");
    assert_eq!(refused(b"R1NG\x00\x03"), "ring file version 3 is not supported, only 1 and 2");
    assert_eq!(refused(&raw[..raw.len() - 1]), "the ring file is cut off: in the middle of an assignment");
    // Assigned to the hole in the list of devices.
    let hole = [&raw[..raw.len() - 2], &[1, 0]].concat();
    assert_eq!(refused(&hole), "partition 1 is assigned to device 1, which does not exist");
    let nobody = [&raw[..raw.len() - 2], &[255, 255]].concat();
    assert_eq!(refused(&nobody), "partition 1 is assigned to device 65535, which does not exist");
    let file = small_ring().to_v1_bytes("object.ring.gz").unwrap();
    assert!(matches!(Ring::from_bytes(&file[..file.len() - 3]), Err(Error::Gzip(_))));
    assert!(matches!(Ring::from_bytes(&[&file[..], b"!"].concat()), Err(Error::Malformed(_))));
}

#[test]
fn a_gzip_bomb_stops_at_the_limit() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..257 {
        bomb.write_all(&[0; 1 << 20]).unwrap();
    }
    assert!(matches!(Ring::from_bytes(&bomb.finish().unwrap()), Err(Error::Limit(_))));
}

#[test]
fn moving_the_addresses_keeps_the_assignments() {
    let ring = small_ring();
    let moved = ring.map_addresses(|d| ("127.0.0.1".into(), 7000 + u16::try_from(d.id).unwrap()));
    assert_eq!(moved.device(3).map(|d| (d.ip.as_str(), d.port, d.replication_port)), Some(("127.0.0.1", 7003, 7003)));
    assert_eq!(moved.table(), ring.table());
    assert_eq!(moved.handoffs(2).map(|d| d.id).collect::<Vec<_>>(), handoffs_by_the_book(&moved, 2));
}

#[test]
fn the_step_of_a_large_table_is_swifts() {
    // 2^17 partitions are walked in steps of two; with 16 devices the rare ones make the walk go round.
    let devices: Vec<_> = (0..16).map(|id| Some(device(id, 1, id / 8, id / 2))).collect();
    let rare = |cell: u32| {
        if cell.is_multiple_of(9001) { cell / 9001 % 16 } else { cell % 3 }
    };
    let table = Table::new(17, IdWidth::TwoBytes, (0..3 << 17).map(rare)).unwrap();
    let ring = Ring::new(devices, table).unwrap();
    for part in [0, 1, 77, 131_071] {
        let lazy: Vec<u32> = ring.handoffs(part).map(|d| d.id).collect();
        assert_eq!(lazy, handoffs_by_the_book(&ring, part));
    }
}

fn unpacked(file: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    GzDecoder::new(file).read_to_end(&mut raw).unwrap();
    raw
}

fn packed(raw: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(raw).unwrap();
    gzip.finish().unwrap()
}

proptest! {
    #[test]
    fn files_round_trip(ring in any_ring()) {
        prop_assert_eq!(&Ring::from_bytes(&ring.to_v2_bytes("object-1.ring.gz").unwrap()).unwrap(), &ring);
        match ring.to_v1_bytes("object-1.ring.gz") {
            Ok(file) => prop_assert_eq!(&Ring::from_bytes(&file).unwrap(), &ring),
            Err(error) => prop_assert!(matches!(error, Error::WideIds) && ring.table().width() == IdWidth::FourBytes),
        }
    }

    #[test]
    fn handoffs_follow_the_book(ring in any_ring(), part in 0u32..64) {
        let lazy: Vec<u32> = ring.handoffs(part).map(|d| d.id).collect();
        prop_assert_eq!(lazy, handoffs_by_the_book(&ring, part));
    }

    #[test]
    fn no_mutated_file_panics(ring in any_ring(), v2 in any::<bool>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let file = if v2 { ring.to_v2_bytes("o.ring.gz") } else { ring.to_v1_bytes("o.ring.gz") };
        let Ok(mut file) = file else { return Ok(()) };
        // In the packed file most changes die of the checksum, so the unpacked one is changed as well.
        let mut raw = unpacked(&file);
        let place = at.index(raw.len());
        raw[place] = to;
        let _ = Ring::from_bytes(&packed(&raw));
        let _ = Ring::from_bytes(&packed(&raw[..place]));
        let place = at.index(file.len());
        file[place] = to;
        let _ = Ring::from_bytes(&file);
        let _ = Ring::from_bytes(&file[..place]);
    }
}
