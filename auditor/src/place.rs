//! Where an audit of a device is, as its [`Cursor`] keeps it: one line of JSON.

use std::time::Duration;

use apus_base::pass::Cursor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How far the audit of a device is; `A` says where in the order in which it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Place<A> {
    /// All up to this, and this too, is done.
    At {
        /// When it began, in seconds since 1970.
        began: u64,
        /// What was done last.
        after: A,
    },
    /// All of it was done.
    Ended {
        /// When it began, in seconds since 1970.
        began: u64,
    },
}

impl<A: Serialize + DeserializeOwned> Place<A> {
    /// Reads a line; `None` when it is none of ours, and then the audit begins anew.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// What a cursor keeps.
    pub fn load(cursor: &Cursor) -> Option<Self> {
        cursor.load().and_then(|line| Self::parse(line.trim()))
    }

    /// The line.
    pub fn text(&self) -> String {
        // Numbers and names are all it holds, so it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// When the audit began.
    pub fn began(&self) -> u64 {
        match self {
            Self::At { began, .. } | Self::Ended { began } => *began,
        }
    }

    /// How long from `now` on until an audit is due: at once when one was stopped here.
    pub fn due_in(&self, interval: Duration, now: u64) -> Duration {
        match self {
            Self::At { .. } => Duration::ZERO,
            Self::Ended { began } => Duration::from_secs(began.saturating_add(interval.as_secs()).saturating_sub(now)),
        }
    }
}

/// A suffix of a device's objects: they are audited in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suffix {
    /// The policy.
    pub policy: u32,
    /// The partition.
    pub partition: u32,
    /// The suffix.
    pub suffix: u16,
}

impl Place<Suffix> {
    /// Whether an audit that was stopped here did that suffix already.
    pub fn is_past(&self, suffix: Suffix) -> bool {
        matches!(self, Self::At { after, .. } if suffix <= *after)
    }

    /// Whether it did all of that partition.
    pub fn is_past_partition(&self, policy: u32, partition: u32) -> bool {
        matches!(self, Self::At { after, .. } if (policy, partition) < (after.policy, after.partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place<Suffix>> {
        prop_oneof![
            (any::<u64>(), 0u32..4, 0u32..4, 0u16..4).prop_map(|(began, policy, partition, suffix)| Place::At {
                began,
                after: Suffix { policy, partition, suffix }
            }),
            any::<u64>().prop_map(|began| Place::Ended { began }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(place in place()) {
            prop_assert_eq!(Place::parse(&place.text()), Some(place));
        }

        #[test]
        fn any_line_is_read_or_refused(line in "\\PC{0,60}|\\{\"(at|ended)\":\\{[\"a-z:0-9,]{0,40}\\}\\}") {
            let _ = Place::<Suffix>::parse(&line);
            let _ = Place::<String>::parse(&line);
        }

        #[test]
        fn a_partition_that_is_past_has_no_suffix_that_is_not(place in place(), policy in 0u32..4, partition in 0u32..4, suffix: u16) {
            let suffix = Suffix { policy, partition, suffix };
            prop_assert!(!place.is_past_partition(policy, partition) || place.is_past(suffix));
        }
    }
}
