//! Quorum: what a set of replicas says when they do not all say the same. Pure.
//!
//! A quorum is half of the replicas, rounded up (2 of 3, and also 2 of 4: Swift's rule). Statuses are tallied by class; the
//! best class that a quorum agrees on is the answer, 2xx before 3xx before 4xx, and within it the highest status. Server
//! errors never form a quorum: without one there is no answer (503). The rules are those of `best_response` and
//! `have_quorum` in Swift's `proxy/controllers/base.py`.

/// How many of so many replicas make a quorum.
pub const fn quorum_size(replicas: usize) -> usize {
    replicas.div_ceil(2)
}

/// How many container updates the object servers of one write have to carry in all.
///
/// If only a quorum of the object writes succeeds, and all updates of the others are lost, those that are left still reach
/// a quorum of the container's replicas; and when all succeed, every replica of the container is told.
pub fn container_updates(container_replicas: usize, object_replicas: usize) -> usize {
    let may_fail = object_replicas - quorum_size(object_replicas);
    container_replicas.max(quorum_size(container_replicas) + may_fail)
}

/// The statuses of one write's replicas, as they come in.
#[derive(Clone, Debug)]
pub struct Tally<'a> {
    nodes: usize,
    quorum: usize,
    overrides: &'a [(u16, u16)],
    statuses: Vec<u16>,
}

/// The classes that can answer, the better first.
const CLASSES: [u16; 3] = [2, 3, 4];

impl<'a> Tally<'a> {
    /// A tally of so many replicas.
    pub fn new(nodes: usize) -> Self {
        Self::with_quorum(nodes, quorum_size(nodes))
    }

    /// A tally of so many answers of which `quorum` have to agree.
    pub fn with_quorum(nodes: usize, quorum: usize) -> Self {
        Self { nodes, quorum, overrides: &[], statuses: Vec::with_capacity(nodes) }
    }

    /// Lets a status count as another one if there is no quorum otherwise: for a DELETE, 404 as 204.
    #[must_use]
    pub fn with_overrides(self, overrides: &'a [(u16, u16)]) -> Self {
        Self { overrides, ..self }
    }

    /// How many replicas are asked.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Counts one answer.
    pub fn push(&mut self, status: u16) {
        self.statuses.push(status);
    }

    /// Whether the answers still out are not needed: a class has its quorum, or none can get it any more.
    pub fn is_decided(&self) -> bool {
        let missing = self.nodes.saturating_sub(self.statuses.len());
        let plain = |class| self.count(class, |status| status);
        let has_quorum = CLASSES.iter().any(|class| plain(*class) >= self.quorum);
        let overridden = |class| self.count(class, |status| self.overridden(status));
        let hopeless = CLASSES.iter().all(|class| plain(*class).max(overridden(*class)) + missing < self.quorum);
        has_quorum || hopeless
    }

    /// Which of the answers, by the order they were pushed in, speaks for all. `None` means 503.
    pub fn best(&self) -> Option<usize> {
        let overridden = |status| self.overridden(status);
        self.best_by(|status| status)
            .or_else(|| if self.overrides.is_empty() { None } else { self.best_by(overridden) })
    }

    /// The statuses so far; replicas that did not answer are 503.
    pub fn into_statuses(mut self) -> Vec<u16> {
        self.statuses.resize(self.statuses.len().max(self.nodes), 503);
        self.statuses
    }

    fn best_by(&self, seen_as: impl Fn(u16) -> u16 + Copy) -> Option<usize> {
        let agreed = CLASSES.iter().filter(|class| self.count(**class, seen_as) >= self.quorum.max(1));
        // An answer that counts as another one only lends its weight; one that means it has to speak.
        let speaker = |class: &u16| {
            let own = self.statuses.iter().enumerate().rev();
            own.filter(|(_, s)| **s / 100 == *class && seen_as(**s) == **s).max_by_key(|(_, s)| **s).map(|(i, _)| i)
        };
        agreed.filter_map(speaker).next()
    }

    fn count(&self, class: u16, seen_as: impl Fn(u16) -> u16) -> usize {
        self.statuses.iter().filter(|status| seen_as(**status) / 100 == class).count()
    }

    fn overridden(&self, status: u16) -> u16 {
        self.overrides.iter().find(|(from, _)| *from == status).map_or(status, |(_, to)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn answer(statuses: &[u16], overrides: &[(u16, u16)]) -> Option<u16> {
        let mut tally = Tally::new(statuses.len()).with_overrides(overrides);
        statuses.iter().for_each(|s| tally.push(*s));
        tally.best().map(|i| statuses[i])
    }

    #[test]
    fn the_best_class_with_a_quorum_wins() {
        assert_eq!(answer(&[201, 202, 503], &[]), Some(202));
        assert_eq!(answer(&[201, 404, 404], &[]), Some(404));
        assert_eq!(answer(&[201, 404, 409, 201], &[]), Some(201));
        assert_eq!(answer(&[201, 404, 503], &[]), None);
        assert_eq!(answer(&[], &[]), None);
    }

    #[test]
    fn a_delete_may_count_missing_as_deleted() {
        let overrides = [(404, 204)];
        assert_eq!(answer(&[204, 404, 503], &overrides), Some(204));
        assert_eq!(answer(&[404, 404, 503], &overrides), Some(404));
        assert_eq!(answer(&[404, 503, 503], &overrides), None);
    }

    #[test]
    fn updates_as_swift_counts_them() {
        let cases = [(3, 3, 3), (3, 2, 3), (1, 3, 2), (3, 6, 5), (2, 4, 3)];
        for (containers, objects, updates) in cases {
            assert_eq!(container_updates(containers, objects), updates, "{containers} containers, {objects} objects");
        }
    }

    /// Swift's `best_response`, written for being obviously right.
    fn oracle(statuses: &[u16], overrides: &[(u16, u16)]) -> Option<u16> {
        let quorum = statuses.len().div_ceil(2);
        for pass in 0..2 {
            for class in [2, 3, 4] {
                let mut votes = 0;
                let mut best = None;
                for status in statuses {
                    let to = overrides.iter().find(|o| pass == 1 && o.0 == *status);
                    let seen = to.map_or(*status, |o| o.1);
                    votes += usize::from(seen / 100 == class);
                    if seen / 100 == class && to.is_none() {
                        best = best.max(Some(*status));
                    }
                }
                if votes >= quorum && best.is_some() {
                    return best;
                }
            }
        }
        None
    }

    proptest! {
        #[test]
        fn as_the_oracle(statuses in vec(select(vec![200u16, 201, 204, 304, 404, 409, 500, 503, 507]), 0..8), delete: bool) {
            let overrides: &[(u16, u16)] = if delete { &[(404, 204)] } else { &[] };
            prop_assert_eq!(answer(&statuses, overrides), oracle(&statuses, overrides));
        }

        /// With an odd number of replicas, once it is decided no further answer changes the class.
        #[test]
        fn what_is_decided_stays(statuses in vec(select(vec![201u16, 202, 304, 404, 409, 503]), 3..8), cut in 0usize..8) {
            prop_assume!(statuses.len() % 2 == 1);
            let mut early = Tally::new(statuses.len());
            statuses.iter().take(cut).for_each(|s| early.push(*s));
            prop_assume!(early.is_decided());
            let class = |tally: &Tally<'_>| tally.best().map(|i| statuses[i] / 100);
            let decided = class(&early);
            statuses.iter().skip(cut).for_each(|s| early.push(*s));
            prop_assert_eq!(class(&early), decided);
        }

        #[test]
        fn a_full_tally_is_decided(statuses in vec(200u16..600, 1..8)) {
            let mut tally = Tally::new(statuses.len());
            statuses.iter().for_each(|s| tally.push(*s));
            prop_assert!(tally.is_decided());
        }
    }
}
