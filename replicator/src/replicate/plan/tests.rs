use std::collections::BTreeSet;

use apus_base::hash_path::PathHash;
use apus_object::store::index::{counting, wanted};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

/// One object on a few devices, the last of which is no primary; each holds some files.
#[derive(Clone, Debug)]
struct Cluster(Vec<Vec<String>>);

impl Cluster {
    /// A pass of one device while some others are away.
    fn pass(&mut self, node: usize, away: &[usize], cutoff: Timestamp, stale: bool) {
        // As bringing the index up to date does.
        self.0[node] = counting(&self.0[node]).iter().map(FileName::text).collect();
        let home = node + 1 < self.0.len();
        let targets: Vec<usize> = (0..self.0.len() - 1).filter(|target| *target != node).collect();
        let version = Version { hash: PathHash([0; 16]), files: counting(&self.0[node]) };
        if version.files.is_empty() {
            return;
        }
        let terms = Terms { home, cutoff, stale };
        let answer = |target: &usize| (!away.contains(target)).then(|| vec![want(&self.0[*target], &version.files)]);
        let answers: Vec<Answered> = targets.iter().map(answer).collect();
        let versions = [version];
        let plan = pushes(&versions, &answers, &terms);
        for (target, places) in targets.iter().zip(&plan.pushes) {
            for place in places {
                self.write(*target, &versions[0].files[place.1]);
            }
        }
        let confirmed = |side: usize, place: Place| plan.pushes[side].contains(&place);
        for (_, file) in removals(&versions, &answers, &terms, confirmed) {
            let name = versions[0].files[file].text();
            self.0[node].retain(|held| *held != name);
        }
    }

    /// What a device does with a file that is pushed to it.
    fn write(&mut self, node: usize, file: &FileName) {
        if wanted(&self.0[node], std::slice::from_ref(file)) == [true] {
            self.0[node].push(file.text());
            self.0[node] = counting(&self.0[node]).iter().map(FileName::text).collect();
        }
    }
}

fn want(here: &[String], offered: &[FileName]) -> Want {
    let bits = wanted(here, offered).iter().enumerate().fold(0, |bits, (i, w)| bits | u8::from(*w) << i);
    Want { files: bits, empty: here.is_empty() }
}

fn file() -> impl Strategy<Value = String> {
    let meta = (5u64..15, any::<bool>()).prop_map(|(secs, typed)| FileName {
        timestamp: Timestamp::from_secs(secs),
        kind: Kind::Meta,
        content_type: typed.then(|| Timestamp::from_secs(secs - 2)),
    });
    let other = (1u64..12, any::<bool>()).prop_map(|(secs, data)| FileName {
        timestamp: Timestamp::from_secs(secs),
        kind: if data { Kind::Data } else { Kind::Tombstone },
        content_type: None,
    });
    prop_oneof![meta, other].prop_map(|file| file.text())
}

/// Devices, and passes: of whom, and who is away meanwhile.
fn history() -> impl Strategy<Value = (Cluster, Vec<(usize, Vec<usize>)>)> {
    let device = btree_set(file(), 0..4).prop_map(|files| files.into_iter().collect());
    (vec(device, 4).prop_map(Cluster), vec((0usize..4, vec(0usize..3, 0..2)), 0..12))
}

proptest! {
    /// Whatever was where, and whoever was away: in the end all primaries have what is newest, and the handoff nothing.
    #[test]
    fn all_come_to_have_the_same((mut cluster, passes) in history()) {
        let everything: Vec<String> = cluster.0.concat().into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        for (node, away) in passes {
            cluster.pass(node, &away, Timestamp::ZERO, false);
        }
        for node in [0, 1, 2, 3, 0, 1, 2, 3] {
            cluster.pass(node, &[], Timestamp::ZERO, false);
        }
        let expected: Vec<String> = counting(&everything).iter().map(FileName::text).collect();
        for node in 0..3 {
            let held: Vec<String> = counting(&cluster.0[node]).iter().map(FileName::text).collect();
            prop_assert_eq!(&held, &expected, "device {}", node);
        }
        prop_assert!(counting(&cluster.0[3]).is_empty());
    }

    /// However old tombstones are, whoever was away when they were to be forgotten, and although a handoff that was away for
    /// longer than that has anything: what was deleted does not come back to a primary.
    #[test]
    fn what_was_deleted_stays_deleted((mut cluster, passes) in history(), known in 0usize..3) {
        let deletion = FileName { timestamp: Timestamp::from_secs(20), kind: Kind::Tombstone, content_type: None };
        cluster.write(known, &deletion);
        let now = Timestamp::from_secs(30);
        for (node, away) in passes {
            cluster.pass(node, &away, now, node == 3);
        }
        for node in [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3] {
            cluster.pass(node, &[], now, node == 3);
        }
        // Not even the tombstone is left, once all have heard of it.
        prop_assert!(cluster.0[..3].iter().all(|held| counting(held).is_empty()), "{:?}", cluster);
    }

    /// A handoff loses a file only to primaries that all have it or better.
    #[test]
    fn a_handoff_lets_go_of_nothing_that_is_not_home((mut cluster, passes) in history()) {
        for (node, away) in passes {
            let before: Vec<String> = counting(&cluster.0[3]).iter().map(FileName::text).collect();
            cluster.pass(node, &away, Timestamp::ZERO, false);
            for name in before.iter().filter(|name| !cluster.0[3].contains(name)) {
                let file = FileName::parse(name).unwrap();
                for primary in &cluster.0[..3] {
                    prop_assert_eq!(wanted(primary, std::slice::from_ref(&file)), [false]);
                }
            }
        }
    }
}

#[test]
fn a_device_that_was_away_for_too_long_brings_back_nothing_unknown() {
    let data = "0000000001.00000.data".to_owned();
    let now = Timestamp::from_secs(30);
    // Nobody knows of it: it may have been deleted, and the deletion forgotten.
    let mut cluster = Cluster(vec![vec![], vec![], vec![], vec![data.clone()]]);
    cluster.pass(3, &[], now, true);
    assert_eq!(cluster.0, [vec![], vec![], vec![], vec![data.clone()]]);
    // One that was not away brings it home, and so does this one when it is newer than the limit.
    let home = vec![data];
    for (cutoff, stale) in [(now, false), (Timestamp::ZERO, true)] {
        let mut cluster = Cluster(vec![vec![], vec![], vec![], home.clone()]);
        cluster.pass(3, &[], cutoff, stale);
        assert_eq!(cluster.0, [home.clone(), home.clone(), home.clone(), vec![]]);
    }
    // What one primary knows comes home to all.
    let mut cluster = Cluster(vec![home.clone(), vec![], vec![], home.clone()]);
    cluster.pass(3, &[], now, true);
    assert_eq!(cluster.0, [home.clone(), home.clone(), home, vec![]]);
}
