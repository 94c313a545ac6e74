//! Asking each primary for its copy, and summing up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use apus_base::ring::{Device, Ring};
use apus_base::wire::{backend_path, header};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::{DispersionError, Work};
use crate::cli;
use crate::error::StartError;
use crate::recon::report::elapsed;
use crate::view::{Host, Scout};

/// How long a server has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How it is said.
pub(super) struct Manner {
    pub(super) json: bool,
    pub(super) partitions: bool,
    pub(super) debug: bool,
}

/// One thing whose copies are looked for.
struct Item<'a> {
    path: Vec<String>,
    partition: u32,
    primaries: Vec<&'a Device>,
}

/// What was found of one kind of things.
#[derive(Debug, Default, PartialEq)]
struct Found {
    what: &'static str,
    listed: usize,
    /// Partitions of the ring.
    space: usize,
    replicas: usize,
    /// How many partitions lack how many copies.
    missing: BTreeMap<usize, usize>,
    expected: usize,
    copies: usize,
    distinct: usize,
}

/// Says whether all copies are there.
pub(super) async fn report(work: &Work, manner: &Manner) -> Result<bool, StartError> {
    let (mut all, mut output) = (true, Map::new());
    let account = work.user.account();
    let salt = &work.view.cluster.hash_path;
    if work.containers {
        let names = work.user.list("", &work.container_prefix()).await.map_err(DispersionError::from)?;
        let place = |name: &str| salt.container(&account, name).0;
        let items = names.into_iter().map(|name| (place(&name), vec![account.clone(), name])).collect();
        let found = query(work, manner, "container", &work.view.rings.container, items).await?;
        all &= found.copies == found.expected;
        output.insert("container".into(), found.json());
    }
    if work.objects {
        let container = work.object_container();
        let names = work.user.list(&container, "dispersion_").await.map_err(DispersionError::from)?;
        let place = |name: &str| salt.object(&account, &container, name).0;
        let items =
            names.into_iter().map(|name| (place(&name), vec![account.clone(), container.clone(), name])).collect();
        let ring = work.view.rings.objects.get(&work.policy);
        let ring = ring.ok_or_else(|| StartError::NoPolicy(work.policy_name()))?;
        let found = query(work, manner, "object", ring, items).await?;
        all &= found.copies == found.expected;
        output.insert("object".into(), found.json());
    }
    if manner.json {
        cli::say(&Value::Object(output).to_string());
    }
    Ok(all)
}

async fn query(
    work: &Work,
    manner: &Manner,
    what: &'static str,
    ring: &Ring,
    things: Vec<([u8; 16], Vec<String>)>,
) -> Result<Found, StartError> {
    if things.is_empty() {
        return Err(DispersionError::Nothing(if what == "container" { "containers" } else { "objects" }).into());
    }
    let started = Instant::now();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
    let replicas = ring.replica_count().ceil() as usize;
    let mut found = Found { what, listed: things.len(), space: ring.part_count(), replicas, ..Found::default() };
    let items = distinct(ring, things);
    found.distinct = items.len();
    let (scout, mut headers) = (work.view.scout(PATIENCE), HeaderMap::new());
    headers.insert(header::POLICY_INDEX, HeaderValue::from(work.policy.0));
    let looks: Vec<_> = items.iter().map(|item| look(item, &scout, &headers)).collect();
    let mut looks = stream::iter(looks).buffer_unordered(work.concurrency);
    let mut said = BTreeSet::new();
    while let Some((partition, primaries, absent)) = looks.next().await {
        found.expected += primaries;
        found.copies += primaries - absent.len();
        if !absent.is_empty() {
            *found.missing.entry(absent.len()).or_default() += 1;
        }
        if manner.partitions && !absent.is_empty() {
            cli::complain_line(&format!("# {} partition {partition} missing {}", title(what), copies(absent.len())));
        }
        for (host, why) in absent {
            let of_interest = manner.debug || !matches!(why, Absent::NotFound);
            if of_interest && said.insert(host.clone()) {
                cli::complain_line(&format!("ERROR: {host} {}", why.sentence()));
            }
        }
    }
    if !manner.json {
        found.lines(&elapsed(started.elapsed().as_secs_f64())).iter().for_each(|line| cli::say(line));
    }
    Ok(found)
}

/// One thing of each partition: two on one would count its copies twice.
fn distinct<'a>(ring: &'a Ring, things: Vec<([u8; 16], Vec<String>)>) -> Vec<Item<'a>> {
    let mut seen = BTreeSet::new();
    let item = |(hash, path): ([u8; 16], Vec<String>)| {
        let partition = ring.partition(&hash);
        Item { path, partition, primaries: ring.primaries(partition).collect() }
    };
    things.into_iter().map(item).filter(|item| seen.insert(item.partition)).collect()
}

/// Why a copy counts as missing.
enum Absent {
    NotFound,
    Unmounted,
    Failed(String),
}

impl Absent {
    fn sentence(&self) -> String {
        match self {
            Self::NotFound => "returned a 404".into(),
            Self::Unmounted => {
                "is unmounted: copies designated for it count as missing until it is back or the ring is changed".into()
            }
            Self::Failed(reason) => format!("gives no answer: {reason}"),
        }
    }
}

async fn look(item: &Item<'_>, scout: &Scout, headers: &HeaderMap) -> (u32, usize, Vec<(String, Absent)>) {
    let names: Vec<&str> = item.path.iter().map(String::as_str).collect();
    let mut absent = Vec::new();
    for device in &item.primaries {
        let target = backend_path(&device.device, item.partition, &names);
        let why = match scout.head(&Host::of(device), &target, headers.clone()).await {
            Ok(answer) if answer.status.is_success() => continue,
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => Absent::NotFound,
            Ok(answer) if answer.status == StatusCode::INSUFFICIENT_STORAGE => Absent::Unmounted,
            Ok(answer) => Absent::Failed(answer.status.to_string()),
            Err(reason) => Absent::Failed(reason),
        };
        absent.push((format!("{}/{}", Host::of(device), device.device), why));
    }
    (item.partition, item.primaries.len(), absent)
}

#[expect(clippy::cast_precision_loss, reason = "shares in percent")]
fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn title(what: &str) -> &'static str {
    if what == "container" { "Container" } else { "Object" }
}

fn copies(many: usize) -> String {
    format!("{many} {}", if many == 1 { "copy" } else { "copies" })
}

impl Found {
    fn lines(&self, took: &str) -> Vec<String> {
        let what = self.what;
        let mut lines = vec![format!("Queried {} {what}s for dispersion reporting, {took}, 0 retries", self.listed)];
        let overlapping = self.listed - self.distinct;
        if overlapping > 0 {
            lines.push(format!("There were {overlapping} overlapping partitions"));
        }
        lines.extend(self.missing.iter().map(|(copies, partitions)| missing(*partitions, *copies, self.replicas)));
        let (found, expected) = (self.copies, self.expected);
        lines.push(format!("{:.2}% of {what} copies found ({found} of {expected})", percent(found, expected)));
        let share = percent(self.distinct, self.space);
        lines.push(format!("Sample represents {share:.2}% of the {what} partition space"));
        lines
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "retries": 0,
            "overlapping": self.listed - self.distinct,
            "pct_found": percent(self.copies, self.expected),
            "copies_found": self.copies,
            "copies_expected": self.expected,
        });
        for (copies, partitions) in &self.missing {
            json[format!("missing_{copies}")] = (*partitions).into();
        }
        json
    }
}

/// The more marks, the nearer the end.
fn missing(partitions: usize, lacking: usize, replicas: usize) -> String {
    let (marks, many) = match replicas.saturating_sub(lacking) {
        0 => ("!!! ", "all".to_owned()),
        1 => ("! ", lacking.to_string()),
        _ => ("", lacking.to_string()),
    };
    let (verb, noun) = if partitions == 1 { ("was", "partition") } else { ("were", "partitions") };
    let copy = if lacking == 1 { "copy" } else { "copies" };
    format!("{marks}There {verb} {partitions} {noun} missing {many} {copy}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_as_swift_says_it() {
        assert_eq!(missing(1, 1, 3), "There was 1 partition missing 1 copy.");
        assert_eq!(missing(2, 2, 3), "! There were 2 partitions missing 2 copies.");
        assert_eq!(missing(3, 3, 3), "!!! There were 3 partitions missing all copies.");
    }

    #[test]
    fn figures_as_text_and_as_json() {
        let missing = [(1, 2)].into();
        let found =
            Found { what: "object", listed: 4, space: 256, replicas: 3, missing, expected: 9, copies: 7, distinct: 3 };
        let lines = [
            "Queried 4 objects for dispersion reporting, 1 seconds, 0 retries",
            "There were 1 overlapping partitions",
            "There were 2 partitions missing 1 copy.",
            "77.78% of object copies found (7 of 9)",
            "Sample represents 1.17% of the object partition space",
        ];
        assert_eq!(found.lines("1 seconds"), lines);
        assert_eq!((&found.json()["missing_1"], &found.json()["copies_found"]), (&json!(2), &json!(7)));
    }
}
