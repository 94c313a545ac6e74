//! What a bucket tells, and whom. Pure.

use serde::{Deserialize, Serialize};

use super::kind::{Kind, overlap};

/// A bucket's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules(pub Vec<Rule>);

/// Some events of some objects, and who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name, which events carry.
    pub id: String,
    /// Whether it was written for a topic, and not for a queue. Both are webhooks here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_topic: bool,
    /// The webhook's resource name, as it was written.
    pub arn: String,
    /// The webhook, by its name in the configuration.
    pub webhook: String,
    /// The events: `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What keys begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What they end with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
}

impl Rule {
    fn is_about(&self, key: &str) -> bool {
        let starts = self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
        starts && self.suffix.as_deref().is_none_or(|suffix| key.ends_with(suffix))
    }

    /// Whether one object's event can be meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let shares = |one: &String| other.events.iter().any(|two| overlap(one, two));
        let (prefixes, suffixes) = ([&self.prefix, &other.prefix], [&self.suffix, &other.suffix]);
        let [one, two] = prefixes.map(|prefix| prefix.as_deref().unwrap_or_default());
        let [ends, with] = suffixes.map(|suffix| suffix.as_deref().unwrap_or_default());
        let begins_alike = one.starts_with(two) || two.starts_with(one);
        begins_alike && (ends.ends_with(with) || with.ends_with(ends)) && self.events.iter().any(shares)
    }
}

impl Rules {
    /// The rule that means an event of an object; there is at most one, because rules do not overlap.
    pub fn listening(&self, kind: Kind, key: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.is_about(key) && rule.events.iter().any(|wanted| kind.is(wanted)))
    }

    /// Two rules that overlap.
    pub fn overlapping(&self) -> Option<(&Rule, &Rule)> {
        let pairs = self.0.iter().enumerate().flat_map(|(at, one)| self.0[..at].iter().map(move |other| (other, one)));
        pairs.into_iter().find(|(one, other)| one.overlaps(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(event: &str, prefix: &str, suffix: &str) -> Rule {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let events = vec![event.to_owned()];
        Rule { events, prefix: some(prefix), suffix: some(suffix), webhook: "w".into(), ..Rule::default() }
    }

    #[test]
    fn a_rule_means_some_events_of_some_keys() {
        let rules = Rules(vec![rule("s3:ObjectCreated:*", "images/", ".jpg"), rule("s3:ObjectRemoved:Delete", "", "")]);
        assert!(rules.listening(Kind::Copy, "images/a.jpg").is_some());
        assert!(rules.listening(Kind::Copy, "images/a.png").is_none());
        assert!(rules.listening(Kind::Deleted, "x").is_some() && rules.listening(Kind::MarkerMade, "x").is_none());
        assert_eq!(rules.overlapping(), None);
    }

    proptest! {
        /// Where no two rules overlap, no event is meant by two; and rules that overlap are found by a key that both mean.
        #[test]
        fn overlapping_is_to_mean_the_same_key(
            rules in prop::collection::vec(("s3:ObjectCreated:(\\*|Put|Copy)", "[ab]{0,2}", "[ab]{0,2}"), 2),
            key in "[ab]{0,6}",
        ) {
            let rules = Rules(rules.iter().map(|(event, prefix, suffix)| rule(event, prefix, suffix)).collect());
            let [one, other] = &rules.0[..] else { unreachable!() };
            let both = |kind: Kind, key: &str| {
                let means = |rule: &Rule| Rules(vec![rule.clone()]).listening(kind, key).is_some();
                means(one) && means(other)
            };
            if rules.overlapping().is_none() {
                prop_assert!(!both(Kind::Put, &key) && !both(Kind::Copy, &key));
            } else {
                let longest = |one: &Option<String>, other: &Option<String>| {
                    let [one, other] = [one, other].map(|text| text.clone().unwrap_or_default());
                    if one.len() > other.len() { one } else { other }
                };
                let key = longest(&one.prefix, &other.prefix) + &longest(&one.suffix, &other.suffix);
                prop_assert!(both(Kind::Put, &key) || both(Kind::Copy, &key));
            }
        }
    }
}
