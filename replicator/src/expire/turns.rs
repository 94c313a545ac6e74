//! Taking turns, so that a container with very many tasks does not have all its objects deleted at once. Pure.

use std::collections::{BTreeMap, VecDeque};

/// Sorts items so that each group has one turn after the other; within a group their order stays.
pub(super) fn in_turn<T, K: Ord>(items: Vec<T>, group: impl Fn(&T) -> K) -> Vec<T> {
    let mut sorted = Vec::with_capacity(items.len());
    let mut groups: BTreeMap<K, VecDeque<T>> = BTreeMap::new();
    for item in items {
        groups.entry(group(&item)).or_default().push_back(item);
    }
    while !groups.is_empty() {
        sorted.extend(groups.values_mut().filter_map(VecDeque::pop_front));
        groups.retain(|_, items| !items.is_empty());
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_its_turn() {
        let items = vec!["a1", "a2", "a3", "c1", "b1", "b2"];
        let sorted = in_turn(items, |item| item.chars().next());
        assert_eq!(sorted, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }
}
