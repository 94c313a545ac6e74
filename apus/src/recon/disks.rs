//! What the disks of a cluster look like: which are missing, and how full the others are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Answers, Finding, ReconArguments};
use crate::recon::report::size;
use crate::view::Host;

/// The stars of the longest row of the graph.
const GRAPH_WIDTH: f64 = 69.0;

/// One disk that is there.
#[derive(Clone, Debug)]
struct Disk {
    host: Host,
    device: String,
    used: u64,
    available: u64,
    /// Of its size, in percent.
    share: f64,
}

pub(super) fn unmounted(answers: &Answers) -> Finding {
    let mut found = Finding::default();
    for (host, heard) in answers {
        for entry in heard.value.as_array().into_iter().flatten() {
            let device = entry["device"].as_str().unwrap_or("?");
            let what = if entry["mounted"].is_boolean() { "Not mounted" } else { "Device errors" };
            found.lines.push(format!("{what}: {device} on {host}"));
            found.trouble = true;
        }
    }
    found
}

pub(super) fn usage(answers: &Answers, options: &ReconArguments) -> Finding {
    let mut found = Finding::default();
    let mut disks: Vec<Disk> = Vec::new();
    // The roles of a node share its disks.
    let mut seen = BTreeSet::new();
    for (host, heard) in answers {
        for entry in heard.value.as_array().into_iter().flatten() {
            let device = entry["device"].as_str().unwrap_or("?");
            if !seen.insert((host.ip.clone(), device.to_owned())) {
                continue;
            }
            match disk(host, device, entry) {
                Some(disk) => disks.push(disk),
                None => {
                    let wrong = entry["mounted"].as_str().unwrap_or("it is not mounted");
                    found.lines.push(format!("-> {host}/{device}: Error: {wrong}"));
                    found.trouble = true;
                }
            }
        }
    }
    if disks.is_empty() {
        found.lines.push("No hosts returned valid data.".into());
        return found;
    }
    found.lines.extend(graph(&disks));
    found.lines.extend(totals(&disks, options.human_readable));
    disks.sort_by(|a, b| b.share.total_cmp(&a.share));
    found.lines.extend(ranked("TOP", options.top, disks.iter()));
    found.lines.extend(ranked("LOWEST", options.lowest, disks.iter().rev()));
    found
}

fn disk(host: &Host, device: &str, entry: &Value) -> Option<Disk> {
    let bytes = |key: &str| entry[key].as_u64();
    let (used, available, size) = (bytes("used")?, bytes("avail")?, bytes("size").filter(|size| *size > 0)?);
    #[expect(clippy::cast_precision_loss, reason = "a share in percent needs no exact bytes")]
    let share = used as f64 / size as f64 * 100.0;
    Some(Disk { host: host.clone(), device: device.to_owned(), used, available, share })
}

/// How many disks are how full, as a bar for each percent.
fn graph(disks: &[Disk]) -> Vec<String> {
    let mut percents: BTreeMap<u64, usize> = BTreeMap::new();
    for disk in disks {
        *percents.entry(whole(disk.share)).or_default() += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of disks")]
    let each = GRAPH_WIDTH / percents.values().copied().max().unwrap_or(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "numbers of disks")]
    let bar = |(percent, many): (&u64, &usize)| {
        let stars = usize::try_from(whole(*many as f64 * each)).unwrap_or_default();
        format!("{percent:3}%{many:5} {}", "*".repeat(stars))
    };
    std::iter::once("Distribution Graph:".to_owned()).chain(percents.iter().map(bar)).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number, and not negative")]
fn whole(number: f64) -> u64 {
    number.trunc() as u64
}

fn totals(disks: &[Disk], human: bool) -> [String; 3] {
    let (used, free) = (disks.iter().map(|d| d.used).sum::<u64>(), disks.iter().map(|d| d.available).sum::<u64>());
    let said = |bytes: u64| if human { size(bytes) } else { bytes.to_string() };
    let all = used.saturating_add(free);
    let shares = || disks.iter().map(|disk| disk.share);
    let (low, high) = (shares().reduce(f64::min).unwrap_or(0.0), shares().reduce(f64::max).unwrap_or(0.0));
    #[expect(clippy::cast_precision_loss, reason = "a share in percent needs no exact bytes")]
    let average = used as f64 / all.max(1) as f64 * 100.0;
    [
        format!("Disk usage: space used: {} of {}", said(used), said(all)),
        format!("Disk usage: space free: {} of {}", said(free), said(all)),
        format!("Disk usage: lowest: {low:.2}%, highest: {high:.2}%, avg: {average:.2}%"),
    ]
}

fn ranked<'a>(title: &str, many: usize, disks: impl Iterator<Item = &'a Disk>) -> Vec<String> {
    if many == 0 {
        return Vec::new();
    }
    let rows = disks.take(many).map(|disk| format!("{:.2}%  {:15} {}", disk.share, disk.host.ip, disk.device));
    std::iter::once(format!("{title} {many}")).chain(rows).collect()
}
