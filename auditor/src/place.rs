//! Where an audit of a device is, as its [`Cursor`](apus_base::pass::Cursor) keeps it: one line of JSON.

use serde::{Deserialize, Serialize};

/// How far the audit of a device is. It goes through policies, partitions and suffixes in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Place {
    /// All up to this suffix, and this one too, is done.
    At {
        /// When it began, in seconds since 1970.
        began: u64,
        /// The policy.
        policy: u32,
        /// The partition.
        partition: u32,
        /// The suffix.
        suffix: u16,
    },
    /// All of it was done.
    Ended {
        /// When it began, in seconds since 1970.
        began: u64,
    },
}

impl Place {
    /// Reads a line; `None` when it is none of ours, and then the audit begins anew.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// The line.
    pub fn text(&self) -> String {
        // Numbers are all it holds, so it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// When the audit began.
    pub fn began(&self) -> u64 {
        match self {
            Self::At { began, .. } | Self::Ended { began } => *began,
        }
    }

    /// Whether an audit that was stopped here did that suffix already.
    pub fn is_past(&self, suffix: (u32, u32, u16)) -> bool {
        match self {
            Self::At { policy, partition, suffix: last, .. } => suffix <= (*policy, *partition, *last),
            Self::Ended { .. } => false,
        }
    }

    /// Whether it did all of that partition.
    pub fn is_past_partition(&self, policy: u32, partition: u32) -> bool {
        match self {
            Self::At { policy: at, partition: last, .. } => (policy, partition) < (*at, *last),
            Self::Ended { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        prop_oneof![
            (any::<u64>(), 0u32..4, 0u32..4, 0u16..4).prop_map(|(began, policy, partition, suffix)| Place::At {
                began,
                policy,
                partition,
                suffix
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
            let _ = Place::parse(&line);
        }

        #[test]
        fn a_partition_that_is_past_has_no_suffix_that_is_not(place in place(), policy in 0u32..4, partition in 0u32..4, suffix: u16) {
            prop_assert!(!place.is_past_partition(policy, partition) || place.is_past((policy, partition, suffix)));
        }
    }
}
