use super::*;
use proptest::prelude::*;

fn file_with(body: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(body, 0).unwrap();
    file
}

fn metadata(items: usize, value_length: usize) -> Metadata {
    (0..items).map(|n| (format!("X-Object-Meta-{n}").into_bytes(), vec![b'v'; value_length])).collect()
}

#[test]
fn small_metadata_is_where_swift_keeps_it() {
    let file = file_with(b"body");
    write(&file, &metadata(2, 10), 4).unwrap();
    assert!(get(&file, METADATA).unwrap().is_some() && get(&file, TRAILER).unwrap().is_none());
    let read = read(&file).unwrap();
    assert_eq!((read.metadata, read.body_length), (metadata(2, 10), 4));
}

#[test]
fn metadata_at_swifts_limits_fits_on_any_filesystem() {
    let mut large = metadata(90, 40);
    for header in ["Content-Disposition", "Expires", "Cache-Control", "X-Robots-Tag", "X-Object-Manifest"] {
        large.set(header, vec![0xe9; 8192]);
    }
    large.set(super::super::metadata::NAME, "ü".repeat(800));
    let file = file_with(b"body");
    write(&file, &large, 4).unwrap();
    let read = read(&file).unwrap();
    assert_eq!((read.metadata, read.body_length), (large, 4));
}

#[test]
fn a_trailer_that_does_not_match_is_damage() {
    let written = || {
        let file = file_with(b"body");
        write_trailer(&file, &metadata(3, 9).to_pickle(), 4).unwrap();
        file
    };
    let damage = |file: &File| matches!(read(file), Err(ReadError::Damage(_)));
    assert!(!damage(&written()));

    let flipped = written();
    flipped.write_all_at(b"?", 10).unwrap();
    let cut = written();
    cut.set_len(20).unwrap();
    let grown = written();
    grown.write_all_at(b"?", grown.metadata().unwrap().len()).unwrap();
    assert!([flipped, cut, grown].iter().all(damage));
}

#[test]
fn attributes_that_do_not_match_are_damage() {
    assert!(matches!(read(&file_with(b"body")), Err(ReadError::Damage(Damage::Missing))));
    let file = file_with(b"body");
    write(&file, &metadata(2, 10), 4).unwrap();
    file.set_xattr(CHECKSUM, b"d41d8cd98f00b204e9800998ecf8427e").unwrap();
    assert!(matches!(read(&file), Err(ReadError::Damage(Damage::Checksum))));
    // From before checksums.
    file.remove_xattr(CHECKSUM).unwrap();
    assert_eq!(read(&file).unwrap().metadata, metadata(2, 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_attributes_are_read_or_refused(
        body in prop::collection::vec(any::<u8>(), 0..64),
        trailer in prop::option::of(prop::collection::vec(any::<u8>(), 0..24)),
        pickled in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
    ) {
        let file = file_with(&body);
        for (name, value) in [(TRAILER, trailer), (METADATA, pickled)] {
            if let Some(value) = value {
                file.set_xattr(name, &value).unwrap();
            }
        }
        let _ = read(&file);
    }

    /// A well-formed place that lies about where.
    #[test]
    fn any_place_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64), offset: u64, length: u32, near in 0u64..70) {
        let file = file_with(&body);
        for (offset, length) in [(offset, length), (near, length % 70)] {
            file.set_xattr(TRAILER, &Place { offset, length, crc: 0 }.to_bytes()).unwrap();
            let _ = read(&file);
        }
    }

    #[test]
    fn places_come_back(offset: u64, length: u32, crc: u32) {
        let place = Place { offset, length, crc };
        prop_assert_eq!(Place::parse(&place.to_bytes()), Some(place));
    }
}
