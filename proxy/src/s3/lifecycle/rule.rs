//! The rules of a lifecycle: what they are about, and when. Pure.
//!
//! Times are in seconds since 1970. What is counted in days ends with a day: AWS adds the days to the moment and rounds up to
//! the next midnight in UTC. How long a day is says the operator ([`Config`](super::Config)), so that rules can be tried out.

use serde::{Deserialize, Serialize};

use crate::s3::tagging::Tags;

/// A lifecycle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    pub(super) rules: Vec<Rule>,
    /// How small objects may be that change their class. Nothing does here; clients want to read what they wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) smallest: Option<String>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) enabled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) filter: Filter,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expiration: Option<Expiration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) noncurrent: Option<Noncurrent>,
    /// After so many days, an upload in parts is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) abort_after: Option<u32>,
}

/// Which objects a rule is about: those that meet all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filter {
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) form: Form,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<(String, String)>,
    /// In bytes; exclusive, as the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) larger_than: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) smaller_than: Option<u64>,
}

/// How a filter was written, so that it can be shown as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// `<Filter>` with one thing in it, or with nothing.
    #[default]
    Plain,
    /// `<Filter><And>`.
    And,
    /// `<Prefix>` beside the actions, as it was before there were filters.
    Old,
}

/// When a current version expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expiration {
    /// So many days after it was written.
    Days(u32),
    /// At this moment, a midnight.
    Date(u64),
    /// Never, but delete markers with nothing behind them go.
    Marker(bool),
}

/// When other versions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noncurrent {
    /// So many days after a newer one was written,
    pub(super) days: u32,
    /// but not the newest so many of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newer: Option<u32>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) key: &'a str,
    pub(super) bytes: u64,
    /// `None` where they are not known: then they are taken to be those that a rule asks for.
    pub(super) tags: Option<&'a Tags>,
}

/// The end of the day that a moment is in, so many whole days later.
pub(super) fn due(moment: u64, days: u32, day: u64) -> u64 {
    let day = day.max(1);
    (moment / day).saturating_add(u64::from(days)).saturating_add(1).saturating_mul(day)
}

impl Filter {
    fn fits(&self, facts: Facts<'_>) -> bool {
        let has_tags = |tags: &Tags| self.tags.iter().all(|(key, value)| tags.has(key, value));
        self.prefix.as_deref().is_none_or(|prefix| facts.key.starts_with(prefix))
            && self.larger_than.is_none_or(|bytes| facts.bytes > bytes)
            && self.smaller_than.is_none_or(|bytes| facts.bytes < bytes)
            && facts.tags.is_none_or(has_tags)
    }
}

impl Rules {
    /// By which they are told from others.
    pub(super) fn print(&self) -> u32 {
        serde_json::to_vec(self).map_or(0, |json| crc32fast::hash(&json))
    }

    fn about<'r, 'f>(&'r self, facts: Facts<'f>) -> impl Iterator<Item = &'r Rule> + use<'r, 'f> {
        self.rules.iter().filter(move |rule| rule.enabled && rule.filter.fits(facts))
    }

    /// When a current version expires that was `written` then, and by which rule: the first that has its time.
    pub(super) fn expiry(&self, facts: Facts<'_>, written: u64, day: u64) -> Option<(u64, &Rule)> {
        let at = |rule: &Rule| match rule.expiration? {
            Expiration::Days(days) => Some(due(written, days, day)),
            Expiration::Date(date) => Some(date),
            Expiration::Marker(_) => None,
        };
        self.about(facts).filter_map(|rule| Some((at(rule)?, rule))).min_by_key(|(at, _)| *at)
    }

    /// Whether a version goes by `now` that has not been the current one `since` then, and is older than so many others that are
    /// not.
    pub(super) fn drops(&self, facts: Facts<'_>, since: u64, newer: u32, now: u64, day: u64) -> bool {
        let is_over = |rule: &Noncurrent| newer >= rule.newer.unwrap_or(0) && due(since, rule.days, day) <= now;
        self.about(facts).filter_map(|rule| rule.noncurrent.as_ref()).any(is_over)
    }

    /// Whether a delete marker goes by `now` that has nothing behind it.
    pub(super) fn drops_marker(&self, key: &str, written: u64, now: u64, day: u64) -> bool {
        let (none, bytes) = (Tags::default(), 0);
        let facts = Facts { key, bytes, tags: Some(&none) };
        let is_asked = |rule: &Rule| matches!(rule.expiration, Some(Expiration::Marker(true)));
        self.about(facts).any(is_asked) || self.expiry(facts, written, day).is_some_and(|(at, _)| at <= now)
    }

    /// Whether an upload in parts is given up by `now` that began then.
    pub(super) fn aborts(&self, key: &str, began: u64, now: u64, day: u64) -> bool {
        let mut days = self.rules.iter().filter(|rule| rule.enabled).filter_map(|rule| {
            let fits = rule.filter.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
            rule.abort_after.filter(|_| fits)
        });
        days.any(|days| due(began, days, day) <= now)
    }

    /// Whether any rule is about objects, and not only about uploads.
    pub(super) fn is_about_objects(&self) -> bool {
        self.rules.iter().any(|rule| rule.enabled && (rule.expiration.is_some() || rule.noncurrent.is_some()))
    }

    /// Whether any rule gives up uploads.
    pub(super) fn is_about_uploads(&self) -> bool {
        self.rules.iter().any(|rule| rule.enabled && rule.abort_after.is_some())
    }

    /// What all objects that a rule is about begin with.
    pub(super) fn common_prefix(&self) -> &str {
        let mut prefixes = self.rules.iter().filter(|rule| rule.enabled).map(|rule| rule.filter.prefix.as_deref());
        let first = prefixes.next().flatten().unwrap_or_default();
        prefixes.fold(first, |common, prefix| {
            let same = common.char_indices().zip(prefix.unwrap_or_default().chars()).find(|((_, a), b)| a != b);
            let most = prefix.unwrap_or_default().len().min(common.len());
            &common[..same.map_or(most, |((at, _), _)| at)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    #[test]
    fn days_end_at_midnight() {
        // AWS's own example: 10:30 on the 15th, three days, is 00:00 on the 19th.
        let written = 1_389_781_800;
        assert_eq!(due(written, 3, DAY), 1_390_089_600);
        assert_eq!(due(DAY, 1, DAY), 3 * DAY);
        assert_eq!(due(u64::MAX, u32::MAX, DAY), u64::MAX);
    }

    fn rule(id: &str, prefix: &str, expiration: Expiration) -> Rule {
        let filter = Filter { prefix: Some(prefix.to_owned()), ..Filter::default() };
        Rule { id: id.to_owned(), enabled: true, filter, expiration: Some(expiration), ..Rule::default() }
    }

    fn facts<'a>(key: &'a str, tags: Option<&'a Tags>) -> Facts<'a> {
        Facts { key, bytes: 5, tags }
    }

    #[test]
    fn the_soonest_rule_wins_and_disabled_ones_do_nothing() {
        let mut rules = Rules {
            rules: vec![
                rule("late", "", Expiration::Days(30)),
                rule("soon", "logs/", Expiration::Days(1)),
                rule("date", "logs/old/", Expiration::Date(DAY)),
            ],
            smallest: None,
        };
        let by =
            |rules: &Rules, key: &str| rules.expiry(facts(key, None), 0, DAY).map(|(at, rule)| (at, rule.id.clone()));
        assert_eq!(by(&rules, "x"), Some((31 * DAY, "late".into())));
        assert_eq!(by(&rules, "logs/x"), Some((2 * DAY, "soon".into())));
        assert_eq!(by(&rules, "logs/old/x"), Some((DAY, "date".into())));
        rules.rules[1].enabled = false;
        assert_eq!(by(&rules, "logs/x"), Some((31 * DAY, "late".into())));
    }

    #[test]
    fn filters_ask_for_all_they_name() {
        let tags = vec![("a".to_owned(), "1".to_owned())];
        let filter = Filter { tags, larger_than: Some(4), smaller_than: Some(6), ..Filter::default() };
        let (right, wrong) = (Tags::of_pairs(&[("a", "1"), ("b", "2")]), Tags::of_pairs(&[("a", "2")]));
        assert!(filter.fits(facts("k", Some(&right))) && filter.fits(facts("k", None)));
        assert!(!filter.fits(facts("k", Some(&wrong))));
        assert!(
            !filter.fits(Facts { bytes: 4, ..facts("k", None) })
                && !filter.fits(Facts { bytes: 6, ..facts("k", None) })
        );
    }

    #[test]
    fn markers_go_when_asked_or_old() {
        let rules = |expiration| Rules { rules: vec![rule("r", "a", expiration)], smallest: None };
        let goes = |expiration, key: &str| rules(expiration).drops_marker(key, 0, DAY, DAY);
        assert!(goes(Expiration::Marker(true), "a") && !goes(Expiration::Marker(true), "b"));
        assert!(!goes(Expiration::Marker(false), "a") && !goes(Expiration::Days(1), "a"));
        assert!(goes(Expiration::Date(DAY), "a"));
    }

    proptest! {
        #[test]
        fn all_that_a_rule_is_about_is_below_the_common_prefix(
            prefixes in proptest::collection::vec(proptest::option::of("[ab☃]{0,4}"), 0..4),
        ) {
            let of = |prefix: &Option<String>| {
                let filter = Filter { prefix: prefix.clone(), ..Filter::default() };
                Rule { enabled: true, filter, ..Rule::default() }
            };
            let rules = Rules { rules: prefixes.iter().map(of).collect(), smallest: None };
            let common = rules.common_prefix();
            for prefix in &prefixes {
                prop_assert!(prefix.as_deref().unwrap_or_default().starts_with(common));
            }
            // And no longer one would do.
            let all: Vec<_> = prefixes.iter().map(|prefix| prefix.clone().unwrap_or_default()).collect();
            if let Some(next) = all.first().and_then(|first| first[common.len()..].chars().next()) {
                let longer = format!("{common}{next}");
                prop_assert!(!all.iter().all(|prefix| prefix.starts_with(&longer)));
            }
        }
    }
}
