use super::*;
use proptest::prelude::*;

fn batch(records: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::default();
    records.iter().for_each(|record| batch.push(&[record]));
    batch
}

fn all(segment: &Segment) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    segment
        .read(&mut |record: &[u8]| {
            found.push(record.to_vec());
            Ok(())
        })
        .unwrap();
    found
}

#[test]
fn batches_of_an_earlier_generation_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let segment = Segment::open(&folder.path().join("0")).unwrap();
    let mut place = 0;
    for record in [b"old 1", b"old 2"] {
        place += segment.append(batch(&[record.to_vec()]), 7, place).unwrap();
    }
    assert_eq!(all(&segment).len(), 2);
    // The new one is as long as the old first one, whose second still stands behind it.
    segment.append(batch(&[b"new 1".to_vec()]), 8, 0).unwrap();
    assert_eq!(all(&segment), [b"new 1".to_vec()]);
    assert_eq!(segment.generation(), Some(8));
    segment.clear().unwrap();
    assert_eq!((all(&segment).len(), segment.generation()), (0, None));
}

proptest! {
    #[test]
    fn what_was_torn_is_the_end(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 1..5),
        torn in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let segment = Segment::open(&path).unwrap();
        let mut ends = vec![0];
        for record in &records {
            let place = *ends.last().unwrap();
            ends.push(place + segment.append(batch(std::slice::from_ref(record)), 1, place).unwrap());
        }
        prop_assert_eq!(&all(&segment), &records);

        // One bit in what was written, behind the last record of each batch there are only zeros that nobody reads.
        let end = *ends.last().unwrap();
        let at = torn.index(usize::try_from(end).unwrap()) as u64;
        let mut byte = [0];
        segment.file.read_exact_at(&mut byte, at).unwrap();
        segment.file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
        let hit = ends.iter().rposition(|begin| *begin <= at).unwrap();
        let in_zeros = at - ends[hit] >= (HEADER_BYTES + 4 + records[hit].len()) as u64;
        let left = if in_zeros { records.len() } else { hit };
        prop_assert_eq!(all(&segment), &records[..left]);
    }

    #[test]
    fn any_bytes_are_read_or_left(bytes in prop::collection::vec(any::<u8>(), 0..9000), is_header: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let mut bytes = bytes;
        if is_header && bytes.len() >= HEADER_BYTES {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[16..24].fill(0);
        }
        std::fs::write(&path, &bytes).unwrap();
        let segment = Segment::open(&path).unwrap();
        prop_assert!(all(&segment).is_empty());
        records(&bytes).for_each(|record| assert!(record.len() <= bytes.len()));
    }
}
