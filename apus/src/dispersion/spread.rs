//! Names that are each on a partition of their own. Pure.

use std::collections::BTreeSet;

/// Chooses the numbers of names, from 0, whose partitions are not taken yet, until `wanted` are chosen or all are taken.
///
/// The names are found by trying: with many partitions taken most tries fail, so whoever wants all partitions of a ring of
/// 2^20 waits for some 15 million hashes.
pub(super) fn choose(
    partitions: usize,
    mut taken: BTreeSet<u32>,
    wanted: usize,
    place: impl Fn(u64) -> u32,
) -> Vec<u64> {
    let mut chosen = Vec::new();
    let mut number = 0;
    while chosen.len() < wanted && taken.len() < partitions {
        if taken.insert(place(number)) {
            chosen.push(number);
        }
        number += 1;
    }
    chosen
}

/// How many partitions are so many percent of all.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of at most 2^32, rounded down"
)]
pub(super) fn share(partitions: usize, percent: f64) -> usize {
    (percent / 100.0 * partitions as f64).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_rounded_down() {
        assert_eq!([share(256, 1.0), share(256, 100.0), share(65536, 0.001)], [2, 256, 0]);
    }

    proptest! {
        #[test]
        fn each_is_on_a_partition_of_its_own(power in 1u32..8, wanted in 0usize..200, taken in prop::collection::btree_set(0u32..128, 0..64)) {
            let partitions = 1usize << power;
            let place = |number: u64| u32::try_from(number.wrapping_mul(2_654_435_761) % partitions as u64).unwrap();
            let taken: BTreeSet<u32> = taken.into_iter().filter(|p| (*p as usize) < partitions).collect();
            let chosen = choose(partitions, taken.clone(), wanted, place);
            let places: BTreeSet<u32> = chosen.iter().map(|number| place(*number)).collect();
            prop_assert_eq!(places.len(), chosen.len());
            prop_assert!(places.is_disjoint(&taken));
            prop_assert_eq!(chosen.len(), wanted.min(partitions - taken.len()));
        }
    }
}
