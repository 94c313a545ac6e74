//! The question behind `apus status`: what does this device hold? `GET /recon/redundancy/<device>?policy=P&part_power=N`.
//!
//! The answer has a digest of each partition there. The primaries of a partition have equal digests exactly when all of them
//! hold the same; so whoever has everybody's answers knows which partitions have all their copies, without reading one.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::policy::PolicyIndex;
use crate::ring::MAX_PART_POWER;

const PATH: &str = "/recon/redundancy/";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The device.
    pub device: String,
    /// Of object servers: the policy. 0 to others.
    pub policy: PolicyIndex,
    /// The partition power of the asker's ring.
    pub part_power: u8,
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Holdings {
    /// A digest of each partition that holds anything.
    pub partitions: BTreeMap<u32, String>,
    /// Of object servers: container updates that wait.
    #[serde(default)]
    pub pending: u64,
    /// Since when the oldest of them waits, in seconds since 1970.
    #[serde(default)]
    pub oldest_pending: Option<u64>,
    /// Of object servers: what lies in quarantine.
    #[serde(default)]
    pub quarantined: u64,
    /// How many of those objects have nothing in their place.
    #[serde(default)]
    pub unrepaired: u64,
}

impl Question {
    /// Path and query of the request.
    pub fn target(&self) -> String {
        let device = utf8_percent_encode(&self.device, NON_ALPHANUMERIC);
        format!("{PATH}{device}?policy={}&part_power={}", self.policy, self.part_power)
    }

    /// Reads path and query; none when it is not this question, or makes no sense.
    pub fn parse(path: &str, query: &str) -> Option<Self> {
        let device = percent_decode_str(path.strip_prefix(PATH)?).decode_utf8().ok()?.into_owned();
        let is_name = !device.is_empty() && !device.starts_with('.') && !device.contains(['/', '\0']);
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| *key == name)?.1.parse::<u32>().ok()
        };
        let part_power = u8::try_from(value("part_power")?).ok().filter(|power| *power <= MAX_PART_POWER)?;
        is_name.then_some(Self { device, policy: PolicyIndex(value("policy")?), part_power })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_asked_is_understood(device in "[^./\0][^/\0]{0,20}", policy: u32, part_power in 0u8..=32) {
            let question = Question { device, policy: PolicyIndex(policy), part_power };
            let target = question.target();
            let (path, query) = target.split_once('?').unwrap();
            prop_assert_eq!(Question::parse(path, query), Some(question));
        }

        #[test]
        fn anything_else_is_refused(path in ".{0,40}", query in ".{0,40}") {
            let _ = Question::parse(&path, &query);
            let _ = Question::parse(&format!("{PATH}{path}"), &query);
        }
    }
}
