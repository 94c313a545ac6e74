//! In which order the replicas are asked.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

/// The order of the replicas for a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortingMethod {
    /// Any order, so that the load spreads.
    #[default]
    Shuffle,
    /// The ones that answered fastest lately.
    Timing,
    /// By [`Affinity`].
    Affinity,
}

/// Priorities of regions and zones, as in `r1z1=100, r1=200`: lower comes first, whoever is not named comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity(Vec<Rule>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    region: u32,
    zone: Option<u32>,
    priority: u32,
}

/// Why an affinity is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an affinity to read looks like \"r1z1=100, r1=200\", one to write like \"r1, r2z2\"; {0:?} does not")]
pub struct InvalidAffinity(String);

impl Affinity {
    /// The priority of a device there. The lowest of all rules that match counts, as in Swift.
    pub fn priority(&self, region: u32, zone: u32) -> u32 {
        let matches = |rule: &&Rule| rule.region == region && rule.zone.is_none_or(|z| z == zone);
        self.0.iter().filter(matches).map(|rule| rule.priority).min().unwrap_or(u32::MAX)
    }
}

impl FromStr for Affinity {
    type Err = InvalidAffinity;

    fn from_str(text: &str) -> Result<Self, InvalidAffinity> {
        let pieces = text.split(',').map(str::trim).filter(|piece| !piece.is_empty());
        pieces
            .map(|piece| parse_rule(piece).ok_or_else(|| InvalidAffinity(piece.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn parse_rule(piece: &str) -> Option<Rule> {
    let (place, priority) = piece.split_once('=')?;
    let (region, zone) = parse_place(place.trim())?;
    Some(Rule { region, zone, priority: priority.trim().parse().ok()? })
}

/// `r1` or `r1z2`.
fn parse_place(text: &str) -> Option<(u32, Option<u32>)> {
    let place = text.strip_prefix('r')?;
    match place.split_once('z') {
        Some((region, zone)) => Some((region.parse().ok()?, Some(zone.parse().ok()?))),
        None => Some((place.parse().ok()?, None)),
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, rule) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let zone = rule.zone.map(|zone| format!("z{zone}")).unwrap_or_default();
            write!(f, "{comma}r{}{zone}={}", rule.region, rule.priority)?;
        }
        Ok(())
    }
}

impl Serialize for Affinity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Affinity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Regions and zones that are near, as in `r1, r2z2`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality(Vec<(u32, Option<u32>)>);

impl Locality {
    /// Whether there is no difference between near and far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a device there is near.
    pub fn has(&self, region: u32, zone: u32) -> bool {
        self.0.iter().any(|(r, z)| *r == region && z.is_none_or(|z| z == zone))
    }
}

impl FromStr for Locality {
    type Err = InvalidAffinity;

    fn from_str(text: &str) -> Result<Self, InvalidAffinity> {
        let pieces = text.split(',').map(str::trim).filter(|piece| !piece.is_empty());
        let places = pieces.map(|piece| parse_place(piece).ok_or_else(|| InvalidAffinity(piece.to_owned())));
        places.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (region, zone)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}r{region}{}", zone.map(|zone| format!("z{zone}")).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl Serialize for Locality {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Locality {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How long servers took to answer lately, by address.
#[derive(Debug)]
pub(super) struct Timings {
    expiry: Duration,
    measured: Mutex<HashMap<String, (Duration, Instant)>>,
}

impl Timings {
    pub(super) fn new(expiry: Duration) -> Self {
        Self { expiry, measured: Mutex::default() }
    }

    /// Remembers one measurement, to the millisecond: finer differences are noise.
    pub(super) fn set(&self, ip: &str, took: Duration) {
        let took = Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.insert(ip.to_owned(), (took, Instant::now() + self.expiry));
    }

    /// What is remembered; a server without a fresh measurement sorts first, so that it gets one.
    pub(super) fn get(&self, ip: &str) -> Option<Duration> {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.get(ip).filter(|(_, expires)| *expires > Instant::now()).map(|(took, _)| *took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zones_before_regions_before_the_rest() {
        let affinity: Affinity = "r1z1=100, r1=200".parse().unwrap();
        assert_eq!(affinity.to_string(), "r1z1=100, r1=200");
        let priorities = [(1, 1), (1, 2), (2, 1)].map(|(region, zone)| affinity.priority(region, zone));
        assert_eq!(priorities, [100, 200, u32::MAX]);
    }

    #[test]
    fn near_and_far() {
        let near: Locality = "r1, r2z2".parse().unwrap();
        assert_eq!(near.to_string(), "r1, r2z2");
        assert_eq!([(1, 9), (2, 2), (2, 1)].map(|(region, zone)| near.has(region, zone)), [true, true, false]);
        assert!("r1=1".parse::<Locality>().is_err() && "".parse::<Locality>().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn timings_are_forgotten() {
        let timings = Timings::new(Duration::from_secs(300));
        timings.set("::1", Duration::from_micros(2700));
        assert_eq!(timings.get("::1"), Some(Duration::from_millis(2)));
        tokio::time::advance(Duration::from_secs(301)).await;
        assert_eq!(timings.get("::1"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[rz0-9=, ]{0,20}|\\PC{0,12}") {
            if let Ok(affinity) = text.parse::<Affinity>() {
                prop_assert_eq!(affinity.to_string().parse::<Affinity>().unwrap(), affinity);
            }
            if let Ok(near) = text.parse::<Locality>() {
                prop_assert_eq!(near.to_string().parse::<Locality>().unwrap(), near);
            }
        }
    }
}
