use super::*;
use crate::s3::lifecycle::rule::{Expiration, Filter, Noncurrent, Rule};
use proptest::prelude::*;

const DAY: u64 = 10;

/// A key's versions, newest first: when each was written, and whether it is a delete marker. The first is the latest.
type Versions = Vec<(u64, bool)>;

fn listed(key: &str, versions: &Versions) -> Vec<Listed> {
    let one = |(at, (written, is_marker)): (usize, &(u64, bool))| Listed {
        key: key.to_owned(),
        version: Version::Id(Timestamp::from_secs(*written)),
        written: *written,
        bytes: written % 7,
        is_latest: at == 0,
        is_marker: *is_marker,
    };
    versions.iter().enumerate().map(one).collect()
}

fn judged(rules: &Rules, now: u64, all: &[Listed]) -> Vec<Task> {
    let (mut judge, now) = (Judge::default(), Now { secs: now, day: DAY });
    let mut tasks: Vec<Task> = all.iter().flat_map(|listed| judge.next(rules, now, listed.clone())).collect();
    tasks.extend(judge.end(rules, now));
    tasks
}

/// The same by somebody who has everything before them, and one rule at a time.
fn oracle(rules: &Rules, now: u64, keys: &[(String, Versions)]) -> Vec<Task> {
    let mut tasks = Vec::new();
    let fits = |rule: &Rule, key: &str, bytes: Option<u64>| {
        let filter = &rule.filter;
        let size = bytes.is_none_or(|bytes| filter.larger_than.is_none_or(|least| bytes > least));
        rule.enabled && key.starts_with(filter.prefix.as_deref().unwrap_or("")) && size
    };
    let over = |moment: u64, days: u32| {
        (0..).map(|n| n * DAY).find(|end| *end > moment + u64::from(days) * DAY).unwrap() <= now
    };
    for (key, versions) in keys {
        let all = listed(key, versions);
        for (at, one) in all.iter().enumerate() {
            let expires = |rule: &&Rule| match rule.expiration {
                Some(Expiration::Days(days)) => over(one.written, days),
                Some(Expiration::Date(date)) => date <= now,
                Some(Expiration::Marker(goes)) => goes && one.is_marker,
                None => false,
            };
            let mut about =
                rules.rules.iter().filter(|rule| fits(rule, key, Some(if one.is_marker { 0 } else { one.bytes })));
            match (at, one.is_marker) {
                (0, false) if about.any(|rule| expires(&rule)) => tasks.push(Task::Expire(one.clone())),
                (0, true) if all.len() == 1 && about.any(|rule| expires(&rule)) => {
                    tasks.push(Task::DropMarker(one.clone()));
                }
                (0, _) => {}
                _ => {
                    let since = all[at - 1].written;
                    let goes = |rule: &Rule| {
                        let noncurrent = rule.noncurrent?;
                        let kept = noncurrent.newer.unwrap_or(0) as usize;
                        Some(fits(rule, key, Some(one.bytes)) && at > kept && over(since, noncurrent.days))
                    };
                    if rules.rules.iter().any(|rule| goes(rule) == Some(true)) {
                        let newer = u32::try_from(at - 1).unwrap();
                        tasks.push(Task::Drop { listed: one.clone(), since, newer });
                    }
                }
            }
        }
    }
    tasks
}

fn rules() -> impl Strategy<Value = Rules> {
    let expiration = proptest::option::of(prop_oneof![
        (1..5_u32).prop_map(Expiration::Days),
        (0..9_u64).prop_map(|date| Expiration::Date(date * DAY)),
        any::<bool>().prop_map(Expiration::Marker),
    ]);
    let noncurrent = proptest::option::of((1..4_u32, proptest::option::of(1..3_u32)));
    let rule = (any::<bool>(), "[ab]{0,2}", proptest::option::of(0..7_u64), expiration, noncurrent);
    let rule = rule.prop_map(|(enabled, prefix, larger_than, expiration, noncurrent)| Rule {
        id: String::new(),
        enabled,
        filter: Filter { prefix: Some(prefix), larger_than, ..Filter::default() },
        expiration,
        noncurrent: noncurrent.map(|(days, newer)| Noncurrent { days, newer }),
        abort_after: None,
    });
    proptest::collection::vec(rule, 0..4).prop_map(|rules| Rules { rules, smallest: None })
}

fn keys() -> impl Strategy<Value = Vec<(String, Versions)>> {
    let versions = proptest::collection::btree_map(0..90_u64, any::<bool>(), 1..6);
    let newest_first = versions.prop_map(|versions| versions.into_iter().rev().collect::<Versions>());
    proptest::collection::btree_map("[abc]{1,3}", newest_first, 0..5).prop_map(|keys| keys.into_iter().collect())
}

proptest! {
    #[test]
    fn a_streaming_judge_and_one_who_sees_everything_agree(rules in rules(), keys in keys(), now in 0..150_u64) {
        let all: Vec<Listed> = keys.iter().flat_map(|(key, versions)| listed(key, versions)).collect();
        prop_assert_eq!(judged(&rules, now, &all), oracle(&rules, now, &keys));
    }
}

fn everything(expiration: Option<Expiration>, noncurrent: Option<Noncurrent>) -> Rules {
    Rules { rules: vec![Rule { enabled: true, expiration, noncurrent, ..Rule::default() }], smallest: None }
}

#[test]
fn a_version_that_nothing_follows_stays() {
    let rules = everything(None, Some(Noncurrent { days: 1, newer: None }));
    let mut all = listed("k", &vec![(9, false), (5, false), (1, false)]);
    all[0].is_latest = false;
    let dropped: Vec<u64> = judged(&rules, 99, &all)
        .iter()
        .map(|task| match task {
            Task::Drop { listed, .. } => listed.written,
            _ => panic!("{task:?}"),
        })
        .collect();
    assert_eq!(dropped, [5, 1]);
}

#[test]
fn a_marker_goes_when_nothing_is_behind_it() {
    let rules = everything(Some(Expiration::Marker(true)), None);
    assert!(matches!(judged(&rules, 99, &listed("k", &vec![(9, true)])).as_slice(), [Task::DropMarker(_)]));
    assert_eq!(judged(&rules, 99, &listed("k", &vec![(9, true), (5, false)])), []);
}

#[test]
fn rows_are_read() {
    let row = Object { name: "k".into(), last_modified: "2026-11-21T03:17:50.123450".into(), ..Object::default() };
    let listed = Listed::of(&row).unwrap();
    assert_eq!((listed.version, listed.written, listed.is_latest), (Version::Null, 1_795_231_070, true));
    let version = Object { version_id: Some("1712345678.12345".into()), is_latest: Some(false), ..row };
    assert_eq!(Listed::of(&version).unwrap().written, 1_712_345_678);
    assert_eq!(Listed::of(&Object::default()), None);
}
