use super::*;
use apus_base::db::table::Row as _;
use apus_base::timestamp::Timestamp;
use proptest::prelude::*;

fn row(data: u64, content_type: u64, meta: u64) -> Row {
    let at = Timestamp::from_ticks;
    Row {
        timestamps: RowTimestamps { data: at(data), content_type: at(content_type), meta: at(meta) },
        size: data,
        swift_bytes: None,
        content_type: format!("t/{content_type}"),
        etag: format!("e{data}"),
        deleted: false,
    }
}

#[test]
fn each_part_follows_its_own_timestamp() {
    let mut mine = row(5, 5, 5);
    assert!(!mine.merge(&row(4, 5, 3)));
    assert!(mine.merge(&row(4, 7, 8)));
    assert_eq!((mine.size, mine.content_type.as_str(), mine.timestamps.meta.ticks()), (5, "t/7", 8));
    assert!(mine.merge(&row(9, 6, 6)));
    assert_eq!((mine.etag.as_str(), mine.content_type.as_str(), mine.timestamps.meta.ticks()), ("e9", "t/7", 8));
}

#[test]
fn swift_bytes_follow_the_data_and_not_the_content_type() {
    let wire = |data: u64, typed: u64, content_type: &str| {
        let timestamps = row(data, typed, typed).timestamps;
        let (name, etag) = ("o".to_owned(), "e".to_owned());
        let policy = PolicyIndex(0);
        Row::from_wire(&ObjectRow {
            name,
            timestamps,
            size: 1,
            content_type: content_type.into(),
            etag,
            deleted: false,
            policy,
        })
    };
    let mut mine = wire(1, 1, "a/b;swift_bytes=10");
    assert!(mine.merge(&wire(0, 2, "c/d;swift_bytes=20")));
    assert_eq!((mine.content_type.as_str(), mine.swift_bytes), ("c/d", Some(10)));
    assert_eq!(mine.to_wire("o".into(), PolicyIndex(0)).content_type, "c/d;swift_bytes=10");
}

proptest! {
    #[test]
    fn any_stored_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = table::decode::<Row>(&[&[1], bytes.as_slice()].concat());
    }

    #[test]
    fn comes_back(data in 0u64..1 << 40, delta in 0u64..9, bytes: Option<u64>, etag in "\\PC{0,9}", deleted: bool) {
        let row = Row { swift_bytes: bytes, etag, deleted, ..row(data, data + delta, data + delta) };
        let mut to = Encoder::new(1);
        row.encode(&mut to);
        let value = to.finish();
        let mut from = Decoder::new(&value, 1).unwrap();
        prop_assert_eq!(Row::decode(&mut from).unwrap(), row);
        prop_assert!(from.finish().is_ok());
    }
}
