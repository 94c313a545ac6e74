use apus_base::db::codec::Encoder;
use apus_base::db::table::{self, Numbered, Row as _};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use proptest::prelude::*;

use super::*;

prop_compose! {
    fn row()(put in 0u64..4, delete in 0u64..4, at in 0u64..4, objects in 0u64..2, bytes in 0u64..3, policy in 0u32..2) -> Row {
        let time = Timestamp::from_ticks;
        let (put_timestamp, delete_timestamp, counted_at) = (time(put), time(delete), time(at));
        Row { put_timestamp, delete_timestamp, counted_at, objects, bytes, policy: PolicyIndex(policy) }
    }
}

fn merged<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Option<Row> {
    rows.into_iter().cloned().reduce(|mut one, other| {
        one.merge(&other);
        one
    })
}

proptest! {
    #[test]
    fn any_order_and_repetition_ends_alike(rows in proptest::collection::vec(row(), 1..8), turn in any::<prop::sample::Index>()) {
        let straight = merged(&rows).unwrap();
        let mut turned = rows.clone();
        turned.rotate_left(turn.index(rows.len()));
        let backwards = merged(turned.iter().rev().chain(&rows)).unwrap();
        prop_assert_eq!(&straight, &backwards);

        // The dumb oracle: the newest of each part.
        let counted = rows.iter().max_by_key(|r| (r.counted_at, r.objects, r.bytes, r.policy)).unwrap();
        prop_assert_eq!(straight.put_timestamp, rows.iter().map(|r| r.put_timestamp).max().unwrap());
        prop_assert_eq!(straight.delete_timestamp, rows.iter().map(|r| r.delete_timestamp).max().unwrap());
        prop_assert_eq!((straight.objects, straight.bytes), (counted.objects, counted.bytes));
    }

    #[test]
    fn any_stored_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = table::decode::<Row>(&[&[1], bytes.as_slice()].concat());
    }

    #[test]
    fn comes_back(row in row(), number: u64) {
        let mut to = Encoder::new(1);
        to.number(number);
        row.encode(&mut to);
        prop_assert_eq!(table::decode::<Row>(&to.finish()).unwrap(), Numbered { number, row });
    }
}
