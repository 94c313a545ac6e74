//! What a pass tells recon: in Swift's keys, as far as they mean something here, and beside them what it counted.

use std::collections::{BTreeMap, BTreeSet};

use apus_base::recon::ReconCache;
use serde_json::{Map, Value, json};

use apus_base::pass::Report;

/// Under this key is each device's last pass.
const PER_DISK: &str = "object_replication_per_disk";

/// The entries of a pass over the whole node. Reads the cache, to remove devices that are no longer this node's.
pub(super) fn entries(whole: &Report, devices: Vec<(String, Report)>, recon: &ReconCache) -> Map<String, Value> {
    let before = recon.load("object").remove(PER_DISK);
    let before: BTreeSet<String> =
        before.as_ref().and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let mut told = of(whole);
    told.insert(PER_DISK.to_owned(), per_disk(devices, before).into());
    told
}

/// A device that several policies share is one.
fn per_disk(devices: Vec<(String, Report)>, before: BTreeSet<String>) -> Map<String, Value> {
    let mut disks: BTreeMap<String, Report> = BTreeMap::new();
    for (name, report) in devices {
        match disks.get_mut(&name) {
            Some(disk) => disk.merge(&report),
            None => _ = disks.insert(name, report),
        }
    }
    let gone = before.into_iter().filter(|name| !disks.contains_key(name)).map(|name| (name, json!({})));
    let gone: Vec<_> = gone.collect();
    disks.into_iter().map(|(name, report)| (name, of(&report).into())).chain(gone).collect()
}

fn of(report: &Report) -> Map<String, Value> {
    let count = |what| report.counts.get(what).copied().unwrap_or(0);
    let failure = report.failures();
    let stats = json!({
        "start": report.ended.saturating_sub(report.whole_seconds()),
        "attempted": report.done,
        "success": report.done.saturating_sub(failure),
        "failure": failure,
        "hashmatch": report.done.saturating_sub(count("partitions worked on")),
        "remove": count("handed off"),
        "rsync": count("pushed"),
        "counts": report.counts,
    });
    let told = json!({
        "replication_stats": stats,
        "replication_time": report.seconds,
        "replication_last": report.ended,
        "object_replication_time": report.seconds / 60.0,
        "object_replication_last": report.ended,
    });
    told.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::pass::Progress;

    #[test]
    fn a_device_is_told_once_and_goes_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let recon = ReconCache::new(folder.path());
        let (progress, other) = (Progress::default(), Progress::default());
        progress.expect(3);
        (0..3).for_each(|_| progress.step());
        (progress.fail(), progress.count("partitions worked on"), other.fail());
        let (one, two) = (progress.report(), other.report());
        let devices = [("d1", &one), ("d2", &two), ("d1", &two)].map(|(name, report)| (name.to_owned(), report.clone()));
        recon.merge("object", entries(&one, devices.to_vec(), &recon));
        let told = recon.load("object");
        let stats = &told["replication_stats"];
        assert_eq!((&stats["attempted"], &stats["failure"], &stats["hashmatch"]), (&json!(3), &json!(1), &json!(2)));
        assert_eq!(told[PER_DISK]["d1"]["replication_stats"]["failure"], 2);

        recon.merge("object", entries(&two, devices[1..2].to_vec(), &recon));
        let disks: Vec<_> = recon.load("object")[PER_DISK].as_object().unwrap().keys().cloned().collect();
        assert_eq!(disks, ["d2"]);
    }
}
